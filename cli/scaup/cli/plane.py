"""The data plane as it is now, read once from its buckets: the definitions in effect, and which replicas report.

For commands that look at what runs. Must not change any of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import Bus
from scaup.core.bus.gathering import PATIENCE_S, gather
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.model import names
from scaup.core.model.definitions import (
    AddressBookEntry,
    BrokerDefinition,
    TriggerDefinition,
    address_from_json,
    broker_from_json,
    trigger_from_json,
)
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.core.model.trail import Told
from scaup.core.runtime.replicas import LIVE_S

_PAGE: Final = 512


@dataclass(slots=True)
class Snapshot:
    """What the controller tells the data plane. ``revision`` is that of the last change, 0 without a bucket."""

    brokers: dict[BrokerUid, BrokerDefinition] = field(default_factory=dict)
    triggers: dict[TriggerUid, TriggerDefinition] = field(default_factory=dict)
    address_book: dict[str, AddressBookEntry] = field(default_factory=dict)
    revision: int = 0
    created: str = ""


async def snapshot(bus: Bus) -> Snapshot:
    """The definitions in effect now. Raises BusError."""
    found = Snapshot()
    entries, found.created = await _bucket(bus, names.DEFINITIONS_BUCKET)
    for key, (value, revision, _) in entries.items():
        found.revision = max(found.revision, revision)
        if value is None:
            continue
        if key.startswith("broker."):
            broker = broker_from_json(orjson.loads(value))
            found.brokers[broker.uid] = broker
        elif key.startswith("trigger."):
            trigger = trigger_from_json(orjson.loads(value))
            found.triggers[trigger.uid] = trigger
        elif key.startswith("address/"):
            found.address_book[key] = address_from_json(orjson.loads(value))
    return found


async def replicas(bus: Bus, now: datetime) -> dict[str, dict[str, Any]]:
    """What each live replica reports, by its key (``dispatcher.name``). ``now`` is the server's time."""
    entries, _ = await _bucket(bus, names.REPLICAS_BUCKET)
    return {
        key: orjson.loads(value)
        for key, (value, _, stored_at) in entries.items()
        if value is not None and (now - datetime.fromisoformat(stored_at)).total_seconds() < LIVE_S
    }


async def ask_dispatchers(bus: Bus, broker: BrokerUid, sequence: int, expected: int) -> list[Told]:
    """What dispatchers know of an entry of a Broker's log (0: of none), those that answer in half a second."""
    told: list[Told] = []
    question = orjson.dumps({"sequence": sequence})
    for answer in await gather(bus, names.trail_subject(broker), question, expected, PATIENCE_S):
        try:
            told.append(Told.from_bytes(answer))
        except (ValueError, KeyError, TypeError):
            continue
    return sorted(told, key=lambda one: one.replica)


def silent(live: Iterable[str], told: Iterable[Told]) -> list[str]:
    """The dispatchers among the ``live`` replicas that did not say anything, by the names they report under."""
    heard = {names.replica_key("dispatcher", one.replica) for one in told}
    every = (key for key in live if key.startswith("dispatcher."))
    return sorted(key.partition(".")[2] for key in every if key not in heard)


async def server_now(bus: Bus) -> datetime:
    """The time by the server's clock."""
    try:
        info: Mapping[str, Any] = await bus.api(f"STREAM.INFO.KV_{names.DEFINITIONS_BUCKET}")
    except BusRequestError:
        return datetime.now(UTC)
    return datetime.fromisoformat(info["ts"])


async def _bucket(bus: Bus, name: str) -> tuple[dict[str, tuple[bytes | None, int, str]], str]:
    """Value (None: deleted), revision and time of every key, and when the bucket was made; empty where it is not."""
    stream = f"KV_{name}"
    try:
        created = str((await bus.api(f"STREAM.INFO.{stream}"))["created"])
    except BusRequestError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise
        return {}, ""
    prefix, start = f"$KV.{name}.", 1
    found: dict[str, tuple[bytes | None, int, str]] = {}
    while page := await stream_entries.page(bus, stream, prefix + ">", start, _PAGE):
        for entry in page:
            value = None if "KV-Operation" in entry.headers else entry.data
            found[entry.subject.removeprefix(prefix)] = (value, entry.sequence, entry.stored_at)
        start = page[-1].sequence + 1
    return found, created
