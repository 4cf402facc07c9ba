"""Reading a Broker's log from its end on, as it grows: bounded in every round, and saying how much was left out.

Direct gets, so there is no consumer whose progress would hold back the trimming of the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from scaup.core.bus import ranges
from scaup.core.bus.connection import Bus
from scaup.core.bus.ranges import LogEntry
from scaup.core.model.names import BrokerUid

MOST: Final = 2_000
"""Entries that are looked at in one round; of more, the newest."""
_MOST_BYTES: Final = 16 << 20


@dataclass(slots=True)
class Round:
    """What came since the last look. ``is_anew``: the log was lost, and is another one now."""

    entries: list[LogEntry] = field(default_factory=list)
    left_out: int = 0
    is_anew: bool = False


class Reader:
    """Where in a log the next event will be."""

    def __init__(self, bus: Bus, broker: BrokerUid, following: int, most: int = MOST) -> None:
        """``following`` is the sequence of the first entry to show."""
        self._bus = bus
        self._broker = broker
        self._most = most
        self.following = following

    async def more(self) -> Round:
        """What was accepted since the last call. Raises BusError; nothing is lost by that."""
        history = await ranges.history(self._bus, self._broker)
        found = Round()
        if history.last < self.following - 1:
            found.is_anew, self.following = True, history.first
        if history.last < self.following:
            return found
        # Trimmed meanwhile, or more than can be shown: left out, and counted.
        start = max(self.following, history.first, history.last - self._most + 1)
        found.left_out = start - self.following
        size = 0
        while start <= history.last and size < _MOST_BYTES:
            batch = await ranges.read(self._bus, self._broker, start, history.last)
            found.entries += batch.entries
            found.left_out += batch.missing
            size += sum(len(entry.data) for entry in batch.entries)
            start = batch.following
        self.following = start
        return found
