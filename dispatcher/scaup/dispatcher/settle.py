"""Storing consequences: into a queue, as a dead letter, or nowhere by a stated policy. Never before it is stored is an
event let go of.

Every method returns when the consequence is stored and raises BusError when it is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Final

import structlog

from scaup.core.bus.acked import Stored
from scaup.core.bus.client import Entry, header_lines
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import ENTRY_GONE
from scaup.core.bus.replays import queue_headers
from scaup.core.codec import bundle, kept, percent, stored, traced
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.definitions import TriggerDefinition
from scaup.core.model.errors import BusRequestError, EventTooLargeError, LogFullError, StorageFullError
from scaup.core.model.event import HOPS, Event
from scaup.core.model.names import DEAD_LETTER, SUBSCRIBER, BrokerUid, Lane, TriggerUid
from scaup.core.model.trail import End
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher import metrics
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.counts import Counts
from scaup.dispatcher.entries import Delivery, Untried
from scaup.dispatcher.marks import Marks
from scaup.dispatcher.trail import Trail

log = structlog.get_logger()

SCHEDULE_FROM_S: Final = 1.0
"""Shorter waits are made in the dispatcher: a scheduled message fires up to 0.3 s late."""
_STANDS: Final = (
    kept.SEQUENCE,
    kept.ACCEPTED,
    kept.ATTEMPTS,
    kept.FIRST_FAILURE,
    kept.REPLAY,
    kept.REPLAYED,
    kept.DEAD_LETTER,
)
_TELL_EVERY_S: Final = 1.0
_REMEMBERED: Final = 10_000


def now_text() -> str:
    """This moment as RFC 3339 text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Groups = Mapping[tuple[Lane, str], Sequence[Untried]]
"""What is to be parked, by lane and reason."""


class Settler:
    """Stores what becomes of deliveries."""

    def __init__(
        self, bus: Bus, definitions: Definitions, counts: Counts, marks: Marks, trail: Trail | None = None
    ) -> None:
        """Without a ``trail`` nothing is remembered of what is settled."""
        self.marks = marks
        self.trail = trail or Trail()
        self._bus = bus
        self._definitions = definitions
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._told_at: dict[Lane, float] = {}

    async def park(self, delivery: Delivery, facts: Facts, delay_s: float, reason: str) -> None:
        """Into the lane's queue, to be worked after ``delay_s``; to the dead letters where the quota is used up."""
        lane = delivery.lane
        is_more = delivery.parked is None and not delivery.is_queued
        if is_more and not self._counts.room(lane):
            await self.dead_letter(delivery, replace(facts, reason=f"the queue is full; {facts.reason}".strip("; ")))
            return
        # What is parked already waits under a schedule: only another schedule takes its place.
        due = self._counts.now(lane.broker) + delay_s if delay_s or delivery.parked is not None else 0.0
        again = f":{due:.3f}" if delivery.parked is not None else ""
        added = int(delivery.parked is None)
        self._counts.add(lane, added)  # before it is stored, for many are being parked at once
        try:
            sequence = await self._store(lane, delivery.outgoing, replace(facts, not_before=due), again)
        except BaseException:
            self._counts.add(lane, -added)
            raise
        if is_more:
            self._trigger_counter(lane, reason)
            if self._definitions.is_ordered(lane):
                self.marks.need(lane, facts.sequence, facts.sequence)
        delivery.parked = sequence

    def now(self, broker: BrokerUid) -> float:
        """The server's time, of which ``not_before`` is."""
        return self._counts.now(broker)

    def room(self, lane: Lane) -> int:
        """Events that the lane's quota still allows."""
        return self._counts.room(lane)

    def left(self, lane: Lane, events: int) -> None:
        """So many events of the lane's queue wait there no more."""
        self._counts.add(lane, -events)

    async def park_all(self, groups: Groups) -> list[tuple[Lane, str, Sequence[Untried], int | None]]:
        """Untried events of one Broker's log into the queues of their lanes, in one write; each group with its reason.

        Those of a lane are bundled, unless they are to be delivered in order. Gives back what was stored together, each
        time with its sequence in the queue, or None where it was not stored; ``park`` says why.
        """
        bundles = [
            (lane, reason, chunk)
            for (lane, reason), items in groups.items()
            for chunk in bundle.chunks([(item, item.outgoing.frame(item.facts)) for item in items], self._most(lane))
        ]
        for lane, _, chunk in bundles:
            self._counts.add(lane, len(chunk))
        results: Sequence[object] = ()
        try:
            results = await self._bus.acked.store_all([_entry(lane, chunk) for lane, _, chunk in bundles])
        finally:
            for (lane, _, chunk), result in zip_longest(bundles, results):
                if not isinstance(result, Stored):
                    self._counts.add(lane, -len(chunk))
        parked: list[tuple[Lane, str, Sequence[Untried], int | None]] = []
        for (lane, reason, chunk), result in zip(bundles, results, strict=True):
            items = [item for item, _ in chunk]
            parked.append((lane, reason, items, result.sequence if isinstance(result, Stored) else None))
            if isinstance(result, Stored):
                self._are_parked(lane, reason, items)
        return parked

    def _are_parked(self, lane: Lane, reason: str, items: Sequence[Untried]) -> None:
        self._trigger_counter(lane, reason, len(items))
        self._tell_owner(lane)
        if self._definitions.is_ordered(lane):
            places = [item.facts.sequence for item in items]
            self.marks.need(lane, min(places), max(places))

    def _most(self, lane: Lane) -> int:
        """Events in an entry: what is to be delivered in order is settled one by one."""
        return 1 if self._definitions.is_ordered(lane) else bundle.MAX_EVENTS

    async def park_again(self, lane: Lane, left: list[tuple[dict[str, str], bytes]]) -> None:
        """What is left of a bundle, as new ones: whoever works the queue next shall not meet what is settled."""
        self._counts.add(lane, len(left))
        framed = [(event, bundle.frame(header_lines(event[0]), event[1])) for event in left]
        entries: list[Entry] = []
        for chunk in bundle.chunks(framed):
            if len(chunk) > 1:
                entries.append(_bundled(lane, chunk[0][0][0].get(kept.ACCEPTED, ""), [frame for _, frame in chunk]))
            else:
                headers, data = chunk[0][0]
                entries.append((names.queue_subject(lane), header_lines(headers), data))
        await self._store_every(entries)

    async def split(
        self, lane: Lane, sequence: int, events: list[tuple[dict[str, str], bytes]], *, are_suspects: bool = True
    ) -> None:
        """The events of a bundle as entries of their own. Suspects: one of them may be what ended dispatchers."""
        self._counts.add(lane, len(events))
        more = {kept.SUSPECT: "1"} if are_suspects else {}
        await self._store_every(
            [
                (
                    names.queue_subject(lane),
                    header_lines(headers | more | {"Nats-Msg-Id": names.split_id(lane, sequence, place)}),
                    data,
                )
                for place, (headers, data) in enumerate(events)
            ]
        )

    async def _store_every(self, entries: list[Entry]) -> None:
        for result in await self._bus.acked.store_all(entries):
            if isinstance(result, Exception):
                raise result

    async def delivered(self, delivery: Delivery) -> None:
        """The sink has it: nothing of it waits any more, nor is the dead letter kept that this was the replay of."""
        await self.unpark(delivery)
        await self._remove_replayed(delivery.lane.broker, delivery.facts)

    async def unpark(self, delivery: Delivery) -> None:
        """Take the waiting entry of a delivery that came to an end after all out of the queue."""
        if delivery.parked is not None:
            await self._remove(names.queue_stream(delivery.lane.broker), delivery.parked)

    async def _remove_replayed(self, broker: BrokerUid, facts: Facts) -> None:
        if facts.replay is not None and facts.replay.dead_letter:
            await self._remove(names.dead_stream(broker), facts.replay.dead_letter)

    async def _remove(self, stream: str, sequence: int) -> None:
        try:
            await self._bus.api(f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
        except BusRequestError as error:
            if error.err_code not in ENTRY_GONE:
                raise
            log.debug("settle.gone_already", stream=stream, sequence=sequence)

    async def dead_letter(self, delivery: Delivery, facts: Facts) -> None:
        """Towards the Trigger's dead letter sink, through that lane's queue; kept where there is none."""
        lane = delivery.lane
        trigger = self._definitions.triggers.get(lane.trigger)
        sink_lane = lane._replace(kind=DEAD_LETTER)
        has_sink = lane.kind == SUBSCRIBER and trigger is not None and trigger.delivery.dead_letter_sink is not None
        to_sink = has_sink and self._counts.room(sink_lane) > 0
        if trigger is not None and to_sink:
            outgoing = with_error(delivery.outgoing, facts, f"{trigger.namespace}/{trigger.name}")
            # A fresh start for the dead letter's own attempts; what happened before stays in the facts.
            await self._store(sink_lane, outgoing, replace(facts, attempts=0, not_before=0.0), "")
            self._counts.add(sink_lane, 1)
            self.trail.ended(lane, facts, End.TO_SINK)
        elif await self._keep(delivery.outgoing, lane, facts, trigger):
            self.trail.ended(lane, facts, End.KEPT)
            await self._remove_replayed(lane.broker, facts)
        else:
            if facts.replay is None or not facts.replay.dead_letter:
                self.trail.dropped(lane, facts, "dead_letters_full")
            return
        if trigger is not None:
            metrics.DEAD.labels(*self._labels(trigger), "sink" if to_sink else "kept").inc()

    async def keep_reply(self, delivery: Delivery, reply: Event) -> None:
        """A reply that may go no further, its hops being used up, is kept as a dead letter (CP-28, CP-32)."""
        facts = Facts(delivery.facts.sequence, now_text(), reason=f"the reply's hops ({HOPS}) are used up")
        trigger = self._definitions.triggers.get(delivery.lane.trigger)
        outgoing = Outgoing(stored.to_headers(reply), reply.data or b"")
        if delivery.trace is not None:
            traced.put(outgoing.headers, delivery.trace.context)
        await self._keep(outgoing, delivery.lane, facts, trigger)

    async def set_aside(self, outgoing: Outgoing, broker: BrokerUid, uid: TriggerUid | None, facts: Facts) -> None:
        """Keep an entry that no process survives, for one Trigger or for none. Nothing of it is decoded here.

        What an entry of a queue says of its attempts goes on standing.
        """
        headers = kept.event_headers(outgoing.headers) | kept.to_headers(facts)
        headers |= {name: outgoing.headers[name] for name in _STANDS if name in outgoing.headers}
        trigger = self._definitions.triggers.get(uid) if uid else None
        is_kept = False
        try:
            is_kept = await self._store_kept(broker, uid, headers, outgoing.data, trigger)
        except EventTooLargeError:
            self.drop(Lane(broker, uid or TriggerUid("")), "too_large")
        if is_kept and trigger is not None:
            metrics.DEAD.labels(*self._labels(trigger), "kept").inc()

    def drop(self, lane: Lane, reason: str, events: int = 1, facts: Facts | None = None) -> None:
        """Give up events by a stated policy, one where ``facts`` say which. Counted and logged."""
        if facts is not None:
            self.trail.dropped(lane, facts, reason)
        broker = self._definitions.brokers.get(lane.broker)
        metrics.DROPPED.labels(broker.namespace if broker else "", broker.name if broker else "", reason).inc(events)
        log.warning("settle.dropped", broker=lane.broker, trigger=lane.trigger, reason=reason, events=events)

    async def _keep(self, outgoing: Outgoing, lane: Lane, facts: Facts, trigger: TriggerDefinition | None) -> bool:
        headers = {**outgoing.headers, **kept.to_headers(facts)}
        return await self._store_kept(lane.broker, lane.trigger, headers, outgoing.data, trigger)

    async def _store_kept(
        self,
        broker: BrokerUid,
        uid: TriggerUid | None,
        headers: dict[str, str],
        data: bytes,
        trigger: TriggerDefinition | None,
    ) -> bool:
        """Once, however often; dropped by policy where this Trigger's (or nobody's) dead letters are full: False then.

        A replayed dead letter stays where it was then, so nothing is dropped.
        """
        headers["Nats-Msg-Id"] = names.kept_id(uid, kept.key_of(headers))
        if trigger is not None:
            headers[kept.TRIGGER] = f"{trigger.namespace}/{trigger.name}"
        try:
            await self._bus.acked.store(names.dead_subject(broker, uid), data, headers)
        except StorageFullError:
            raise  # the policy is about this Trigger's dead letters: what has no room anywhere waits for some
        except LogFullError:
            if kept.DEAD_LETTER not in headers:
                self.drop(Lane(broker, uid or TriggerUid("")), "dead_letters_full")
            return False
        return True

    async def _store(self, lane: Lane, outgoing: Outgoing, facts: Facts, again: str) -> int:
        target = names.queue_subject(lane)
        headers = {**outgoing.headers, **kept.to_headers(facts)}
        headers["Nats-Msg-Id"] = names.parking_id(lane, facts.key, facts.attempts) + again
        subject = target
        if facts.not_before and (again or facts.not_before - self._counts.now(lane.broker) >= SCHEDULE_FROM_S):
            due = datetime.fromtimestamp(facts.not_before, UTC).isoformat(timespec="milliseconds")
            headers["Nats-Schedule"] = f"@at {due.replace('+00:00', 'Z')}"
            headers["Nats-Schedule-Target"] = target
            subject = names.retry_subject(lane, facts.key)
        answer = await self._bus.acked.store(subject, outgoing.data, headers)
        if subject == target:
            self._tell_owner(lane)
        return answer.sequence

    def _tell_owner(self, lane: Lane) -> None:
        """That the lane has work; once a second is enough, for who works a lane pulls what comes."""
        now = self._loop.time()
        if now - self._told_at.get(lane, -_TELL_EVERY_S) >= _TELL_EVERY_S:
            if len(self._told_at) > _REMEMBERED:
                self._told_at.clear()
            self._told_at[lane] = now
            self._bus.post(names.parked_hint(lane), b"")

    def _labels(self, trigger: TriggerDefinition) -> tuple[str, str, str]:
        broker = self._definitions.brokers.get(trigger.broker)
        return trigger.namespace, broker.name if broker else "", trigger.name

    def _trigger_counter(self, lane: Lane, reason: str, number: int = 1) -> None:
        if (trigger := self._definitions.triggers.get(lane.trigger)) is not None:
            metrics.PARKED.labels(*self._labels(trigger), reason).inc(number)


def _entry(lane: Lane, chunk: Sequence[tuple[Untried, bytes]]) -> Entry:
    """An entry for a lane's queue: a bundle, or one event under an id that keeps it from being parked twice."""
    first = chunk[0][0]
    if len(chunk) > 1:
        return _bundled(lane, first.facts.accepted, [frame for _, frame in chunk])
    headers = queue_headers(lane, first.outgoing.headers, first.facts)
    return names.queue_subject(lane), header_lines(headers), first.outgoing.data


def _bundled(lane: Lane, accepted: str, frames: list[bytes]) -> Entry:
    """A bundle, with the time at which its first event was accepted for whoever asks how old a queue is."""
    return names.queue_subject(lane, len(frames)), header_lines({kept.ACCEPTED: accepted}), b"".join(frames)


def with_error(outgoing: Outgoing, facts: Facts, trigger: str = "") -> Outgoing:
    """The event with Knative's error extensions (eventing, "Dead letter sink") and ours, for its dead letter sink.

    ``trigger`` is "namespace/name". What an earlier death left is replaced, or taken away where there is nothing now.
    """
    headers = dict(outgoing.headers)
    for name, value in (
        ("knativeerrordest", facts.destination),
        ("knativeerrorcode", "" if facts.status is None else str(facts.status)),
        ("knativeerrordata", kept.to_headers(facts).get(kept.ERROR_DATA, "")),
        ("scauptrigger", trigger),
        ("scaupattempts", str(facts.attempts)),
        ("scaupfirstfailure", facts.first_failure),
        ("scauplastfailure", facts.last_failure),
    ):
        headers.pop("ce-" + name, None)
        if value:
            headers["ce-" + name] = percent.encode(value)
    return Outgoing(headers, outgoing.data)
