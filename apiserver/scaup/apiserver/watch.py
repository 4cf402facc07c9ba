"""A watch: the present state if asked for, then every change of one kind as a line of JSON, until it ends.

A watch holds nothing but its position in the window of changes: how much is under way is bounded by the socket, and
one that falls behind the window ends with 410. Follows "Efficient detection of changes" of the Kubernetes API concepts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.types import Receive, Send

from scaup.apiserver.answers import ApiError, expired, too_new
from scaup.apiserver.kinds import Kind
from scaup.apiserver.objects import Object, in_version, with_revision
from scaup.apiserver.selectors import Test
from scaup.apiserver.store import Shelf, Store
from scaup.apiserver.window import Change

BOOKMARK_S: Final = 60.0
_SHORTEST_S, _LONGEST_S = 1800.0, 3600.0  # as kube-apiserver, so that watches do not all end at once
Shaped = Callable[[Object, bool], dict[str, Any]]
_JSON: Final = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a watch asks for.

    ``shaped`` makes of an object what the client sees of it, told whether it is the first. ``initial``: the present
    state first, as ADDED, which must not be older than ``revision``; with ``bookmarks`` one follows it that says so
    (``sendInitialEvents``). Else the changes after ``revision``. ``timeout_s`` None: the server decides.
    """

    kind: Kind
    shaped: Shaped
    is_wanted: Test
    revision: int
    initial: bool
    bookmarks: bool = False
    timeout_s: float | None = None


class Watches:
    """All watches being served, so that they can end together and there are not too many."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_stopping = False
        self._open: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._open)

    def stop(self) -> None:
        """End them all: clients come back to whoever serves then."""
        self.is_stopping = True
        for wake in self._open:
            wake.set()

    async def serve(self, store: Store, wish: Wish, receive: Receive, send: Send) -> None:
        """Serve one watch to its end: time over, client gone, fallen behind, or the process stops."""
        shelf = store.shelf(wish.kind.resource)
        watch = _Watch(store, shelf, wish)
        await send({"type": "http.response.start", "status": 200, "headers": _JSON})
        with shelf.window.listening() as wake:
            self._open.add(wake)
            leaving = asyncio.create_task(_until_gone(receive, watch, wake), name="watch-client")
            try:
                async for lines in watch.run(wake, self):
                    await send({"type": "http.response.body", "body": lines, "more_body": True})
            finally:
                self._open.discard(wake)
                leaving.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, watch: _Watch, wake: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    watch.is_over = True
    wake.set()


class _Watch:
    def __init__(self, store: Store, shelf: Shelf, wish: Wish) -> None:
        """Find the place to begin: where there is none (any more), the watch is one ERROR, as in Kubernetes."""
        self.is_over = False
        self._is_first = True
        self._store = store
        self._shelf = shelf
        self._wish = wish
        self._began_at = store.revision
        self._present = list(shelf.objects.values()) if wish.initial else []
        self._position = shelf.window.end
        self._refused: ApiError | None = None
        if wish.initial:
            if wish.revision > store.revision:
                self._refused = too_new(wish.revision, store.revision)
            return
        try:
            self._position = shelf.window.position_after(wish.revision)
        except ApiError as gone:
            self._refused = gone
        if wish.revision > store.revision:  # of another bucket, before this one: only listing again helps
            self._refused = expired(f"the resource version {wish.revision} is not of this store ({store.revision})")

    async def run(self, wake: asyncio.Event, watches: Watches) -> AsyncIterator[bytes]:
        """The lines, as many at a time as there are; the client's pace is that of the one who takes them."""
        loop = asyncio.get_running_loop()
        timeout_s = self._wish.timeout_s
        end = loop.time() + (random.uniform(_SHORTEST_S, _LONGEST_S) if timeout_s is None else timeout_s)  # noqa: S311
        bookmark_at = loop.time() + BOOKMARK_S
        if self._refused:
            yield _line("ERROR", self._refused.body())
            return
        for lines in self._initial():
            yield lines
        while not self.is_over and not watches.is_stopping and (now := loop.time()) < end:
            wake.clear()
            try:
                changes = self._shelf.window.after(self._position)
            except ApiError as gone:
                yield _line("ERROR", gone.body())
                return
            if changes:
                self._position += len(changes)
                if lines := b"".join(line for change in changes for line in self._lines(change)):
                    yield lines
                continue
            if self._wish.bookmarks and now >= bookmark_at:
                bookmark_at = now + BOOKMARK_S
                yield self._bookmark()
            await _wait(wake, min(end, bookmark_at) if self._wish.bookmarks else end)

    def _initial(self) -> Iterable[bytes]:
        present, self._present = self._present, []
        wanted = [one for one in present if self._wish.is_wanted(one)]
        for start in range(0, len(wanted), 500):
            yield b"".join(self._event("ADDED", one) for one in wanted[start : start + 500])
        if self._wish.initial and self._wish.bookmarks:
            yield self._bookmark({"annotations": {"k8s.io/initial-events-end": "true"}}, self._began_at)

    def _lines(self, change: Change) -> Iterable[bytes]:
        """What a change means to who sees only some objects: one that begins to match is ADDED, else DELETED."""
        before = change.old if change.old is not None and self._wish.is_wanted(change.old) else None
        after = change.new if change.new is not None and self._wish.is_wanted(change.new) else None
        if after is not None:
            yield self._event("ADDED" if before is None else "MODIFIED", after)
        elif before is not None:
            yield self._event("DELETED", with_revision(before, change.revision))

    def _event(self, what: str, whole: Object) -> bytes:
        shown = self._wish.shaped(in_version(whole, self._wish.kind), self._is_first)
        self._is_first = False
        return _line(what, shown)

    def _bookmark(self, more: dict[str, Any] | None = None, revision: int | None = None) -> bytes:
        metadata = {"resourceVersion": str(self._store.revision if revision is None else revision)} | (more or {})
        kind = self._wish.kind
        return self._event("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})


def _line(what: str, whole: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": what, "object": whole}, option=orjson.OPT_APPEND_NEWLINE)


async def _wait(wake: asyncio.Event, until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            await wake.wait()
    except TimeoutError:
        pass
