"""How many events wait in the queues of a Broker, by lane, as the subjects of its stream say; and whether there is room
in one for more: for who queues events from outside dispatchers.

Must not read or change an entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from scaup.core.bus.connection import Bus
from scaup.core.codec.bundle import MAX_EVENTS
from scaup.core.model.names import (
    BrokerUid,
    Lane,
    events_of_subject,
    lane_of_subject,
    queue_stream,
    queue_subject_filter,
    retry_subject_filter,
)

_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 1.0


async def waiting(bus: Bus, broker: BrokerUid, subjects: str = ">") -> Counter[Lane]:
    """Events in the entries under ``subjects`` (wildcards are allowed). Raises BusError.

    Every waiting retry has a subject of its own, so the answer is long where very many wait.
    """
    found: Counter[Lane] = Counter()
    async for page in pages(bus, broker, subjects):
        for subject, entries in page.items():
            if (lane := lane_of_subject(subject)) is not None:
                found[lane] += entries * events_of_subject(subject)
    return found


async def pages(bus: Bus, broker: BrokerUid, subjects: str) -> AsyncIterator[dict[str, int]]:
    """The subjects in a Broker's queues that match, with their numbers of entries, page by page. Raises BusError."""
    offset, total = 0, 1
    while offset < total:
        request = {"subjects_filter": subjects, "offset": offset}
        info = await bus.api(f"STREAM.INFO.{queue_stream(broker)}", request, timeout=15)
        page: dict[str, int] = info["state"].get("subjects") or {}
        if not page:
            return
        yield page
        offset, total = offset + len(page), info.get("total", 0)


async def _waiting_in(bus: Bus, lane: Lane, enough: int) -> int:
    """Events in one lane; where fewer than ``enough`` can be in all lanes together, that number, which is quicker."""
    entries = int((await bus.api(f"STREAM.INFO.{queue_stream(lane.broker)}"))["state"]["messages"])
    if entries * MAX_EVENTS < enough:
        return entries * MAX_EVENTS
    filters = (queue_subject_filter(lane), retry_subject_filter(lane))
    return sum([(await waiting(bus, lane.broker, subjects))[lane] for subjects in filters])


class LaneRoom:
    """Keeps what waits in a lane below a number: asked of the bus when that may be reached, counted in between."""

    def __init__(self, bus: Bus, lane: Lane, most: int) -> None:
        self._bus = bus
        self._lane = lane
        self._most = most
        self._known = most
        self.pause_s = _SHORTEST_S
        """How long to wait before it is asked again: longer, the longer there was none."""

    @property
    def left(self) -> int:
        """How many more there is room for, as far as is known."""
        return self._most - self._known

    async def has_some(self) -> bool:
        """Whether there is room for more. Raises BusError."""
        if self._known >= self._most:
            self._known = await _waiting_in(self._bus, self._lane, self._most)
        has_some = self._known < self._most
        self.pause_s = _SHORTEST_S if has_some else min(self.pause_s * 2, _LONGEST_S)
        return has_some

    def add(self, number: int) -> None:
        """So many more were queued."""
        self._known += number
