"""The story of the dispatcher, for one Broker: pull from the log → ask who wants it → deliver to all at once → settle.

An entry is acknowledged only when, for every Trigger that wants it, the event is delivered, or waits in that Trigger's
queue, or is kept as a dead letter. No entry is held for a slow target longer than about a second.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

import structlog

from scaup.core.bus.connection import Msg
from scaup.core.bus.kv import Metadata
from scaup.core.bus.pull import Puller, nak
from scaup.core.bus.topology import ACK_WAIT_S
from scaup.core.codec.kept import NO_ANSWER_YET, Facts
from scaup.core.model import names
from scaup.core.model.matching import MatchAnswer
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.core.runtime.standstill import Standstill
from scaup.dispatcher import metrics
from scaup.dispatcher.asking import who_wants
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.capacity import BATCH, Capacity
from scaup.dispatcher.entries import Delivery, LogEntry
from scaup.dispatcher.settle import SCHEDULE_FROM_S
from scaup.dispatcher.settled import Settled
from scaup.dispatcher.suspicion import Place
from scaup.dispatcher.target import SLOW_S, Target, Tools, target_of
from scaup.dispatcher.trials import Suspect, Trials

log = structlog.get_logger()

_BATCH_BYTES: Final = 256 << 10
_LEASE_S: Final = ACK_WAIT_S * 0.8
_SWEEP_S: Final = 0.1
_PACE_S: Final = 0.005
_FASTEST_SLOW_S: Final = 0.05
_FEWEST: Final = 16
"""Entries a Broker may hold whatever the others do."""
_WEIGHT: Final = 0.05
_REMEMBERED: Final = 10_000
_LATER_S: Final = 1.0


class Witness(Protocol):
    """Hears what becomes of entries, each by its reply subject: what a trial needs to know."""

    def wanted(self, reply: str, triggers: list[TriggerUid]) -> None:
        """These Triggers want the entry; nothing was attempted yet."""

    def settled(self, reply: str, trigger: TriggerUid) -> None:
        """The entry's share for one Trigger is settled."""

    def ended(self, reply: str, word: bytes) -> None:
        """The word that JetStream would be told: +ACK or -NAK."""


class BrokerWorker:
    """Works the event log of one Broker."""

    def __init__(
        self,
        broker: BrokerUid,
        tools: Tools,
        targets: dict[Lane, Target],
        trials: Trials | None = None,
        witness: Witness | None = None,
    ) -> None:
        """Without ``trials`` nothing is a suspect; with a ``witness`` it hears everything, and the bus no words."""
        self.broker = broker
        self._trials = trials
        self._witness = witness
        self._post = witness.ended if witness else tools.bus.post
        self._tools = tools
        self._loop = asyncio.get_running_loop()
        self._capacity: Capacity = tools.capacity
        self._targets = targets
        self._arrived: list[LogEntry] = []
        self._arrival = asyncio.Event()
        self._held: dict[int, LogEntry] = {}
        # By sequence and time of storing: a stream that was lost and made anew counts from 1 again.
        self._settled_lately = Settled()
        self._partly_settled: OrderedDict[tuple[int, int], set[TriggerUid]] = OrderedDict()
        self.asking = Standstill(0.0)
        """Whether filters answer. Its time counts from when the first batch had waited in vain, 12 s."""
        self._is_starved = False
        self._fan_out = 1.0
        self._sends_data = False
        self._stream = names.log_stream(broker)
        self._puller = Puller(
            tools.bus,
            (self._stream, names.DISPATCH_CONSUMER),
            room=self._room,
            received=self._receive,
            batch=BATCH,
        )

    async def run(self, *, pulls: bool = True) -> None:
        """Pull, ask and deliver until cancelled; or work what is given to ``take_in`` alone."""
        self._capacity.on_room(self._puller.wake)
        try:
            async with asyncio.TaskGroup() as tasks:
                if pulls:
                    tasks.create_task(self._puller.run(), name="pulling")
                tasks.create_task(self._watch_slow(), name="watching-slow")
                tasks.create_task(self._dispatch(), name="dispatching")
        finally:
            self._capacity.off_room(self._puller.wake)
            self.hand_back(only_undelivered=True)

    def hand_back(self, *, only_undelivered: bool = False) -> None:
        """Give what is held, or what no target has got yet, to the other dispatchers, at once. For the end."""
        for entry in list(self._held.values()):
            if not (only_undelivered and entry.offered_at):
                self._post(entry.reply, nak())
                self._let_go(entry)

    @property
    def is_idle(self) -> bool:
        """Nothing is held."""
        return not self._held

    def holds(self, sequence: int) -> bool:
        """Whether the entry at that place of the log is in its hands."""
        return sequence in self._held

    def _room(self) -> int:
        capacity = self._capacity
        by_deliveries = int(capacity.free_deliveries(self.broker) / self._fan_out) - len(self._arrived)
        free = min(capacity.free, max(by_deliveries, _FEWEST - len(self._held)))
        self._is_starved = free < BATCH
        return free

    def _receive(self, msg: Msg) -> None:
        """An entry arrived: decode it and let the next batch have it."""
        metadata = Metadata.parse(msg.reply)
        sequence = metadata.sequence
        place = (sequence, metadata.stored_ns)
        if place in self._settled_lately:
            self._acknowledge(msg.reply)  # settled before; its acknowledgement got lost
            return
        known = self._held.get(sequence)
        if known is not None:
            known.reply, known.delivered = msg.reply, metadata.delivered  # redelivered while still in our hands
            return
        outgoing = Outgoing(msg.headers or {}, msg.data)
        entry = LogEntry(sequence, msg.reply, outgoing, metadata.stored_ns, self._loop.time(), metadata.delivered)
        if (
            self._trials is not None
            and entry.delivered > 1
            and self._trials.claims(self._place(entry), entry.delivered)
        ):
            self._trials.take(self._suspect(entry))
        else:
            self.take_in(entry)

    def take_in(self, entry: LogEntry, settled: Iterable[TriggerUid] = ()) -> None:
        """Hold an entry and let the next batch have it; for the Triggers in ``settled`` it is settled already."""
        if settled:
            self._remember_part(entry, set(settled))
        self._held[entry.sequence] = entry
        self._capacity.events += 1
        self._capacity.bytes += entry.outgoing.size
        metrics.IN_FLIGHT.inc()
        self._arrived.append(entry)
        self._arrival.set()

    async def _dispatch(self) -> None:
        """Batch after batch: who wants these? Then every target gets its share."""
        while True:
            await self._arrival.wait()
            batch = self._take_batch()
            until = min(entry.arrived_at for entry in batch) + _LEASE_S
            try:
                events = [entry.outgoing.event.attributes for entry in batch]
            except ValueError:
                batch, events = self._without_unreadable(batch)
            data = [entry.outgoing.data for entry in batch] if self._sends_data else None
            answer = await who_wants(self._tools.bus, self._tools.definitions, self.broker, events, data, until)
            if answer is not None and answer.wants_data != self._sends_data:
                self._sends_data = answer.wants_data
                if self._sends_data:  # again, in batches that leave room for the data
                    self._arrived[:0] = batch
                    self._arrival.set()
                    continue
            if answer is None:
                self.asking.failed(self._loop.time(), f"no filter answers for broker {self._name()}: start one")
                self._without_answer(batch)
                continue
            self.asking.went_well()
            for entry, positions in zip(batch, answer.events, strict=True):
                # A wide fan-out: no more than can be worked. An event would be set by every delivery that ends.
                while self._capacity.free_deliveries(self.broker) <= 0:  # noqa: ASYNC110
                    await asyncio.sleep(_PACE_S)
                self._deliver(entry, positions, answer)

    def _name(self) -> str:
        broker = self._tools.definitions.brokers.get(self.broker)
        return f"{broker.namespace}/{broker.name}" if broker else self.broker

    def _take_batch(self) -> list[LogEntry]:
        size = count = 0
        for entry in self._arrived[:BATCH]:
            count += 1
            size += sum(map(len, entry.outgoing.headers.values()))
            if self._sends_data:
                size += len(entry.outgoing.data)
            if size > _BATCH_BYTES:
                count = max(count - 1, 1)
                break
        batch, self._arrived = self._arrived[:count], self._arrived[count:]
        if not self._arrived:
            self._arrival.clear()
        return batch

    def _without_answer(self, batch: list[LogEntry]) -> None:
        """Either no filter is there, or one of these ends every filter it is asked about: the trials find out."""
        for entry in batch:
            if self._trials is None or entry.sequence not in self._held:
                metrics.HANDED_BACK.labels("no_match_answer").inc()
                self._give_back(entry)
            else:
                self._let_go(entry)
                self._trials.take(self._suspect(entry, is_unanswered=True))

    def _place(self, entry: LogEntry) -> Place:
        return Place(self._stream, entry.sequence, entry.accepted_ns)

    def _suspect(self, entry: LogEntry, *, is_unanswered: bool = False) -> Suspect:
        """An entry for the trials. Nothing of it may be decoded here."""
        return Suspect(
            broker=self.broker,
            place=self._place(entry),
            reply=entry.reply,
            delivered=entry.delivered,
            outgoing=entry.outgoing,
            finished=lambda: self._remember(entry),
            is_unanswered=is_unanswered,
            settled=set(self._partly_settled.get((entry.sequence, entry.accepted_ns), ())),
        )

    def _deliver(self, entry: LogEntry, positions: list[int], answer: MatchAnswer) -> None:
        """Every Trigger that wants the entry gets it, all at once."""
        done = self._partly_settled.get((entry.sequence, entry.accepted_ns), set())
        wanted = [answer.triggers[position][0] for position in positions]
        wanted = [uid for uid in wanted if uid not in done]
        if self._witness is not None:
            self._witness.wanted(entry.reply, wanted)
        if not wanted:
            self._finish(entry)
            return
        entry.offered_at = self._loop.time()
        entry.remaining = len(wanted)
        entry.settled |= done
        accepted = datetime.fromtimestamp(entry.accepted_ns / 1e9, UTC).isoformat(timespec="microseconds")
        entry.facts = Facts(entry.sequence, accepted)
        offered = []
        for uid in wanted:
            lane = Lane(self.broker, uid)
            target = target_of(lane, self._targets, self._tools)
            if target.is_backed_up:
                self._tools.parking.add_entry(entry, lane, target.why_aside, self)
            else:
                offered.append((target, self.delivery(entry, lane)))
        for target, delivery in offered:
            self._capacity.began(delivery)
            target.offer(delivery)
        self._fan_out = max(self._fan_out + _WEIGHT * (len(offered) - self._fan_out), 1.0)

    def delivery(self, entry: LogEntry, lane: Lane) -> Delivery:
        """An entry on its way to one Trigger."""
        release, abandon = partial(self._release, entry), partial(self._abandon, entry)
        delivery = Delivery(lane, entry.outgoing, entry.facts, release, abandon, entry.arrived_at + _LEASE_S)
        entry.deliveries.append(delivery)
        return delivery

    def _release(self, entry: LogEntry, delivery: Delivery) -> None:
        self._capacity.ended(delivery)
        self.settled(entry, delivery.lane.trigger)

    def _abandon(self, entry: LogEntry, delivery: Delivery) -> None:
        self._capacity.ended(delivery)
        entry.is_abandoned = True
        self.settled(entry, None)

    def settled(self, entry: LogEntry, trigger: TriggerUid | None) -> None:
        """One share of an entry is settled (or, without a Trigger, abandoned); with the last one the entry is."""
        if trigger is not None:
            entry.settled.add(trigger)
            if self._witness is not None:
                self._witness.settled(entry.reply, trigger)
        entry.remaining -= 1
        if entry.remaining > 0:
            return
        if entry.is_abandoned:
            self._remember_part(entry, entry.settled)
            metrics.HANDED_BACK.labels("not_settled").inc()
            self._give_back(entry)
        else:
            self._finish(entry)

    def _finish(self, entry: LogEntry) -> None:
        self._remember(entry)
        self._acknowledge(entry.reply)
        self._let_go(entry)

    def _give_back(self, entry: LogEntry) -> None:
        if entry.sequence in self._held:  # else it is in somebody else's hands, whom a second word would disturb
            if self._trials is not None:
                self._trials.suspicion.returned(self._place(entry), entry.delivered)
            self._post(entry.reply, nak(_LATER_S))
            self._let_go(entry)

    def _acknowledge(self, reply: str) -> None:
        self._post(reply, b"+ACK")

    def _let_go(self, entry: LogEntry) -> None:
        if self._held.pop(entry.sequence, None) is None:
            return
        entry.deliveries = []  # they know the entry: nothing but a collection would free either
        self._capacity.events -= 1
        self._capacity.finished += 1
        self._capacity.bytes -= entry.outgoing.size
        metrics.IN_FLIGHT.dec()
        if self._is_starved:
            self._puller.wake()

    def _remember(self, entry: LogEntry) -> None:
        """An entry is settled, for when it is delivered again (a lost acknowledgement, a restart of NATS)."""
        self._settled_lately.add(entry.sequence, entry.accepted_ns)
        self._partly_settled.pop((entry.sequence, entry.accepted_ns), None)

    def _remember_part(self, entry: LogEntry, settled: set[TriggerUid]) -> None:
        """What is settled of an entry that is not, or not yet, as a whole."""
        self._partly_settled[entry.sequence, entry.accepted_ns] = settled
        if len(self._partly_settled) > _REMEMBERED:
            self._partly_settled.popitem(last=False)

    async def _watch_slow(self) -> None:
        """Move the events of slow targets to their queues, so that the log goes on."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._loop.time()
            patience = max(self._tools.settings.slow_s * max(1.0 - self._capacity.share, 0.0), _FASTEST_SLOW_S)
            for entry in list(self._held.values()):
                if not entry.offered_at or entry.offered_at > now - min(patience, SLOW_S):
                    break
                for delivery in entry.deliveries:
                    if not (delivery.is_over or delivery.is_withdrawn or delivery.is_judged or delivery.parking):
                        self._look_at(delivery, is_late=entry.offered_at <= now - patience, running_s=patience)

    def _look_at(self, delivery: Delivery, *, is_late: bool, running_s: float) -> None:
        """Move an event aside where its target is known to be slow, or where it took too long itself."""
        # Gone from the table where its Trigger was deleted meanwhile.
        target = self._targets.get(delivery.lane) or Target(delivery.lane, self._tools)
        # Else it is the machine that is slow: a second write would make it slower.
        is_at_fault = target.is_backed_up or not self._capacity.is_busy
        if not delivery.started_at:
            if target.is_backed_up or (is_late and is_at_fault):
                target.put_aside(delivery, "slow")
        elif is_late and (is_at_fault or self._loop.time() - delivery.started_at > running_s):
            delivery.parking = self._tools.start(self._park_running(delivery), "parking")

    async def _park_running(self, delivery: Delivery) -> None:
        """Store an event whose attempt is still running, invisible until that attempt's deadline."""
        facts = delivery.facts
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        still_running = facts.failed(at, NO_ANSWER_YET, status=None, destination="", error_data=b"")
        # Under a schedule in any case, so that what comes of the attempt can take its place.
        delay = max(delivery.deadline - self._loop.time(), 0.0) + SCHEDULE_FROM_S + 0.5
        try:
            await self._tools.settler.park(delivery, still_running, delay, "slow")
        except Exception as error:  # noqa: BLE001 - tried again at the next sweep
            log.debug("worker.not_parked", sequence=facts.sequence, error=str(error))
            delivery.parking = None
            return
        delivery.done()

    def _without_unreadable(self, batch: list[LogEntry]) -> tuple[list[LogEntry], list[dict[str, str]]]:
        """Entries that are no events (written by somebody else) are passed over: nobody could want them."""
        readable: list[LogEntry] = []
        for entry in batch:
            try:
                _ = entry.outgoing.event.attributes
                readable.append(entry)
            except ValueError as error:
                log.error("worker.unreadable", broker=self.broker, sequence=entry.sequence, error=str(error))  # noqa: TRY400
                self._finish(entry)
        return readable, [entry.outgoing.event.attributes for entry in readable]
