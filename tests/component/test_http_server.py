"""The HTTP server of the services: what it reads is what was sent, and it leaves nothing open, however it ends."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scaup.core.http.server import HttpServer, bind
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.settings import Listen
from scaup.ingress.__main__ import run as run_ingress
from scaup.ingress.settings import IngressSettings
from tests.support.rawhttp import connection, send
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


async def _echo(request: Request) -> Response:
    body = await request.body()
    return Response(b"%b %d %b" % (request.method.encode(), len(body), request.url.query.encode() + body[:20]))


_WISH = b"POST /?%d HTTP/1.1\r\nhost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n%b\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 1000], ids=["at once", "in two", "byte by byte"])
async def test_requests_that_wish_for_another_protocol_keep_their_bodies(pieces: int) -> None:
    """As curl --http2 and Java's HttpClient send them; one after the other, and in the middle of others."""
    sent = b"".join(
        (
            _WISH % (1, b"content-length: 5\r\n") + b"first",
            _WISH % (2, b"Transfer-Encoding: chunked\r\n") + b"3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n",
            _WISH % (3, b""),
            b"POST /?4 HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nlast",
            _WISH % (5, b"content-length: 300000\r\n") + b"x" * 300_000,
        )
    )
    step = -(-len(sent[:700]) // pieces)
    server = HttpServer(Starlette(routes=[Route("/", _echo, methods=["POST"])]), bind("127.0.0.1", 0), grace_s=1)
    running = asyncio.create_task(server.run())
    await eventually(lambda: server._server.started, "the server listens")
    async with connection(server.port) as one:
        for start in range(0, 700, step):
            await one.write(sent[start : min(start + step, 700)])
        await one.write(sent[700:])
        answers = [(await one.answer()).body for _ in range(5)]
    server.stop()
    await running
    assert answers == [b"POST 5 1first", b"POST 6 2second", b"POST 0 3", b"POST 4 4last", b"POST 300000 5" + b"x" * 20]


async def test_a_thousand_wishes_in_one_segment_are_a_thousand_requests() -> None:
    server = HttpServer(Starlette(routes=[Route("/", _echo, methods=["POST"])]), bind("127.0.0.1", 0), grace_s=1)
    running = asyncio.create_task(server.run())
    await eventually(lambda: server._server.started, "the server listens")
    async with connection(server.port) as one:
        wish = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h\r\ncontent-length: 1\r\n\r\n!"
        await one.write(wish * 3000)
        answers = {(await one.answer()).body for _ in range(3000)}
    server.stop()
    await running
    assert answers == {b"POST 1 !"}
