"""The words of a CEL text: splits it, bounds it, and abstracts from its literals. Never recurses, never backtracks.

Both parsers come after this: what is too long, nested too deeply, or has a string without an end is refused here,
in one pass. Strings end here where the engine's grammar (Cel.g4 of the CEL specification) lets them end; that must stay
so, for index conditions are taken from these very words. It knows nothing of the grammar above words.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from scaup.core.filters.subject import FilterSyntaxError

MAX_BYTES: Final = 16 * 1024
"""Of one expression, in UTF-8."""

MAX_NESTING: Final = 64
"""Open brackets at once. The engine itself allows about 30 levels of most things, and is asked afterwards."""

# Every alternative can begin at one character only and has no two ways to match the same text: linear in its length.
_TRIPLE: Final = r'(?:"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\')'
_SINGLE: Final = r'(?:"(?:\\[^\n\r]|[^"\\\n\r])*"|\'(?:\\[^\n\r]|[^\'\\\n\r])*\')'
_RAW: Final = r'(?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"[^"\n\r]*"|\'[^\'\n\r]*\')'
_WORD: Final = re.compile(
    rf"(?P<space>[ \t\r\n\f]+|//[^\n]*)"
    rf"|(?P<string>[bB]?(?:[rR]{_RAW}|{_TRIPLE}|{_SINGLE}))"
    r"|(?P<float>(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?))"
    r"|(?P<int>(?:0x[0-9a-fA-F]+|[0-9]+)[uU]?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])",
    re.DOTALL,
)
_PLAIN: Final = re.compile(r"""(?P<quote>["'])(?P<text>[^\\]*)(?P=quote)""")
_RAW_TEXT: Final = re.compile(r"""[rR](?P<quote>["'])(?P<text>.*)(?P=quote)""", re.DOTALL)
_TRIPLE_MARKS: Final = ('"""', "'''")


class Words(NamedTuple):
    """A text in words.

    ``shape`` is the text with one space between words and its literals replaced, strings by their number in
    ``strings``: texts that differ only in literals and layout have one shape, and so one syntax tree. ``starts`` are
    the offsets of the words in the text.
    """

    shape: str
    canonical: str
    strings: tuple[str, ...]
    starts: tuple[int, ...]

    def column(self, offset: int) -> int:
        """Where in the text, from 1, the word stands that begins at ``offset`` of the shape."""
        return self.starts[self.shape.count(" ", 0, offset)] + 1


def split(text: str) -> Words:
    """The words of ``text``.

    Raises FilterSyntaxError where it is empty, too long, nested too deeply, or holds what is no word of CEL.
    """
    _bound(text)
    shape: list[str] = []
    canonical: list[str] = []
    strings: list[str] = []
    starts: list[int] = []
    depth = place = 0
    while place < len(text):
        found = _WORD.match(text, place)
        if found is None:
            raise _no_word(text, place)
        word, kind = found.group(), found.lastgroup
        if kind != "space":
            starts.append(place)
            canonical.append(word)
            if kind == "string":
                prefix = "b" if word[0] in "bB" else ""
                shape.append(f'{prefix}"{len(strings)}"')
                strings.append(word)
            else:
                shape.append(_abstract(kind, word))
                depth += (word in "([{") - (word in ")]}")
                if depth > MAX_NESTING:
                    raise FilterSyntaxError(f"nested more than {MAX_NESTING} deep", place + 1)
        place = found.end()
    if not shape:
        raise FilterSyntaxError("the expression is empty")
    return Words(" ".join(shape), " ".join(canonical), tuple(strings), tuple(starts))


def value_of(literal: str) -> str | None:
    """What a string literal stands for; None where that takes more than taking off its quotes."""
    if literal.lstrip("rR").startswith(_TRIPLE_MARKS):
        return None
    found = _PLAIN.fullmatch(literal) or _RAW_TEXT.fullmatch(literal)
    return found["text"] if found else None


def _bound(text: str) -> None:
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise FilterSyntaxError(f"longer than {MAX_BYTES} bytes")
    for place, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise FilterSyntaxError("half of a surrogate pair, which is no character", place + 1)


def _no_word(text: str, place: int) -> FilterSyntaxError:
    character = text[place]
    if character in "\"'":
        return FilterSyntaxError("a string without an end", place + 1)
    if character == "`":
        return FilterSyntaxError('no quoted names: write ce["…"]', place + 1)
    return FilterSyntaxError(f"unexpected {character!a}", place + 1)


def _abstract(kind: str | None, word: str) -> str:
    if kind == "int":
        return "1u" if word[-1] in "uU" else "1"
    return "1.5" if kind == "float" else word
