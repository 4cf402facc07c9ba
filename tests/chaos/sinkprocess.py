"""The process of the sinks: every kind of them behind one port, and ports of their own for those that come and go.

Started by ``sinkclient``: the first line of standard input says which places there are, the first line of output where
they are; it ends when its input closes. Control requests go to ``/_/…`` of the main port.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

import orjson

from tests.chaos.place import Place, PlaceSpec
from tests.support.ports import Port
from tests.support.sinks import Reaction, waited

_UP_S: Final = (3.0, 6.0)
_DOWN_S: Final = (1.0, 4.0)


class Hall:
    """All sinks of this process."""

    def __init__(self, specs: list[PlaceSpec]) -> None:
        self.places = {f"/{spec.name}": Place(spec) for spec in specs}
        self.cured = asyncio.Event()

    def control(self, path: str) -> bytes:
        """Answer a control request."""
        match path.split("/")[2:]:
            case ["totals"]:
                return orjson.dumps({place.spec.name: place.totals() for place in self.places.values()})
            case ["taken", name]:
                return bytes(self.places[f"/{name}"].taken)
            case ["spoiled"]:
                return orjson.dumps([what for place in self.places.values() for what in place.spoiled])
            case ["cure"]:
                for place in self.places.values():
                    place.is_cured = True
                self.cured.set()
                return b"{}"
            case _:
                raise ValueError(path)


class Door(asyncio.Protocol):
    """One connection: one request after another, each with the reaction its sink decides on."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._playing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._playing is not None:
            self._playing.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._consume()

    def _consume(self) -> None:
        while self._playing is None and self._transport is not None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            line, *rest = self._buffer[:end].decode("latin-1").split("\r\n")
            pairs = (text.partition(":") for text in rest)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            size = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            self._react(self._answer(line.split(" ")[1], headers, body))

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Reaction:
        place = self._hall.places.get(path)
        if place is not None:
            return place.receive(headers, body).reaction
        answer = self._hall.control(path)
        return Reaction((b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer),))

    def _react(self, reaction: Reaction) -> None:
        match reaction:
            case Reaction(parts=(bytes() as whole,), end="keep"):
                if self._transport is not None:
                    self._transport.write(whole)
            case _:
                self._playing = asyncio.get_running_loop().create_task(self._play(reaction))

    async def _play(self, reaction: Reaction) -> None:
        for part in reaction.parts:
            if not isinstance(part, bytes):
                await waited(part)
            elif self._transport is not None:
                self._transport.write(part)
        transport = self._transport
        if transport is None or reaction.end == "hang":
            return
        if reaction.end == "reset":
            sock = cast("socket.socket", transport.get_extra_info("socket"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif reaction.end == "close":
            transport.close()
        else:
            self._playing = None
            self._consume()


async def _flap(hall: Hall, port: int, make: Callable[[], Door]) -> None:
    """Listen for some seconds, be gone for some, again and again; until cured."""
    loop = asyncio.get_running_loop()
    chance = random.Random(port)
    doors: list[Door] = []

    def door() -> Door:
        doors.append(make())
        return doors[-1]

    while True:
        server = await loop.create_server(door, "127.0.0.1", port, backlog=1024)
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(*_UP_S)):
                await hall.cured.wait()
        if hall.cured.is_set():
            await asyncio.Event().wait()  # well for good
        server.close()
        for gone in doors:
            if gone._transport is not None:
                gone._transport.abort()
        doors.clear()
        await asyncio.sleep(chance.uniform(*_DOWN_S))


async def serve() -> None:
    """Open the doors until the parent goes away."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    asked: list[dict[str, Any]] = orjson.loads(await reader.readline())
    main = Port()
    ports = {entry["name"]: Port() if entry["kind"] in {"dead", "flapping"} else main for entry in asked}
    for entry in asked:
        if entry["dead_for"]:
            entry["dead_for"] = f"http://127.0.0.1:{ports[entry['dead_for']]}/{entry['dead_for']}"
    hall = Hall([PlaceSpec(**entry) for entry in asked])
    server = await loop.create_server(lambda: Door(hall), "127.0.0.1", main, backlog=1024)
    flapping = [
        loop.create_task(_flap(hall, ports[entry["name"]], lambda: Door(hall)))
        for entry in asked
        if entry["kind"] == "flapping"
    ]
    sys.stdout.buffer.write(orjson.dumps(ports) + b"\n")
    sys.stdout.flush()
    await reader.read()
    for task in flapping:
        task.cancel()
    server.close()


def main() -> None:
    """Run on the quickest loop there is."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
