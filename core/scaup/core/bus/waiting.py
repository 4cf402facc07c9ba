"""How much waits in one lane, and whether there is room for more: for who queues events from outside dispatchers."""

from __future__ import annotations

from typing import Final

from scaup.core.bus.connection import Bus
from scaup.core.model import names
from scaup.core.model.names import Lane

_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 1.0


async def waiting(bus: Bus, lane: Lane, *, enough: int = 0) -> int:
    """Events that wait in a lane, workable or for their time. Raises BusError.

    Where fewer than ``enough`` wait in all lanes together, it is their number: then nobody has to count by lanes.
    """
    stream = names.queue_stream(lane.broker)
    state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
    if state["messages"] < enough:
        return int(state["messages"])
    total = 0
    for wanted in (names.queue_subject_filter(lane), names.retry_subject_filter(lane)):
        offset = 0
        while True:
            request = {"subjects_filter": wanted, "offset": offset}
            info = await bus.api(f"STREAM.INFO.{stream}", request, timeout=15)
            subjects: dict[str, int] = info["state"].get("subjects") or {}
            total += sum(count * names.events_of_subject(subject) for subject, count in subjects.items())
            offset += len(subjects)
            if not subjects or offset >= info.get("total", 0):
                break
    return total


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
            self._known = await waiting(self._bus, self._lane, enough=self._most)
        has_some = self._known < self._most
        self.pause_s = _SHORTEST_S if has_some else min(self.pause_s * 2, _LONGEST_S)
        return has_some

    def add(self, number: int) -> None:
        """So many more were queued."""
        self._known += number
