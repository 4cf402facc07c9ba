"""Recording sinks: one listening socket, any number of paths, each told how to react, request by request.

Raw, so that a sink can also do what no HTTP server would: hang, drip, break off, talk nonsense.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from scaup.conformance.wire import Request, read_body, read_head


@dataclass(frozen=True)
class Reaction:
    """What follows on a request: bytes are sent, numbers are seconds waited; then ``end``: keep, close, reset, hang."""

    parts: tuple[bytes | float, ...] = ()
    end: str = "keep"


def answer(
    status: int = 202, body: bytes = b"", headers: dict[str, str] | None = None, *, delay_s: float = 0
) -> Reaction:
    """A plain answer, after ``delay_s``."""
    lines = dict(headers or {}) if status in {204, 304} else {"Content-Length": str(len(body)), **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return Reaction((delay_s, head.encode() + body) if delay_s else (head.encode() + body,))


def reply(attributes: dict[str, str], data: bytes = b"", *, status: int = 200) -> Reaction:
    """An event as the answer, in binary mode."""
    headers = {f"ce-{name}": value for name, value in attributes.items() if name != "datacontenttype"}
    if "datacontenttype" in attributes:
        headers["Content-Type"] = attributes["datacontenttype"]
    return answer(status, data, headers)


def structured_reply(members: dict[str, Any], *, status: int = 200) -> Reaction:
    """An event as the answer, in structured mode."""
    return answer(status, json.dumps(members).encode(), {"Content-Type": "application/cloudevents+json"})


OK: Final = answer(202)
HANG: Final = Reaction(end="hang")
RESET: Final = Reaction(end="reset")
NONSENSE: Final = Reaction((b"nonsense\r\n\r\n",), "close")

Script = Callable[[Request], Reaction]


class Sink:
    """One path. ``script`` decides about each request; ``then`` gives it a list, whose last goes on for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.script: Script = lambda _request: OK
        self._news = asyncio.Condition()

    def then(self, *reactions: Reaction) -> Sink:
        """React with each of these once, with the last for ever."""
        rest = list(reactions)
        self.script = lambda _request: rest.pop(0) if len(rest) > 1 else rest[0]
        return self

    async def came(self, request: Request) -> Reaction:
        """Keep a request, and say what follows."""
        async with self._news:
            self.requests.append(request)
            self._news.notify_all()
        return self.script(request) if request.method == "POST" else answer(405, headers={"Allow": "POST"})

    async def until(self, enough: Callable[[list[Request]], bool], within_s: float) -> bool:
        """Whether ``enough`` holds of what came, now or within that time."""
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait_for(lambda: enough(self.requests))
        except TimeoutError:
            return enough(self.requests)
        return True


class SinkServer:
    """The socket all sinks share. ``host`` is how the broker reaches it, ``listen`` where it listens."""

    def __init__(self, host: str = "127.0.0.1", listen: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._listen = listen
        self._port = port
        self._sinks: dict[str, Sink] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._listen, self._port, backlog=1024, limit=8 << 20)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None  # noqa: S101 - it was entered
        await stop_accepting(self._server)
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed in the next turn

    def sink(self, path: str) -> Sink:
        """The sink at this path, made when first asked for."""
        key = "/" + path.strip("/")
        return self._sinks.setdefault(key, Sink(f"http://{self._host}:{self._port}{key}"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio calls this in a task
        self._open.add(task)
        self._connections += 1
        number = self._connections
        try:
            while (request := await self._read(reader, writer, number)) is not None:
                where = self._sinks.get(request.target.split("?")[0].rstrip("/"))
                reaction = answer(404) if where is None else await where.came(request)
                if not await _react(reaction, reader, writer):
                    return
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Request | None:
        try:
            line, headers = await read_head(reader)
        except asyncio.IncompleteReadError:
            return None
        method, target, version = line.split(" ", 2)
        if any(name.lower() == "expect" for name, _ in headers):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await read_body(reader, headers)
        return Request(method, target, headers, body, version, asyncio.get_running_loop().time(), number)


async def stop_accepting(server: asyncio.Server) -> None:
    """Close a server once nothing is on its way through it; asyncio would forget such a connection, its socket open."""
    for sock in server.sockets:
        asyncio.get_running_loop().remove_reader(sock.fileno())
    for _ in range(8):  # a few turns of the loop: accepted, made, begun
        await asyncio.sleep(0)
    server.close()


async def _react(reaction: Reaction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the connection goes on."""
    for part in reaction.parts:
        if isinstance(part, bytes):
            writer.write(part)
            await writer.drain()
        else:
            await asyncio.sleep(part)
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
