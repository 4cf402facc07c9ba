"""``python -m scaup.ingress``: compose the ingress and run it."""

from __future__ import annotations

import asyncio
from contextlib import closing

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scaup.core.http.server import HttpServer, bind
from scaup.core.runtime import lifecycle
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.observe import healthz, readyz
from scaup.core.runtime.plane import data_plane
from scaup.core.runtime.traces import tracing
from scaup.ingress.app import Ingress
from scaup.ingress.door import Door
from scaup.ingress.settings import IngressSettings


async def run(settings: IngressSettings, life: Life) -> None:
    """Serve until it is time to stop; then answer what is under way."""
    around = _around(life)
    with closing(bind(settings.listen.host, settings.listen.port)) as front:
        door = Door(around)
        accepting = HttpServer(door, front)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(accepting.run(), name="accepting")
            async with (
                tracing(settings.traces, "scaup-ingress", settings.service.replica_name) as traces,
                data_plane("ingress", settings.bus, settings.service, settings.metrics_listen, life) as plane,
            ):
                ingress = Ingress(plane.bus, plane.definitions, settings, around)
                if traces is not None:
                    from scaup.ingress.traces import RequestTraces

                    ingress.traces = RequestTraces(traces)
                life.health.add("event log", ingress.why_not_ready)
                plane.watch(ingress.room.keep_asking(), "room")
                door.ingress = ingress
                await plane.until_stopping()
                accepting.stop()
                await serving


def _around(life: Life) -> Starlette:
    async def ready(_request: Request) -> Response:
        return readyz(life.health)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", ready)])


def main() -> None:
    """Run the process."""
    lifecycle.main("ingress", IngressSettings, lambda settings: settings.service, run)


if __name__ == "__main__":
    main()
