"""Putting events aside that no attempt runs for: into the queues of their lanes, as many in one write as there are.

A sink that is away costs a write for every event that wants it, which is why the writes of a Broker are gathered.
Responsible for: an end for every delivery it is given, stored or handed back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from scaup.core.model.errors import BusError, EventTooLargeError
from scaup.core.model.names import BrokerUid
from scaup.dispatcher.entries import Delivery
from scaup.dispatcher.settle import Settler

log = structlog.get_logger()

_GATHER_S: Final = 0.05
_STEP_S: Final = 0.01
_MANY: Final = 1024
_BATCH_BYTES: Final = 4 << 20
_INSIST_EVERY_S: Final = 0.5
_INSIST_S: Final = 10.0


class Parking:
    """The events of this dispatcher that are about to be parked."""

    def __init__(self, settler: Settler, start: Callable[[Awaitable[None], str], asyncio.Task[None]]) -> None:
        self._settler = settler
        self._start = start
        self._waiting: dict[BrokerUid, list[tuple[Delivery, str]]] = {}

    def add(self, delivery: Delivery, reason: str) -> None:
        """Park an event of the log that no attempt runs for, soon; its delivery is released, or abandoned."""
        delivery.is_withdrawn = True
        waiting = self._waiting.get(delivery.lane.broker)
        if waiting is None:
            self._waiting[delivery.lane.broker] = [(delivery, reason)]
            self._start(self._park_all(delivery.lane.broker), "parking")
        else:
            waiting.append((delivery, reason))

    async def _park_all(self, broker: BrokerUid) -> None:
        """All that waits and all that comes meanwhile, one write after the other."""
        try:
            while waiting := self._waiting[broker]:
                gathering_s = 0.0
                while len(waiting) < _MANY and gathering_s < _GATHER_S:
                    await asyncio.sleep(_STEP_S)
                    gathering_s += _STEP_S
                batch = _first_of(waiting)
                del waiting[: len(batch)]
                await self._park(batch)
        finally:
            del self._waiting[broker]

    async def _park(self, batch: list[tuple[Delivery, str]]) -> None:
        together: list[tuple[Delivery, str]] = []
        alone: list[tuple[Delivery, str]] = []
        room = {lane: self._settler.room(lane) for lane in {delivery.lane for delivery, _ in batch}}
        for delivery, reason in batch:
            room[delivery.lane] -= 1
            (together if room[delivery.lane] >= 0 else alone).append((delivery, reason))
        if together:
            try:
                await self._settler.park_all(together)
            except BusError as error:
                log.debug("parking.one_by_one", events=len(together), error=str(error))
            for delivery, reason in together:
                if delivery.parked is None:
                    alone.append((delivery, reason))
                else:
                    delivery.done()
        await asyncio.gather(*(self._park_alone(delivery, reason) for delivery, reason in alone))

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


def _first_of(waiting: list[tuple[Delivery, str]]) -> list[tuple[Delivery, str]]:
    """As many as go into one write, which holds a copy of each."""
    size = count = 0
    for delivery, _ in waiting[:_MANY]:
        size += delivery.outgoing.size
        if size > _BATCH_BYTES and count:
            break
        count += 1
    return waiting[:count]
