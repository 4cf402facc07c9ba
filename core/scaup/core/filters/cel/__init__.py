"""CEL filters: the event's attributes as ``ce``, its JSON data as ``data``.

Google's engine (``cel-expr-python``) alone evaluates. The grammar of ``cel-python`` gives the syntax tree for what has
to be known before: index conditions, use of data, bounds on work. Decision 0009 says why, and what is refused.
Importing this package loads neither of the two; compiling the first expression does.
"""

from scaup.core.filters.cel.engine import CelUnavailableError, is_available
from scaup.core.filters.cel.expression import CelExpression, compile_cel
from scaup.core.filters.cel.joint import MOST, CelJoint, join_cel

__all__ = ["MOST", "CelExpression", "CelJoint", "CelUnavailableError", "compile_cel", "is_available", "join_cel"]
