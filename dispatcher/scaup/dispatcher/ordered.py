"""The queue of an ordered Trigger: each key's events one after the other, in the order of the log, whoever owns it.

An event goes when a mark says that none before it is still to come (``marks``) and no other of its key is under way.
It keeps its place in the queue until it has come to its end, so a new owner finds all of it there. What was delivered
and not acknowledged when an owner was lost is delivered again, before what comes after it.

An owner is *sure* when it holds everything that JetStream has given to anybody and that is not acknowledged; only then
does anything go. The numbers that JetStream gives to deliveries tell when somebody else was given one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, Final

import structlog

from scaup.core.bus import entries
from scaup.core.bus.connection import Msg
from scaup.core.bus.kv import Metadata
from scaup.core.bus.pull import nak
from scaup.core.bus.topology import QUEUE_ACK_WAIT_S, queue_consumer
from scaup.core.codec import bundle, kept
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.errors import BusError, EventTooLargeError
from scaup.core.model.names import Lane
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.entries import Delivery
from scaup.dispatcher.lanework import LaneWork
from scaup.dispatcher.order import Order, Turn, key_of
from scaup.dispatcher.queues import delivery_of, due_in_s
from scaup.dispatcher.settled import Settled
from scaup.dispatcher.suspicion import Place
from scaup.dispatcher.target import Target, Tools
from scaup.dispatcher.trials import Suspect, Trials

log = structlog.get_logger()

_LEASE_S: Final = QUEUE_ACK_WAIT_S * 0.8
_AHEAD: Final = 1_000
"""Events that are held of keys that go on; of keys that are blocked, all."""
_BATCH: Final = 256
_MAX_BYTES: Final = 32 << 20
"""Of events that are held; those that come when it is used up are read again when it is their turn."""
_MISSED_S: Final = 1.0
_LOST_S: Final = 5.0
_SOON_S: Final = 1.0
_OFTEN: Final = 10


class _History(Enum):
    """Whether the Trigger starts with history, which is to go before what comes now."""

    PENDING = "it is being sent"
    QUEUED = "it waits in the queue, before the mark that is to come"
    OVER = "all of it has come, or there is none"


@dataclass(slots=True, eq=False)
class _Held(Turn):
    """An event of the queue, from its arrival here until it is acknowledged or handed back."""

    place: Place
    reply: str
    number: int
    """JetStream's, of its delivery to us."""
    delivered: int
    accepted: str
    arrived_at: float
    size: int
    is_replay: bool
    event: tuple[dict[str, str], bytes] | None
    """Headers and data; None where they are to be read again."""
    facts: Facts | None = None
    """What is known of its attempts now, where one was made here."""
    delivery: Delivery | None = None
    is_suspect: bool = False
    is_tried: bool = False
    """It is in the hands of the trials."""


class OrderedQueue(LaneWork):
    """Works the queue of one lane in order."""

    def __init__(
        self, lane: Lane, target: Target, tools: Tools, trials: Trials, has_history: Callable[[], bool]
    ) -> None:
        """``has_history`` says whether history is still being sent to the Trigger."""
        super().__init__(lane, target, tools, trials, queue_consumer(lane, is_ordered=True), _BATCH)
        self._marks = tools.settler.marks
        self._held: dict[Place, _Held] = {}
        self._bytes = 0
        self._order: Order[_Held] = Order()
        self._asked_for: deque[_Held] = deque()
        """Replays that came before we were sure."""
        self._upto = 0
        """The highest mark that came."""
        self._under_way = 0
        self._is_going_on = False
        self._settled_lately = Settled()
        self._lease_until = self._loop.time() + _LEASE_S
        self._is_sure = False
        self._last_number = 0
        self._gap_at = 0
        self._too_many = 0
        """How often in a row we held more than anybody has been given: some of it is gone."""
        self._checking: asyncio.Task[None] | None = None
        self._has_history = has_history
        self._history = _History.PENDING if has_history() else _History.OVER
        self._mark_name = ""
        self._asked_at = 0.0

    @property
    def is_empty(self) -> bool:
        """Nothing is held."""
        return not self._held

    def _replies(self) -> Iterable[str]:
        # Not of what the trials have: they hand it back, and it would come again only when nobody says that any more.
        return [held.reply for held in self._held.values() if not held.is_tried]

    def _room(self) -> int:
        return 0 if self._target.is_paused else max(_AHEAD - self._order.ahead, 0)

    # What comes.

    def _receive(self, msg: Msg) -> None:
        self.idle_since = self._loop.time()
        metadata = Metadata.parse(msg.reply)
        self._follow(metadata.consumer_sequence)
        headers = msg.headers or {}
        place = Place(self._stream, metadata.sequence, metadata.stored_ns)
        known = self._held.get(place)
        if known is not None:
            self._came_again(known, msg.reply, metadata)
            return
        try:
            if kept.MARK in headers:
                self._pass_mark(int(headers[kept.MARK]), headers.get(kept.MARK_NAME, ""))
                self._tools.bus.post(msg.reply, b"+ACK")
                return
            events = bundle.events(msg.subject, headers, msg.data)
            if len(events) != 1:
                self._take_apart(msg.reply, metadata.sequence, events)
                return
            sequence = int(headers[kept.SEQUENCE])
        except (ValueError, KeyError) as error:
            self._throw_away(msg.reply, ValueError(f"{error!r}"))
            return
        size = len(msg.data) + sum(map(len, headers.values()))
        held = _Held(
            sequence=sequence,
            key=key_of(headers),
            place=place,
            reply=msg.reply,
            number=metadata.consumer_sequence,
            delivered=metadata.delivered,
            accepted=headers.get(kept.ACCEPTED, ""),
            arrived_at=self._loop.time(),
            size=size,
            is_replay=kept.REPLAY in headers,
            event=(headers, msg.data) if self._bytes + size <= _MAX_BYTES else None,
        )
        held.is_suspect = self._is_suspect(held, headers)
        self._held[place] = held
        if held.event is not None:
            self._bytes += size
        if held.is_replay:
            self._asked_for.append(held)
        else:
            self._order.add(held)
        self._admit()

    def _is_suspect(self, held: _Held, headers: dict[str, str]) -> bool:
        if held.delivered > 1 and self._trials.claims(held.place, held.delivered):
            return True
        return kept.SUSPECT in headers and not self._trials.suspicion.knows(held.place)

    def _came_again(self, held: _Held, reply: str, metadata: Metadata) -> None:
        """An event that is held: its acknowledgement wait ran out, or the trials handed it back."""
        held.reply, held.number, held.delivered = reply, metadata.consumer_sequence, metadata.delivered
        if held.is_tried:
            held.is_tried = False
            held.is_suspect = self._trials.claims(held.place, held.delivered)
            self._under_way -= 1
            self._order.put_back(held)
            self._go_on()

    def _take_apart(self, reply: str, sequence: int, events: list[tuple[dict[str, str], bytes]]) -> None:
        """A bundle is from before the Trigger was ordered. Its events go to the end, as entries of their own."""

        async def work() -> None:
            try:
                await self._tools.settler.split(self.lane, sequence, events, are_suspects=False)
            except (BusError, EventTooLargeError) as error:
                log.warning("ordered.not_taken_apart", lane=self.lane, error=str(error))
                self._tools.bus.post(reply, nak(_SOON_S))
            else:
                self._tools.settler.left(self.lane, len(events))
                self._tools.bus.post(reply, b"+ACK")

        self._tools.start(work(), "taking-apart")

    # Whether all that is under way is ours.

    def _follow(self, number: int) -> None:
        if number != self._last_number + 1:
            self._is_sure = False
            self._gap_at = number
        self._last_number = number

    async def _check(self) -> None:
        """Whether we hold all that is not acknowledged of what JetStream has given to anybody."""
        try:
            info = await self._info()
        except BusError as error:
            log.debug("ordered.not_checked", lane=self.lane, error=str(error))
            return
        upto: int = info["delivered"]["consumer_seq"]
        ours = sum(held.number <= upto for held in self._held.values())
        if ours == info["num_ack_pending"] and self._gap_at <= upto:
            self._is_sure = True
            self._too_many = 0
            self._last_number = max(self._last_number, upto)
            self._admit()
            return
        log.debug("ordered.not_sure", lane=self.lane, given=info["num_ack_pending"], ours=ours)
        self._too_many = self._too_many + 1 if ours > info["num_ack_pending"] else 0
        if self._too_many == _OFTEN:
            self._lose()

    async def _info(self) -> dict[str, Any]:
        return await self._tools.bus.api(f"CONSUMER.INFO.{self._stream}.{names.lane_consumer(self.lane)}")

    def _said_in_progress(self, at: float) -> None:
        self._tools.start(self._renew(at), "renewing")

    async def _renew(self, at: float) -> None:
        """Whether JetStream has heard it: an answer comes after it on the same connection."""
        try:
            await self._info()
        except BusError:
            return
        self._lease_until = max(self._lease_until, at + _LEASE_S)
        for held in self._held.values():
            if held.delivery is not None:
                held.delivery.lease_until = self._lease_until

    def _lose(self) -> None:
        """We were paused, or away from the bus: others may have been given what is held here."""
        log.warning("ordered.lost", lane=self.lane, events=len(self._held))
        self._hand_back()
        for held in list(self._held.values()):
            self._let_go(held)
        self._order = Order()
        self._asked_for.clear()
        self._is_sure = False
        self._too_many = 0
        self._under_way = 0
        self._lease_until = self._loop.time() + _LEASE_S

    # Whose turn it is.

    def _pass_mark(self, upto: int, name: str) -> None:
        self._upto = max(self._upto, upto)
        if self._history is _History.QUEUED and name == self._mark_name:
            self._history = _History.OVER
        self._admit()

    def _admit(self) -> None:
        """What no event can come before any more may go."""
        if not self._is_sure:
            return
        while self._asked_for:
            self._order.admit(self._asked_for.popleft())
        if self._history is _History.OVER:
            self._order.pass_mark(self._upto)
        self._go_on()

    def _look(self) -> None:
        now = self._loop.time()
        if now > self._lease_until:
            self._lose()
        if not self._is_sure and (self._checking is None or self._checking.done()):
            self._checking = self._tools.start(self._check(), "checking")
        if self._history is _History.PENDING and self._is_sure and not self._has_history():
            self._history, self._mark_name = _History.QUEUED, uuid.uuid4().hex
            self._tools.start(self._mark_end_of_history(), "marking")
        if now - self._asked_at > _MISSED_S:
            self._asked_at = now
            self._ask_for_mark(now)
        self._go_on()

    async def _mark_end_of_history(self) -> None:
        try:
            await self._marks.write(self.lane, self._mark_name)
        except BusError as error:
            log.debug("ordered.not_marked", lane=self.lane, error=str(error))
            self._history = _History.PENDING

    def _ask_for_mark(self, now: float) -> None:
        """A mark is missed: who should have written it is gone, maybe. Nor does one come of a log that is lost."""
        first = self._order.first_early
        if not self._is_sure or first is None or now - first.arrived_at < _MISSED_S:
            return
        self._marks.need(self.lane, first.sequence, self._order.last_early)
        made_at = self._marks.log_made_at(self.lane.broker)
        if made_at is not None and now - first.arrived_at > _LOST_S and self._history is _History.OVER:
            self._order.pass_some(lambda held: bool(held.accepted) and datetime.fromisoformat(held.accepted) < made_at)

    def _go_on(self) -> None:
        """Offer what may go, as much as the target has use for."""
        if not self._is_sure or self._is_ending or self._loop.time() > self._lease_until:
            return
        breaker = self._target.breaker
        most = self._target.most_held
        if breaker.is_open:
            most = min(most, 1 if breaker.may_probe(self._loop.time()) else 0)
        if self._is_going_on:
            return  # from within: the loop below looks again
        self._is_going_on = True
        while self._under_way < most and (held := self._order.take()) is not None:
            self._under_way += 1
            self._offer(held)
        self._is_going_on = False

    # One event.

    def _offer(self, held: _Held) -> None:
        if not held.is_replay and (held.sequence, _second(held.accepted)) in self._settled_lately:
            self._end(held)  # it was stored twice, or has come with the history
        elif held.event is None:
            self._tools.start(self._read_again(held), "reading-again")
        elif held.is_suspect:
            held.is_tried = True
            headers, data = held.event
            ended = partial(self._tried, held.place)
            outgoing = Outgoing(headers, data)
            self._trials.take(
                Suspect(self.lane.broker, held.place, held.reply, held.delivered, outgoing, ended, self.lane)
            )
        else:
            self._deliver(held, *held.event)

    def _deliver(self, held: _Held, headers: dict[str, str], data: bytes) -> None:
        try:
            delivery = delivery_of(
                self.lane,
                headers,
                data,
                lambda _: self._release(held),
                lambda _: self._put_off(held, 0.0 if self._target.breaker.is_open else _SOON_S),
                self._lease_until,
            )
        except ValueError as error:
            self._throw_away(held.reply, error)
            self._end(held, word=None)
            return
        delivery.facts = held.facts or delivery.facts
        delivery.again = lambda _, facts, delay_s: self._again(held, facts, delay_s)
        held.delivery = delivery
        now = self._tools.settler.now(self.lane.broker)
        if held.facts is None and (left_s := due_in_s(delivery.facts.not_before, held.place.stored_ns / 1e9, now)) > 0:
            held.facts = replace(delivery.facts, not_before=0.0)
            self._put_off(held, left_s)
        else:
            self._target.offer(delivery)

    async def _read_again(self, held: _Held) -> None:
        try:
            stored = await entries.get(self._tools.bus, self._stream, held.place.sequence)
        except BusError as error:
            log.debug("ordered.not_read", lane=self.lane, error=str(error))
            self._put_off(held, _SOON_S)
            return
        if self._held.get(held.place) is not held:
            return
        if stored is None:
            self._end(held)  # somebody has taken it out
            return
        held.event = (stored.headers, stored.data)
        self._bytes += held.size
        self._offer(held)

    def _again(self, held: _Held, facts: Facts, delay_s: float) -> None:
        """It is to be tried again: its key waits for it."""
        held.facts = facts
        self._put_off(held, delay_s)

    def _put_off(self, held: _Held, delay_s: float) -> None:
        held.delivery = None
        if self._held.get(held.place) is not held:
            return
        self._under_way -= 1
        if self._is_ending:
            self._give_back(held)
            return
        if not delay_s:
            self._order.put_back(held)
        else:
            self._order.block(held)
            self._loop.call_later(delay_s, self._put_back, held)
            self._puller.wake()
        self._go_on()

    def _put_back(self, held: _Held) -> None:
        if self._held.get(held.place) is held and not self._is_ending:
            self._order.put_back(held)
            self._go_on()

    def _tried(self, place: Place) -> None:
        """The trials are done with it; it may have been lost here, and have come again, meanwhile."""
        held = self._held.get(place)
        if held is not None and held.is_tried:
            self._end(held, word=None)
        elif held is not None:
            self._settled_lately.add(held.sequence, _second(held.accepted))

    def _release(self, held: _Held) -> None:
        held.delivery = None
        if self._held.get(held.place) is not held or self._loop.time() > self._lease_until:
            return  # somebody else has been given it, maybe, and would look in vain for what is acknowledged here
        self._settled_lately.add(held.sequence, _second(held.accepted))
        self._end(held)

    def _end(self, held: _Held, word: bytes | None = b"+ACK") -> None:
        """It is over, or said to be by somebody else where there is no ``word``: its key goes on."""
        if word is not None:
            self._tools.bus.post(held.reply, word)
        self._tools.settler.left(self.lane, 1)
        self._let_go(held)
        self._under_way -= 1
        if (after := self._order.end(held)) is not None:
            after.is_suspect = False  # its turn has never come before, so it has ended nobody
        self._puller.wake()
        self._go_on()

    def _let_go(self, held: _Held) -> None:
        self._held.pop(held.place, None)
        if held.event is not None:
            self._bytes -= held.size

    def _hand_back(self) -> None:
        for held in list(self._held.values()):
            delivery = held.delivery
            if delivery is not None and not delivery.started_at:
                delivery.is_withdrawn = delivery.is_over = True
                delivery = None
            if delivery is not None:
                self._tools.bus.post(held.reply, b"+WPI")
            elif held.is_tried:
                self._let_go(held)
            else:
                self._give_back(held)

    def _give_back(self, held: _Held) -> None:
        self._trials.suspicion.returned(held.place, held.delivered)
        self._tools.bus.post(held.reply, nak())
        self._let_go(held)


def _second(accepted: str) -> int:
    """A time of acceptance (RFC 3339 text) in seconds since the epoch; 0 for none. It is written in several ways."""
    return int(datetime.fromisoformat(accepted).timestamp()) if accepted else 0
