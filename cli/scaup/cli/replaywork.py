"""Working a replay at a terminal: shows how far it is, and keeps that."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Final

from scaup.cli.longwork import Progress
from scaup.core.bus.outcomes import Waiting
from scaup.core.bus.replaying import PATIENCE_S, Replay
from scaup.core.bus.resuming import Record, Records
from scaup.core.model import names
from scaup.core.model.errors import BusError, ScaupError
from scaup.core.model.names import Lane

_TELL_S: Final = 0.5
_LOOK_S: Final = 0.25


class Work:
    """One replay under way, and its record."""

    def __init__(self, replay: Replay, record: Record, records: Records | None) -> None:
        """Without ``records`` nothing is kept: for a dry run."""
        self._replay = replay
        self.record = record
        self._records = records
        self.shown = Progress()

    async def queue(self) -> None:
        """Run the replay until it is done or stopped; its record is right then. Raises as ``Replay.run`` does."""
        telling = asyncio.create_task(self._tell(self._replay.progress.queued))
        try:
            await self._replay.run()
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
            self.shown.end()
            with suppress(BusError):  # what is kept is a little older then: so much is done twice at most
                await self._keep()

    async def wait(self, lane: Lane) -> bool:
        """Until nothing of the replay waits; False where it was stopped before. Raises BusError."""
        waiting = Waiting(self._replay.bus, lane, self._replay.wanted.id)
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while not self._replay.stopping.is_set():
            try:
                if not await waiting.has_any():
                    return True
                heard = loop.time()
            except BusError:
                if loop.time() - heard > PATIENCE_S:
                    raise
            self.shown.show(f"replay {self._replay.wanted.id}: waiting until its events are delivered")
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._replay.stopping.wait()
        return False

    async def _tell(self, before: int) -> None:
        """Every half second: show how far it is, and keep it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            await asyncio.sleep(_TELL_S)
            progress, wanted = self._replay.progress, self._replay.wanted
            done = (progress.following - wanted.first) / max(wanted.upto - wanted.first + 1, 1)
            rate = (progress.queued - before) / (loop.time() - began)
            self.shown.show(f"replay {wanted.id}: {progress.queued:,} events, {done:.0%} of the history, {rate:,.0f}/s")
            try:
                await self._keep()
            except BusError:
                continue  # the replay itself says when that lasts
            except ScaupError as error:
                self._replay.stop(error)
                return

    async def _keep(self) -> None:
        if self._records is not None:
            now = replace(self.record, progress=replace(self._replay.progress), is_done=self._replay.is_done)
            self.record = await self._records.write(now, names.replay_key(now.wanted.id))
