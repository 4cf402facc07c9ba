"""A whole Broker as its users see it, with ingress, filter and dispatcher in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support import rawhttp
from tests.support.dataplane import World, working
from tests.support.services import ingress_here


@dataclass
class Broker:
    """The Broker ``default/one``."""

    here: World
    port: int

    async def post(self, event_id: str, body: bytes = b"", **attributes: str) -> int:
        """Post an event in binary mode; the status of the answer."""
        headers = {f"ce_{name}": value for name, value in attributes.items()}
        return (await rawhttp.post(self.port, body=body, ce_id=event_id, **headers)).status

    async def send(
        self, method: str = "POST", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> rawhttp.Answer:
        """Any request to its URL."""
        return await rawhttp.send(self.port, method, "/default/one", headers, body)

    async def settled(self) -> None:
        """Until nothing is under way: the log is acknowledged, and no retry waits."""
        await self.here.until_settled()
        await self.here.until_queues_hold(0)


@asynccontextmanager
async def a_broker(nats_url: str, settings: dict[str, Any] | None = None, **broker: Any) -> AsyncIterator[Broker]:
    """A Broker for the length of a test, without Triggers."""
    async with working(nats_url, settings, **broker) as here, ingress_here(here.bus) as ingress:
        yield Broker(here, ingress.port)
