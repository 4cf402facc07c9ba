"""One target: a lane's sink with its waiting room, its in-flight limit and its breaker. Attempt → judge → settle.

A worker takes one delivery after another while any waits; there are never more workers than the limit allows. What a
target does, or fails to do, is felt here and in its own queue, nowhere else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter, Histogram

from scaup.core.bus.connection import Bus
from scaup.core.codec.kept import Facts
from scaup.core.model.definitions import (
    Address,
    AddressBookEntry,
    Destination,
    TriggerDefinition,
    UnresolvedError,
    resolve,
)
from scaup.core.model.errors import BusError, EventTooLargeError
from scaup.core.model.names import DEAD_LETTER, Lane, TriggerUid
from scaup.core.model.pace import Pace
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher import metrics
from scaup.dispatcher.attempt import Attempts
from scaup.dispatcher.capacity import Capacity
from scaup.dispatcher.entries import Delivery
from scaup.dispatcher.judge import (
    Accepted,
    BadReply,
    Done,
    GiveUp,
    NoAnswer,
    Outcome,
    Refused,
    Replied,
    ReplyNotStored,
    Retry,
    describe,
    is_retried,
    judge,
)
from scaup.dispatcher.limits import Breaker, InFlightLimit
from scaup.dispatcher.parking import Parking, insist
from scaup.dispatcher.replies import store_reply
from scaup.dispatcher.settings import DispatcherSettings
from scaup.dispatcher.settle import Settler, now_text

if TYPE_CHECKING:
    from scaup.dispatcher.traces import AttemptTraces

log = structlog.get_logger()

_STALLED_S: Final = 1.0
SLOW_S: Final = 0.25
"""Where attempts take longer than this, on average, few events may hold up entries of the log at a time."""
_FEW: Final = 8
_SPARE: Final = 16
_AHEAD_S: Final = 2.0
"""Of a limited rate, what is fetched from the queue ahead of its time."""
_IDLE_S: Final = 0.25
_TURNS: Final = 10
"""Turns of the event loop that an attempt takes at most: how much longer one may take on a busy machine."""
_WEIGHT: Final = 0.2
_STARTED_AT: Final = time.time() - time.monotonic()
_WORDS: Final[dict[type, str]] = {
    Accepted: "accepted",
    Replied: "replied",
    Refused: "refused",
    NoAnswer: "no_answer",
    BadReply: "bad_reply",
    ReplyNotStored: "reply_not_stored",
}


@dataclass(frozen=True, slots=True)
class Tools:
    """What every target works with."""

    bus: Bus
    definitions: Definitions
    attempts: Attempts
    settler: Settler
    settings: DispatcherSettings
    capacity: Capacity
    parking: Parking
    start: Callable[[Awaitable[None], str], asyncio.Task[None]]
    owns: Callable[[TriggerUid], bool]
    """Whether this dispatcher is the one that works a Trigger's queues."""
    traces: AttemptTraces | None = None


class Target:
    """The sink of one lane, as this dispatcher knows it."""

    def __init__(self, lane: Lane, tools: Tools) -> None:
        self.lane = lane
        self.limit = InFlightLimit(tools.settings.max_in_flight)
        self.breaker = Breaker()
        self.running = 0
        self._tools = tools
        self._loop = asyncio.get_running_loop()  # looking it up costs a system call (Python 3.11)
        self._waiting: OrderedDict[Delivery, None] = OrderedDict()
        self._idle: list[asyncio.Future[Delivery | None]] = []
        self._releasing: asyncio.TimerHandle | None = None
        self._resolved: tuple[Destination, AddressBookEntry | None, Address] | None = None
        self._progress_at = self._loop.time()
        self._attempt_s = 0.0
        self._counters: dict[str, Counter] = {}
        self._seconds: Histogram | None = None
        self._extra = b""
        self._labels: tuple[str, str, str] = ("", "", "")
        self.is_paused = False
        self._is_limited = self._is_ordered = False
        self._rate: float | None = None
        self._pace: Pace | None = None
        self._resumed_at = ""
        self._follow_definition()

    @property
    def is_backed_up(self) -> bool:
        """Whether a new event of the log should go straight to the queue."""
        if self.is_paused or self._is_elsewhere:
            return True
        if self.breaker.is_open:
            # When the pause is over one event may go as the probe: whoever does not own the queue learns of a recovery
            # in no other way.
            return not self.breaker.may_probe(self._loop.time())
        if self.running >= min(_FEW, self.limit.current) and self._is_slow:
            return True
        if self.running < self.limit.current:
            return False
        return len(self._waiting) > 2 * self.limit.current and not self._tools.capacity.is_busy

    @property
    def why_aside(self) -> str:
        """Why, where it should."""
        return "paused" if self.is_paused else "ordered" if self._is_ordered else "backed_up"

    @property
    def _is_elsewhere(self) -> bool:
        """Whether order, or a limit of all dispatchers together, is kept at the queue, or by who owns it."""
        return (
            self._is_ordered or self._pace is not None or (self._is_limited and not self._tools.owns(self.lane.trigger))
        )

    @property
    def most_held(self) -> float:
        """Events of the queue that there is a point in holding here."""
        if self.is_paused:
            return 0
        held = self.limit.current + _SPARE
        return held if self._rate is None else min(held, max(self._rate * _AHEAD_S, 1.0))

    @property
    def _is_slow(self) -> bool:
        """By what its attempts took, and by how long nothing has got through although some are under way."""
        since = self._loop.time() - self._progress_at
        return max(self._attempt_s, since) > SLOW_S + _TURNS * self._tools.capacity.lag_s

    def look_again(self) -> None:
        """Its address or its Trigger is another now, so what is known of the sink means nothing any more."""
        if self.breaker.is_open:
            self.breaker.succeeded()
        self._follow_definition()
        if self.is_paused:
            for delivery in list(self._waiting):
                self.put_aside(delivery, "paused")

    def _follow_definition(self) -> None:
        """A pause and limits are about the subscriber, not about the dead letter sink."""
        trigger = self._tools.definitions.triggers.get(self.lane.trigger)
        if trigger is None or self.lane.kind == DEAD_LETTER:
            return
        self.is_paused, self._resumed_at, self._is_limited = trigger.paused, trigger.resumed_at, trigger.is_limited
        self._is_ordered = trigger.ordered
        self.limit.allow(trigger.max_in_flight)
        if trigger.rate != self._rate:
            self._rate = trigger.rate
            self._pace = None if trigger.rate is None else Pace(trigger.rate)

    def offer(self, delivery: Delivery) -> None:
        """Deliver as soon as the limit allows."""
        if self.running < self.limit.current:
            if not self.running:
                self._progress_at = self._loop.time()
            self.running += 1
            while self._idle:
                if not (worker := self._idle.pop()).done():
                    worker.set_result(delivery)
                    return
            self._tools.start(self._work(delivery), "delivering")
        else:
            self._waiting[delivery] = None

    async def _work(self, first: Delivery) -> None:
        """One delivery after the other. Between two it waits a moment for the next: a new task would cost more."""
        delivery: Delivery | None = first
        while delivery is not None:
            try:
                while delivery is not None:
                    await self._take(delivery)
                    delivery = self._next()
            finally:
                self.running -= 1
            if self._releasing is None:
                self._releasing = self._loop.call_later(_IDLE_S, self._release)
            self._idle.append(more := self._loop.create_future())
            delivery = await more

    def _release(self) -> None:
        """Let the workers go that have nothing to do."""
        self._releasing = None
        idle, self._idle = self._idle, []
        for worker in idle:
            if not worker.done():
                worker.set_result(None)

    def _next(self) -> Delivery | None:
        if self.running > self.limit.current:
            return None if self.running > 1 else self._pop()
        return self._pop()

    def _pop(self) -> Delivery | None:
        return self._waiting.popitem(last=False)[0] if self._waiting else None

    async def _take(self, delivery: Delivery) -> None:
        """One delivery to its end; an error of our own is a failed attempt, not the end of the process."""
        if not await self._has_its_turn(delivery):
            return
        now = self._loop.time()
        if now > delivery.lease_until:
            delivery.failed()  # somebody else may have it by now
            return
        delivery.started_at = now
        trigger = self._tools.definitions.triggers.get(self.lane.trigger)
        try:
            if trigger is None:
                self._without_trigger(delivery)
            elif delivery.is_queued and self._queued_s(delivery.facts) > self._tools.settings.max_wait_s:
                await insist(self._tools.settler, delivery, self._expired(delivery))
            elif not self.breaker.allows(now):
                self.put_aside(delivery, "breaker")
            else:
                await self._attempt(delivery, trigger, now)
        except asyncio.CancelledError:
            delivery.failed()
            raise
        except Exception:
            log.exception("target.failed", trigger=self.lane.trigger, sequence=delivery.facts.sequence)
            self.breaker.failed(now)
            delivery.failed()

    async def _has_its_turn(self, delivery: Delivery) -> bool:
        """When it is time for another attempt: whether it is to be this one."""
        if self._pace is not None and not delivery.is_withdrawn:
            await asyncio.sleep(self._pace.take(self._loop.time()))
        if self.is_paused and not delivery.is_withdrawn:
            self.put_aside(delivery, "paused")
            return False
        return not delivery.is_withdrawn

    def _without_trigger(self, delivery: Delivery) -> None:
        """What is known to be deleted gets nothing any more; what is only not known (yet, or here) keeps its events."""
        if self.lane.trigger in self._tools.definitions.deleted_triggers:
            self._tools.settler.drop(self.lane, "trigger_deleted", facts=delivery.facts)
            delivery.done()
        else:
            delivery.failed()

    def put_aside(self, delivery: Delivery, reason: str) -> None:
        """Into the queue without an attempt, soon. What came from the queue goes back there."""
        self._waiting.pop(delivery, None)
        self._tools.capacity.ended(delivery)
        if delivery.is_queued:
            delivery.failed()
        else:
            self._tools.parking.add(delivery, reason)

    async def _attempt(self, delivery: Delivery, trigger: TriggerDefinition, now: float) -> None:
        policy = trigger.delivery
        delivery.deadline = now + policy.timeout_s
        is_dead_letter = self.lane.kind == DEAD_LETTER
        destination = policy.dead_letter_sink if is_dead_letter else trigger.subscriber
        url = ""
        outcome: Outcome
        try:
            if destination is None:
                outcome = Refused(410)
            else:
                address = self._address_of(destination)
                url = address.url
                extra = self._headers(trigger, is_dead_letter)
                if self._tools.traces is not None:
                    extra += self._tools.traces.begin(delivery, trigger, url)
                outcome = await self._tools.attempts.make(
                    delivery.outgoing,
                    address,
                    extra,
                    timeout_s=policy.timeout_s,
                    structured=policy.format == "json",
                )
        except UnresolvedError as error:
            self._wait_for_address(delivery, trigger, str(error))
            return
        if is_dead_letter and isinstance(outcome, Replied | BadReply):
            outcome = Accepted(200)  # what a dead letter sink answers is dropped (eventing, "Dead letter sink")
        elif isinstance(outcome, Replied):
            try:
                if not await store_reply(self._tools.bus, delivery, outcome):
                    await self._tools.settler.keep_reply(delivery, outcome.reply)
            except (BusError, EventTooLargeError) as error:
                outcome = ReplyNotStored(str(error))
        self._learn(outcome, trigger, now, is_first=delivery.facts.attempts == 0)
        await self._conclude(delivery, trigger, outcome, url)

    def _address_of(self, destination: Destination) -> Address:
        """As ``resolve`` says, which is asked once as long as nothing changes."""
        book = self._tools.definitions.address_book
        entry = book.get(destination.address) if destination.address else None
        known = self._resolved
        if known is not None and known[0] is destination and known[1] is entry:
            return known[2]
        address = resolve(destination, book)
        self._resolved = destination, entry, address
        return address

    def _wait_for_address(self, delivery: Delivery, trigger: TriggerDefinition, why: str) -> None:
        """Nobody can be asked, so no attempt is used up: the event waits until the address book says more."""
        self._count("unresolved", trigger)
        self.breaker.failed(self._loop.time(), at_once=True)
        delivery.facts = replace(delivery.facts, reason=why)
        self.put_aside(delivery, "unresolved")

    async def _conclude(self, delivery: Delivery, trigger: TriggerDefinition, outcome: Outcome, url: str) -> None:
        """Store the consequence of an attempt and let the event go."""
        delivery.is_judged = True
        took_s = self._loop.time() - delivery.started_at
        facts = delivery.facts
        stretch = 1.0 + self._tools.settings.jitter * random.random()  # noqa: S311 - spreads retries, guards nothing
        verdict = judge(outcome, trigger.delivery, facts.attempts + 1, stretch)
        if delivery.trace is not None:
            delivery.trace.end(outcome, verdict)
        if delivery.parking is not None:
            await delivery.parking
            if delivery.is_over and delivery.parked is None:
                return  # it became a dead letter, the queue being full: that is its end
        settler = self._tools.settler
        if isinstance(verdict, Done):
            if delivery.parked is not None or facts.replay is not None:
                await insist(self._tools.settler, delivery, lambda: settler.delivered(delivery))
            delivery.done()
            settler.trail.delivered(self.lane, facts, outcome, took_s)
            self._observe(facts)
            return
        reason, status, body = describe(outcome)
        failed = facts.failed(now_text(), reason, status=status, destination=url, error_data=body)
        settler.trail.failed(self.lane, failed, verdict, took_s)
        match verdict:
            case Retry(delay_s=delay_s) if delivery.try_again(failed, delay_s):
                pass
            case Retry(delay_s=delay_s):
                await insist(self._tools.settler, delivery, lambda: settler.park(delivery, failed, delay_s, "retry"))
            case GiveUp(reason=why):

                async def give_up() -> None:
                    await settler.dead_letter(delivery, replace(failed, reason=why))
                    await settler.unpark(delivery)

                await insist(self._tools.settler, delivery, give_up)
                self._observe(facts)

    def _expired(self, delivery: Delivery) -> Callable[[], Awaitable[None]]:
        reason = f"waited too long; {delivery.facts.reason}".strip("; ")
        facts = replace(delivery.facts, reason=reason, last_failure=now_text())
        return lambda: self._tools.settler.dead_letter(delivery, facts)

    def _queued_s(self, facts: Facts) -> float:
        """Seconds that an event of the queue has waited: since its acceptance, replay, or death, or the last pause."""
        since = facts.replay.at if facts.replay else facts.accepted
        if self.lane.kind == DEAD_LETTER:
            since = facts.last_failure or since
        # The earlier of two clocks: one that jumps forward must not make dead letters of all that waits.
        now = min(time.time(), _STARTED_AT + time.monotonic())
        waited_s = _since(since, now)
        return min(waited_s, _since(self._resumed_at, now)) if self._resumed_at else waited_s

    def _learn(self, outcome: Outcome, trigger: TriggerDefinition, started: float, *, is_first: bool) -> None:
        """What the outcome says about the sink: for the limit, the breaker and the counters.

        That an event is refused again says something about the event (decision 0012), unless it is the breaker's probe.
        """
        now = self._loop.time()
        word = "timeout" if isinstance(outcome, NoAnswer) and outcome.timed_out else _WORDS[type(outcome)]
        self._count(word, trigger)
        self._attempt_s += _WEIGHT * (now - started - self._attempt_s)
        alive = not isinstance(outcome, NoAnswer) and not (isinstance(outcome, Refused) and is_retried(outcome.status))
        is_probe = self.breaker.is_open
        if alive:
            self.breaker.succeeded()
            self._progress_at = now
        elif is_first or isinstance(outcome, NoAnswer) or is_probe:
            self.breaker.failed(now)
        overloaded = isinstance(outcome, Refused) and outcome.status in {429, 503}
        if is_probe and not alive:
            return  # one attempt at a time was too many: nothing is learned of how many it would take
        if isinstance(outcome, NoAnswer) or overloaded or now - started > _STALLED_S:
            self.limit.hurt(now)
        elif alive:
            self.limit.succeeded(was_full=self.running >= self.limit.current)

    def _count(self, word: str, trigger: TriggerDefinition) -> None:
        labels = self._labels
        if labels[2] != trigger.name:
            broker = self._tools.definitions.brokers.get(trigger.broker)
            self._labels = labels = (trigger.namespace, broker.name if broker else "", trigger.name)
            self._counters.clear()
            metrics.begin_trigger(labels)
            self._seconds = metrics.SECONDS.labels(*labels[:2])
        counter = self._counters.get(word)
        if counter is None:
            counter = self._counters[word] = metrics.ATTEMPTS.labels(*labels, word)
        counter.inc()

    def _observe(self, facts: Facts) -> None:
        """An event has its first end; what comes of a dead letter on its way to its sink is not counted again."""
        if self._seconds is not None and self.lane.kind != DEAD_LETTER:
            self._seconds.observe(_since(facts.replay.at if facts.replay else facts.accepted))

    def _headers(self, trigger: TriggerDefinition, is_dead_letter: bool) -> bytes:
        if not self._extra:
            self._extra = f"Kn-Namespace: {trigger.namespace}\r\n".encode()
            if not is_dead_letter:
                self._extra += b"Prefer: reply\r\n"  # DP-19, DP-24
        return self._extra


def target_of(lane: Lane, targets: dict[Lane, Target], tools: Tools) -> Target:
    """The lane's target in the table, made where there is none yet."""
    target = targets.get(lane)
    if target is None:
        target = targets[lane] = Target(lane, tools)
    return target


def _since(moment: str, now: float | None = None) -> float:
    """Seconds since an RFC 3339 time; 0 where it is not known."""
    now = time.time() if now is None else now
    return max(now - _timestamp(moment), 0.0) if moment else 0.0


@lru_cache(1024)
def _timestamp(moment: str) -> float:
    """Seconds since the epoch. All deliveries of an event ask for the same."""
    return datetime.fromisoformat(moment).timestamp()
