"""Reading the dead letters that are kept: the newest entries of a Broker's stream, as events with their fate.

Responsible for the form in which they are stored. Must not change or remove any.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import Bus
from scaup.core.bus.entries import StoredEntry
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.bus.topology import DELETED_AT
from scaup.core.codec import kept, stored
from scaup.core.model.errors import BusRequestError
from scaup.core.model.event import Event
from scaup.core.model.names import (
    DEAD_SUBJECTS,
    BrokerUid,
    TriggerUid,
    dead_stream,
    parse_stream,
    trigger_of_dead_subject,
)

_AT_ONCE: Final = 64


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
    )


def _facts(headers: dict[str, str]) -> kept.Facts:
    try:
        return kept.from_headers(headers)
    except ValueError:  # whoever wrote it, it is there and is shown
        return kept.Facts(sequence=0)
