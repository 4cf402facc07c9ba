"""Triggers that start with history: what was accepted before they were is sent to them once, by the owner of the lane.

How far that is stands in a bucket, one entry a Trigger, for as long as the Trigger lives: it goes on after a restart,
or with another owner, and never begins again. The seam: the range ends with the log's last entry once every live filter
and dispatcher has applied the Trigger, so all that is accepted later comes the normal way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import structlog

from scaup.core.bus import ranges
from scaup.core.bus.replaying import AHEAD, Progress, Replay, Wanted
from scaup.core.bus.resuming import Record, Records
from scaup.core.model import names
from scaup.core.model.definitions import TriggerDefinition
from scaup.core.model.errors import BusError, ScaupError
from scaup.core.model.names import STARTS_BUCKET, TriggerUid
from scaup.core.runtime.plane import Plane
from scaup.core.runtime.replicas import Roster

log = structlog.get_logger()

_KEEP_S: Final = 1.0
_AGAIN_S: Final = 30.0
"""After an error that outlasted the patience of a replay: what ends filters should not do so all the time."""
_ID: Final = "start"


class Starts:
    """Every history that this dispatcher sends."""

    def __init__(self, plane: Plane, roster: Roster, owns: Callable[[str], bool], quota: int) -> None:
        self._plane = plane
        self._roster = roster
        self._owns = owns
        self._ahead = max(min(AHEAD, quota // 2), 1)
        self._records = Records(plane.bus, STARTS_BUCKET, 0.0)
        self._has_bucket = False
        self._seen: dict[TriggerUid, int] = {}
        self._done: set[TriggerUid] = set()
        self._not_before: dict[TriggerUid, float] = {}
        self._busy: set[TriggerUid] = set()
        self._replays: dict[TriggerUid, Replay] = {}

    def look(self, start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]) -> None:
        """Begin what is ours and not begun, stop what is not ours any more."""
        definitions = self._plane.definitions
        now = asyncio.get_running_loop().time()
        if not self._roster.is_loaded:  # before that everything seems to be ours
            return
        for uid, trigger in definitions.triggers.items():
            if trigger.start is None or not trigger.matching or uid in self._done:
                continue
            self._seen.setdefault(uid, definitions.revision)
            if uid not in self._busy and now >= self._not_before.get(uid, 0.0) and self._owns(uid):
                self._busy.add(uid)
                start(self._work(trigger), "start")
        for uid, replay in self._replays.items():
            present = definitions.triggers.get(uid)
            if present is None or present.start is None or not self._owns(uid):
                replay.stop()
        for uid in definitions.deleted_triggers & (self._done | self._seen.keys()):
            if uid not in self._busy:
                self._busy.add(uid)
                start(self._forget(uid), "start-forgotten")

    def is_due(self, uid: TriggerUid) -> bool:
        """Whether history is still to be sent to a Trigger."""
        trigger = self._plane.definitions.triggers.get(uid)
        return trigger is not None and trigger.start is not None and uid not in self._done

    async def _work(self, trigger: TriggerDefinition) -> None:
        """Go on with a Trigger's history, or begin it; what fails is tried again at the next look."""
        try:
            record = await self._record(trigger)
            if record is not None and not record.is_done:
                record = await self._send(record)
            if record is not None and record.is_done:
                self._done.add(trigger.uid)
        except ScaupError as error:
            log.warning("starts.waits", trigger=f"{trigger.namespace}/{trigger.name}", why=str(error))
            self._not_before[trigger.uid] = asyncio.get_running_loop().time() + _AGAIN_S
        finally:
            self._busy.discard(trigger.uid)

    async def _record(self, trigger: TriggerDefinition) -> Record | None:
        """How far it is; a new record where it may begin now, None where it may not yet."""
        key = names.start_key(trigger.uid)
        if not self._has_bucket:
            await self._records.ensure()
            self._has_bucket = True
        if (record := await self._records.read(key)) is not None:
            return record
        if not self._is_everywhere(self._seen[trigger.uid]):
            return None
        history = await ranges.history(self._plane.bus, trigger.broker)
        first: int | None = history.first
        if trigger.start != "all" and not history.is_empty:
            moment = datetime.fromisoformat(trigger.start or "")
            first = await ranges.first_since(self._plane.bus, trigger.broker, moment)
        wanted = Wanted(_ID, trigger.broker, trigger.uid, history.last + 1 if first is None else first, history.last)
        log.info("starts.begins", trigger=f"{trigger.namespace}/{trigger.name}", first=wanted.first, upto=wanted.upto)
        is_done = wanted.first > wanted.upto
        made = Record(wanted, Progress(wanted.first), history.now.isoformat(timespec="seconds"), is_done=is_done)
        return await self._records.write(made, key)

    def _is_everywhere(self, revision: int) -> bool:
        """Whether every live filter and dispatcher has applied it: then no event misses the Trigger any more."""
        created = self._plane.definitions.created
        filters = self._roster.live("filter")
        replicas = [*filters, *self._roster.live("dispatcher")]
        return bool(filters) and all(r.created == created and r.revision >= revision for r in replicas)

    async def _send(self, record: Record) -> Record:
        uid = record.wanted.trigger
        key = names.start_key(uid)
        replay = Replay(self._plane.bus, record.wanted, replace(record.progress), ahead=self._ahead)
        self._replays[uid] = replay
        now = record

        async def keep() -> None:
            nonlocal now
            progress = replace(replay.progress)
            now = await self._records.write(replace(now, progress=progress, is_done=replay.is_done), key)

        async def keep_on() -> None:
            while True:
                await asyncio.sleep(_KEEP_S)
                try:
                    await keep()
                except BusError:
                    continue
                except ScaupError as error:  # another dispatcher goes on with it
                    replay.stop(error)
                    return

        keeping = asyncio.create_task(keep_on(), name="start-keeping")
        try:
            await replay.run()
        finally:
            del self._replays[uid]
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            with suppress(BusError):
                await keep()
        return now

    async def _forget(self, uid: TriggerUid) -> None:
        """The Trigger is deleted: so is what is known of its history."""
        try:
            if self._owns(uid):
                await self._records.remove(names.start_key(uid))
            self._done.discard(uid)
            self._seen.pop(uid, None)
            self._not_before.pop(uid, None)
        except BusError as error:
            log.debug("starts.not_forgotten", trigger=uid, why=str(error))
        finally:
            self._busy.discard(uid)
