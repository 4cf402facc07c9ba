"""A sink on raw sockets that does as it is told, request by request, and remembers everything it was sent.

Raw, so that it can also do what no HTTP server would: hang, drip, reset, talk nonsense.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import orjson

from tests.support.ports import Port


@dataclass(frozen=True)
class Request:
    """One request as it came. Header names in lower case; ``at`` is monotonic time."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    @property
    def id(self) -> str:
        """The id of the event, binary or structured."""
        if "ce-id" in self.headers:
            return self.headers["ce-id"]
        return str(orjson.loads(self.body)["id"])


@dataclass(frozen=True)
class Reaction:
    """What follows on a request: bytes are sent, seconds and events are waited for; then ``end``: keep, close, reset,
    hang.
    """

    parts: tuple[bytes | float | asyncio.Event, ...] = ()
    end: str = "keep"


def answer(
    status: int = 202,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    delay_s: float = 0,
    after: asyncio.Event | None = None,
) -> Reaction:
    """A plain answer, after ``delay_s`` and when ``after`` is set."""
    lines = {"content-length": str(len(body)), **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    waits = [part for part in (delay_s, after) if part]
    return Reaction((*waits, head.encode() + body))


def raw(*parts: bytes | float, end: str = "keep") -> Reaction:
    """Exactly these bytes and pauses."""
    return Reaction(parts, end)


def reply(event_id: str, *, kind: str = "a.reply", data: bytes = b"", status: int = 200, **attributes: str) -> Reaction:
    """An event as the answer, binary mode."""
    all_attributes = {"specversion": "1.0", "id": event_id, "source": "/sink", "type": kind, **attributes}
    return answer(status, data, {f"ce-{name}": value for name, value in all_attributes.items()})


def structured_reply(event_id: str, *, kind: str = "a.reply", data: object = None, status: int = 200) -> Reaction:
    """An event as the answer, structured mode."""
    event = {"specversion": "1.0", "id": event_id, "source": "/sink", "type": kind, "data": data}
    return answer(status, orjson.dumps(event), {"content-type": "application/cloudevents+json"})


OK: Final = answer(202)
HANG: Final = Reaction(end="hang")
RESET: Final = Reaction(end="reset")

Script = Callable[[Request], Reaction]


class Sink:
    """A running sink. ``script`` decides about each request; ``then`` gives it a list, whose last goes on for ever."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.port = Port()
        self.scheme = "http"
        self.script: Script = lambda _request: OK
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/"

    @property
    def ids(self) -> list[str]:
        """Ids of all events received, in order."""
        return [request.id for request in self.requests]

    def then(self, *reactions: Reaction) -> Sink:
        """React with each of these once, with the last for ever."""
        rest = list(reactions)
        self.script = lambda _request: rest.pop(0) if len(rest) > 1 else rest[0]
        return self

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; once more after ``stop``, on the same port."""
        self.scheme = "https" if tls else "http"
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls, backlog=1024)

    async def stop(self) -> None:
        """Close the listening socket and every connection."""
        if self._server is not None:
            await self._stop_accepting(self._server)
            self._server = None
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @staticmethod
    async def _stop_accepting(server: asyncio.Server) -> None:
        """Close the listening socket when nothing is on its way through it.

        asyncio makes a connection in a task of its own; one whose server is closed before that begins is forgotten with
        its socket open.
        """
        for sock in server.sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        for _ in range(8):  # a few turns of the loop: accepted, made, begun
            await asyncio.sleep(0)
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        number = self.connections
        try:
            while (request := await _read(reader, number)) is not None:
                self.requests.append(request)
                if not await self._react(self.script(request), reader, writer):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _react(self, reaction: Reaction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        for part in reaction.parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await waited(part)
        match reaction.end:
            case "keep":
                return True
            case "close":
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
            case "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case "hang":
                await reader.read()  # until the other side gives up
        return False


async def waited(part: float | asyncio.Event) -> None:
    """For so many seconds, or until it is set."""
    await (part.wait() if isinstance(part, asyncio.Event) else asyncio.sleep(part))


async def _read(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest if text)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(line, headers, body, connection, time.monotonic())


@asynccontextmanager
async def sink(*reactions: Reaction, tls: ssl.SSLContext | None = None) -> AsyncIterator[Sink]:
    """A sink for the length of a test; answers 202 where it is told nothing."""
    running = Sink()
    if reactions:
        running.then(*reactions)
    await running.start(tls=tls)
    try:
        yield running
    finally:
        await running.stop()
