"""The snapshot in the bucket ``definitions``: what is there, what shall be there, and the writes between the two.

Holds a mirror of the bucket, so that only differences are written, also after a restart, a lost connection or a bucket
made anew. Must not know what definitions mean; they come as bytes under keys.

Only one controller's writes are taken: each writes under the condition that the key ``writer`` is still its own, which
NATS checks. Who begins to write changes that key, so a former writer's last word, however late it comes, is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
import structlog

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import WRONG_LAST_SEQUENCE, Bucket, Entry, Fence, Reloaded, dumps
from scaup.core.model.definitions import Complete, to_json
from scaup.core.model.errors import BusError, BusRequestError, BusUnavailableError, ScaupError
from scaup.core.model.names import COMPLETE_KEY, DEFINITIONS_BUCKET, WRITER_KEY

log = structlog.get_logger()

_PUT_ORDER: Final = ("address/", "broker.", "trigger.")
"""What is referred to comes before what refers to it; removed in the opposite order."""
_IN_FLIGHT: Final = 256
_ENSURE_EVERY_S: Final = 5.0
_MARKS_KEPT: Final = 1_000
_MARK_KEPT_S: Final = 600.0
"""Marks of deletion tell watchers what is gone, so none goes before everybody has had the time to see it. Older ones
go when there are many: who has been away for so long loads the whole bucket, and the counts say that it is whole."""
_FORGET_AT_ONCE: Final = 100
_BUSY: Final = 10164
"""What a stream on several servers says while it still checks another write under the same condition."""


class SupersededError(BusError):
    """Another controller writes by now, or this one has not begun to: nothing was written."""

    code = "bus.superseded"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes the snapshot, and the Kubernetes API (its identity) that it is made from; empty: not known."""

    epoch: int
    holder: str
    cluster: str


class Snapshot:
    """The bucket as it is.

    ``created`` is when it was made; another value means that it was lost and made anew. ``found_at`` is the revision
    at which this process found it: what is newer is our own writing.
    """

    def __init__(self, bus: Bus, changed: Callable[[], None]) -> None:
        self._bucket = Bucket(bus, DEFINITIONS_BUCKET)
        self._bus = bus
        self._changed = changed
        self._entries: dict[str, Entry] = {}
        self._marked_at: dict[str, float] = {}
        self._missing = asyncio.Event()
        self._made_anew = asyncio.Event()
        self._fence: int | None = None
        self._in_flight = _IN_FLIGHT
        self._gate = asyncio.Semaphore(_IN_FLIGHT)
        self.created = ""
        self.is_loaded = False
        self.found_at = 0

    async def follow(self) -> None:
        """Keep the mirror, and the bucket in being. Never ends."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_in_being(), name="definitions-ensure")
            while True:
                watching = tasks.create_task(self._watch(), name="definitions-watch")
                await self._made_anew.wait()
                self._made_anew.clear()
                watching.cancel()

    def revision(self, key: str) -> int | None:
        """The revision at which the present value of ``key`` was written; None where it has none."""
        entry = self._entries.get(key)
        return entry.revision if entry is not None and entry.value is not None else None

    def value(self, key: str) -> bytes | None:
        """What ``key`` has now; None where it has none."""
        entry = self._entries.get(key)
        return entry.value if entry is not None else None

    def keys(self, prefix: str) -> list[str]:
        """The keys with a value, by prefix (``broker.``, ``trigger.``, ``address/``)."""
        return [key for key, entry in self._entries.items() if entry.value is not None and key.startswith(prefix)]

    def deleted(self, prefix: str) -> list[str]:
        """The keys of which only the mark of their deletion is left."""
        return [key for key, entry in self._entries.items() if entry.value is None and key.startswith(prefix)]

    @property
    def writer(self) -> Writer | None:
        """Who writes, as the bucket says."""
        entry = self._entries.get(WRITER_KEY)
        if entry is None or entry.value is None:
            return None
        said = orjson.loads(entry.value)
        return Writer(said.get("epoch", 0), said.get("holder", ""), said.get("cluster", ""))

    @property
    def is_ours(self) -> bool:
        """Whether this process is the writer, as far as it knows."""
        return self._fence is not None and self._last(WRITER_KEY) == self._fence

    @property
    def has_claimed(self) -> bool:
        """Whether this process has ever been the writer of this bucket."""
        return self._fence is not None

    def let_go(self) -> None:
        """Be the writer no more, until the next claim."""
        self._fence = None

    async def claim(self, holder: str, cluster: str) -> None:
        """Be the writer from now on. Raises SupersededError where another was quicker.

        ``holder`` names one living process at most: where it is said to be the writer already, nothing is written.
        """
        before = self.writer
        cluster = cluster or (before.cluster if before else "")
        if before is not None and (before.holder, before.cluster) == (holder, cluster):
            self._fence = self._last(WRITER_KEY)
            return
        mark = Writer((before.epoch if before else 0) + 1, holder, cluster)
        value = dumps(asdict(mark))
        try:
            revision = await self._bucket.put(WRITER_KEY, value, expected=self._last(WRITER_KEY))
        except BusUnavailableError:
            self._missing.set()
            raise
        except BusRequestError as error:
            raise _superseded(error) from error
        self._fence = self.found_at = revision
        self._store(Entry(WRITER_KEY, value, revision))
        log.info("definitions.claimed", holder=holder, epoch=mark.epoch, cluster=mark.cluster)

    async def publish(self, wanted: Mapping[str, bytes], keep: Iterable[str]) -> dict[str, str]:
        """Make the bucket hold ``wanted`` and nothing else but what it has under the keys ``keep``.

        Gives back what could not be stored, and why: one definition that the bus refuses does not hold up the others.
        Raises BusUnavailableError where the bus is away; what was written until then is written.
        """
        failures: dict[str, str] = {}
        different = {
            key: value
            for key, value in wanted.items()
            if (entry := self._entries.get(key)) is None or entry.value != value
        }
        for prefix in _PUT_ORDER:
            await self._all(
                (self._put(key, value, failures) for key, value in different.items() if key.startswith(prefix))
            )
        stays = {*wanted, *keep}
        for prefix in reversed(_PUT_ORDER):
            await self._all(self._delete(key) for key in self.keys(prefix) if key not in stays)
        await self._mark_complete()
        await self._forget_marks()
        return failures

    async def _put(self, key: str, value: bytes, failures: dict[str, str]) -> None:
        try:
            revision = await self._write(lambda fence: self._bucket.put(key, value, fence=fence))
        except BusUnavailableError:
            self._missing.set()
            raise
        except SupersededError:
            raise
        except ScaupError as error:
            failures[key] = str(error)
        else:
            self._store(Entry(key, value, revision))

    async def _delete(self, key: str) -> None:
        self._store(Entry(key, None, await self._write(lambda fence: self._bucket.delete(key, fence=fence))))

    async def _write(self, write: Callable[[Fence | None], Awaitable[int]]) -> int:
        """One write, if we are still the writer. A stream on several servers takes such writes one by one only."""
        while True:
            if self._fence is not None and not self.is_ours:
                msg = f"another controller writes by now: {self.writer}"
                raise SupersededError(msg)
            gate = self._gate
            async with gate:
                try:
                    return await write(None if self._fence is None else (WRITER_KEY, self._fence))
                except BusRequestError as error:
                    if error.err_code == WRONG_LAST_SEQUENCE:
                        raise _superseded(error) from error
                    if error.err_code != _BUSY:
                        raise
            if gate is self._gate and self._in_flight > 1:
                self._in_flight, self._gate = 1, asyncio.Semaphore(1)

    async def _mark_complete(self) -> None:
        """Say that everything is there, by counting what is: last, and only when the counts are others than before."""
        counts = [len(self.keys(prefix)) for prefix in ("broker.", "trigger.", "address/")]
        present = self._entries.get(COMPLETE_KEY)
        before = orjson.loads(present.value) if present is not None and present.value else {}
        if [before.get(name) for name in ("brokers", "triggers", "addresses")] == counts:
            return
        mark = Complete(before.get("epoch", 0) + 1, *counts)
        value = dumps(to_json(mark))
        revision = await self._write(lambda fence: self._bucket.put(COMPLETE_KEY, value, fence=fence))
        self._store(Entry(COMPLETE_KEY, value, revision))

    async def _forget_marks(self) -> None:
        if len(self._marked_at) <= _MARKS_KEPT:
            return
        oldest = asyncio.get_running_loop().time() - _MARK_KEPT_S
        old = [key for key, marked_at in self._marked_at.items() if marked_at <= oldest]
        await self._all(self._forget(self._entries[key]) for key in old[:_FORGET_AT_ONCE])

    async def _forget(self, mark: Entry) -> None:
        await self._bucket.purge(mark.key, through=mark.revision)
        if self._entries.get(mark.key) == mark:
            del self._entries[mark.key], self._marked_at[mark.key]

    def _last(self, key: str) -> int:
        """The last revision of a key, be it a value or the mark of its deletion; 0 where it has none."""
        entry = self._entries.get(key)
        return entry.revision if entry is not None else 0

    async def _all(self, writes: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Run all writes, so many at a time, and raise what one of them ended with after all have ended."""
        gate = asyncio.Semaphore(_IN_FLIGHT)

        async def one(write: Coroutine[Any, Any, None]) -> None:
            async with gate:
                await write

        results = await asyncio.gather(*(one(write) for write in writes), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _apply(self, change: Reloaded | Entry) -> None:
        is_news = self._store(change) if isinstance(change, Entry) else self._reload(change)
        if is_news:
            self._changed()

    def _reload(self, change: Reloaded) -> bool:
        if change.created != self.created:
            log.info("definitions.found", keys=len(change.entries), made=change.created)
            self._entries, self._fence = {}, None
            self.found_at = change.revision
        # A write that was acknowledged while the bucket was being read may be newer than what was read.
        newer = {k: e for k, e in self._entries.items() if e.revision > change.revision}
        self._entries = change.entries | newer
        now, marked_at = asyncio.get_running_loop().time(), self._marked_at
        self._marked_at = {k: marked_at.get(k, now) for k, e in self._entries.items() if e.value is None}
        self.created, self.is_loaded = change.created, True
        return True

    def _store(self, entry: Entry) -> bool:
        """Take an entry over, unless it is our own write's echo, or older than what is there."""
        present = self._entries.get(entry.key)
        if present is not None and present.revision >= entry.revision:
            return False
        self._entries[entry.key] = entry
        if entry.value is None:
            self._marked_at[entry.key] = asyncio.get_running_loop().time()
        else:
            self._marked_at.pop(entry.key, None)
        return True

    async def _watch(self) -> None:
        async for change in self._bucket.watch():
            self._apply(change)

    async def _keep_in_being(self) -> None:
        """Make the bucket where it is missing: at start, at once after a refused write, and every few seconds.

        A watch notices only by a long silence that its bucket is another one, so it is begun anew then.
        """
        while True:
            self._missing.clear()
            try:
                await self._bucket.ensure(description="the controller's snapshot for the data plane")
                created = (await self._bus.api(f"STREAM.INFO.{self._bucket.stream}"))["created"]
            except BusError as error:
                log.debug("definitions.ensure_waits", why=str(error))
                await asyncio.sleep(_ENSURE_EVERY_S / 20)
                continue
            if self.is_loaded and created != self.created:
                self.is_loaded = False
                self._made_anew.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENSURE_EVERY_S):
                    await self._missing.wait()
                    await asyncio.sleep(_ENSURE_EVERY_S / 20)


def _superseded(error: BusRequestError) -> SupersededError:
    return SupersededError(f"another controller writes by now: {error}")
