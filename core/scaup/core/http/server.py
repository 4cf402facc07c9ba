"""HTTP in: uvicorn under our own life cycle. Sockets are bound first, so that a taken port is a clear error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from scaup.core.model.errors import ScaupError

_BACKLOG = 2048
MAX_HEAD_BYTES = 256 << 10
"""Of a request line and its headers. An attribute of 32 KiB is legal; beyond this somebody only fills the memory."""
HEAD_TIMEOUT_S = 10.0
_LOOK_S = 0.005
_REFUSED = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PortTakenError(ScaupError):
    """Somebody listens there already."""

    code = "http.port-taken"


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, ``port`` 0 for a free one; PortTakenError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        msg = f"cannot listen on {host}:{port}: {error.strerror}"
        raise PortTakenError(msg, hint="choose another address, or stop what listens there") from error
    return sock


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which looks ten times a second whether it should end; ours is told, and ends when it can."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # signals are the life cycle's
        yield

    def end(self) -> None:
        """Take no more requests, and end when those under way are answered."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """Until the end. No date is sent, so that nothing has to be done meanwhile."""
        self.server_state.default_headers = self.config.encoded_headers
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what listens and what is idle; what is under way gets its time, and is cancelled then."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await asyncio.sleep(_LOOK_S)  # for a connection that was accepted a moment ago
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(_LOOK_S)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            logging.getLogger("uvicorn.error").error("%d answers are late", len(self.server_state.tasks))  # noqa: TRY400
            for task in self.server_state.tasks:
                task.cancel("the time for answers is over")


class _Parser(httptools.HttpRequestParser):
    """Passes a wish for another protocol over, as RFC 9110 7.8 allows.

    httptools takes the head of such a request for all of it and forgets the body; HTTP clients that would rather speak
    HTTP/2 send that wish with every first request. So the head is read once more, without the wish.
    """

    def __init__(self, connection: _Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    @property
    def is_to_be_read_again(self) -> bool:
        """Whether the head that was just read holds such a wish."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"

    def feed_data(self, data: Any) -> None:
        """Take in a part of a request, or of several."""
        rest = data
        while True:
            try:
                super().feed_data(rest)
            except httptools.HttpParserUpgrade as wish:
                if not self.is_to_be_read_again:
                    raise
                super().feed_data(self._connection.head_without_wish())
                rest = memoryview(rest)[wish.args[0] :]
            else:
                return


class _Connection(HttpToolsProtocol):
    """uvicorn's connection, with bounds on a request's head, of which uvicorn has none."""

    parser: _Parser
    _head_bytes = 0
    _is_in_head = False
    _impatience: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._impatience = self.loop.call_later(HEAD_TIMEOUT_S, self._refuse, b"408 Request Timeout")

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._impatience is None:
            self._impatience = self.loop.call_later(HEAD_TIMEOUT_S, self._refuse, b"408 Request Timeout")

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.is_to_be_read_again:
            return
        self._is_in_head = False
        if self._impatience is not None:
            self._be_patient()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.is_to_be_read_again:
            super().on_message_complete()

    def head_without_wish(self) -> bytes:
        """The head of the request that was just read, less its ``Upgrade``."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _be_patient(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _refuse(self, status: bytes) -> None:
        self._is_in_head = False
        self._be_patient()
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_REFUSED % status)
            self.transport.close()


class HttpServer:
    """Serves an ASGI app on a bound socket until ``stop``; requests under way get ``grace_s`` to finish."""

    def __init__(self, app: Any, sock: socket.socket, *, grace_s: float = 3.0, keep_alive_s: int = 75) -> None:
        self._sock = sock
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=int(grace_s) or 1,
        )
        self._server = _Uvicorn(config)

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._sock.getsockname()[1])

    async def run(self) -> None:
        """Serve until stopped. Returns when the last request is answered, or the grace is over."""
        try:
            await self._server.serve(sockets=[self._sock])
        except asyncio.CancelledError:
            self._server.force_exit = True
            raise
        finally:
            for server in getattr(self._server, "servers", ()):  # cancelled, uvicorn leaves them listening
                server.close()
            self._sock.close()

    def stop(self) -> None:
        """Take no more requests, finish those under way, then let ``run`` return."""
        self._server.end()
