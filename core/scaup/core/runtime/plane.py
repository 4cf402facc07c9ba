"""What every service of the data plane stands on: metrics port, bus, definitions, and the report of its revision.

The metrics port answers before the bus is there, so that a process waiting for NATS says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

from scaup.core.bus.connection import Bus, connect
from scaup.core.http.server import HttpServer, bind
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.observe import metrics_app, watch_bus
from scaup.core.runtime.replicas import REPORT_PATIENCE_S, leave, report
from scaup.core.runtime.series import watch_definitions
from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings
from scaup.core.runtime.standstill import Standstill


class Plane:
    """The ground under one service, while it runs."""

    def __init__(self, bus: Bus, replica: str, life: Life, tasks: asyncio.TaskGroup) -> None:
        self.bus = bus
        self.replica = replica
        self.life = life
        self.definitions = Definitions()
        self.failing: Callable[[], dict[str, str]] = dict
        """For the report: Triggers whose filter keeps failing, by uid. The filter sets it."""
        self._tasks = tasks
        self._watched: list[asyncio.Task[None]] = []

    def failures(self) -> dict[str, str]:
        """What ``failing`` gives now."""
        return self.failing()

    def watch(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` for as long as the service runs. That it ends before is an error; it is cancelled at the end."""
        task = self._tasks.create_task(work, name=name)
        self._watched.append(task)
        return task

    def serve(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` that ends by itself when the service stops; its caller waits for it then."""
        return self._tasks.create_task(work, name=name)

    async def until_stopping(self) -> None:
        """Return when the service should stop, or raise what broke."""
        await self.life.until_stopping(*self._watched)

    def end(self) -> None:
        """Cancel what is still watched."""
        for task in self._watched:
            task.cancel()


@asynccontextmanager
async def data_plane(
    role: str, bus_settings: BusSettings, service: ServiceSettings, metrics_listen: Listen, life: Life
) -> AsyncIterator[Plane]:
    """Everything a service of the data plane needs, from the metrics port up. Ends in the opposite order."""
    with closing(bind(metrics_listen.host, metrics_listen.port)) as sock:
        observing = HttpServer(metrics_app(life.health), sock)
        async with _on_ground(role, bus_settings, service, observing, life) as plane:
            yield plane


@asynccontextmanager
async def _on_ground(
    role: str, bus_settings: BusSettings, service: ServiceSettings, observing: HttpServer, life: Life
) -> AsyncIterator[Plane]:
    async with asyncio.TaskGroup() as tasks:
        observed = tasks.create_task(observing.run(), name="observing")
        life.health.add("bus", lambda: "not connected to NATS yet")
        life.has_nothing_to_drain = True
        async with connect(bus_settings.access(), f"scaup-{role}") as bus:
            life.has_nothing_to_drain = False
            watch_bus(bus, life.health)
            plane = Plane(bus, service.replica_name, life, tasks)
            watch_definitions(plane.definitions, life.health)
            plane.watch(plane.definitions.follow(bus), "definitions")
            plane.watch(bus.until_closed(), "bus")
            storing = Standstill(REPORT_PATIENCE_S)
            life.health.add("storage", lambda: storing.why_not(asyncio.get_running_loop().time()))
            plane.watch(report(bus, role, plane.replica, plane.definitions, plane.failures, storing), "report")
            try:
                yield plane
            finally:
                plane.end()
                await leave(bus, role, plane.replica)
        observing.stop()
        await observed
