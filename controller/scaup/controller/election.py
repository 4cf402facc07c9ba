"""Leader election: keeps a Lease for as long as it can, and says whether this process leads, now.

``leads`` is asked before every write. It is answered by the clock alone, so that a process that was stopped for a
while, or cannot reach the API, knows that its time is over before another can begin; the clock goes on while the
machine sleeps. What a write that was on its way then can do is closed by the snapshot (``snapshot.Snapshot.claim``).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from scaup.controller import lease
from scaup.controller.kube import Api, ApiError, ApiRefusedError
from scaup.controller.lease import Sight, Terms
from scaup.controller.metrics import LEADER
from scaup.controller.settings import named_object

log = structlog.get_logger()

_ATTEMPT_S: Final = 4.0
"""For one request, so that there is time for another before the Lease is over."""
_RELEASE_S: Final = 2.0
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock() -> float:
    """Seconds that go on whatever becomes of the process, or of the machine as far as the system can tell."""
    return time.clock_gettime(_CLOCK)


class Election:
    """One candidate. ``term`` counts the times it was elected; ``changed`` is called at every beginning and end."""

    def __init__(self, api: Api, where: str, me: str, changed: Callable[[], None], terms: Terms | None = None) -> None:
        hint = "such as scaup-system/scaup-controller, or nothing for no election"
        self._namespace, self._name = named_object("SCAUP_CONTROLLER_LEASE", where, hint=hint)
        self._api = api
        self._me = me
        self._changed = changed
        self._terms = terms or Terms()
        self._path = f"/apis/{lease.API}/namespaces/{self._namespace}/leases"
        self._sight: Sight | None = None
        self._until = 0.0
        self._trouble = ""
        self.term = 0
        LEADER.set_function(self.leads)

    @property
    def where(self) -> str:
        """The Lease, for people."""
        return f"{self._namespace}/{self._name}"

    def leads(self) -> bool:
        """Whether this process leads, at this moment."""
        return clock() < self._until

    def standing_by(self) -> str | None:
        """For the readiness check, which is fine with it: who leads; None where it is this process."""
        if self.leads():
            return None
        holder = self._sight.record.holder if self._sight else ""
        return f"stands by: {holder or 'nobody yet'} leads (Lease {self.where})"

    def why_not(self) -> str | None:
        """Why nobody can be elected here: the Lease cannot be read or written. None where it can."""
        return None if self.leads() or not self._trouble else f"the Lease {self.where}: {self._trouble}"

    async def run(self) -> None:
        """Stand, lead, lose, and stand again. Never ends; cancelled, it gives the Lease back."""
        try:
            while True:
                if not await self._attempt(is_renewal=False):
                    await asyncio.sleep(self._terms.retry_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
                    continue
                self.term += 1
                log.info("election.leads", lease=self.where, me=self._me, term=self.term)
                self._changed()
                await self._keep()
                log.warning("election.lost", lease=self.where, me=self._me, why=self._trouble or "another holds it")
                self._changed()
        finally:
            await self._release()

    async def _keep(self) -> None:
        """Renew while it can be done in time. Returns when this process does not lead any more.

        A Lease that was lost for a moment is not taken back here: another may have led meanwhile; that is a new term.
        """
        while True:
            await asyncio.sleep(min(self._terms.retry_s, max(self._until - clock(), 0.0)))
            if not self.leads():
                return
            if not await self._attempt(is_renewal=True) and self._is_anothers():
                self._until = 0.0  # taken by somebody who did not wait
                return

    def _is_anothers(self) -> bool:
        return self._sight is not None and self._sight.record.holder != self._me

    async def _attempt(self, *, is_renewal: bool) -> bool:
        """Take or renew the Lease if that may be done; whether it was done."""
        began = clock()
        left = self._until - began if is_renewal else _ATTEMPT_S
        try:
            async with asyncio.timeout(max(min(_ATTEMPT_S, left), 0.0)):
                if not is_renewal or self._sight is None:
                    await self._look()
                if not self._may_write(is_renewal=is_renewal):
                    self._trouble = ""
                    return False
                began = clock()
                present = self._sight.record if self._sight else None
                await self._write(lease.taken(present, self._me, self._terms, _now()))
        except TimeoutError:
            self._trouble = "no answer in time"
            self._sight = None if is_renewal else self._sight  # whether it was written is not known: look again
            return False
        except ApiError as error:
            await self._stumbled(error, is_renewal=is_renewal)
            return False
        self._trouble = ""
        self._until = began + self._terms.renew_s
        return True

    def _may_write(self, *, is_renewal: bool) -> bool:
        if is_renewal:
            return self._sight is not None and self._sight.record.holder == self._me
        return self._sight is None or lease.is_free(self._sight, self._me, clock())

    async def _stumbled(self, error: ApiError, *, is_renewal: bool) -> None:
        is_conflict = isinstance(error, ApiRefusedError) and error.status in {404, 409}
        if not is_conflict and str(error) != self._trouble:
            log.warning("election.trouble", lease=self.where, why=str(error))
        self._trouble = "" if is_conflict else str(error)
        if is_conflict and is_renewal:  # somebody wrote it: who holds it now?
            with suppress(ApiError, TimeoutError):
                async with asyncio.timeout(_ATTEMPT_S):
                    await self._look()

    async def _look(self) -> None:
        try:
            found = await self._api.request("GET", f"{self._path}/{self._name}")
        except ApiRefusedError as error:
            if error.status != 404:
                raise
            self._sight = None
            return
        self._sight = lease.seen(self._sight, lease.read(found, self._terms), clock())

    async def _write(self, spec: dict[str, Any]) -> None:
        """Write the Lease if it is still as it was last seen; 409 otherwise."""
        sight = self._sight
        metadata = {"name": self._name, "namespace": self._namespace}
        body: dict[str, Any] = {"apiVersion": lease.API, "kind": "Lease", "metadata": metadata, "spec": spec}
        if sight is None:
            made = await self._api.request("POST", self._path, body=body)
        else:
            metadata["resourceVersion"] = sight.record.version
            made = await self._api.request("PUT", f"{self._path}/{self._name}", body=body)
        self._sight = lease.seen(sight, lease.read(made, self._terms), clock())

    async def _release(self) -> None:
        """Give back what is held, so that the next need not wait."""
        if not self.leads() or self._sight is None:
            return
        self._until = 0.0
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(_RELEASE_S):
                await self._write(lease.released(self._sight.record, _now()))
                log.info("election.released", lease=self.where, me=self._me)


def _now() -> str:
    """For people: RFC 3339 with microseconds, as the API's MicroTime is."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
