"""How far the histories are that Triggers start with, as the dispatchers that send them write it down.

Must not judge: it is shown as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import Bucket, Entry, Reloaded
from scaup.core.bus.resuming import Record, Records, record_of
from scaup.core.model.errors import BusError
from scaup.core.model.names import STARTS_BUCKET

_RETRY_S: Final = 0.5


class Histories:
    """What is in the bucket, in words."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    async def follow(self, bus: Bus, changed: Callable[[], None]) -> None:
        """Keep up with the bucket; ``changed`` is called after each change. Never ends."""
        records = Records(bus, STARTS_BUCKET, 0.0)
        while True:
            try:
                await records.ensure()
                break
            except BusError:  # the definitions may not be there yet
                await asyncio.sleep(_RETRY_S)
        async for change in Bucket(bus, STARTS_BUCKET).watch():
            if isinstance(change, Reloaded):
                self._texts = {}
            for entry in change.entries.values() if isinstance(change, Reloaded) else (change,):
                self._take(entry)
            changed()

    def said(self) -> tuple[tuple[str, str], ...]:
        """A sentence for each Trigger, by uid."""
        return tuple(sorted(self._texts.items()))

    def _take(self, entry: Entry) -> None:
        uid = entry.key.removeprefix("start.")
        if entry.value is None:
            self._texts.pop(uid, None)
        else:
            self._texts[uid] = sentence(record_of(entry.value))


def sentence(record: Record) -> str:
    """How far it is, for a person."""
    wanted, progress = record.wanted, record.progress
    total = wanted.upto - wanted.first + 1
    text = f"{progress.queued:,} of {progress.looked_at:,} events queued"
    if record.is_done:
        missing = f", {progress.missing:,} were trimmed before" if progress.missing else ""
        return f"done: {text}{missing}"
    return f"under way: {text}, {total - progress.looked_at - progress.missing:,} to be looked at"
