"""What became of the events of a replay, as far as streams show it: which of them still wait, which were given up.

Must not change anything.
"""

from __future__ import annotations

from typing import Final

from scaup.core.bus import ranges
from scaup.core.bus.connection import Bus
from scaup.core.bus.waiting import pages
from scaup.core.codec import kept
from scaup.core.model import names
from scaup.core.model.names import Lane

_AT_ONCE: Final = 512


class Waiting:
    """Whether anything of a replay still waits in its lane."""

    def __init__(self, bus: Bus, lane: Lane, replay: str) -> None:
        self._bus = bus
        self._lane = lane
        self._replay = replay
        self._start = 1

    async def has_any(self) -> bool:
        """Whether one waits, workable or for its time. Raises BusError.

        An event is stored at its next place before it leaves the one it was at, so looking for those that wait for
        their time before and after the workable ones misses none.
        """
        return await self._waits_for_its_time() or await self._is_workable() or await self._waits_for_its_time()

    async def _waits_for_its_time(self) -> bool:
        async for page in pages(self._bus, self._lane.broker, names.retry_subject_filter(self._lane)):
            if any(subject.endswith(f"-{self._replay}") for subject in page):
                return True
        return False

    async def _is_workable(self) -> bool:
        wanted = names.queue_subject_filter(self._lane)
        stream = names.queue_stream(self._lane.broker)
        while found := await _some(self._bus, stream, wanted, self._start):
            for entry in found:
                if entry.headers.get(kept.REPLAY) == self._replay:
                    self._start = entry.sequence  # none of ours is before it, nor will be
                    return True
            self._start = found[-1].sequence + 1
        return False


async def given_up(bus: Bus, lane: Lane, replay: str, after: int) -> int:
    """How many events of a replay are kept as dead letters since the one at ``after``. Raises BusError."""
    stream, wanted = names.dead_stream(lane.broker), names.dead_subject(lane.broker, lane.trigger)
    number, start = 0, after + 1
    while found := await _some(bus, stream, wanted, start):
        number += sum(entry.headers.get(kept.REPLAY) == replay for entry in found)
        start = found[-1].sequence + 1
    return number


async def _some(bus: Bus, stream: str, subjects: str, start: int) -> list[ranges.LogEntry]:
    request = {"seq": start, "next_by_subj": subjects, "batch": _AT_ONCE, "max_bytes": 4 << 20}
    return await ranges.direct_get(bus, stream, request)
