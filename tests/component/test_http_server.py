"""The HTTP server of the services leaves nothing open, however it ends."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from starlette.applications import Starlette

from scaup.core.http.server import HttpServer, bind
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.settings import Listen
from scaup.ingress.__main__ import run as run_ingress
from scaup.ingress.settings import IngressSettings
from tests.support.rawhttp import send
from tests.support.waiting import eventually


@pytest.mark.parametrize("how", ["stopped", "cancelled"])
async def test_the_port_is_free_when_it_has_ended(how: str) -> None:
    sock = bind("127.0.0.1", 0)
    server = HttpServer(Starlette(), sock, grace_s=1)
    running = asyncio.create_task(server.run())
    port = server.port

    async def answers() -> bool:
        try:
            return (await send(port, "GET", "/", {}, b"")).status == 404
        except ConnectionRefusedError:
            return False  # bound, and not listening yet

    _: bool = await eventually(answers, "it answers")
    if how == "stopped":
        server.stop()
    else:
        running.cancel()
    await asyncio.wait([running])
    assert sock.fileno() == -1
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


async def test_a_service_that_is_cancelled_before_it_begins_leaves_no_port_open() -> None:
    settings = IngressSettings(listen=Listen("127.0.0.1", 0), metrics_listen=Listen("127.0.0.1", 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        running = asyncio.create_task(run_ingress(settings, Life()))
        await asyncio.sleep(0)  # it has bound its ports, and nothing of it runs
        running.cancel()
        await asyncio.wait([running])
        del running
        gc.collect()
