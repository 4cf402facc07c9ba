"""A sink for trying things: takes events over HTTP, remembers the last 10,000, answers as it is told to.

The ASGI app that ``scaup sink`` and every LocalSink of ``scaup up`` run. ``GET /events`` is one JSON array of what was
received, oldest first, in the CloudEvents JSON format, also of what was answered with a failure; ``DELETE /events``
forgets. Must not print: ``received`` is told.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from scaup.core.codec import http, jsonformat
from scaup.core.http.server import HttpServer, bind
from scaup.core.model.errors import EventRejectedError
from scaup.core.model.event import Event

KEPT: Final = 10_000
KEPT_BYTES: Final = 256 << 20
"""What is remembered is also bounded in bytes, for 10,000 events may have 1 MiB each."""
MAX_BODY: Final = 16 << 20
FAILING: Final = 503
_BACKLOG: Final = 512
_OF_THE_DATA: Final = frozenset(("specversion", "datacontenttype", "datacontentencoding", "dataschema", "schemaurl"))
"""Attributes that a reply keeps, as it keeps the data."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a sink answers: ``status`` after ``delay_s`` seconds, never with ``hang``; the first requests with 503.

    ``reply`` is the type of the event in the answer (with a status below 300), its data what came.
    """

    status: int = 202
    delay_s: float = 0.0
    hang: bool = False
    fail_first: int = 0
    reply: str | None = None


class Sink:
    """One sink. ``received(event)`` is called for every event, before it is answered."""

    def __init__(self, behaviour: Behaviour, received: Callable[[Event], None], name: str = "sink") -> None:
        self.behaviour = behaviour
        self.name = name
        self.stopping = asyncio.Event()
        self._received = received
        self._events: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"]
        if method == "POST":
            await self._take(scope, receive, send)
        elif path == "/events" and method == "GET":
            await _answer(send, 200, b"[" + b",".join(text for text, _ in self._events) + b"]", "application/json")
        elif path == "/events" and method == "DELETE":
            self._events.clear()
            self._bytes = 0
            await _answer(send, 204)
        elif method == "OPTIONS":  # the webhook handshake (CloudEvents HTTP webhook 1.0, 4)
            await _answer(send, 200, headers=[(b"webhook-allowed-origin", b"*"), (b"allow", b"POST, OPTIONS")])
        else:
            await _problem(send, 405, f"{method} {path}: POST events here; GET or DELETE /events")

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            await _problem(send, 413, f"the body has more than {MAX_BODY} bytes")
            return
        headers = scope["headers"]
        content_type = next((v.decode("latin-1") for n, v in headers if n == b"content-type"), None)
        try:
            events = http.decode(content_type, headers, body)
        except EventRejectedError as error:
            await _problem(send, 400, f"{error}. {error.hint}".strip())
            return
        self._requests += 1
        number, behaviour = self._requests, self.behaviour
        for event in events:
            self._remember(event)
            self._received(event)
        if not await self._wait(behaviour, receive):
            return
        if number <= behaviour.fail_first:
            await _problem(send, FAILING, f"failing on purpose: {number} of {behaviour.fail_first}")
        elif behaviour.reply and behaviour.status < 300 and events:
            await self._reply(events[0], behaviour, send)
        else:
            await _answer(send, behaviour.status)

    async def _wait(self, behaviour: Behaviour, receive: Receive) -> bool:
        """Wait as told, but not past the sender's patience or our own end; False where nobody waits any more."""
        if not behaviour.hang and behaviour.delay_s <= 0:
            return True
        gone = asyncio.create_task(_until_disconnected(receive))
        stopping = asyncio.create_task(self.stopping.wait())
        limit = None if behaviour.hang else behaviour.delay_s
        try:
            await asyncio.wait({gone, stopping}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            gone.cancel()
            stopping.cancel()

    async def _reply(self, event: Event, behaviour: Behaviour, send: Send) -> None:
        kept = {name: value for name, value in event.attributes.items() if name in _OF_THE_DATA}
        made = {**kept, "id": str(uuid.uuid4()), "source": f"/scaup/sink/{self.name}", "type": str(behaviour.reply)}
        headers, body = http.encode_binary(Event(made, event.data))
        listed = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await _answer(send, behaviour.status if behaviour.status != 204 else 200, body, headers=listed)

    def _remember(self, event: Event) -> None:
        text = jsonformat.encode(event)
        self._events.append((text, len(text)))
        self._bytes += len(text)
        while len(self._events) > KEPT or (self._bytes > KEPT_BYTES and len(self._events) > 1):
            self._bytes -= self._events.popleft()[1]


def serve(sink: Sink, port: int) -> HttpServer:
    """A server for a sink on loopback, which takes connections from now on and answers them when it runs.

    Raises PortTakenError.
    """
    sock = bind("127.0.0.1", port)
    sock.listen(_BACKLOG)
    return HttpServer(sink, sock, grace_s=1)


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> bytes | None:
    parts, size = [], 0
    while True:
        part = await receive()
        if part["type"] == "http.disconnect":
            return b""
        size += len(part.get("body", b""))
        if size > MAX_BODY:
            return None
        parts.append(part.get("body", b""))
        if not part.get("more_body"):
            return b"".join(parts)


async def _problem(send: Send, status: int, what: str) -> None:
    await _answer(send, status, orjson.dumps({"status": status, "detail": what}), "application/problem+json")


async def _answer(
    send: Send,
    status: int,
    body: bytes = b"",
    content_type: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    listed = list(headers or ())
    if content_type:
        listed.append((b"content-type", content_type.encode()))
    if status not in {204, 304}:
        listed.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
