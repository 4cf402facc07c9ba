"""The story of ``scaup tail``: look at what the log has more than before, ask what fires, show it, look again.

Nothing is changed anywhere. Without ``--trigger`` and ``--show-fired`` the services see nothing of it; with them the
filters are asked about what is shown, and dispatchers about what is followed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from scaup.cli import plane
from scaup.cli.access import NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.longwork import Stop, stoppable
from scaup.cli.plane import Snapshot
from scaup.cli.problems import DONE, FAILED, FailedError
from scaup.cli.tail import telling
from scaup.cli.tail.ends import PATIENCE_S, Ends
from scaup.cli.tail.firing import Fired, Firing
from scaup.cli.tail.reading import MOST, Reader
from scaup.cli.tail.telling import Ended, LeftOut, Line, Seen
from scaup.core.bus import ranges
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.bus.ranges import LogEntry
from scaup.core.codec import stored
from scaup.core.filters.compiled import ALWAYS, Compiled, evaluate
from scaup.core.filters.subject import EvaluationError, Subject
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusError, BusRequestError
from scaup.core.model.event import HOPS, Event

_ROUND_S: Final = 0.1
_AGAIN_S: Final = 0.5
_RATE_S: Final = 1.0
RATE: Final = 200

Say = Callable[[Line], None]
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says: ``rate`` events a second are shown, of ``most`` a round, from the ``last`` on."""

    broker: str
    namespace: str = "default"
    wanted: Compiled = ALWAYS
    trigger: str | None = None
    shows_fired: bool = False
    count: int | None = None
    for_s: float | None = None
    rate: int = RATE
    last: int = 0
    most: int = MOST
    patience_s: float = PATIENCE_S


def run(nats: NatsAccess, asked: Asked, output: str) -> int:
    """Show events until Ctrl-C, ``count`` or ``for_s``; 1 where fewer than ``count`` came in that time."""
    tell = telling.as_json if output == "json" else telling.as_text

    def say(line: Line) -> None:
        sys.stdout.write(tell(line) + "\n")
        sys.stdout.flush()  # who reads may wait for each

    def note(text: str) -> None:
        sys.stderr.write(f"scaup tail: {text}\n")

    try:
        return asyncio.run(_until_stopped(nats, asked, say, note))
    except BrokenPipeError:  # who reads has seen enough, which is an end as good as Ctrl-C
        return DONE


async def _until_stopped(nats: NatsAccess, asked: Asked, say: Say, note: Note) -> int:
    async with stoppable() as stop:
        return await follow(nats, asked, stop, say, note)


async def follow(nats: NatsAccess, asked: Asked, stop: Stop, say: Say, note: Note) -> int:
    """The same with everything given. Raises FailedError where there is no such Broker, or it is deleted."""
    async with open_bus(nats) as bus:
        snapshot = await plane.snapshot(bus)
        broker = _broker(snapshot, asked)
        firing = Firing(bus, broker, snapshot)
        if asked.trigger is not None and not firing.uids(asked.trigger):
            there = ", ".join(firing.names[:8])
            msg = f"Broker {broker.namespace}/{broker.name} has no Trigger {asked.trigger}"
            raise FailedError(msg, hint=f"it has {there}" if there else "it has none")
        history = await ranges.history(bus, broker.uid)
        first = max(history.first, history.last + 1 - asked.last)
        tail = _Tail(bus, broker, asked, Reader(bus, broker.uid, first, asked.most), firing, say)
        note(f"events of {broker.namespace}/{broker.name} from now on (Ctrl-C ends it)")
        await _rounds(tail, asked, stop, note)
        tail.end()
        said = f"{tail.shown:,} {'event' if tail.shown == 1 else 'events'} shown"
        note(said + (f", {tail.left_out:,} left out" if tail.left_out else ""))
        return DONE if asked.count is None or stop or tail.shown >= asked.count else FAILED


def _broker(snapshot: Snapshot, asked: Asked) -> BrokerDefinition:
    wanted = (asked.namespace, asked.broker)
    for broker in snapshot.brokers.values():
        if (broker.namespace, broker.name) == wanted:
            return broker
    msg = f"the data plane knows no Broker {asked.namespace}/{asked.broker}"
    raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")


async def _rounds(tail: _Tail, asked: Asked, stop: Stop, note: Note) -> None:
    """Round after round; a NATS that is away is waited for, and what was accepted meanwhile is shown then."""
    loop = asyncio.get_running_loop()
    until = None if asked.for_s is None else loop.time() + asked.for_s
    is_away = False
    while not stop:
        pause = _ROUND_S
        try:
            await tail.round()
            if is_away:
                note("NATS answers again")
            is_away = False
        except BusError as error:
            if isinstance(error, BusRequestError) and error.err_code == STREAM_NOT_FOUND:
                raise FailedError(f"Broker {asked.namespace}/{asked.broker} was deleted") from error
            if isinstance(error, BusRequestError) and error.status < 500:
                raise
            pause = _AGAIN_S
            if not is_away:
                note(f"{error}; trying again")
            is_away = True
        left_s = pause if until is None else until - loop.time()
        if tail.is_done or left_s <= 0:
            return
        await stop.sleep(min(pause, left_s))


class _Tail:
    """What is shown, and how much was not."""

    def __init__(
        self, bus: Bus, broker: BrokerDefinition, asked: Asked, reader: Reader, firing: Firing, say: Say
    ) -> None:
        self._asked = asked
        self._reader = reader
        self._firing = firing
        self._say = say
        self._ends = Ends(bus, broker.uid, asked.patience_s)
        self._window_at = 0.0
        self._in_window = 0
        self._unsaid: dict[tuple[str, str], int] = {}
        self.shown = 0
        self.left_out = 0

    @property
    def is_done(self) -> bool:
        """Whether as many as asked for were shown, and their ends are known."""
        return self._is_full and not self._ends

    @property
    def _is_full(self) -> bool:
        return self._asked.count is not None and self.shown >= self._asked.count

    async def round(self) -> None:
        """Show what came since the last one. Raises BusError."""
        now = asyncio.get_running_loop().time()
        if now - self._window_at >= _RATE_S:
            self._say_left_out()
            self._window_at, self._in_window = now, 0
        if not self._is_full:
            came = await self._reader.more()
            why = "they come faster than they can be read, or were trimmed"
            self._leave_out(came.left_out, "events", why)
            await self._show(self._matching(came.entries))
        for ending in await self._ends.look():
            self._say(Ended(self._firing.name(ending.trigger), ending))
        followed_not, self._ends.left_out = self._ends.left_out, 0
        self._leave_out(followed_not, "deliveries", "too many are followed already")

    def end(self) -> None:
        """Say what is not said yet."""
        self._say_left_out()
        for ending in self._ends.give_up():
            self._say(Ended(self._firing.name(ending.trigger), ending))

    def _matching(self, entries: list[LogEntry]) -> list[Seen]:
        found: list[Seen] = []
        for entry in entries:
            try:
                event = stored.from_headers(entry.headers, entry.data)
            except ValueError:
                self._leave_out(1, "events", "they cannot be read")
                continue
            answers = names.parse_reply_id(entry.headers.get("Nats-Msg-Id", ""))
            reply_of = self._firing.name(answers[1]) if answers else ""
            matches = evaluate(self._asked.wanted, Subject(event.attributes, event.data))
            if isinstance(matches, EvaluationError):
                self._leave_out(1, "events", f"--filter cannot be evaluated for them: {matches}")
            elif matches:
                accepted = datetime.fromisoformat(entry.accepted)
                found.append(Seen(entry.sequence, accepted, event, reply_of=reply_of))
        return found

    async def _show(self, came: list[Seen]) -> None:
        """Those of them that the Trigger wants, where one is named, as many as may be shown."""
        room = self._room()
        if self._asked.trigger is None:
            came = self._shorten(came, room)
        fired: list[Fired] | None = None
        if self._asked.trigger is not None or self._asked.shows_fired:
            fired = await self._firing.ask([_without_hops(one.event) for one in came])
            came = [
                replace(one, fired=tuple(sorted(map(self._firing.name, who.triggers))), unknown=who.unknown)
                for one, who in zip(came, fired, strict=True)
            ]
        if self._asked.trigger is not None and fired is not None:
            uids = self._firing.uids(self._asked.trigger)
            pairs = [(one, who) for one, who in zip(came, fired, strict=True) if uids & set(who.triggers)]
            self._leave_out(sum(bool(who.unknown) for who in fired), "events", _unknown(fired))
            came = self._shorten([one for one, _ in pairs], room)
            for one, (_, who) in zip(came, pairs, strict=False):
                (uid,) = list(uids & set(who.triggers))[:1]
                self._ends.follow(one.position, one.accepted, one.event.attributes.get("id", ""), uid)
        for one in came:
            self._say(replace(one, event=_without_hops(one.event)))
        self.shown += len(came)
        self._in_window += len(came)

    def _room(self) -> int:
        room = self._asked.rate - self._in_window
        return room if self._asked.count is None else min(room, self._asked.count - self.shown)

    def _shorten(self, came: list[Seen], room: int) -> list[Seen]:
        if self._asked.count is None or self.shown + room < self._asked.count:
            self._leave_out(len(came) - room, "events", f"at most {self._asked.rate} a second are shown (--rate)")
        return came[:room]

    def _leave_out(self, number: int, what: str, why: str) -> None:
        if number > 0:
            self._unsaid[what, why] = self._unsaid.get((what, why), 0) + number
            self.left_out += number if what == "events" else 0

    def _say_left_out(self) -> None:
        for (what, why), number in self._unsaid.items():
            self._say(LeftOut(number, what, why))
        self._unsaid.clear()


def _without_hops(event: Event) -> Event:
    """As its sinks get it: how often it may be replied to is between Brokers."""
    return event.with_attributes(**{HOPS: None}) if HOPS in event.attributes else event


def _unknown(fired: list[Fired]) -> str:
    return next((who.unknown for who in fired if who.unknown), "")
