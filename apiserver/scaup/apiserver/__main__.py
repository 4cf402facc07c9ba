"""``python -m scaup.apiserver``: compose the local API and run it."""

from __future__ import annotations

import asyncio
import socket

import structlog

from scaup.apiserver.app import Api
from scaup.apiserver.collector import Collector
from scaup.apiserver.kinds import Kinds
from scaup.apiserver.settings import ApiServerSettings
from scaup.apiserver.store import Store
from scaup.core.bus.connection import connect
from scaup.core.http.server import HttpServer, bind
from scaup.core.runtime import lifecycle
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.observe import watch_bus

log = structlog.get_logger()


async def run(settings: ApiServerSettings, life: Life) -> None:
    """Take the port, and serve until it is time to stop."""
    settings.require_loopback()
    await serve(settings, life, bind(settings.listen.host, settings.listen.port))


async def serve(settings: ApiServerSettings, life: Life, sock: socket.socket) -> None:
    """Serve on a bound socket. It answers before NATS does: it says then why it is not ready."""
    store = Store(Kinds(), settings.kept_changes)
    api = Api(store, life.health, settings.max_watches)
    life.health.add("objects", store.why_not_ready)
    life.health.add("default", api.writer.why_not_ready)
    server = HttpServer(api, sock)
    serving = asyncio.create_task(server.run(), name="serving")
    following = asyncio.create_task(_follow(settings, store, api, life), name="following")
    log.info("apiserver.listening", host=settings.listen.host, port=server.port)
    try:
        await life.until_stopping(serving, following)
        api.watches.stop()
        server.stop()
        await serving  # writes under way still need what follows the bucket
    finally:
        serving.cancel()
        following.cancel()
        await asyncio.gather(serving, following, return_exceptions=True)


async def _follow(settings: ApiServerSettings, store: Store, api: Api, life: Life) -> None:
    collector = Collector(store, api.deleter)
    async with connect(settings.bus.access(), f"apiserver {settings.service.replica_name}") as bus:
        watch_bus(bus, life.health)
        async with asyncio.TaskGroup() as group:
            group.create_task(bus.until_closed())
            group.create_task(api.writer.keep_default_namespace())
            group.create_task(collector.run())
            await store.follow(bus)


def main() -> None:
    """Run the process."""
    lifecycle.main("apiserver", ApiServerSettings, lambda settings: settings.service, run)


if __name__ == "__main__":
    main()
