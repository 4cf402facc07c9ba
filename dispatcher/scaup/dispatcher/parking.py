"""Putting events aside that no attempt runs for: into the queues of their lanes, as many in one write as there are.

A sink that is away costs a write for every event that wants it, which is why the writes of a Broker are gathered.
Responsible for: an end for every delivery it is given, stored or handed back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from scaup.core.model.errors import BusError, EventTooLargeError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.dispatcher.entries import Delivery, LogEntry, Untried
from scaup.dispatcher.settle import Settler

log = structlog.get_logger()

_GATHER_S: Final = 0.05
_STEP_S: Final = 0.01
_MANY: Final = 1024
_BATCH_BYTES: Final = 4 << 20
_INSIST_EVERY_S: Final = 0.5
_INSIST_S: Final = 10.0


class Source(Protocol):
    """Whose entries are parked: the worker of their Broker."""

    def settled(self, entry: LogEntry, trigger: TriggerUid) -> None:
        """The entry's share for one Trigger is settled."""

    def delivery(self, entry: LogEntry, lane: Lane) -> Delivery:
        """That share as a delivery of its own."""


class _Lot:
    """What waits to be parked for one Broker, by lane and reason."""

    def __init__(self) -> None:
        self.groups: dict[tuple[Lane, str], list[Untried]] = {}
        self.events = 0

    def add(self, lane: Lane, reason: str, item: Untried) -> None:
        group = self.groups.get((lane, reason))
        if group is None:
            self.groups[lane, reason] = [item]
        else:
            group.append(item)
        self.events += 1

    def take(self) -> dict[tuple[Lane, str], list[Untried]]:
        """As many as go into one write, which holds a copy of each."""
        taken: dict[tuple[Lane, str], list[Untried]] = {}
        room, bytes_left = _MANY, _BATCH_BYTES
        while self.groups and room > 0 and bytes_left > 0:
            key, group = next(iter(self.groups.items()))
            count = 0
            for item in group[:room]:
                count += 1
                bytes_left -= item.outgoing.size
                if bytes_left <= 0:
                    break
            taken[key] = group[:count]
            room -= count
            self.events -= count
            if count == len(group):
                del self.groups[key]
            else:
                del group[:count]
        return taken


class Parking:
    """The events of this dispatcher that are about to be parked."""

    def __init__(self, settler: Settler, start: Callable[[Awaitable[None], str], asyncio.Task[None]]) -> None:
        self._settler = settler
        self._start = start
        self._waiting: dict[BrokerUid, _Lot] = {}
        self._sources: dict[BrokerUid, Source] = {}

    def add(self, delivery: Delivery, reason: str) -> None:
        """Park an event of the log that no attempt runs for, soon; its delivery is released, or abandoned."""
        delivery.is_withdrawn = True
        self._lot(delivery.lane.broker).add(delivery.lane, reason, delivery)

    def add_entry(self, entry: LogEntry, lane: Lane, reason: str, source: Source) -> None:
        """The same for what nothing was begun for: ``source`` hears that it is settled, or makes a delivery of it."""
        self._sources[lane.broker] = source
        self._lot(lane.broker).add(lane, reason, entry)

    def _lot(self, broker: BrokerUid) -> _Lot:
        lot = self._waiting.get(broker)
        if lot is None:
            lot = self._waiting[broker] = _Lot()
            self._start(self._park_all(broker, lot), "parking")
        return lot

    async def _park_all(self, broker: BrokerUid, lot: _Lot) -> None:
        """All that waits and all that comes meanwhile, one write after the other."""
        try:
            while lot.events:
                gathering_s = 0.0
                while lot.events < _MANY and gathering_s < _GATHER_S:
                    await asyncio.sleep(_STEP_S)
                    gathering_s += _STEP_S
                await self._park(broker, lot.take())
        finally:
            del self._waiting[broker]
            self._sources.pop(broker, None)  # it may be of a Broker that is deleted

    async def _park(self, broker: BrokerUid, groups: dict[tuple[Lane, str], list[Untried]]) -> None:
        alone: list[tuple[Lane, str, Untried]] = []
        room: dict[Lane, int] = {}
        for (lane, reason), items in groups.items():
            left = room.get(lane)
            left = self._settler.room(lane) if left is None else left
            room[lane] = max(left - len(items), 0)
            alone += [(lane, reason, item) for item in items[left:]]
            del items[left:]
        try:
            for lane, reason, parked, sequence in await self._settler.park_all(groups):
                if sequence is None:
                    alone += [(lane, reason, item) for item in parked]
                else:
                    self._end(broker, lane, parked, sequence)
        except BusError as error:
            log.debug("parking.one_by_one", broker=broker, error=str(error))
            alone += [(lane, reason, item) for (lane, reason), items in groups.items() for item in items]
        await asyncio.gather(*(self._park_alone(self._delivery(lane, item), reason) for lane, reason, item in alone))

    def _end(self, broker: BrokerUid, lane: Lane, parked: Sequence[Untried], sequence: int) -> None:
        for item in parked:
            if isinstance(item, Delivery):
                item.parked = sequence
                item.done()
            else:
                self._sources[broker].settled(item, lane.trigger)

    def _delivery(self, lane: Lane, item: Untried) -> Delivery:
        return item if isinstance(item, Delivery) else self._sources[lane.broker].delivery(item, lane)

    async def _park_alone(self, delivery: Delivery, reason: str) -> None:
        await insist(self._settler, delivery, lambda: self._settler.park(delivery, delivery.facts, 0.0, reason))


async def insist(settler: Settler, delivery: Delivery, store: Callable[[], Awaitable[None]]) -> None:
    """Store a consequence, again and again while the entry is ours; hand the event back where it cannot be done."""
    loop = asyncio.get_running_loop()
    until = min(delivery.lease_until, loop.time() + _INSIST_S)
    while True:
        try:
            await store()
        except BusError as error:
            if loop.time() + _INSIST_EVERY_S > until:
                log.warning("parking.not_settled", trigger=delivery.lane.trigger, error=str(error))
                delivery.failed()
                return
            await asyncio.sleep(_INSIST_EVERY_S)
        except EventTooLargeError:
            settler.drop(delivery.lane, "too_large", facts=delivery.facts)
            delivery.done()
            return
        else:
            delivery.done()
            return
