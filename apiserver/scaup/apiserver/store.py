"""The objects: a cache that follows the bucket ``objects`` in its order, and writes that go to the bucket first.

A write is answered when the bucket has acknowledged it *and* the cache has applied it, so everyone reads their own
writes, and everything that was answered is on disk. Must not know HTTP, nor what is right in an object.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import orjson
import structlog

from scaup.apiserver import answers
from scaup.apiserver.kinds import CRDS, Kinds, Resource
from scaup.apiserver.objects import Decision, Object, Put, Remove, is_same, with_revision, without_revision
from scaup.apiserver.window import Change, Name, Window
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import WRONG_LAST_SEQUENCE, Bucket, Entry, Reloaded, dumps
from scaup.core.model.errors import BusError, BusRequestError, NotLoadedError
from scaup.core.model.names import OBJECTS_BUCKET, object_key, parse_object_key

log = structlog.get_logger()

_CHANGE_S: Final = 10.0
"""How long others' changes may get in the way of a change, and how long the cache may lag behind the bucket."""
_RETRY_S: Final = 0.2
_LOOK_S: Final = 10.0
_SWEEP_S: Final = 5.0
MARKS_KEPT: Final = 1000
"""Marks of deletions that stay in the bucket; older ones are swept, or ever new names would fill it."""


class Place(NamedTuple):
    """Where an object is."""

    resource: Resource
    namespace: str
    name: str

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return object_key(self.resource.group, self.resource.plural, self.namespace, self.name)

    @classmethod
    def of_key(cls, key: str) -> Place | None:
        """The place of a key; None for a key that is not ours."""
        parts = parse_object_key(key)
        return cls(Resource(parts[0], parts[1]), parts[2], parts[3]) if parts else None


class Shelf:
    """The objects of one kind and their last changes."""

    def __init__(self, window: Window) -> None:
        self.objects: dict[Name, Object] = {}
        self.window = window

    def apply(self, name: Name, new: Object | None, revision: int) -> Object | None:
        """One change of the bucket; gives back what was there before.

        Another uid under the same name is a deletion and a new object.
        """
        before = old = self.objects.pop(name, None)
        if old is not None and new is not None and old["metadata"].get("uid") != new["metadata"].get("uid"):
            self.window.append(Change(revision, old, None))
            old = None
        if new is not None:
            self.objects[name] = new
        if old is not None or new is not None:
            self.window.append(Change(revision, old, new))
        return before


class Store:
    """Reads from the cache, writes through the bucket. ``revision`` is the last one applied."""

    def __init__(self, kinds: Kinds, kept_changes: int) -> None:
        self.revision = 0
        self.is_loaded = False
        self.kinds = kinds
        self._kept_changes = kept_changes
        self._bus: Bus | None = None
        self._created = ""
        self._loaded_at = 0
        self._shelves: dict[Resource, Shelf] = {}
        self._revisions: dict[str, int] = {}
        self._marks: dict[str, int] = {}  # of deletions, the oldest first
        self._behind: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap: who waits for which revision
        self._curious: list[asyncio.Future[None]] = []  # who waits for any change
        self._count = itertools.count()
        self._notice: Callable[[Place, Object | None, Object | None], None] = lambda _place, _old, _new: None
        self._forgotten: Callable[[], None] = lambda: None

    def observe(
        self, notice: Callable[[Place, Object | None, Object | None], None], forgotten: Callable[[], None]
    ) -> None:
        """``notice`` is called for each change (place, before, now), ``forgotten`` before everything is read anew."""
        self._notice, self._forgotten = notice, forgotten

    # --- reading ------------------------------------------------------------------------------------------------

    def why_not_ready(self) -> str | None:
        """For the readiness check."""
        return None if self.is_loaded else "the objects are not loaded yet"

    def require_loaded(self) -> None:
        """Raise NotLoadedError before the first load."""
        if not self.is_loaded:
            msg = "the objects are not loaded yet"
            raise NotLoadedError(msg, hint="try again in a moment; if it stays so, look at NATS")

    def shelf(self, resource: Resource) -> Shelf:
        """The objects of a kind; an empty one where there never were any."""
        if (found := self._shelves.get(resource)) is None:
            found = self._shelves[resource] = Shelf(Window(self._kept_changes, self._loaded_at))
        return found

    def shelves(self) -> Iterator[tuple[Resource, Shelf]]:
        """All of them."""
        yield from list(self._shelves.items())

    def get(self, place: Place) -> Object | None:
        """The object at a place. Belongs to the cache: not to be changed."""
        found = self._shelves.get(place.resource)
        return found.objects.get((place.namespace, place.name)) if found else None

    def is_going(self, place: Place) -> bool:
        """Whether there is an object that is being deleted."""
        found = self.get(place)
        return found is not None and "deletionTimestamp" in found["metadata"]

    # --- writing ------------------------------------------------------------------------------------------------

    async def change(
        self, place: Place, decide: Callable[[Object | None], Decision], *, is_dry_run: bool = False
    ) -> Decision:
        """Do what ``decide`` makes of the present object (None where there is none); gives back what was done.

        ``decide`` is asked again where somebody else was faster, so it must not have effects; what it raises ends
        the change. The objects given back have their resourceVersion. Raises ApiError 503 where the bucket is away,
        504 where it took too long, and the errors of ``Bucket.put``.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CHANGE_S
        while True:
            present, expected = self.get(place), self._revisions.get(place.key, 0)
            decision = decide(present)
            if present is not None and isinstance(decision, Put) and is_same(decision.object, present):
                return Put(present)
            if is_dry_run:  # an object that is there has its resourceVersion still
                return decision if present is None else type(decision)(with_revision(decision.object, expected))
            try:
                revision = await self._write(place.key, decision, expected)
            except BusRequestError as error:
                if error.err_code != WRONG_LAST_SEQUENCE:
                    raise
                await self._changed(place.key, expected, deadline)
                continue
            await self._applied(revision)
            return type(decision)(with_revision(decision.object, revision))

    async def _write(self, key: str, decision: Decision, expected: int) -> int:
        if self._bus is None or not self._bus.is_connected:
            raise answers.unavailable("NATS is away: nothing was stored; reading goes on from what is known")
        bucket = Bucket(self._bus, OBJECTS_BUCKET)
        match decision:
            case Put(wanted):
                try:
                    value = dumps(without_revision(wanted))
                except TypeError as error:
                    raise answers.bad_request(f"the object cannot be stored as JSON: {error}") from error
                return await bucket.put(key, value, expected=expected)
            case Remove():
                return await bucket.delete(key, expected=expected)

    async def _changed(self, key: str, known: int, deadline: float) -> None:
        """Wait until more is known of a key than there was."""
        try:
            async with asyncio.timeout_at(deadline):
                while self._revisions.get(key, 0) == known:
                    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._curious.append(waiting)
                    await waiting
        except TimeoutError:
            why = "nothing was stored: the object was changed elsewhere, and how is not known here yet"
            raise answers.timed_out(why) from None

    async def _applied(self, revision: int) -> None:
        if self.revision >= revision:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._behind, (revision, next(self._count), waiting))
        try:
            async with asyncio.timeout(_CHANGE_S):
                await waiting
        except TimeoutError:
            raise answers.timed_out("the change is stored, but cannot be read here yet") from None

    # --- following the bucket -----------------------------------------------------------------------------------

    async def follow(self, bus: Bus) -> None:
        """Keep the cache at the bucket's state, and the bucket in being. Never ends."""
        self._bus = bus
        await self._ensure_bucket(bus)  # so that the first watch finds it, and nobody waits for the second
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_bucket(bus), name="keep-bucket")
            group.create_task(self._sweep(bus), name="sweep")
            async for change in Bucket(bus, OBJECTS_BUCKET).watch():
                self.apply(change)

    def apply(self, change: Reloaded | Entry) -> None:
        """Take in one change of the bucket, or all of it."""
        if isinstance(change, Entry):
            self._apply(change)
        elif not self.is_loaded or self._is_another(change):
            self._start_over(change)
        else:
            self._catch_up(change)
        while self._behind and self._behind[0][0] <= self.revision:
            _wake(heapq.heappop(self._behind)[2])
        curious, self._curious = self._curious, []
        for waiting in curious:
            _wake(waiting)

    def _is_another(self, whole: Reloaded) -> bool:
        """Whether the bucket is not the one we knew: made anew, gone back, or with objects gone that nobody deleted."""
        objects = self._revisions.keys() - self._marks.keys()
        is_older = whole.revision < self.revision
        return whole.created != self._created or is_older or not objects <= whole.entries.keys()

    def _start_over(self, whole: Reloaded) -> None:
        """The first load, or a bucket that is not the one we knew: no watch can go on from before."""
        if self.is_loaded:
            log.warning("store.anew", created=whole.created, objects_before=len(self._revisions) - len(self._marks))
            for _, _, waiting in self._behind:
                if not waiting.done():
                    waiting.set_exception(answers.unavailable("the store was lost and made anew"))
            self._behind.clear()
        self._created, self._loaded_at = whole.created, whole.revision
        self._revisions.clear()
        self._marks.clear()
        self.kinds.forget_all()
        self._forgotten()
        for shelf in self._shelves.values():
            shelf.objects.clear()
        for entry in sorted(whole.entries.values(), key=lambda e: e.revision):
            self._apply(entry)
        for shelf in self._shelves.values():
            shelf.window.reset(whole.revision)
        self.revision, self.is_loaded = whole.revision, True
        log.info("store.loaded", revision=self.revision, objects=len(self._revisions) - len(self._marks))

    def _catch_up(self, whole: Reloaded) -> None:
        """The same bucket after an interruption: what is different became so meanwhile."""
        news = [e for e in whole.entries.values() if e.revision > self._revisions.get(e.key, 0)]
        for entry in sorted(news, key=lambda e: e.revision):
            self._apply(entry)
        for key in self._revisions.keys() - whole.entries.keys():  # marks that were swept
            self._forget(key)
        self.revision = whole.revision

    def _apply(self, entry: Entry) -> None:
        self._revisions[entry.key] = self.revision = entry.revision
        self._marks.pop(entry.key, None)
        if entry.value is None:
            self._marks[entry.key] = entry.revision
        if (place := Place.of_key(entry.key)) is None:
            return
        new = _read(entry)
        old = self.shelf(place.resource).apply((place.namespace, place.name), new, entry.revision)
        if place.resource == CRDS.resource:
            try:
                self.kinds.learn(place.name, new)
            except (AttributeError, KeyError, TypeError):
                log.warning("store.unreadable_crd", name=place.name, revision=entry.revision)
        self._notice(place, old, new)

    # --- the bucket ---------------------------------------------------------------------------------------------

    async def _keep_bucket(self, bus: Bus) -> None:
        """Make the bucket where it is missing: at start, when NATS comes back without it, when someone removed it."""
        returned = asyncio.Event()
        end = bus.on_change(lambda _: returned.set())
        try:
            while True:
                returned.clear()
                wait_s = _LOOK_S if await self._ensure_bucket(bus) else _RETRY_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await returned.wait()
        finally:
            end()

    async def _ensure_bucket(self, bus: Bus) -> bool:
        try:
            await Bucket(bus, OBJECTS_BUCKET).ensure(description="objects of the local API")
        except BusError:
            return False
        return True

    async def _sweep(self, bus: Bus) -> None:
        """Purge the oldest marks of deletions; never the newest entry, from which the bucket's revision is known."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            with contextlib.suppress(BusError):
                await self.sweep(bus)

    async def sweep(self, bus: Bus) -> None:
        """One round."""
        bucket = Bucket(bus, OBJECTS_BUCKET)
        while len(self._marks) > MARKS_KEPT:
            key, revision = next(iter(self._marks.items()))
            if revision >= self.revision:
                return
            await bucket.purge(key, through=revision)
            if self._revisions.get(key) == revision:
                self._forget(key)
                for waiting in self._curious:
                    _wake(waiting)
                self._curious.clear()

    def _forget(self, key: str) -> None:
        self._revisions.pop(key, None)
        self._marks.pop(key, None)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _read(entry: Entry) -> Object | None:
    """The object of an entry; None where it is deleted, or no object (then someone else wrote into the bucket)."""
    if entry.value is None:
        return None
    try:
        return with_revision(orjson.loads(entry.value), entry.revision)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        log.warning("store.unreadable", key=entry.key, revision=entry.revision)
        return None
