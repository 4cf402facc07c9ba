"""Whose turn it is: events of one Trigger, in the order of the log for each key, one of a key at a time. Pure.

An event may go only when it is known that none before it is still to come (its mark was passed). A key whose event
waits to be tried again holds up nobody else.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Generic, TypeVar

PARTITION_KEY: Final = "ce-partitionkey"
"""Header of the attribute by which events are told apart (CloudEvents, "Partitioning" extension)."""


def key_of(headers: dict[str, str]) -> str | None:
    """The key of an event; None where it has none: all of those are one sequence."""
    return headers.get(PARTITION_KEY)


@dataclass(slots=True, eq=False)
class Turn:
    """One event: its place in the log, and its key."""

    sequence: int
    key: str | None


T = TypeVar("T", bound=Turn)


@dataclass(slots=True)
class Order(Generic[T]):
    """What waits, and what may go."""

    _early: list[tuple[int, int, T]] = field(default_factory=list)
    _lines: dict[str | None, deque[T]] = field(default_factory=dict)
    _may_go: deque[T] = field(default_factory=deque)
    _blocked: set[str | None] = field(default_factory=set)
    _arrivals: count[int] = field(default_factory=count)
    _in_lines: int = 0

    @property
    def first_early(self) -> T | None:
        """The first of those that no mark was passed for."""
        return self._early[0][2] if self._early else None

    @property
    def last_early(self) -> int:
        """The place of the last of them; 0 for none."""
        return max((sequence for sequence, _, _ in self._early), default=0)

    @property
    def ahead(self) -> int:
        """Events of keys that go on, their first ones included."""
        return self._in_lines - sum(len(self._lines[key]) for key in self._blocked)

    def add(self, turn: T) -> None:
        """An event that may have to wait for one before it."""
        heapq.heappush(self._early, (turn.sequence, next(self._arrivals), turn))

    def admit(self, turn: T) -> None:
        """It goes after those of its key that were admitted before."""
        self._in_lines += 1
        line = self._lines.get(turn.key)
        if line is None:
            self._lines[turn.key] = deque([turn])
            self._may_go.append(turn)
        else:
            line.append(turn)

    def pass_mark(self, sequence: int) -> None:
        """Everything in the log up to ``sequence`` has been added."""
        while self._early and self._early[0][0] <= sequence:
            self.admit(heapq.heappop(self._early)[2])

    def pass_some(self, knows: Callable[[T], bool]) -> None:
        """The same for those of which it is known otherwise."""
        known, self._early = self._early, []
        while known:  # in order, which leaves what stays a heap as well
            each = heapq.heappop(known)
            if knows(each[2]):
                self.admit(each[2])
            else:
                self._early.append(each)

    def take(self) -> T | None:
        """The next that may go: the first of its key, of which no other is under way."""
        return self._may_go.popleft() if self._may_go else None

    def block(self, turn: T) -> None:
        """What was taken waits to be tried again."""
        self._blocked.add(turn.key)

    def put_back(self, turn: T) -> None:
        """It may go (again), after those that may go now."""
        self._blocked.discard(turn.key)
        self._may_go.append(turn)

    def end(self, turn: T) -> T | None:
        """What was taken is over: its key goes on, with the one that is given back; None where it has no more."""
        self._in_lines -= 1
        self._blocked.discard(turn.key)
        line = self._lines[turn.key]
        line.popleft()
        if not line:
            del self._lines[turn.key]
            return None
        self._may_go.append(line[0])
        return line[0]
