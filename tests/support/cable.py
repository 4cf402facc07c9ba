"""The way between a client and a server as a cable: it can be cut, and everything that goes through it is cut then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Cable:
    """Listens on ``port`` and carries bytes to another port of this machine. ``cuts`` counts what was cut.

    ``sent`` is all that clients sent, where there is one client at a time.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.cuts = 0
        self.sent = bytearray()

    def cut(self) -> None:
        """Reset every connection. New ones can be made at once."""
        for writer in list(self._writers):
            self.cuts += 1
            writer.transport.abort()

    def unplug(self) -> None:
        """Reset every connection, and carry nothing any more: new ones are made and stay silent."""
        self._plugged.clear()
        self.cut()

    def plug(self) -> None:
        """Carry again."""
        self._plugged.set()

    async def start(self) -> None:
        """Begin."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End, with all connections."""
        self._plugged.set()
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._plugged.wait()
            answers, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(there)
            ways = {
                asyncio.create_task(_pump(reader, there, self.sent.extend)),
                asyncio.create_task(_pump(answers, writer)),
            }
            _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in rest:
                way.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        except OSError:
            pass  # nobody is there: the client sees its connection end
        finally:
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, saw: Callable[[bytes], object] = lambda _: None
) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            saw(data)
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def cable(target: int) -> AsyncIterator[Cable]:
    """A cable for the length of a test."""
    made = Cable(target)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
