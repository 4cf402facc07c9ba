"""What a process shows of itself on its metrics port: ``/metrics``, ``/healthz``, ``/readyz``."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from scaup.core.bus.connection import Bus
from scaup.core.runtime.health import Health

# A second series for every counter, which nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUS_CONNECTED = Gauge("scaup_bus_connected", "1 while the process has a connection to NATS, else 0.")


def watch_bus(bus: Bus, health: Health) -> None:
    """Show the connection as a metric, and the process as not ready while there is none."""
    _BUS_CONNECTED.set_function(lambda: 1.0 if bus.is_connected else 0.0)
    health.add("bus", lambda: None if bus.is_connected else "no connection to NATS")


def healthz(_request: Request) -> Response:
    """The process runs and its loop turns."""
    return PlainTextResponse("ok\n")


def readyz(health: Health) -> Response:
    """200 when the process can do its work, else 503 with the reasons."""
    problems = health.problems()
    said: dict[str, object] = {"ready": not problems, "problems": problems}
    if notes := health.notes():
        said["notes"] = notes
    return JSONResponse(said, status_code=503 if problems else 200)


def metrics_app(health: Health) -> Starlette:
    """The ASGI app of the metrics port."""

    async def ready(_request: Request) -> Response:
        return readyz(health)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    async def live(request: Request) -> Response:
        return healthz(request)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", live), Route("/readyz", ready)])
