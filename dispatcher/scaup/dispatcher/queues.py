"""The queues of the lanes this dispatcher owns: pull, wait until due, deliver through the lane's target.

Every lane has one owner among the live dispatchers (rendezvous hash over the Trigger's uid). Two owners for a moment
do no harm: JetStream gives each entry to one puller. A lane that stays empty for a minute costs no consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from scaup.core.bus.connection import Msg
from scaup.core.bus.kv import Metadata
from scaup.core.bus.pull import Puller
from scaup.core.bus.topology import QUEUE_ACK_WAIT_S, ensure_consumer, queue_consumer, remove_consumer
from scaup.core.codec import kept
from scaup.core.model import names
from scaup.core.model.errors import BusError
from scaup.core.model.names import Lane
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.entries import Delivery
from scaup.dispatcher.suspicion import Place
from scaup.dispatcher.target import Target, Tools
from scaup.dispatcher.trials import Suspect, Trials

log = structlog.get_logger()

_PROGRESS_S: Final = QUEUE_ACK_WAIT_S / 3
_IDLE_S: Final = 60.0
_SPARE: Final = 16
_RETRY_S: Final = 0.5


class LaneQueue:
    """Works the queue of one lane for as long as ``run`` runs."""

    def __init__(self, lane: Lane, target: Target, tools: Tools, trials: Trials) -> None:
        self.lane = lane
        self._trials = trials
        self._loop = asyncio.get_running_loop()
        self.idle_since = self._loop.time()
        self._target = target
        self._tools = tools
        self._held: dict[str, Delivery] = {}
        self._stream = names.queue_stream(lane.broker)
        self._is_gone = asyncio.Event()
        self._puller = Puller(
            tools.bus,
            (self._stream, names.lane_consumer(lane)),
            room=self._room,
            received=self._receive,
            batch=64,
            gone=self._is_gone.set,
        )

    @property
    def is_idle(self) -> bool:
        """Nothing came for a minute, and nothing is held."""
        return self.is_empty and self._loop.time() - self.idle_since > _IDLE_S

    @property
    def is_empty(self) -> bool:
        """Nothing is held."""
        return not self._held

    async def run(self) -> None:
        """Make the consumer, then pull, until cancelled. What waits goes back then; what is under way is let finish."""
        try:
            await self._ensure()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._puller.run(), name="pulling-queue")
                tasks.create_task(self._tend(), name="tending-queue")
        finally:
            self._hand_back()

    async def remove(self) -> None:
        """Remove the consumer of an empty lane."""
        await remove_consumer(self._tools.bus, self._stream, names.lane_consumer(self.lane))

    def _hand_back(self) -> None:
        for reply, delivery in list(self._held.items()):
            if delivery.started_at:
                self._tools.bus.post(reply, b"+WPI")
            else:
                delivery.is_withdrawn = delivery.is_over = True
                del self._held[reply]
                self._returned(reply)
                self._tools.bus.post(reply, b"-NAK")

    async def _ensure(self) -> None:
        while True:
            try:
                await ensure_consumer(self._tools.bus, self._stream, queue_consumer(self.lane))
            except BusError as error:
                log.debug("queues.waits", lane=self.lane, error=str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _tend(self) -> None:
        """Say "in progress" for what is held, wake the puller when the breaker lets a probe through."""
        said = self._loop.time()
        while True:
            await asyncio.sleep(0.1)
            if self._is_gone.is_set():
                self._is_gone.clear()
                await self._ensure()
            if self._loop.time() - said > _PROGRESS_S:
                said = self._loop.time()
                for reply in list(self._held):
                    await self._tools.bus.publish(reply, b"+WPI")
            self._puller.wake()

    def _room(self) -> int:
        breaker = self._target.breaker
        if breaker.is_open:
            return 1 if not self._held and breaker.may_probe(self._loop.time()) else 0
        return max(self._target.limit.current + _SPARE - len(self._held), 0)

    def _receive(self, msg: Msg) -> None:
        self.idle_since = self._loop.time()
        headers = msg.headers or {}
        metadata = Metadata.parse(msg.reply)
        place = Place(self._stream, metadata.sequence, metadata.stored_ns)
        if metadata.delivered > 1 and self._trials.claims(place, metadata.delivered):
            outgoing = Outgoing(headers, msg.data)
            suspect = Suspect(
                self.lane.broker, place, msg.reply, metadata.delivered, outgoing, self._puller.wake, self.lane
            )
            self._trials.take(suspect)
            return
        release, abandon = self._answer(msg.reply, lambda: b"+ACK"), self._answer(msg.reply, self._nak)
        try:
            delivery = delivery_of(self.lane, headers, msg.data, release, abandon)
        except ValueError as error:
            log.error("queues.unreadable", lane=self.lane, error=str(error))  # noqa: TRY400
            self._tools.bus.post(msg.reply, b"+TERM")
            return
        self._held[msg.reply] = delivery
        now = self._tools.settler.now(self.lane.broker)
        if (wait_s := _wait_s(delivery.facts.not_before, metadata.stored_ns / 1e9, now)) > 0:
            self._loop.call_later(wait_s, self._offer, delivery)
        else:
            self._target.offer(delivery)

    def _offer(self, delivery: Delivery) -> None:
        if not delivery.is_withdrawn:  # handed back while it waited
            self._target.offer(delivery)

    def _answer(self, reply: str, word: Callable[[], bytes]) -> Callable[[Delivery], None]:
        def answer(_delivery: Delivery) -> None:
            self._held.pop(reply, None)
            said = word()
            if said != b"+ACK":
                self._returned(reply)
            self._tools.bus.post(reply, said)
            self._puller.wake()

        return answer

    def _returned(self, reply: str) -> None:
        metadata = Metadata.parse(reply)
        place = Place(self._stream, metadata.sequence, metadata.stored_ns)
        self._trials.suspicion.returned(place, metadata.delivered)

    def _nak(self) -> bytes:
        """Hand back, to come again when the breaker may let it through."""
        probe_at = self._target.breaker.next_probe_at()
        delay_s = 1.0 if probe_at is None else max(probe_at - self._loop.time(), 0.1)
        return b'-NAK {"delay": %d}' % int(delay_s * 1e9)


def delivery_of(
    lane: Lane,
    headers: dict[str, str],
    data: bytes,
    release: Callable[[Delivery], None],
    abandon: Callable[[Delivery], None],
) -> Delivery:
    """The delivery that an entry of a lane's queue asks for. Raises ValueError where the entry is not one of ours."""
    facts = kept.from_headers(headers)
    return Delivery(
        lane, Outgoing(kept.event_headers(headers), data), facts, release, abandon, lease_until=float("inf")
    )


def _wait_s(not_before: float, stored_at: float, now: float) -> float:
    """Seconds until an entry is due, all by the server's clock; never more than it was stored for, should that jump."""
    return max(not_before - max(now, stored_at), 0.0)
