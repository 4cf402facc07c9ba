"""More ports for the sink, that can be shut: then nobody answers there, and connecting is refused.

Responsible for opening and shutting such ports, and for keeping a shut one reserved: bound, but not listened on, so
that no other process gets it meanwhile.
Must not: know what arrives.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

_TRIES = 200
_PAUSE_SECONDS = 0.01


class Doors:
    """The extra ports of one sink. What is begun here is done very soon; whoever asked finds out by connecting."""

    def __init__(self, protocol: Callable[[set[asyncio.Transport]], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._reserved: dict[int, socket.socket] = {}
        self._open: dict[int, tuple[asyncio.Server, set[asyncio.Transport]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def reserve(self) -> int:
        """A free port that refuses, until it is opened."""
        reserved = _bound(0)
        port = int(reserved.getsockname()[1])
        self._reserved[port] = reserved
        return port

    def open(self, port: int) -> None:
        """Listen on a shut port."""
        self._start(self._listen(port, self._reserved.pop(port)))

    def shut(self, port: int) -> None:
        """Listen no more, and break what is connected."""
        server, transports = self._open.pop(port)
        server.close()
        for transport in list(transports):
            transport.abort()
        self._start(self._reserve_again(port))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, port: int, reserved: socket.socket) -> None:
        transports: set[asyncio.Transport] = set()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._protocol(transports), sock=reserved, backlog=1024)
        self._open[port] = server, transports

    async def _reserve_again(self, port: int) -> None:
        for _ in range(_TRIES):  # until the loop has closed the listening socket
            try:
                self._reserved[port] = _bound(port)
            except OSError:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
