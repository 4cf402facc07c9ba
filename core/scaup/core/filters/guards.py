"""Necessary conditions: what must hold of an event's attributes before a filter can match, for the index.

A filter's guard is a tuple of atoms of which *at least one* holds for every event that the filter matches; None says
nothing, so every event is a candidate; the empty tuple says that no event ever matches. Guards are about ``match``
only: an event whose evaluation ends in an error is no match, and need not fulfil them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

MAX_ATOMS: Final = 64
"""More alternatives than this are not worth indexing: the filter is then evaluated for every event."""


class Atom(NamedTuple):
    """``attribute`` is present and equal to ``text`` (``eq``), or begins with it (``prefix``)."""

    attribute: str
    kind: Literal["eq", "prefix"]
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


def _breadth(guard: tuple[Atom, ...]) -> tuple[int, int, int]:
    """Prefixes let more through than values; fewer and longer atoms let less through. Source and id vary most."""
    prefixes = sum(atom.kind == "prefix" for atom in guard)
    return prefixes, len(guard), -sum(len(atom.text) for atom in guard)


def _bounded(atoms: Iterable[Atom]) -> Guard:
    distinct = tuple(dict.fromkeys(atoms))
    return distinct if len(distinct) <= MAX_ATOMS else ANYTHING
