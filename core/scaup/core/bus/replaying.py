"""Sending history to one Trigger again: read a range of the log, ask who wants it, queue what this Trigger wants.

Nothing of it is seen by the dispatchers but entries in the lane's queue, never more than ``AHEAD`` at a time. Must not
choose the range, nor wait for what becomes of the events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import orjson

from scaup.core.bus import ranges
from scaup.core.bus.acked import Stored
from scaup.core.bus.asking import ask
from scaup.core.bus.client import Entry, header_lines
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import STREAM_NOT_FOUND, Bucket
from scaup.core.bus.ranges import LogEntry
from scaup.core.bus.replays import queue_headers
from scaup.core.bus.waiting import LaneRoom
from scaup.core.codec import kept, stored
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.definitions import TriggerDefinition, trigger_from_json
from scaup.core.model.errors import BusError, BusRequestError, BusUnavailableError, EventTooLargeError, ScaupError
from scaup.core.model.matching import MatchAnswer, Question
from scaup.core.model.names import DEFINITIONS_BUCKET, BrokerUid, Lane, TriggerUid
from scaup.core.model.pace import Pace

AHEAD: Final = 4096
"""Replayed events go on being queued while fewer than this wait in the lane, whoever queued them."""
PATIENCE_S: Final = 30.0
"""A bus or filter that is away for so long ends the replay where it is."""
_PAUSE_S: Final = 0.2
_MISSED: Final = 5
"""A log that is not found so often in a row is gone: one that just starts may not be there at once."""
_WRITE: Final = 128
_STEP_S: Final = 0.1
_QUESTION: Final = 256
_QUESTION_BYTES: Final = 256 << 10
_T = TypeVar("_T")


class ReplayError(ScaupError):
    """The replay cannot go on, and trying again as it is will not help."""

    code = "replay"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a replay sends: the same however often it is gone on with.

    The range is of sequences of the Broker's log, both ends included; ``limit`` 0 is none. ``id``: letters and digits.
    """

    id: str
    broker: BrokerUid
    trigger: TriggerUid
    first: int
    upto: int
    event_id: str = ""
    source: str = ""
    limit: int = 0


@dataclass(slots=True)
class Progress:
    """How far a replay is: all before ``following`` is done."""

    following: int
    queued: int = 0
    looked_at: int = 0
    missing: int = 0
    """Entries of the range that were trimmed before they were read."""
    too_large: int = 0
    """Events that leave no room for the facts of a delivery."""


class Replay:
    """One replay, worked by ``run``. ``progress`` is what was done, at any moment."""

    def __init__(
        self, bus: Bus, wanted: Wanted, progress: Progress, *, rate: float = 0.0, dry: bool = False, ahead: int = AHEAD
    ) -> None:
        """``rate``: at most so many events a second are queued (0: any number), and none while ``ahead`` wait.

        ``dry`` counts, and queues nothing.
        """
        self.bus = bus
        self.wanted = wanted
        self.progress = progress
        self.stopping = asyncio.Event()
        self._why_stopped: ScaupError | None = None
        self._lane = Lane(wanted.broker, wanted.trigger)
        self._room = LaneRoom(bus, self._lane, ahead)
        self._pace = Pace(rate) if rate else None
        self._at_once = max(min(_WRITE, int(rate * _STEP_S)), 1) if rate else _WRITE
        self._dry = dry
        self._known: Known | None = None
        self._set_aside: set[int] = set()
        self._sends_data = False

    def stop(self, why: ScaupError | None = None) -> None:
        """End ``run`` after the write under way; it raises ``why`` then."""
        self._why_stopped = self._why_stopped or why
        self.stopping.set()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        limit = self.wanted.limit
        return self.progress.following > self.wanted.upto or bool(limit and self.progress.queued >= limit)

    async def run(self) -> None:
        """Work until all is queued, or ``stop`` was called.

        Raises ReplayError where the Trigger or Broker is gone, BusError where bus or filter are away for long:
        ``progress`` says then from where to go on.
        """
        self._known = await self._insist(self._look_up)
        self._set_aside = await self._insist(lambda: set_aside(self.bus, self.wanted.broker))
        if self.is_done:
            return
        ahead = asyncio.create_task(self._read(self.progress.following))
        try:
            while not self.is_done and not self.stopping.is_set():
                batch = await ahead
                if batch.following <= self.wanted.upto:
                    ahead = asyncio.create_task(self._read(batch.following))
                self.progress.missing += batch.missing
                if batch.entries:
                    self.progress.following = batch.entries[0].sequence
                    await self._send(batch.entries)
                if not self.stopping.is_set() and not self.is_done:
                    self.progress.following = batch.following
        finally:
            ahead.cancel()
            with suppress(asyncio.CancelledError, ScaupError):
                await ahead
        if self._why_stopped is not None:
            raise self._why_stopped

    async def _read(self, start: int) -> ranges.Batch:
        return await self._insist(lambda: ranges.read(self.bus, self.wanted.broker, start, self.wanted.upto))

    async def _send(self, entries: list[LogEntry]) -> None:
        """Queue what is wanted of these, write by write; ``following`` stands after the last that was worked."""
        any_wanted = False
        async for asked, left in self._chosen(entries):
            found = left
            any_wanted = any_wanted or bool(found)
            while found and not self.is_done:
                if not await self._may_go_on():
                    return
                number = min(self._at_once, len(found), self._left())
                if not self._dry:
                    number = min(number, self._room.left)
                if self._pace is not None:
                    await self._pause(self._pace.take(asyncio.get_running_loop().time(), number))
                    if self.stopping.is_set():
                        return
                share, found = found[:number], found[number:]
                if not self._dry:
                    await self._queue(share)
                self.progress.queued += len(share)
                self._moved(share[-1].sequence + 1, entries)
            if self.is_done or self.stopping.is_set():
                return
            self._moved(asked, entries)
        if not any_wanted:
            await self._insist(self._look_up)

    def _moved(self, following: int, entries: list[LogEntry]) -> None:
        before, self.progress.following = self.progress.following, following
        self.progress.looked_at += sum(before <= entry.sequence < following for entry in entries)

    def _left(self) -> int:
        return self.wanted.limit - self.progress.queued if self.wanted.limit else _WRITE

    async def _may_go_on(self) -> bool:
        """Wait for room in the lane; False where ``stopping`` was set."""
        while not self.stopping.is_set():
            if self._dry or await self._insist(self._room.has_some):
                return True
            await self._insist(self._look_up)
            await self._pause(self._room.pause_s)
        return False

    async def _pause(self, seconds: float) -> None:
        """Wait, or less where ``stopping`` is set."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.stopping.wait()

    async def _chosen(self, entries: list[LogEntry]) -> AsyncIterator[tuple[int, list[LogEntry]]]:
        """Of the entries those that the Trigger wants, and the sequence up to which that is known, bit by bit."""
        pending = list(entries)
        while pending:
            question, events = self._question(pending)
            answer = await self._insist(lambda: self._ask(question, events)) if events else None  # noqa: B023
            if answer is not None and answer.wants_data != self._sends_data:
                self._sends_data = answer.wants_data
                if self._sends_data:  # again, in questions that leave room for the data
                    continue
            pending = pending[len(question) :]
            yield question[-1].sequence + 1, [] if answer is None else self._of_trigger(answer, events)

    def _question(self, pending: list[LogEntry]) -> tuple[list[LogEntry], list[tuple[LogEntry, dict[str, str]]]]:
        """The entries that one question is about, and the events of those that are asked for."""
        size = 0
        taken: list[LogEntry] = []
        events: list[tuple[LogEntry, dict[str, str]]] = []
        for entry in pending:
            attributes = self._attributes(entry)
            if attributes is not None:
                size += sum(map(len, attributes.values())) + (len(entry.data) if self._sends_data else 0)
                if events and (len(events) >= _QUESTION or size > _QUESTION_BYTES):
                    break
                events.append((entry, attributes))
            taken.append(entry)
        return taken, events

    def _attributes(self, entry: LogEntry) -> dict[str, str] | None:
        """Of the event; None where it is not asked for, or must not be, or is none (somebody else wrote it)."""
        wanted = self.wanted
        if entry.sequence in self._set_aside:
            return None
        try:
            attributes = stored.from_headers(entry.headers, b"").attributes
        except ValueError:
            return None
        asked = {"id": wanted.event_id, "source": wanted.source}
        return None if any(value and attributes.get(name) != value for name, value in asked.items()) else attributes

    async def _ask(self, question: list[LogEntry], events: list[tuple[LogEntry, dict[str, str]]]) -> MatchAnswer:
        revision, created = (self._known.revision, self._known.created) if self._known else (0, "")
        data = [entry.data for entry, _ in events] if self._sends_data else None
        try:
            asked = Question([attributes for _, attributes in events], revision, created, data)
            return await ask(self.bus, self.wanted.broker, asked)
        except BusUnavailableError as error:
            where = f"events {question[0].sequence} to {question[-1].sequence}"
            raise BusUnavailableError(f"no filter says who wants {where}: {error}") from error

    def _of_trigger(self, answer: MatchAnswer, events: list[tuple[LogEntry, dict[str, str]]]) -> list[LogEntry]:
        positions = {place for place, (uid, _) in enumerate(answer.triggers) if uid == self.wanted.trigger}
        matched = zip(events, answer.events, strict=True)
        return [entry for (entry, _), found in matched if not positions.isdisjoint(found)]

    async def _queue(self, share: Iterable[LogEntry]) -> None:
        """All of these into the lane's queue, in one write, and again those that were not stored."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        left = [self._entry(entry, at) for entry in share]

        async def store() -> None:
            nonlocal left
            results = await self.bus.acked.store_all(left)
            self._room.add(sum(isinstance(result, Stored) for result in results))
            self.progress.too_large += sum(isinstance(result, EventTooLargeError) for result in results)
            left = [entry for entry, result in zip(left, results, strict=True) if isinstance(result, BusError)]
            if why := next((result for result in results if isinstance(result, BusError)), None):
                raise why

        await self._insist(store)
        await self.bus.publish(names.parked_hint(self._lane))

    def _entry(self, entry: LogEntry, at: str) -> Entry:
        facts = Facts(entry.sequence, entry.accepted, replay=kept.Replay(self.wanted.id, at))
        headers = queue_headers(self._lane, entry.headers, facts)
        return names.queue_subject(self._lane), header_lines(headers), entry.data

    async def _look_up(self) -> Known:
        return await look_up(self.bus, self.wanted.trigger)

    async def _insist(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do it, and again while the bus or the filter is away; BusError where that lasts."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        missed = 0
        while True:
            try:
                return await work()
            except BusError:
                missed = missed + 1 if await self._misses_log() else 0
                if missed > _MISSED:
                    raise ReplayError("the Broker of this Trigger is no more") from None
                if loop.time() > until or self.stopping.is_set():
                    raise
                await asyncio.sleep(_PAUSE_S)

    async def _misses_log(self) -> bool:
        """Whether the Broker's log is not there, for sure at this moment."""
        try:
            await self.bus.api(f"STREAM.INFO.{names.log_stream(self.wanted.broker)}")
        except BusError as error:
            return isinstance(error, BusRequestError) and error.err_code == STREAM_NOT_FOUND
        return False


@dataclass(frozen=True, slots=True)
class Known:
    """A Trigger as the data plane has it, at ``revision`` of the bucket of definitions that was made at ``created``."""

    trigger: TriggerDefinition
    revision: int
    created: str


async def set_aside(bus: Bus, broker: BrokerUid) -> set[int]:
    """Sequences of events that filters did not survive being asked about: they are kept as nobody's dead letters."""
    stream, start = names.dead_stream(broker), 1
    found: set[int] = set()
    request = {"next_by_subj": names.dead_subject(broker, None), "batch": _QUESTION, "max_bytes": 4 << 20}
    while came := await ranges.direct_get(bus, stream, request | {"seq": start}):
        found |= {int(entry.headers[kept.SEQUENCE]) for entry in came if kept.SEQUENCE in entry.headers}
        start = came[-1].sequence + 1
    return found


async def look_up(bus: Bus, trigger: TriggerUid) -> Known:
    """What the data plane knows of a Trigger; ReplayError where no event would match it. Raises BusError."""
    bucket = Bucket(bus, DEFINITIONS_BUCKET)
    try:
        created = str((await bus.api(f"STREAM.INFO.{bucket.stream}"))["created"])
        found = await bucket.get(names.trigger_key(trigger))
    except BusRequestError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise
        found = None
    if found is None or found.value is None:
        raise ReplayError("the data plane does not know the Trigger: it is deleted, or was never Ready")
    definition = trigger_from_json(orjson.loads(found.value))
    if not definition.matching:
        raise ReplayError("the filters of the Trigger did not pass their check: no event matches it")
    return Known(definition, found.revision, created)
