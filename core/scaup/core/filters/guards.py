"""Necessary conditions: what must hold of an event's attributes before a filter can match, for the index.

A filter's guard is a tuple of atoms of which *at least one* holds for every event that the filter matches; None says
nothing, so every event is a candidate; the empty tuple says that no event ever matches. Guards are about ``match``
only: an event whose evaluation ends in an error is no match, and need not fulfil them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from scaup.core.model.event import REQUIRED

MAX_ATOMS: Final = 64
"""More alternatives than this are not worth indexing: the filter is then evaluated for every event."""


Kind = Literal["eq", "prefix", "present", "data"]


class Atom(NamedTuple):
    """``attribute`` is equal to ``text`` (``eq``), begins with it (``prefix``), or is just there (``present``).

    Of kind ``data``: there is JSON data, and where ``attribute`` is not empty the data is an object with that member.
    """

    attribute: str
    kind: Kind
    text: str


Guard = tuple[Atom, ...] | None

ANYTHING: Final[Guard] = None
NOTHING: Final[Guard] = ()


def equals(attribute: str, *values: str) -> Guard:
    """The attribute has one of ``values``."""
    return _bounded(Atom(attribute, "eq", value) for value in values)


def begins(attribute: str, prefix: str) -> Guard:
    """The attribute begins with ``prefix``; an empty one says nothing."""
    return (Atom(attribute, "prefix", prefix),) if prefix else ANYTHING


def present(attribute: str) -> Guard:
    """The attribute is there. Of a required one that says nothing."""
    return ANYTHING if attribute in REQUIRED else (Atom(attribute, "present", ""),)


def has_data(member: str = "") -> Guard:
    """There is JSON data; with ``member``, an object that has it."""
    return (Atom(member, "data", ""),)


def either(guards: Iterable[Guard]) -> Guard:
    """Of a disjunction: any of the alternatives' atoms, or nothing known where one of them is unguarded."""
    atoms: list[Atom] = []
    for guard in guards:
        if guard is None:
            return ANYTHING
        atoms += guard
    return _bounded(atoms)


def both(guards: Iterable[Guard]) -> Guard:
    """Of a conjunction: the guard that lets the fewest events through, as far as can be told."""
    known = [guard for guard in guards if guard is not None]
    return min(known, key=_breadth, default=ANYTHING)


_RANK: Final[dict[Kind, int]] = {"eq": 0, "prefix": 1, "present": 2, "data": 3}


def _breadth(guard: tuple[Atom, ...]) -> tuple[int, int, int]:
    """Prefixes let more through than values, presence more than both; fewer and longer atoms let less through."""
    widest = max((_RANK[atom.kind] for atom in guard), default=0)
    return widest, len(guard), -sum(len(atom.text) + len(atom.attribute) for atom in guard)


def _bounded(atoms: Iterable[Atom]) -> Guard:
    distinct = tuple(dict.fromkeys(atoms))
    return distinct if len(distinct) <= MAX_ATOMS else ANYTHING
