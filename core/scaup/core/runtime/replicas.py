"""Who is alive and how far: every replica of the data plane reports the one revision it has applied, under its name.

The controller makes a Trigger Ready when every live replica has its revision; dispatchers share the queues among
those that are alive. A replica that has not been heard of for ``LIVE_S`` is not alive.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import orjson

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import Bucket, Entry, Reloaded, dumps
from scaup.core.model.errors import BusError
from scaup.core.model.names import REPLICAS_BUCKET, replica_key
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.standstill import Standstill

HEARTBEAT_S: Final = 2.0
REPORT_PATIENCE_S: Final = 5.0
"""A replica whose reports were not stored for so long does not call itself ready."""
LIVE_S: Final = 6.5
_TTL_S: Final = 20.0
_LEAVE_S: Final = 1.0
_GATHER_S: Final = 0.02


@dataclass(slots=True)
class Replica:
    """One process of the data plane: its role, the revision it has applied, of which bucket, and when it was heard."""

    key: str
    revision: int
    created: str
    heard_at: float
    failing: dict[str, str] = field(default_factory=dict)
    """Triggers (by uid) whose filter cannot be evaluated for some events, and why: what filters report."""

    @property
    def role(self) -> str:
        """``ingress``, ``filter`` or ``dispatcher``."""
        return self.key.partition(".")[0]


async def report(
    bus: Bus,
    role: str,
    replica: str,
    definitions: Definitions,
    failing: Callable[[], dict[str, str]] = dict,
    standstill: Standstill | None = None,
) -> None:
    """Report this replica's revision every 2 s and soon after each change. Never ends.

    ``failing`` gives the Triggers whose filter keeps failing, by uid, with the reason. ``standstill`` hears whether
    JetStream stores the reports.
    """
    heard = standstill or Standstill(REPORT_PATIENCE_S)
    bucket = Bucket(bus, REPLICAS_BUCKET)
    key = replica_key(role, replica)
    changed = asyncio.Event()
    definitions.on_change(lambda _keys: changed.set())
    await definitions.loaded.wait()
    while True:
        changed.clear()
        value = dumps({"revision": definitions.revision, "created": definitions.created, "failing": failing()})
        try:
            await bucket.ensure(ttl_s=_TTL_S, description="revisions applied by the data plane")
            await bucket.put(key, value)
            heard.went_well()
        except BusError as error:
            why = f"JetStream stores nothing: {error}; look at the NATS server and its disk"
            heard.failed(asyncio.get_running_loop().time(), why)
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S):
                await changed.wait()
                await asyncio.sleep(_GATHER_S)  # one report for a burst of changes


async def leave(bus: Bus, role: str, replica: str) -> None:
    """Say that this replica is gone, so that nobody has to wait to find out."""
    with suppress(BusError, TimeoutError):
        async with asyncio.timeout(_LEAVE_S):  # a bus that says nothing must not use up the time to stop
            await Bucket(bus, REPLICAS_BUCKET).delete(replica_key(role, replica))


class Roster:
    """The live replicas, as heard of in the bucket."""

    def __init__(self) -> None:
        self.replicas: dict[str, Replica] = {}
        self.is_loaded = False

    async def follow(self, bus: Bus, changed: Callable[[], None]) -> None:
        """Keep up with the reports; ``changed`` is called after each. Never ends."""
        bucket = Bucket(bus, REPLICAS_BUCKET)
        with suppress(BusError):  # so that "nobody has reported" can be told from "not loaded"
            await bucket.ensure(ttl_s=_TTL_S, description="revisions applied by the data plane")
        async for change in bucket.watch():
            now = asyncio.get_running_loop().time()
            entries: Iterable[Entry] = change.entries.values() if isinstance(change, Reloaded) else (change,)
            for entry in entries:
                self._apply(entry, now)
            self.is_loaded = True
            changed()

    def live(self, role: str) -> list[Replica]:
        """The replicas of ``role`` that were heard of within ``LIVE_S``, by key."""
        oldest = asyncio.get_running_loop().time() - LIVE_S
        alive = (r for r in self.replicas.values() if r.role == role and r.heard_at >= oldest)
        return sorted(alive, key=lambda r: r.key)

    def _apply(self, entry: Entry, now: float) -> None:
        if entry.value is None:
            self.replicas.pop(entry.key, None)
            return
        value = orjson.loads(entry.value)
        self.replicas[entry.key] = Replica(
            entry.key, value["revision"], value.get("created", ""), now, value.get("failing", {})
        )


def owner(uid: str, candidates: Iterable[str]) -> str | None:
    """Which of ``candidates`` owns ``uid``: rendezvous hashing, so a change moves only what it must."""
    return max(candidates, key=lambda name: hashlib.blake2b(f"{name}/{uid}".encode()).digest(), default=None)
