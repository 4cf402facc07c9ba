r"""Patterns of LIKE (CESQL 1.0, 3.4.3): ``%`` is any run of characters, ``_`` is one, a backslash takes their meaning.

A backslash before anything else is itself. There is no backtracking: the text between two ``%`` is looked for from left
to right, each once, and its first place is as good as any other. Where ``_`` stands within such a text, a regular
expression of nothing but characters and dots looks for it: pattern times value steps at worst, so the value is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from scaup.core.filters.cesql.values import FailFastError

MAX_SEARCHED: Final = 8 << 10
"""Characters of a value that is searched for a text with ``_`` in it. A whole expression of such patterns takes a
quarter of a second then, not minutes."""


class Segment(NamedTuple):
    """What stands between two ``%``: literal pieces at their offsets, and single wildcards wherever there is none."""

    length: int
    pieces: tuple[tuple[int, str], ...]
    gapped: re.Pattern[str] | None
    """Finds what has more than one piece."""

    def at(self, value: str, place: int) -> bool:
        """Whether it stands at ``place``. The caller has seen that there is room for it."""
        return all(value.startswith(piece, place + offset) for offset, piece in self.pieces)

    def find(self, value: str, start: int, end: int) -> int:
        """The first place between ``start`` and ``end``, or -1."""
        if not self.pieces:
            return start if start + self.length <= end else -1
        if self.gapped is not None:
            if end - start > MAX_SEARCHED:
                what = f"a value of more than {MAX_SEARCHED} characters is not searched for a text with _ in it"
                raise FailFastError("functionEvaluation", what)
            found = self.gapped.search(value, start, end)
            return found.start() if found else -1
        offset, piece = self.pieces[0]
        after = self.length - offset - len(piece)
        place = value.find(piece, start + offset, max(end - after, 0))
        return place - offset if place >= 0 else -1


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A pattern as written, and in its segments: one more than it has ``%``, the empty ones in the middle left out."""

    text: str
    segments: tuple[Segment, ...]

    @property
    def exact(self) -> str | None:
        """The only value that matches, where there are no wildcards."""
        if len(self.segments) > 1:
            return None
        return self.prefix if len(self.prefix) == self.segments[0].length else None

    @property
    def prefix(self) -> str:
        """What every matching value begins with."""
        pieces = self.segments[0].pieces
        return pieces[0][1] if pieces and pieces[0][0] == 0 else ""

    def matcher(self) -> Callable[[str], bool]:
        """The quickest test of a value."""
        exact = self.exact
        if exact is not None:
            return lambda value: value == exact
        texts = [_literal(segment) for segment in self.segments]
        match texts:
            case [str() as head, ""]:
                return lambda value: value.startswith(head)
            case ["", str() as tail]:
                return lambda value: value.endswith(tail)
            case ["", str() as inner, ""]:
                return lambda value: inner in value
            case _:
                return self.matches

    def matches(self, value: str) -> bool:
        """Whether the whole value fits."""
        head, tail = self.segments[0], self.segments[-1]
        if len(self.segments) == 1:
            return len(value) == head.length and head.at(value, 0)
        end = len(value) - tail.length
        if head.length > end or not head.at(value, 0) or not tail.at(value, end):
            return False
        place = head.length
        for segment in self.segments[1:-1]:
            place = segment.find(value, place, end)
            if place < 0:
                return False
            place += segment.length
        return True


def parse(text: str) -> Pattern:
    """The pattern that ``text`` is. Every text is one."""
    segments: list[list[str | None]] = [[]]
    index = 0
    while index < len(text):
        character = text[index]
        if character == "\\" and text[index + 1 : index + 2] in {"%", "_"}:
            index += 1
            segments[-1].append(text[index])
        elif character == "%":
            segments.append([])
        else:
            segments[-1].append(None if character == "_" else character)
        index += 1
    kept = [segments[0], *filter(None, segments[1:-1]), *segments[-1:]] if len(segments) > 1 else segments
    return Pattern(text, tuple(map(_segment, kept)))


def _segment(characters: list[str | None]) -> Segment:
    breaks = [-1, *(index for index, character in enumerate(characters) if character is None), len(characters)]
    runs = [(low + 1, characters[low + 1 : high]) for low, high in pairwise(breaks) if high - low > 1]
    pieces = tuple((low, "".join(c for c in run if c)) for low, run in runs)
    gapped = "".join("." if c is None else re.escape(c) for c in characters) if len(pieces) > 1 else None
    return Segment(len(characters), pieces, re.compile(gapped, re.DOTALL) if gapped else None)


def _literal(segment: Segment) -> str | None:
    if not segment.length:
        return ""
    piece = segment.pieces[0][1] if segment.pieces else ""
    return piece if len(piece) == segment.length else None
