"""Writes statuses: concurrently, each only where it differs, and again until it is written.

One object's write never waits for another's; for one object they come one after the other, the newest wish only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from scaup.controller.api import GROUP_VERSION, Identity
from scaup.controller.kube import Api, ApiError, ApiRefusedError
from scaup.controller.leading import LeadersApi
from scaup.controller.reports import Report

log = structlog.get_logger()

WRITERS: Final = 16
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 15.0


@dataclass(slots=True)
class _Object:
    """One object's writing: what is wanted, what was last written on top of which status, and how often it failed."""

    path: str
    wanted: tuple[Report, Any] | None = None
    done: tuple[Report, Any] | None = None
    is_busy: bool = False
    failures: int = 0
    last_failure: str = ""


class StatusWriter:
    """All statuses that are to be written."""

    def __init__(self, api: Api | LeadersApi) -> None:
        self._api = api
        self._objects: dict[str, _Object] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def want(self, plural: str, identity: Identity, report: Report, status: Any) -> None:
        """An object shall say ``report``; ``status`` is what it was last seen to say. Returns at once."""
        known = self._objects.get(identity.uid)
        if known is None:
            path = f"/apis/{GROUP_VERSION}/namespaces/{identity.namespace}/{plural}/{identity.name}"
            known = self._objects[identity.uid] = _Object(path)
        if known.done is not None and known.done[0] == report and known.done[1] is status:
            return  # written; the watch has not brought it back yet
        if not report.differs(status):
            known.wanted = None
            known.done = (report, status)
            return
        known.wanted = (report, status)
        if not known.is_busy:
            known.is_busy = True
            self._queue.put_nowait(identity.uid)

    def keep_only(self, uids: Iterable[str]) -> None:
        """Forget all other objects: they are gone."""
        for uid in self._objects.keys() - set(uids):
            del self._objects[uid]

    async def run(self) -> None:
        """Write what is wanted. Never ends."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(self._write_on(), name=f"status-{number}")

    async def _write_on(self) -> None:
        while True:
            uid = await self._queue.get()
            known = self._objects.get(uid)
            if known is None:
                continue
            if known.wanted is not None:
                pause = await self._write(uid, known)
                if pause:
                    asyncio.get_running_loop().call_later(pause, self._queue.put_nowait, uid)
                    continue
            if known.wanted is not None:
                self._queue.put_nowait(uid)
            else:
                known.is_busy = False

    async def _write(self, uid: str, known: _Object) -> float:
        """Write once; gives back after how many seconds to try again, 0 where that is not needed."""
        report, status = known.wanted or (None, None)
        if report is None:
            return 0.0
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            await self._api.patch_status(known.path, uid, report.merge_patch(status, now))
        except ApiError as error:
            if isinstance(error, ApiRefusedError) and error.status == 404:
                log.info("status.no_such_object", object=known.path, why=str(error))
                known.wanted = None  # it is gone; the watch will say so
                return 0.0
            if str(error) != known.last_failure:
                log.warning("status.not_written", object=known.path, why=str(error))
            known.last_failure = str(error)
            known.failures += 1
            return min(_FIRST_PAUSE_S * 2.0 ** min(known.failures - 1, 10), _LONGEST_PAUSE_S)
        known.failures, known.last_failure = 0, ""
        known.done = (report, status)
        if known.wanted is not None and known.wanted[0] is report:
            known.wanted = None
        return 0.0
