"""Where an event is stored: in a Broker's log, newest first, in its queues, among its dead letters; and its replies.

Reads in batches, with a bound, and says how far it has looked. Must not acknowledge, change or remove any.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from scaup.core.bus import deadletters, ranges
from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import Bus
from scaup.core.bus.deadletters import DeadLetter, Part
from scaup.core.bus.kv import NO_MESSAGE, STREAM_NOT_FOUND
from scaup.core.bus.ranges import History, LogEntry
from scaup.core.codec import bundle, kept, percent, stored
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.errors import BusRequestError
from scaup.core.model.event import Event
from scaup.core.model.names import BrokerUid, Lane, TriggerUid

_AT_ONCE: Final = 512
_SLACK: Final = timedelta(seconds=10)
"""By so much the clocks of the servers of a cluster may differ."""
_NONE: Final = 1 << 62
"""A sequence after every entry."""
_NOTHING: Final = History(1, 0, datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))
Looked = Callable[[int], None]
"""Called with the number of entries looked at so far."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The event that is looked for: by its id, and by source, place in the log and time where those are known."""

    id: str
    source: str | None = None
    sequence: int | None = None
    accepted: datetime | None = None

    def is_it(self, headers: dict[str, str], data: bytes = b"") -> Event | None:
        """The event of an entry with these headers, where it is the one; None otherwise."""
        try:
            if percent.decode(headers.get("ce-id", "").encode()) != self.id:
                return None
            event = stored.from_headers(headers, data)
        except ValueError:
            return None
        attributes = event.attributes
        is_it = attributes.get("id") == self.id and self.source in {None, attributes.get("source")}
        return event if is_it else None


@dataclass(frozen=True, slots=True)
class Queued:
    """An event that waits in the queue of a lane: an entry of its own, or one of several in it (``is_bundled``)."""

    lane: Lane
    facts: Facts
    event: Event
    is_bundled: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to the event, in the log: to which delivery (by the key of its Facts), of which Trigger, where."""

    key: str
    trigger: TriggerUid
    sequence: int
    id: str
    type: str


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What came of a look into a log: the entry, what the log holds, and whether nothing older is left to look at."""

    entry: LogEntry | None
    history: History
    is_whole: bool


async def in_log(bus: Bus, broker: BrokerUid, wanted: Wanted, limit: int, looked: Looked) -> LookedUp:
    """The newest entry that is the event, among the log's last ``limit`` entries. Raises BusError."""
    try:
        history = await ranges.history(bus, broker)
    except BusRequestError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise
        return LookedUp(None, _NOTHING, is_whole=True)  # it went with its Broker
    end, oldest = history.last, max(history.first, history.last - limit + 1)
    while end >= oldest:
        start = max(oldest, end - _AT_ONCE + 1)
        newest: LogEntry | None = None
        async for entry in between(bus, broker, start, end):
            if wanted.is_it(entry.headers) is not None:
                newest = entry
        if newest is not None:
            return LookedUp(newest, history, is_whole=True)
        end = start - 1
        looked(history.last - end)
    return LookedUp(None, history, is_whole=oldest <= history.first)


async def between(bus: Bus, broker: BrokerUid, start: int, upto: int) -> AsyncIterator[LogEntry]:
    """The entries of a range of the log, oldest first; no more than a batch of them in memory."""
    while start <= upto:
        batch = await ranges.read(bus, broker, start, upto)
        for entry in batch.entries:
            yield entry
        start = batch.following


async def in_queues(
    bus: Bus, broker: BrokerUid, wanted: Wanted, limit: int, looked: Looked
) -> tuple[list[Queued], bool]:
    """Where it waits, and whether all that waits was looked at: ``limit`` entries are. Raises BusError."""
    stream = names.queue_stream(broker)
    found: list[Queued] = []
    start, seen = await _first_since(bus, stream, wanted.accepted), 0
    while page := await stream_entries.page(bus, stream, ">", start, _AT_ONCE):
        for entry in page:
            lane = names.lane_of_subject(entry.subject)
            if lane is not None:
                found += _queued(lane, entry, wanted)
        start, seen = page[-1].sequence + 1, seen + len(page)
        looked(seen)
        if seen >= limit:
            return found, False
    return found, True


def _queued(lane: Lane, entry: stream_entries.StoredEntry, wanted: Wanted) -> list[Queued]:
    found: list[Queued] = []
    try:
        events = bundle.events(entry.subject, entry.headers, entry.data)
    except ValueError:
        return found
    for headers, data in events:
        if wanted.sequence is not None and headers.get(kept.SEQUENCE) != str(wanted.sequence):
            continue
        event = wanted.is_it(headers, data)
        if event is None:
            continue
        try:
            found.append(Queued(lane, kept.from_headers(headers), event, len(events) > 1))
        except ValueError:
            continue
    return found


async def in_dead_letters(bus: Bus, broker: BrokerUid, wanted: Wanted, looked: Looked) -> list[DeadLetter]:
    """Its dead letters that are kept, oldest first; where its place is known, those of its replies too."""
    found: list[DeadLetter] = []
    through, seen = await deadletters.last_sequence(bus, broker), 0
    start = await _first_since(bus, names.dead_stream(broker), wanted.accepted)
    async for page in deadletters.pages(bus, Part(broker, start, through), _AT_ONCE):
        for letter in page:
            is_of_it = wanted.sequence is not None and letter.facts.sequence == wanted.sequence
            if is_of_it or (wanted.sequence is None and wanted.is_it(letter.headers) is not None):
                found.append(letter)
        seen += len(page)
        looked(seen)
    return found


async def _first_since(bus: Bus, stream: str, moment: datetime | None) -> int:
    """The first entry of a stream that may be about an event accepted then: what is stored of it is stored later."""
    if moment is None:
        return 1
    at = (moment - _SLACK).astimezone(UTC).isoformat().replace("+00:00", "Z")
    try:
        answer = await bus.api(f"STREAM.MSG.GET.{stream}", {"start_time": at, "next_by_subj": ">"})
    except BusRequestError as error:
        if error.err_code not in {NO_MESSAGE, STREAM_NOT_FOUND}:
            raise
        return _NONE
    return int(answer["message"]["seq"])


async def replies(bus: Bus, broker: BrokerUid, sequence: int, limit: int) -> tuple[list[Reply], bool]:
    """The replies to the entry at ``sequence`` that the log has, and whether all later replies were looked at."""
    found: list[Reply] = []
    request = {"next_by_subj": names.reply_subject(broker), "batch": _AT_ONCE, "max_bytes": 4 << 20}
    start, seen = sequence + 1, 0
    while page := await ranges.direct_get(bus, names.log_stream(broker), request | {"seq": start}):
        for entry in page:
            answered = names.parse_reply_id(entry.headers.get("Nats-Msg-Id", ""))
            if answered is not None and answered[0].partition("-")[0] == str(sequence):
                attributes = stored.from_headers(entry.headers, b"").attributes
                key, trigger = answered
                reply = Reply(key, trigger, entry.sequence, attributes.get("id", ""), attributes.get("type", ""))
                found.append(reply)
        start, seen = page[-1].sequence + 1, seen + len(page)
        if seen >= limit:
            return found, False
    return found, True
