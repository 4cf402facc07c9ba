"""The bus and the Kubernetes API as only the leader may use them: refused to everybody else when it comes to the write.

Also, as plain functions, why a controller may not write although it leads: another cluster's bus, another controller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scaup.controller.kube import Api, ApiError
from scaup.controller.snapshot import Writer
from scaup.core.bus.connection import API_TIMEOUT_S, Bus
from scaup.core.model.errors import BusUnavailableError


class LeadersBus(Bus):
    """JetStream's requests for the leader: what has been begun is not gone on with by who leads no more."""

    def __init__(self, bus: Bus, leads: Callable[[], bool]) -> None:
        super().__init__(bus.client, bus.acked)
        self._leads = leads

    async def api(self, subject: str, body: Any = None, *, timeout: float = API_TIMEOUT_S) -> dict[str, Any]:
        """As ``Bus.api``; BusUnavailableError where this controller does not lead."""
        if not self._leads():
            msg = "this controller does not lead"
            raise BusUnavailableError(msg)
        return await super().api(subject, body, timeout=timeout)


class LeadersApi:
    """Statuses are the leader's word."""

    def __init__(self, api: Api, leads: Callable[[], bool]) -> None:
        self._api = api
        self._leads = leads

    async def patch_status(self, path: str, uid: str, status: dict[str, Any]) -> None:
        """As ``Api.patch_status``; ApiError where this controller does not lead."""
        if not self._leads():
            msg = "this controller does not lead"
            raise ApiError(msg)
        await self._api.patch_status(path, uid, status)


def of_another_cluster(writer: Writer | None, cluster: str, take_over: str, host: str) -> str | None:
    """Why the snapshot is not to be touched: it was made from another Kubernetes API. None where it may be.

    A snapshot that does not say where it is from is adopted; so is any while it cannot be told where we are.
    """
    if writer is None or not writer.cluster or not cluster or cluster in {writer.cluster, take_over}:
        return None
    return (
        f"the definitions on this bus were made from another Kubernetes API ({writer.cluster}) than {host} ({cluster});"
        " nothing is written, for its Brokers, with all their events, would be removed. Correct SCAUP_KUBECONFIG or"
        f" SCAUP_NATS_URL; if the bus shall follow {host} from now on: SCAUP_CONTROLLER_TAKE_OVER={cluster}"
    )


def usurped(writer: Writer | None) -> str:
    """What a controller without election says that another one has pushed aside."""
    holder = writer.holder if writer is not None else "another controller"
    return f"{holder} controls this bus by now: run one controller, or set SCAUP_CONTROLLER_LEASE for all of them"
