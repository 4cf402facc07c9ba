"""A CESQL text in tokens (CESQL 1.0, 2.2; CESQLLexer.g4), and what can be said of a text before it is parsed.

Unlike the reference lexer, a sign right after an operand is an operator, so that ``4-1`` is 3 and not two literals;
and characters that belong nowhere are refused, not dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from lark.lexer import Lexer, Token

from scaup.core.filters.cesql.limits import MAX_DEPTH, MAX_TEXT
from scaup.core.filters.subject import FilterSyntaxError

KEYWORDS: Final = frozenset(("AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "FALSE"))
_OPERAND_ENDS: Final = frozenset(("NAME", "INT", "STRING", "TRUE", "FALSE", "CLOSE"))
_SIGNS: Final = {
    "+": "PLUS", "-": "MINUS", "*": "STAR", "/": "SLASH", "%": "PERCENT", "(": "OPEN", ")": "CLOSE", ",": "COMMA",
}  # fmt: skip
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<word>[A-Za-z0-9_]+)
    | (?P<string>'(?:[^'\\]|\\.)*+' | "(?:[^"\\]|\\.)*+")
    | (?P<slip>==|=>|=<|&&|\|\|)
    | (?P<comparison>[<>!]=|<>|[=<>])
    | (?P<sign>[-+*/%(),])""",
    re.VERBOSE | re.DOTALL,
)
_SLIPS: Final = {
    "==": "equality is written with one =",
    "=>": "'greater or equal' is written >=",
    "=<": "'less or equal' is written <=",
    "&&": "'and' is written AND",
    "||": "'or' is written OR",
    "!": "negation is written NOT",
    ".": "attributes are named alone (type, not ce.type), and numbers are integers",
    ";": "an expression ends without a semicolon",
    "\N{LEFT SINGLE QUOTATION MARK}": "strings stand in straight quotes",
    "\N{RIGHT SINGLE QUOTATION MARK}": "strings stand in straight quotes",
    "\N{LEFT DOUBLE QUOTATION MARK}": "strings stand in straight quotes",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "strings stand in straight quotes",
}


class CesqlLexer(Lexer):
    """The lexer as lark calls it."""

    def __init__(self, _conf: Any) -> None:
        """Nothing is taken from the grammar: it declares its terminals."""

    def lex(self, text: str) -> Iterator[Token]:  # type: ignore[override]  # lark hands the text to simple lexers
        """The tokens in order."""
        previous, depth, place = "", 0, 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup == "slip":
                raise _unknown(found[0] if found else text[place], place)
            token = _token(found, text)
            place = found.end()
            if token is None:
                continue
            if token.type in {"PLUS", "MINUS"} and previous not in _OPERAND_ENDS:
                digits = _TOKEN.match(text, place)
                if digits and digits.lastgroup == "word" and digits[0].isdigit():
                    token = Token("INT", token + digits[0], token.start_pos, column=token.column)
                    place = digits.end()
            depth += (token.type == "OPEN") - (token.type == "CLOSE")
            if depth > MAX_DEPTH:
                raise too_deep(token.column or 0)
            previous = token.type
            yield token


def check_size(text: str) -> None:
    """Raise FilterSyntaxError for a text that is too long or says nothing."""
    if len(text) > MAX_TEXT or len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT:
        raise FilterSyntaxError(f"the expression is longer than {MAX_TEXT >> 10} KiB: split it into several filters")
    if not text.strip(" \t\r\n"):
        raise FilterSyntaxError("the expression is empty: expected a condition such as type = 'com.example.order'", 1)


def too_deep(column: int) -> FilterSyntaxError:
    """What is said of an expression with too many levels."""
    return FilterSyntaxError(
        f"the expression is nested deeper than {MAX_DEPTH} levels: split it into several filters", column
    )


def _token(found: re.Match[str], text: str) -> Token | None:
    start, column, written = found.start(), found.start() + 1, found[0]
    match found.lastgroup:
        case "space":
            return None
        case "string":
            if text[found.end() : found.end() + 1] == written[0]:
                raise FilterSyntaxError(
                    f"expected \\{written[0]} for a quote within a string, not two quotes", found.end()
                )
            return Token("STRING", written, start, column=column)
        case "comparison":
            return Token("COMPARE", written, start, column=column)
        case "sign":
            return Token(_SIGNS[written], written, start, column=column)
        case _:
            keyword = written.upper()
            kind = keyword if keyword in KEYWORDS else "INT" if written.isdigit() else "NAME"
            return Token(kind, written, start, column=column)


def _unknown(written: str, place: int) -> FilterSyntaxError:
    if written in {"'", '"'}:
        return FilterSyntaxError(f"the string has no end: expected a closing {written}", place + 1)
    hint = _SLIPS.get(written)
    shown = f"{written!r}" if written.isprintable() else f"the character U+{ord(written):04X}"
    return FilterSyntaxError(f"{shown} means nothing here{': ' if hint else ''}{hint or ''}", place + 1)
