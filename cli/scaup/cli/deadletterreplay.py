"""``scaup deadletters replay``: dead letters to the Trigger that failed, again, through its queue.

Nothing is removed here: a dead letter goes when the dispatcher has delivered its replay, or has kept it anew. So this
can be killed at any point and be repeated. A letter that waits already is passed over: what waits is looked up before
anything is queued and again within half the duplicate window of the queues, which covers what is queued since.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from scaup.cli import deadletterselect as selecting
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.deadletterplans import WhyNot, as_accepted, replay_facts, why_not
from scaup.cli.deadletterselect import Scope, Wanted
from scaup.cli.deadletterwait import Follower
from scaup.cli.longwork import Progress, Stop, stoppable
from scaup.cli.problems import FailedError
from scaup.core.bus import deadletters
from scaup.core.bus.connection import Bus
from scaup.core.bus.deadletters import DeadLetter, Waiting
from scaup.core.bus.replays import send_again
from scaup.core.bus.topology import DUPLICATE_WINDOW_S
from scaup.core.model.errors import BusError, EventTooLargeError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.core.model.pace import Pace

DEFAULT_RATE: Final = 200.0
MAX_WAITING: Final = 2_000
"""Replays that may wait in one Trigger's queue at a time."""
MAX_QUEUED: Final = 50_000
"""Entries of whatever kind in it, above which nothing is added: half of the usual quota is left for new events."""
_LOOKED_UP_S: Final = DUPLICATE_WINDOW_S / 2
_PAGE_FRESH_S: Final = 5.0
_ROOM_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class How:
    """How to replay: events a second, and whether to wait for the end of all or to do nothing but count."""

    rate: float = DEFAULT_RATE
    is_dry: bool = False
    waits: bool = False


@dataclass(slots=True)
class Done:
    """What was done: numbers of dead letters."""

    selected: int = 0
    queued: Counter[str] = field(default_factory=Counter)
    """By Trigger; with ``is_dry`` those that would be."""
    waiting_already: int = 0
    too_large: int = 0
    gone: int = 0
    """Named, or selected, and not there any more when their turn came."""
    not_replayable: Counter[WhyNot] = field(default_factory=Counter)
    is_stopped: bool = False
    is_dry: bool = False
    ends: Counter[str] | None = None
    """With --wait: delivered, diedAgain, stayed, waiting."""


@dataclass(slots=True)
class _Queue:
    """What is known of one Trigger's queue."""

    seen: Waiting
    seen_at: float
    added: int = 0

    @property
    def has_room(self) -> bool:
        return len(self.seen.letters) + self.added < MAX_WAITING and self.seen.entries + self.added < MAX_QUEUED


class Replaying:
    """One run of the command, over all its Brokers."""

    def __init__(self, bus: Bus, wanted: Wanted, how: How, stop: Stop) -> None:
        self.done = Done(is_dry=how.is_dry)
        self.followers: list[Follower] = []
        self._bus = bus
        self._wanted = wanted
        self._stop = stop
        self._how = how
        self._pace = Pace(how.rate)
        self._progress = Progress()
        self._queues: dict[tuple[BrokerUid, TriggerUid], _Queue] = {}
        self._at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def run(self, every: list[Scope]) -> None:
        """Until all is queued (and, with ``waits``, has come to an end), or the work is to stop."""
        try:
            for scope in every:
                await self._scope(scope)
            if self._how.waits and not self._how.is_dry:
                await self._follow()
        finally:
            self._progress.end()
            self.done.is_stopped = bool(self._stop)

    async def _scope(self, scope: Scope) -> None:
        follower = Follower(self._bus, scope)
        self.followers.append(follower)
        found = 0
        size = int(min(selecting.PAGE, max(1, self._how.rate)))
        async for some in selecting.select(self._bus, scope, self._wanted, size):
            read_at = time.monotonic()
            for letter in some:
                if self._stop or self._is_enough():
                    return
                found += 1
                self.done.selected += 1
                if (reason := why_not(letter, scope)) is not None:
                    self.done.not_replayable[reason] += 1
                elif letter.trigger and await self._letter(scope, letter, letter.trigger, read_at):
                    follower.add(letter.trigger, letter.sequence)
        if self._wanted.names:
            self.done.gone += sum(selecting.parse_name(name)[0] == scope.uid for name in self._wanted.names) - found

    def _is_enough(self) -> bool:
        return self._wanted.limit is not None and self.done.selected >= self._wanted.limit

    async def _letter(self, scope: Scope, letter: DeadLetter, trigger: TriggerUid, read_at: float) -> bool:
        """Queue one; whether it waits now."""
        queue = await self._queue(scope.uid, trigger)
        if not self._how.is_dry:
            await self._stop.sleep(self._pace.take(time.monotonic()))
            queue = await self._room(scope.uid, trigger, queue)
        if letter.sequence in queue.seen.letters:
            self.done.waiting_already += 1
            return True
        if self._how.is_dry:
            self.done.queued[scope.trigger_of(letter)] += 1
            return False
        if self._stop:
            self.done.selected -= 1
            return False
        # An earlier replay of it may have ended between the reading and the looking: then it is not there any more.
        is_old = queue.seen_at > read_at or time.monotonic() - read_at > _PAGE_FRESH_S
        if is_old and await deadletters.one(self._bus, scope.uid, letter.sequence) is None:
            self.done.gone += 1
            return False
        lane = Lane(scope.uid, trigger)
        facts = replay_facts(letter, self._at)
        try:
            is_new = await send_again(self._bus, lane, as_accepted(letter), letter.event.data or b"", facts)
        except EventTooLargeError:
            self.done.too_large += 1
            return False
        if is_new:
            queue.added += 1
            self.done.queued[scope.trigger_of(letter)] += 1
        else:
            self.done.waiting_already += 1
        self._progress.show(f"{sum(self.done.queued.values())} queued; Ctrl-C stops safely")
        return True

    async def _queue(self, broker: BrokerUid, trigger: TriggerUid) -> _Queue:
        """What waits there, looked up lately enough for the duplicate window to cover the rest."""
        known = self._queues.get((broker, trigger))
        return known if known and time.monotonic() - known.seen_at < _LOOKED_UP_S else await self._look(broker, trigger)

    async def _look(self, broker: BrokerUid, trigger: TriggerUid) -> _Queue:
        at = time.monotonic()
        queue = _Queue(await deadletters.waiting(self._bus, broker, trigger), at)
        self._queues[broker, trigger] = queue
        return queue

    async def _room(self, broker: BrokerUid, trigger: TriggerUid, queue: _Queue) -> _Queue:
        """Wait until the queue has room for one more."""
        while not queue.has_room and not self._stop:
            self._progress.show(
                f"{sum(self.done.queued.values())} queued; waiting for the Trigger to catch up; Ctrl-C stops safely"
            )
            await self._stop.sleep(_ROOM_EVERY_S)
            queue = await self._look(broker, trigger)
        return queue

    async def _follow(self) -> None:
        self.done.ends = Counter()
        while True:
            self.done.ends = Counter()
            for follower in self.followers:
                self.done.ends += await follower.look()
            self._progress.show(
                ", ".join(f"{n} {what}" for what, n in self.done.ends.items()) + "; Ctrl-C stops safely"
            )
            if not self.done.ends["waiting"] or self._stop:
                return
            await self._stop.sleep(_ROOM_EVERY_S)


async def replay(access: ApiAccess, nats: NatsAccess, wanted: Wanted, how: How) -> Done:
    """Do it. Raises FailedError where the bus fails on the way, which says how far it came."""
    async with open_bus(nats) as bus, stoppable() as stop:
        every = await selecting.scopes(access, bus, wanted)
        selecting.check_names(wanted.names, every)
        work = Replaying(bus, wanted, how, stop)
        try:
            await work.run(every)
        except BusError as error:
            msg = f"{error}; until then {sum(work.done.queued.values())} were queued, and these go on"
            raise FailedError(msg, hint="the same command goes on from there") from error
        return work.done


def run(access: ApiAccess, nats: NatsAccess, wanted: Wanted, how: How) -> Done:
    """``replay`` from outside of any event loop."""
    return asyncio.run(replay(access, nats, wanted, how))


def as_object(done: Done) -> dict[str, Any]:
    """What was done, for a program."""
    return {
        "apiVersion": "scaup.dev/v1",
        "kind": "DeadLetterReplay",
        "dryRun": done.is_dry,
        "selected": done.selected,
        "queued": sum(done.queued.values()),
        "queuedByTrigger": dict(done.queued),
        "waitingAlready": done.waiting_already,
        "notReplayable": {reason.key: number for reason, number in done.not_replayable.items()},
        "tooLarge": done.too_large,
        "gone": done.gone,
        "stopped": done.is_stopped,
        "ends": None if done.ends is None else {name: done.ends[name] for name in _ENDS},
    }


_ENDS: Final = {
    "delivered": "delivered",
    "diedAgain": "died again, and kept anew",
    "stayed": "came to no end, and kept as before",
    "waiting": "still waiting in the queue, which goes on by itself",
}


def in_words(done: Done, namespace: str) -> str:
    """What was done, for a person."""
    if not done.selected and not done.gone:
        return f"No such dead letters in namespace {namespace}." + (" Stopped." if done.is_stopped else "")
    verb = "would be queued" if done.is_dry else "queued"
    lines = [f"{number} {verb} for Trigger {name}" for name, number in sorted(done.queued.items())]
    if not lines:
        lines = [f"0 {verb}"]
    if done.waiting_already:
        lines.append(f"{done.waiting_already} not queued twice: an earlier replay of them is under way")
    lines += [f"{number} cannot be replayed: {reason.text}" for reason, number in done.not_replayable.items()]
    if done.too_large:
        lines.append(f"{done.too_large} not queued: too large for the bus together with what is noted beside them")
    if done.gone:
        lines.append(f"{done.gone} not there any more")
    for name, words in _ENDS.items():
        if done.ends and done.ends[name]:
            lines.append(f"{done.ends[name]} {words}")
    if done.is_stopped:
        lines.append("Stopped. Nothing is lost: what is queued goes on; the same command goes on with the rest.")
    return "\n".join(lines)
