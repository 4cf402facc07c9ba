"""HTTP in: uvicorn under our own life cycle. Sockets are bound first, so that a taken port is a clear error."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from scaup.core.model.errors import ScaupError

_BACKLOG = 2048


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
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # signals are the life cycle's
        yield


class HttpServer:
    """Serves an ASGI app on a bound socket until ``stop``; requests under way get ``grace_s`` to finish."""

    def __init__(self, app: Any, sock: socket.socket, *, grace_s: float = 3.0, keep_alive_s: int = 75) -> None:
        self._sock = sock
        config = uvicorn.Config(
            app,
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

    def stop(self) -> None:
        """Take no more requests, finish those under way, then let ``run`` return."""
        self._server.should_exit = True
