"""What a row is: one sentence of a specification, how much it binds, and where it stands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """How much a sentence binds (RFC 2119)."""

    MUST = "MUST"
    MUST_NOT = "MUST NOT"
    SHOULD = "SHOULD"
    SHOULD_NOT = "SHOULD NOT"
    RECOMMENDED = "RECOMMENDED"
    MAY = "MAY"

    @property
    def binds(self) -> bool:
        """Whether a broker that does otherwise does not conform."""
        return self in {Level.MUST, Level.MUST_NOT}


MUST: Final = Level.MUST
MUST_NOT: Final = Level.MUST_NOT
SHOULD: Final = Level.SHOULD
SHOULD_NOT: Final = Level.SHOULD_NOT
RECOMMENDED: Final = Level.RECOMMENDED
MAY: Final = Level.MAY


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence, in our own words. ``unseen`` says why nobody who looks from outside can show it."""

    id: str
    level: Level
    asks: str
    source: str
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """The rows of one specification."""

    title: str
    document: str
    rows: tuple[Row, ...]
