"""The rule of suspicion: which entries may have ended the dispatchers that held them. Pure; it decides nothing else.

An entry that comes again and again, without this dispatcher having handed it back, was in hands that are gone: a
process was killed, or paused, or lost the bus. The entry may be the reason. Suspicion costs a trial, nothing more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

SUSPECT_FROM: Final = 2
"""Unexplained deliveries before this one. One is an everyday restart."""
_REMEMBERED: Final = 50_000
NOTHING_SAID: Final = 86
"""Exit status of a trial that was given up: its bus, or its parent, is gone, or somebody told it to end."""
_ORDERED: Final = frozenset({NOTHING_SAID, -1, -2, -15})
"""Exit statuses that say nothing about an event: that one, and SIGHUP, SIGINT and SIGTERM before they are heeded."""


class Place(NamedTuple):
    """An entry. With the time of storing, for a stream that was lost and made anew counts from 1 again."""

    stream: str
    sequence: int
    stored_ns: int


class Suspicion:
    """What this dispatcher handed back itself, with a bound: the newest are remembered."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._returned: OrderedDict[Place, int] = OrderedDict()
        self._bound = remembered

    def returned(self, place: Place, delivered: int) -> None:
        """We handed the entry back after its ``delivered``-th delivery and are alive: it killed nobody until then."""
        self._returned[place] = delivered
        self._returned.move_to_end(place)
        if len(self._returned) > self._bound:
            self._returned.popitem(last=False)

    def knows(self, place: Place) -> bool:
        """Whether we handed the entry back and lived on."""
        return place in self._returned

    def falls_on(self, place: Place, delivered: int) -> bool:
        """Whether the entry, delivered for the ``delivered``-th time, is a suspect."""
        if delivered <= SUSPECT_FROM:
            return False
        return delivered - 1 - self._returned.get(place, 0) >= SUSPECT_FROM


def halves(group: Sequence[T]) -> list[Sequence[T]]:
    """A group in two, to find the one in it that is to blame."""
    middle = (len(group) + 1) // 2
    return [part for part in (group[:middle], group[middle:]) if part]


def how_it_died(status: int) -> str:
    """What a process's exit status says of a death that nobody ordered, in words; nothing where somebody did."""
    if status in _ORDERED:
        return ""
    return f"signal {-status}" if status < 0 else f"exit status {status}"
