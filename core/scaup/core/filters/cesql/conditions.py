"""The necessary conditions of an expression, for the index: what holds of an event's attributes whenever it is true.

Only what a true result surely implies counts: comparisons with text, since any other literal casts the attribute first
(``sequence = 5`` is true of "05"), and the presence of attributes whose absence would surely be an error.
"""

from __future__ import annotations

from scaup.core.filters import guards
from scaup.core.filters.cesql import tree
from scaup.core.filters.guards import NOTHING, Guard


def guard_of(node: tree.Node) -> Guard:
    """The guard of an expression that matches only where it is true. Attributes are strings, as in the data plane."""
    match node:
        case tree.Constant(value=False):
            return NOTHING
        case tree.Logic(operator="AND", operands=operands):
            return guards.both(map(guard_of, operands))
        case tree.Logic(operands=operands):  # OR and XOR: at least one operand is true
            return guards.either(map(guard_of, operands))
        case tree.Compare(operator="=", left=tree.Attribute(name=name), right=tree.Constant(value=str() as text)):
            return guards.equals(name, text)
        case tree.Compare(operator="=", left=tree.Constant(value=str() as text), right=tree.Attribute(name=name)):
            return guards.equals(name, text)
        case tree.In(operand=tree.Attribute(name=name), elements=elements, negated=False):
            texts = [each.value for each in elements if isinstance(each, tree.Constant) and isinstance(each.value, str)]
            return guards.equals(name, *texts) if len(texts) == len(elements) else guards.present(name)
        case tree.Like(operand=tree.Attribute(name=name), pattern=pattern, negated=False):
            if pattern.exact is not None:
                return guards.equals(name, pattern.exact)
            return guards.begins(name, pattern.prefix) or guards.present(name)
        case tree.Exists(name=name):
            return guards.present(name)
        case _:
            return guards.both(map(guards.present, _needed(node)))


def _needed(node: tree.Node) -> set[str]:
    """Attributes that are surely looked at, so that without one of them the evaluation ends in an error (4.1)."""
    match node:
        case tree.Attribute(name=name):
            return {name}
        case tree.Logic(operator="AND" | "OR", operands=operands):
            return _needed(operands[0])  # the others may not be asked (3.4.2)
        case tree.In(operand=operand):
            return _needed(operand)  # elements are looked at up to the first that is equal
        case _:
            return set().union(*map(_needed, tree.children(node)))
