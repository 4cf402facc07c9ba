"""What becomes of replayed dead letters: found out from the queues and the dead letters, without asking a dispatcher.

Must not change anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Final

from scaup.cli.deadletterselect import Scope
from scaup.core.bus import deadletters
from scaup.core.bus.connection import Bus
from scaup.core.bus.deadletters import Part
from scaup.core.model.names import TriggerUid

_AT_ONCE: Final = 64
_SURE_AFTER: Final = 3
"""Looks in a row at which a letter neither waits nor is gone: it stays. One alone may fall between two steps."""


class Follower:
    """Follows the replays of one Broker's dead letters."""

    def __init__(self, bus: Bus, scope: Scope) -> None:
        self._bus = bus
        self._scope = scope
        self._open: defaultdict[TriggerUid, dict[int, int]] = defaultdict(dict)
        self._read_through = scope.through
        self._kept_anew: set[int] = set()
        self._ends: Counter[str] = Counter()

    def add(self, trigger: TriggerUid, sequence: int) -> None:
        """The replay of this dead letter is queued."""
        self._open[trigger][sequence] = 0

    async def look(self) -> Counter[str]:
        """How many were delivered, diedAgain, stayed (neither ended nor waiting), or are waiting."""
        for trigger, letters in self._open.items():
            if letters:
                await self._look(trigger, letters)
        left = Counter({"waiting": sum(map(len, self._open.values()))})
        return self._ends + left

    async def _look(self, trigger: TriggerUid, letters: dict[int, int]) -> None:
        waiting = await deadletters.waiting(self._bus, self._scope.uid, trigger)
        over = [sequence for sequence in letters if sequence not in waiting.letters]
        are_there: list[bool] = []
        for first in range(0, len(over), _AT_ONCE):
            are_there += await asyncio.gather(*map(self._is_there, over[first : first + _AT_ONCE]))
        await self._read_what_came()  # after that: what is kept anew is stored before the old one goes
        for sequence, is_there in zip(over, are_there, strict=True):
            letters[sequence] += 1
            if not is_there:
                self._ends["diedAgain" if sequence in self._kept_anew else "delivered"] += 1
                del letters[sequence]
            elif letters[sequence] >= _SURE_AFTER:
                self._ends["stayed"] += 1
                del letters[sequence]
        for sequence in letters.keys() & waiting.letters:
            letters[sequence] = 0

    async def _is_there(self, sequence: int) -> bool:
        return await deadletters.one(self._bus, self._scope.uid, sequence) is not None

    async def _read_what_came(self) -> None:
        last = await deadletters.last_sequence(self._bus, self._scope.uid)
        async for some in deadletters.pages(self._bus, Part(self._scope.uid, self._read_through + 1, last)):
            self._kept_anew |= {a.facts.replay.dead_letter for a in some if a.facts.replay is not None}
        self._read_through = max(last, self._read_through)
