"""The dead letters that are kept: entries of a Broker's stream, as events with their fate.

Responsible for the form in which they are stored. Removes only what it is told to, by sequence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import Bus
from scaup.core.bus.entries import StoredEntry
from scaup.core.bus.kv import ENTRY_GONE, STREAM_NOT_FOUND
from scaup.core.bus.topology import DELETED_AT
from scaup.core.codec import kept, stored
from scaup.core.model.errors import BusRequestError
from scaup.core.model.event import Event
from scaup.core.model.names import (
    DEAD_SUBJECTS,
    BrokerUid,
    TriggerUid,
    dead_stream,
    dead_subject,
    dead_subjects,
    parse_stream,
    queue_stream,
    trigger_of_dead_subject,
    waiting_subjects,
)

_AT_ONCE: Final = 64
_GONE: Final = ENTRY_GONE | {STREAM_NOT_FOUND}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that was given up for one Trigger, or (``trigger`` None) before it was known who wants it.

    ``trigger_name`` is ``namespace/name``; times are RFC 3339 text.
    """

    sequence: int
    broker: BrokerUid
    trigger: TriggerUid | None
    trigger_name: str
    stored_at: str
    facts: kept.Facts
    event: Event
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """As the stream has them."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """A stream of dead letters, and whose they are. ``deleted_at`` (RFC 3339) where that Broker is no more."""

    broker: BrokerUid
    namespace: str
    name: str
    deleted_at: str | None
    config: dict[str, Any]
    """As JetStream has it."""


async def keepings(bus: Bus) -> list[Keeping]:
    """Every stream of dead letters there is. Raises BusError where nobody answers."""
    found: list[Keeping] = []
    offset = total = 0
    while not offset or offset < total:
        page = await bus.api("STREAM.LIST", {"subject": DEAD_SUBJECTS, "offset": offset}, timeout=15)
        streams = page.get("streams") or []
        for config in (stream["config"] for stream in streams):
            if (ours := parse_stream(config["name"])) is not None:
                metadata = config.get("metadata") or {}
                namespace, name = metadata.get("scaup.dev/namespace", ""), metadata.get("scaup.dev/broker", "")
                found.append(Keeping(ours[1], namespace, name, metadata.get(DELETED_AT), config))
        offset, total = offset + len(streams), page.get("total", 0)
        if not streams:
            break
    return found


async def read(bus: Bus, broker: BrokerUid, limit: int = 1000) -> list[DeadLetter]:
    """The newest ``limit`` dead letters of a Broker, oldest first; none where its stream is not there.

    Raises BusUnavailableError where nobody answers.
    """
    stream = dead_stream(broker)
    try:
        state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
    except BusRequestError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return []
        raise
    first, last = state["first_seq"], state["last_seq"]
    if not state["messages"]:
        return []
    found: list[DeadLetter] = []
    end = last
    while end >= first and len(found) < limit:  # backwards, so that gaps do not cost any of the newest
        start = max(first, end - _AT_ONCE + 1)
        entries = await asyncio.gather(
            *(stream_entries.get(bus, stream, sequence) for sequence in range(start, end + 1))
        )
        found = [_dead_letter(broker, entry) for entry in entries if entry is not None] + found
        end = start - 1
    return found[-limit:]


def _dead_letter(broker: BrokerUid, entry: StoredEntry) -> DeadLetter:
    return DeadLetter(
        sequence=entry.sequence,
        broker=broker,
        trigger=trigger_of_dead_subject(entry.subject),
        trigger_name=entry.headers.get(kept.TRIGGER, ""),
        stored_at=entry.stored_at,
        facts=_facts(entry.headers),
        event=stored.from_headers(entry.headers, entry.data),
        headers=entry.headers,
    )


async def last_sequence(bus: Bus, broker: BrokerUid) -> int:
    """Of a Broker's dead letters; 0 where none was ever kept. Later ones have higher numbers."""
    try:
        return int((await bus.api(f"STREAM.INFO.{dead_stream(broker)}"))["state"]["last_seq"])
    except BusRequestError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return 0
        raise


async def one(bus: Bus, broker: BrokerUid, sequence: int) -> DeadLetter | None:
    """The dead letter with this sequence; None where it is not there (any more)."""
    entry = await stream_entries.get(bus, dead_stream(broker), sequence)
    return None if entry is None else _dead_letter(broker, entry)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a Broker's dead letters: from sequence ``start`` through ``through``, of ``trigger`` or of all."""

    broker: BrokerUid
    start: int
    through: int
    trigger: TriggerUid | None = None


async def page(bus: Bus, part: Part, count: int) -> list[DeadLetter]:
    """The first ``count`` dead letters of a part at most, oldest first; none where there are none left in it."""
    subjects = dead_subjects(part.broker) if part.trigger is None else dead_subject(part.broker, part.trigger)
    entries = await stream_entries.page(bus, dead_stream(part.broker), subjects, part.start, count)
    return [_dead_letter(part.broker, entry) for entry in entries if entry.sequence <= part.through]


async def pages(bus: Bus, part: Part, count: int = 256) -> AsyncIterator[list[DeadLetter]]:
    """All of a part, oldest first, page by page; never more than a page in memory."""
    while found := await page(bus, part, count):
        yield found
        part = Part(part.broker, found[-1].sequence + 1, part.through, part.trigger)


async def remove(bus: Bus, broker: BrokerUid, sequences: Sequence[int]) -> int:
    """Remove these and no others; how many were still there."""

    async def gone(sequence: int) -> bool:
        try:
            await bus.api(f"STREAM.MSG.DELETE.{dead_stream(broker)}", {"seq": sequence, "no_erase": True})
        except BusRequestError as error:
            if error.err_code not in _GONE:
                raise
            return False
        return True

    removed = 0
    for first in range(0, len(sequences), _AT_ONCE):
        removed += sum(await asyncio.gather(*map(gone, sequences[first : first + _AT_ONCE])))
    return removed


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the queues of a Trigger: how many entries, and which dead letters are among them as replays."""

    entries: int
    letters: frozenset[int]


async def waiting(bus: Bus, broker: BrokerUid, trigger: TriggerUid) -> Waiting:
    """Everything that waits for a Trigger, or for its dead letter sink, or is on its way to one."""
    start, number = 1, 0
    letters: set[int] = set()
    subjects = waiting_subjects(broker, trigger)
    while found := await stream_entries.page(bus, queue_stream(broker), subjects, start, 512):
        number += len(found)
        letters |= {int(entry.headers[kept.DEAD_LETTER]) for entry in found if kept.DEAD_LETTER in entry.headers}
        start = found[-1].sequence + 1
    return Waiting(number, frozenset(letters))


def _facts(headers: dict[str, str]) -> kept.Facts:
    try:
        return kept.from_headers(headers)
    except ValueError:  # whoever wrote it, it is there and is shown
        return kept.Facts(sequence=0)
