"""The queues of the lanes this dispatcher owns: pull, wait until due, deliver through the lane's target.

Every lane has one owner among the live dispatchers (rendezvous hash over the Trigger's uid). Two owners for a moment
do no harm: JetStream gives each entry to one puller. A lane that stays empty for a minute costs no consumer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

from scaup.core.bus.connection import Msg
from scaup.core.bus.kv import Metadata
from scaup.core.bus.pull import nak
from scaup.core.bus.topology import queue_consumer
from scaup.core.codec import bundle, kept
from scaup.core.codec.bundle import MAX_EVENTS
from scaup.core.model.errors import BusError, EventTooLargeError
from scaup.core.model.names import Lane
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.entries import Delivery, QueueEntry
from scaup.dispatcher.lanework import LaneWork
from scaup.dispatcher.suspicion import Place
from scaup.dispatcher.target import Target, Tools
from scaup.dispatcher.trials import Suspect, Trials

log = structlog.get_logger()

_WEIGHT: Final = 0.25
_REMEMBERED: Final = 1_000


class LaneQueue(LaneWork):
    """Works the queue of one lane in any order."""

    def __init__(self, lane: Lane, target: Target, tools: Tools, trials: Trials) -> None:
        super().__init__(lane, target, tools, trials, queue_consumer(lane), batch=64)
        self._held: dict[str, QueueEntry] = {}
        self._open = 0
        self._events_each = float(MAX_EVENTS)
        # What is settled of bundles that were handed back, for when they come again.
        self._settled: OrderedDict[Place, set[int]] = OrderedDict()

    @property
    def is_empty(self) -> bool:
        """Nothing is held."""
        return not self._held

    def _replies(self) -> Iterable[str]:
        return self._held

    def _hand_back(self) -> None:
        for entry in list(self._held.values()):
            for delivery in list(entry.open):
                if not delivery.started_at:
                    delivery.is_withdrawn = True
                    delivery.failed()
            if entry.open:
                self._tools.bus.post(entry.reply, b"+WPI")

    def _room(self) -> int:
        """Entries that may come: as many as hold the events that may, by what the last ones held."""
        breaker = self._target.breaker
        if breaker.is_open and not self._target.is_paused:
            return 1 if not self._held and breaker.may_probe(self._loop.time()) else 0
        free = self._target.most_held - self._open
        return math.ceil(free / self._events_each) if free > 0 else 0

    def _receive(self, msg: Msg) -> None:
        self.idle_since = self._loop.time()
        metadata = Metadata.parse(msg.reply)
        place = Place(self._stream, metadata.sequence, metadata.stored_ns)
        try:
            events = bundle.events(msg.subject, msg.headers or {}, msg.data)
        except ValueError as error:
            self._throw_away(msg.reply, error)
            return
        if not events:
            self._tools.bus.post(msg.reply, b"+ACK")  # a mark: the Trigger was an ordered one
            return
        settled = self._settled.get(place, set())
        entry = QueueEntry(place, msg.reply, metadata.delivered, events, set(settled))
        weight = 1.0 if len(events) > self._events_each else _WEIGHT
        self._events_each += weight * (len(events) - self._events_each)
        if self._is_suspect(entry):
            self._suspect(entry)
        else:
            self._hold(entry)

    def _is_suspect(self, entry: QueueEntry) -> bool:
        if entry.delivered > 1 and self._trials.claims(entry.place, entry.delivered):
            return True
        return kept.SUSPECT in entry.events[0][0] and not self._trials.suspicion.knows(entry.place)

    def _suspect(self, entry: QueueEntry) -> None:
        """Into the hands of the trials; of a bundle each event by itself, as an entry of its own."""
        if len(entry.events) > 1:
            self._held[entry.reply] = entry
            left = entry.left
            self._tools.start(
                self._replace(entry, lambda: self._tools.settler.split(self.lane, entry.place.sequence, left)),
                "splitting",
            )
            return
        headers, data = entry.events[0]
        self._trials.take(
            Suspect(
                self.lane.broker,
                entry.place,
                entry.reply,
                entry.delivered,
                Outgoing(headers, data),
                self._puller.wake,
                self.lane,
            )
        )

    def _hold(self, entry: QueueEntry) -> None:
        """Offer what is not settled of an entry to the target, each event when it is due."""
        for place, (headers, data) in enumerate(entry.events):
            if place in entry.settled:
                continue
            try:
                delivery = delivery_of(
                    self.lane,
                    headers,
                    data,
                    lambda delivery: self._settle(entry, delivery),
                    lambda delivery: self._abandon(entry, delivery),
                )
            except ValueError as error:
                if len(entry.events) == 1:
                    self._throw_away(entry.reply, error)
                    return
                log.error("queues.unreadable", lane=self.lane, error=str(error))  # noqa: TRY400
                entry.settled.add(place)
            else:
                entry.open[delivery] = place
        self._held[entry.reply] = entry
        self._open += len(entry.open)
        if not entry.open:
            self._end(entry)
            return
        now = self._tools.settler.now(self.lane.broker)
        for delivery in list(entry.open):
            if (left_s := due_in_s(delivery.facts.not_before, entry.place.stored_ns / 1e9, now)) > 0:
                self._loop.call_later(left_s, self._offer, delivery)
            else:
                self._target.offer(delivery)

    def _offer(self, delivery: Delivery) -> None:
        if not delivery.is_withdrawn:  # handed back while it waited
            self._target.offer(delivery)

    def _settle(self, entry: QueueEntry, delivery: Delivery) -> None:
        entry.settled.add(entry.open[delivery])
        self._abandon(entry, delivery)

    def _abandon(self, entry: QueueEntry, delivery: Delivery) -> None:
        del entry.open[delivery]
        self._open -= 1
        if not entry.open:
            self._end(entry)
        self._puller.wake()

    def _end(self, entry: QueueEntry) -> None:
        """All that was begun of an entry is over: it goes, or it goes back; for others without what is settled."""
        if self._is_ending and entry.settled and not entry.is_settled:
            left = entry.left
            self._tools.start(
                self._replace(entry, lambda: self._tools.settler.park_again(self.lane, left)), "parking-the-rest"
            )
        else:
            self._say(entry, is_over=entry.is_settled)

    async def _replace(self, entry: QueueEntry, store: Callable[[], Awaitable[None]]) -> None:
        """Store what takes an entry's place, then let go of it."""
        try:
            await store()
        except (BusError, EventTooLargeError) as error:
            log.warning("queues.not_replaced", lane=self.lane, error=str(error))
            self._say(entry, is_over=False)
        else:
            self._say(entry, is_over=True)

    def _say(self, entry: QueueEntry, *, is_over: bool) -> None:
        self._held.pop(entry.reply, None)
        if is_over:
            self._settled.pop(entry.place, None)
            self._tools.settler.left(self.lane, len(entry.events))
            self._tools.bus.post(entry.reply, b"+ACK")
        else:
            if entry.settled:
                self._remember(entry)
            self._trials.suspicion.returned(entry.place, entry.delivered)
            self._tools.bus.post(entry.reply, nak() if self._is_ending else nak(self._until_probe_s()))
        self._puller.wake()

    def _remember(self, entry: QueueEntry) -> None:
        self._settled[entry.place] = entry.settled
        if len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)

    def _until_probe_s(self) -> float:
        """Seconds until the breaker may let through what is handed back."""
        probe_at = self._target.breaker.next_probe_at()
        return 1.0 if probe_at is None else max(probe_at - self._loop.time(), 0.1)


def delivery_of(
    lane: Lane,
    headers: dict[str, str],
    data: bytes,
    release: Callable[[Delivery], None],
    abandon: Callable[[Delivery], None],
    lease_until: float = float("inf"),
) -> Delivery:
    """The delivery that an entry of a lane's queue asks for. Raises ValueError where the entry is not one of ours."""
    facts = kept.from_headers(headers)
    outgoing = Outgoing(kept.event_headers(headers), data)
    return Delivery(lane, outgoing, facts, release, abandon, lease_until, is_queued=True)


def due_in_s(not_before: float, stored_at: float, now: float) -> float:
    """Seconds until an entry is due, all by the server's clock; never more than it was stored for, should that jump."""
    return max(not_before - max(now, stored_at), 0.0)
