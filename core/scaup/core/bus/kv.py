"""Key-value buckets, compatible with every NATS client's: put, get, and a watch that cannot go blind.

The watch is our own: nats-py's was blind for 17 s after its server was killed, and for ever after a bucket was made
anew. Ours starts over from the beginning at every return of the connection, after every gap and every silence, and
hands out what it then finds as *one* complete state.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from nats.aio.msg import Msg

from scaup.core.bus.connection import Bus
from scaup.core.model.errors import BusError, BusRequestError

log = structlog.get_logger()

_HEARTBEAT_S: Final = 3.0
_SILENCE_S: Final = 2.5 * _HEARTBEAT_S
_RETRY_S: Final = 0.2
_NS: Final = 1_000_000_000

NO_MESSAGE: Final = 10037
ENTRY_GONE: Final = frozenset({NO_MESSAGE, 10043, 10057})
"""What JetStream says of an entry to be deleted that is not there (any more)."""
WRONG_LAST_SEQUENCE: Final = 10071
STREAM_NOT_FOUND: Final = 10059
STREAM_EXISTS: Final = 10058

Fence = tuple[str, int]
"""Another key and its revision: a write is taken only while that key's last revision is that."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value, or the mark of its deletion (``value`` is None), at its revision in the bucket."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The whole bucket: everything that is in it at ``revision``. Comes first, and again after every interruption.

    ``created`` is when the bucket was made: another value than before means it was lost and made anew.
    """

    entries: dict[str, Entry]
    revision: int
    created: str


class Bucket:
    """One bucket. ``name`` as users know it; its stream is ``KV_{name}``."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self.name = name
        self.stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def ensure(self, *, ttl_s: float = 0, replicas: int = 1, description: str = "") -> None:
        """Make the bucket where it is missing; leave it as it is where it is not. History 1, on disk."""
        config = {
            "name": self.stream,
            "description": description,
            "subjects": [self._prefix + ">"],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_bytes": -1,
            "max_msgs": -1,
            "max_age": int(ttl_s * _NS),
            "duplicate_window": int(min(ttl_s or 120, 120) * _NS),
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "num_replicas": replicas,
        }
        try:
            await self._bus.api(f"STREAM.INFO.{self.stream}")
        except BusRequestError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            try:
                await self._bus.api(f"STREAM.CREATE.{self.stream}", config)
            except BusRequestError as raced:
                if raced.err_code != STREAM_EXISTS:
                    raise

    async def keep_on(self, replicas: int) -> None:
        """Keep the bucket, where it is, on at least so many servers. BusRequestError where NATS has not as many."""
        try:
            present = (await self._bus.api(f"STREAM.INFO.{self.stream}"))["config"]
        except BusRequestError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            return
        if present["num_replicas"] < replicas:
            await self._bus.api(f"STREAM.UPDATE.{self.stream}", present | {"num_replicas": replicas})

    async def put(self, key: str, value: bytes, *, expected: int | None = None, fence: Fence | None = None) -> int:
        """Store a value and give back its revision.

        With ``expected`` only if the key's last revision is that (0: the key has never been, or was purged), with
        ``fence`` only if another key's is; BusRequestError with ``err_code`` WRONG_LAST_SEQUENCE otherwise.
        """
        headers = self._conditions(expected, fence)
        return (await self._bus.acked.store(self._prefix + key, value, headers or None)).sequence

    async def delete(self, key: str, *, expected: int | None = None, fence: Fence | None = None) -> int:
        """Store the mark of a deletion and give back its revision. Watchers see it; the old value is gone."""
        headers = {"KV-Operation": "DEL", **self._conditions(expected, fence)}
        return (await self._bus.acked.store(self._prefix + key, b"", headers)).sequence

    def _conditions(self, expected: int | None, fence: Fence | None) -> dict[str, str]:
        if fence is not None:
            return {
                "Nats-Expected-Last-Subject-Sequence": str(fence[1]),
                "Nats-Expected-Last-Subject-Sequence-Subject": self._prefix + fence[0],
            }
        return {} if expected is None else {"Nats-Expected-Last-Subject-Sequence": str(expected)}

    async def purge(self, key: str, *, through: int | None = None) -> None:
        """Remove every trace of a key, the mark of its deletion included. Watchers do not see it.

        With ``through`` only up to that revision: what was put since stays, whichever comes first.
        """
        request: dict[str, Any] = {"filter": self._prefix + key}
        if through is not None:
            request["seq"] = through + 1  # JetStream purges what is below
        await self._bus.api(f"STREAM.PURGE.{self.stream}", request)

    async def get(self, key: str) -> Entry | None:
        """The last value of a key; None where it was never put, or was deleted."""
        try:
            answer = await self._bus.api(f"STREAM.MSG.GET.{self.stream}", {"last_by_subj": self._prefix + key})
        except BusRequestError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        if b"KV-Operation" in base64.b64decode(message.get("hdrs", "")):
            return None
        return Entry(key, base64.b64decode(message.get("data", "")), message["seq"])

    async def watch(self) -> AsyncIterator[Reloaded | Entry]:
        """The bucket now, then every change in order; after an interruption the bucket whole again. Never ends.

        While the bucket or the bus is away it waits and tries again every 0.2 s.
        """
        while True:
            try:
                async for change in _Watch(self._bus, self.stream, self._prefix).run():
                    yield change
            except BusError as error:
                log.debug("kv.watch_waits", bucket=self.name, why=str(error))
                await asyncio.sleep(_RETRY_S)


class _Interruption(Exception):  # noqa: N818 - not an error: the watch starts over
    pass


class _Idle(Exception):  # noqa: N818 - not an error: the server has nothing more to send
    pass


class _Watch:
    """One run of a watch, from its consumer's making until the first doubt that it still hears everything."""

    def __init__(self, bus: Bus, stream: str, prefix: str) -> None:
        self._bus = bus
        self._stream = stream
        self._prefix = prefix
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._expected = 1

    async def run(self) -> AsyncIterator[Reloaded | Entry]:
        inbox = self._bus.client.new_inbox()
        end_subscription = await self._bus.subscribe(inbox, self._received)
        end_change = self._bus.on_change(lambda _: self._queue.put_nowait(None))
        consumer = ""
        try:
            created = (await self._bus.api(f"STREAM.INFO.{self._stream}"))["created"]
            info = await self._make_consumer(inbox)
            consumer = info["name"]
            pending = info["num_pending"]
            revision = info["delivered"]["stream_seq"]
            entries: dict[str, Entry] = {}
            while pending:
                try:
                    entry, pending = await self._next(loading=True)
                except _Idle:  # what was counted and did not come was purged meanwhile
                    break
                entries[entry.key] = entry
                revision = entry.revision
            yield Reloaded(entries, revision, created)
            while True:
                entry, _ = await self._next()
                yield entry
        except _Interruption:
            return
        finally:
            end_change()
            await end_subscription()
            if consumer and self._bus.is_connected:
                await self._bus.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{consumer}")

    async def _received(self, msg: Msg) -> None:
        self._queue.put_nowait(msg)

    async def _make_consumer(self, inbox: str) -> dict[str, Any]:
        config = {
            "deliver_subject": inbox,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._prefix + ">",
            "idle_heartbeat": int(_HEARTBEAT_S * _NS),
            "inactive_threshold": 30 * _NS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        request = {"stream_name": self._stream, "config": config}
        return await self._bus.api(f"CONSUMER.CREATE.{self._stream}", request)

    async def _next(self, *, loading: bool = False) -> tuple[Entry, int]:
        """The next entry and how many are still to come; _Interruption on a gap, a silence or a lost connection.

        While ``loading``, a heartbeat ends the wait with _Idle.
        """
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    msg = await self._queue.get()
            except TimeoutError:
                raise _Interruption from None
            if msg is None:
                raise _Interruption
            headers = msg.headers or {}
            if status := headers.get("Status"):
                last = headers.get("Nats-Last-Consumer")
                if status != "100" or (last is not None and int(last) >= self._expected):
                    raise _Interruption
                if loading and last is not None:
                    raise _Idle
                continue
            metadata = Metadata.parse(msg.reply)
            if metadata.consumer_sequence != self._expected:
                raise _Interruption
            self._expected += 1
            deleted = headers.get("KV-Operation") in {"DEL", "PURGE"}
            key = msg.subject[len(self._prefix) :]
            return Entry(key, None if deleted else msg.data, metadata.sequence), metadata.pending


@dataclass(frozen=True, slots=True)
class Metadata:
    """What JetStream says about a delivered message, in the subject for its acknowledgement."""

    delivered: int
    sequence: int
    consumer_sequence: int
    stored_ns: int
    pending: int

    @classmethod
    def parse(cls, reply: str) -> Metadata:
        """Take a ``$JS.ACK.…`` subject apart, of 9 tokens, or of 11 and more (with domain and account)."""
        parts = reply.split(".")
        start = 4 if len(parts) == 9 else 6
        return cls(*(int(part) for part in parts[start : start + 5]))


def dumps(value: Any) -> bytes:
    """JSON as it is stored in buckets: compact, keys sorted, so that equal values are equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
