"""Marks in the queues of ordered Triggers: "all events of the log up to this place were stored before this entry".

Dispatchers park in no order, so only a mark says that none before an event is still to come. It is true because the
place is read first (up to which the log is acknowledged, and an entry is acknowledged when it is stored wherever it
goes) and the mark is stored after. Anybody may write one: whoever parks does, and the owner of a lane that misses one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from scaup.core.bus.client import header_lines
from scaup.core.bus.connection import Bus
from scaup.core.codec import kept
from scaup.core.model import names
from scaup.core.model.errors import BusError, EventTooLargeError
from scaup.core.model.names import BrokerUid, Lane

log = structlog.get_logger()

_EVERY_S: Final = 0.03
_SELDOM_S: Final = 1.0


@dataclass(slots=True)
class _Missing:
    """Places in the log of the first and the last event of a lane that no mark was written for."""

    first: int
    last: int


class Marks:
    """Writes the marks for what this dispatcher parks."""

    def __init__(self, bus: Bus, start: Callable[[Awaitable[None], str], asyncio.Task[None]]) -> None:
        self._bus = bus
        self._start = start
        self._missing: dict[BrokerUid, dict[Lane, _Missing]] = {}
        self._logs: dict[BrokerUid, tuple[str, datetime]] = {}

    def need(self, lane: Lane, first: int, last: int) -> None:
        """Events from ``first`` to ``last`` (places in the log) wait in the lane's queue: a mark is to follow them."""
        lanes = self._missing.get(lane.broker)
        if lanes is None:
            lanes = self._missing[lane.broker] = {}
            self._start(self._work(lane.broker), "marks")
        known = lanes.get(lane)
        if known is None:
            lanes[lane] = _Missing(first, last)
        else:
            known.first, known.last = min(known.first, first), max(known.last, last)

    def log_made_at(self, broker: BrokerUid) -> datetime | None:
        """When the Broker's log was made, by the server's clock: what was accepted before is of one that is lost."""
        known = self._logs.get(broker)
        return known[1] if known else None

    async def write(self, lane: Lane, name: str) -> None:
        """Store a mark that says nothing of the log in a lane's queue, with a name to know it by. Raises BusError."""
        await self._bus.acked.store(names.mark_subject(lane), b"", {kept.MARK: "0", kept.MARK_NAME: name})

    async def _work(self, broker: BrokerUid) -> None:
        """Round after round until nothing is missing; rarer as long as the log stands still."""
        pause_s = _EVERY_S
        lanes = self._missing[broker]
        while lanes:
            await asyncio.sleep(pause_s)
            try:
                written = await self._round(broker, lanes)
            except (BusError, EventTooLargeError) as error:
                log.debug("marks.wait", broker=broker, why=str(error))
                written = 0
            pause_s = _EVERY_S if written else min(pause_s * 2, _SELDOM_S)
        del self._missing[broker]

    async def _round(self, broker: BrokerUid, lanes: dict[Lane, _Missing]) -> int:
        stream = names.log_stream(broker)
        info = await self._bus.api(f"CONSUMER.INFO.{stream}.{names.DISPATCH_CONSUMER}")
        known = self._logs.get(broker)
        if known is None or known[0] != info["created"]:
            made = (await self._bus.api(f"STREAM.INFO.{stream}"))["created"]
            self._logs[broker] = (info["created"], datetime.fromisoformat(made))
            if known is not None:
                lanes.clear()  # places of another log, maybe; the owners miss their marks and ask for them
                return 0
        floor: int = info["ack_floor"]["stream_seq"]
        due = {lane: missing for lane, missing in lanes.items() if missing.first <= floor}
        for lane, missing in due.items():
            if missing.last <= floor:
                del lanes[lane]
            else:
                lanes[lane] = _Missing(floor + 1, missing.last)
        lines = header_lines({kept.MARK: str(floor)})
        results = await self._bus.acked.store_all([(names.mark_subject(lane), lines, b"") for lane in due])
        for (lane, missing), result in zip(due.items(), results, strict=True):
            if isinstance(result, Exception):
                self.need(lane, missing.first, missing.last)
        return len(due)
