"""The last changes of one kind, each with the old and the new object: what watches and older lists live on.

Everybody reads at their own position; nothing is copied or queued for anyone, so a slow reader costs nothing and one
that is too slow finds its position gone (410). Must not know the bus or HTTP.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from scaup.apiserver import answers
from scaup.apiserver.objects import Object

BATCH: Final = 500
"""How many changes a reader gets at a time."""
Name = tuple[str, str]
"""Namespace (empty where there is none) and name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: ``old`` is None for a new object, ``new`` for a deleted one."""

    revision: int
    old: Object | None
    new: Object | None

    @property
    def name(self) -> Name:
        """Whose change it is."""
        return name_of(self.new or self.old or {"metadata": {}})


def name_of(whole: Object) -> Name:
    """Namespace and name of an object."""
    metadata = whole["metadata"]
    return metadata.get("namespace", ""), metadata.get("name", "")


class Window:
    """The last ``kept`` changes, more or less; what came up to ``oldest`` is forgotten."""

    def __init__(self, kept: int, oldest: int) -> None:
        self._kept = max(kept, 1)
        self.oldest = oldest
        self._changes: list[Change] = []
        self._first = 0  # the position of the first kept change: positions count all changes there ever were
        self._listeners: set[asyncio.Event] = set()

    @property
    def end(self) -> int:
        """The position after the last change."""
        return self._first + len(self._changes)

    def append(self, change: Change) -> None:
        """The next change, in the order of the bucket."""
        self._changes.append(change)
        if len(self._changes) > self._kept:
            surplus = max(self._kept // 10, 1)  # many at once: cutting the front of a list moves all of it
            self.oldest = self._changes[surplus - 1].revision
            del self._changes[:surplus]
            self._first += surplus
        self._wake()

    def reset(self, oldest: int) -> None:
        """Forget everything: every position handed out before is gone."""
        self._first = self.end + 1
        self._changes.clear()
        self.oldest = oldest
        self._wake()

    def position_after(self, revision: int) -> int:
        """Where the changes after a revision begin; raises ApiError 410 where some of them are forgotten."""
        if revision < self.oldest:
            raise answers.expired(f"too old resource version: {revision} ({self.oldest})")
        return self._first + bisect_right(self._changes, revision, key=lambda change: change.revision)

    def after(self, position: int) -> list[Change]:
        """The next changes from a position on, at most ``BATCH``; raises ApiError 410 where the position is gone."""
        start = position - self._first
        if start < 0:
            raise answers.expired("the watch fell behind the changes that are kept: list again")
        return self._changes[start : start + BATCH]

    def as_of(self, objects: dict[Name, Object], revision: int) -> dict[Name, Object]:
        """The objects as they were at a revision; raises ApiError 410 where that cannot be known any more."""
        start = self.position_after(revision) - self._first
        if start == len(self._changes):
            return objects
        then = dict(objects)
        for change in reversed(self._changes[start:]):
            if change.old is None:
                then.pop(change.name, None)
            else:
                then[change.name] = change.old
        return then

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set after every change; who waits clears it before looking."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)

    def _wake(self) -> None:
        for event in self._listeners:
            event.set()
