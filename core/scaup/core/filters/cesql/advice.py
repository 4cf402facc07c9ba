"""What a person is told where an expression does not parse: what was expected, and what stands there instead."""

from __future__ import annotations

from typing import Final

from lark import UnexpectedToken

from scaup.core.filters.cesql.values import shown
from scaup.core.filters.subject import FilterSyntaxError

_VALUE: Final = frozenset(("NAME", "INT", "STRING", "TRUE", "FALSE", "OPEN", "NOT", "MINUS", "EXISTS"))
_OPERATORS: Final = frozenset(
    ("COMPARE", "AND", "OR", "XOR", "LIKE", "IN", "PLUS", "MINUS", "STAR", "SLASH", "PERCENT", "NOT")
)
_ALONE: Final = {
    frozenset(("STRING",)): "a pattern in quotes",
    frozenset(("NAME",)): "the name of an attribute",
    frozenset(("OPEN",)): "a list of values in parentheses",
    frozenset(("LIKE", "IN")): "LIKE or IN",
}
_SIGNS: Final = {"CLOSE": "')'", "COMMA": "','", "$END": "the end", "OPEN": "'('"}


def explained(error: UnexpectedToken, text: str) -> FilterSyntaxError:
    """The parser's complaint in words."""
    token, accepted = error.token, frozenset(error.accepts or ())
    at_end = token.type == "$END"
    column = len(text.rstrip(" \t\r\n")) + 1 if at_end else token.column or 0
    found = "the expression ends here" if at_end else f"found {shown(str(token))}"
    return FilterSyntaxError(f"expected {_expected(accepted)}, but {found}", column)


def _expected(accepted: frozenset[str]) -> str:
    """In words what may stand somewhere; an operand's place and an operator's are never the same."""
    if accepted in _ALONE:
        return _ALONE[accepted]
    words = []
    rest = accepted
    if "INT" in accepted:
        words.append("a value (an attribute, a literal, a function)")
        rest = accepted - _VALUE
    elif "COMPARE" in accepted:
        words.append("an operator such as =, LIKE or AND")
        rest = accepted - _OPERATORS - {"OPEN"}
    elif "AND" in accepted:
        words.append("AND, OR or XOR")
        rest = accepted - _OPERATORS - {"OPEN"}
    words += [_SIGNS.get(name, name) for name in sorted(rest)]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
