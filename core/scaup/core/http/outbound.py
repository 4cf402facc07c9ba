"""HTTP out: POST bytes over pooled connections, with a deadline for the whole and a bound for what is read.

Written for deliveries (decision 0005): a request is one ready-made head and a body, an answer is a status, its headers
and as much of its body as is asked for. Redirects are never followed, proxies and cookies never used. llhttp (through
httptools) reads the answers.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import unquote, urlsplit

import httptools

_IDLE_S: Final = 20.0
_SWEEP_S: Final = 5.0
_MAX_IDLE: Final = 256
_MAX_HEADERS_BYTES: Final = 128 << 10
_CHUNK_OVERHEAD: Final = 8
_MAX_ORIGINS: Final = 10_000


class NoAnswerError(Exception):
    """The connection could not be made, broke, or carried something that is no HTTP. The text says which."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a URL says about where to connect and what to ask for."""

    host: str
    port: int
    is_tls: bool
    ca_certs: str | None
    head: bytes
    """Request line and Host (and Authorization) header."""

    @classmethod
    def parse(cls, url: str, ca_certs: str | None = None) -> Origin:
        """Raises ValueError where ``url`` is no absolute http or https URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"{url!r} is no http or https URL with a host"
            raise ValueError(msg)
        host = parts.netloc.rpartition("@")[2]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not (path.isascii() and host.isascii() and path.isprintable() and host.isprintable()) or " " in path + host:
            msg = f"{url!r} holds characters that have to be percent-encoded"
            raise ValueError(msg)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n"
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            head += f"Authorization: Basic {base64.b64encode(pair).decode()}\r\n"
        is_tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if is_tls else 80), is_tls, ca_certs, head.encode())


@dataclass(slots=True)
class Answer:
    """An HTTP answer. ``is_cut`` says that the body went on beyond what was to be read."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    is_cut: bool = False

    def header(self, name: bytes) -> str | None:
        """The first value of a header (its name in lower case), or None."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


Limit = Callable[[int], int]
"""From the status to the number of body bytes worth reading."""
_Key = tuple[str, int, bool, str | None]


class Outbound:
    """A pool of connections to everywhere. Who uses it bounds the requests under way."""

    def __init__(self) -> None:
        self._idle: dict[_Key, list[_Connection]] = {}
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def post(self, origin: Origin, head: bytes, body: bytes, *, timeout_s: float, limit: Limit) -> Answer:
        """POST ``body`` with the header lines ``head`` (each ended by CRLF, without Content-Length).

        Raises TimeoutError after ``timeout_s`` seconds for all of it, NoAnswerError for anything else that is no
        answer. A pooled connection that turns out to be closed is replaced once.
        """
        request = b"".join((origin.head, head, b"content-length: %d\r\n\r\n" % len(body), body))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        key = (origin.host, origin.port, origin.is_tls, origin.ca_certs)
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                try:
                    return await connection.exchange(request, deadline, limit)
                except _StaleError:
                    break
        connection = await self._connect(origin, key, deadline)
        try:
            return await connection.exchange(request, deadline, limit)
        except _StaleError as error:
            msg = "the connection was closed without an answer"
            raise NoAnswerError(msg) from error

    async def close(self) -> None:
        """Close all idle connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def _connect(self, origin: Origin, key: _Key, deadline: float) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            context = self._context(origin.ca_certs) if origin.is_tls else None
            async with asyncio.timeout_at(deadline):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, key), origin.host, origin.port, ssl=context
                )
        except TimeoutError:
            raise
        except (OSError, ssl.SSLError, ValueError) as error:
            msg = f"cannot connect: {_text(error)}"
            raise NoAnswerError(msg) from error
        return connection

    def _context(self, ca_certs: str | None) -> ssl.SSLContext:
        context = self._contexts.get(ca_certs)
        if context is None:
            if len(self._contexts) >= _MAX_ORIGINS:
                self._contexts.clear()
            context = ssl.create_default_context()
            if ca_certs:
                context.load_verify_locations(cadata=ca_certs)
            self._contexts[ca_certs] = context
        return context

    def keep(self, key: _Key, connection: _Connection) -> None:
        """Keep a connection for the next request."""
        idle = self._idle.get(key)
        if idle is None:
            idle = self._idle[key] = []
        if len(idle) >= _MAX_IDLE:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _IDLE_S
        for key, connections in list(self._idle.items()):
            for connection in connections:
                if connection.idle_since < oldest:
                    connection.close()
            kept = [connection for connection in connections if connection.is_usable]
            if kept:
                connections[:] = kept
            else:
                del self._idle[key]
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep) if self._idle else None


class _StaleError(Exception):
    """The connection was closed before a byte of the answer came."""


class _Connection(asyncio.Protocol):
    """One connection: one exchange at a time."""

    def __init__(self, pool: Outbound, key: _Key) -> None:
        self.is_usable = False
        self.idle_since = 0.0
        self._pool = pool
        self._key = key
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._limit: Limit = _nothing
        self._body: list[bytes] = []
        self._size = 0
        self._received = 0
        self._heard = False
        self._ends_with_connection = False

    async def exchange(self, request: bytes, deadline: float, limit: Limit) -> Answer:
        loop = asyncio.get_running_loop()
        transport = self._transport
        if transport is None or transport.is_closing():
            raise _StaleError
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting = future
        self._limit = limit
        self._received = self._size = 0
        self._heard = False
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        timer = loop.call_at(deadline, _expire, future)
        transport.write(request)
        try:
            return await future
        except BaseException:
            if self._waiting is future:
                self._waiting = None
                self.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close at once; what was being sent is not waited for."""
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_usable = False
        if self._ends_with_connection and exc is None:
            self._finish()
        elif not self._heard:
            self._fail(_StaleError())
        else:
            why = _text(exc) if exc else "it was closed in the middle of the answer"
            self._fail(NoAnswerError(f"the connection broke: {why}"))
        self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done() or self._parser is None:
            self.close()  # nobody asked
            return
        self._heard = True
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(NoAnswerError("the answer wants another protocol"))
            self.close()
        except httptools.HttpParserError as error:
            self._fail(NoAnswerError(f"the answer is no HTTP: {error}"))
            self.close()
        # The parser gathers a header line, or a trailer, until it is whole: nothing else bounds what that takes.
        if self._received > _MAX_HEADERS_BYTES + (_CHUNK_OVERHEAD + 1) * self._size and self._waiting is not None:
            self._fail(NoAnswerError("the answer's headers are too large"))
            self.close()

    # What follows is called by the parser, in the order of an answer's parts.

    def on_message_begin(self) -> None:
        if self._waiting is None:
            self.close()  # more than was asked for: the next request must not take it for its answer
        self._answer = Answer()
        self._body = []
        self._size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = cast("httptools.HttpResponseParser", self._parser)
        self._answer.status = status = parser.get_status_code()
        has_body = status >= 200 and status not in {204, 304}
        self._ends_with_connection = has_body and not any(
            name == b"content-length" or (name == b"transfer-encoding" and value.lower().endswith(b"chunked"))
            for name, value in self._answer.headers
        )

    def on_body(self, data: bytes) -> None:
        limit = self._limit(self._answer.status)
        room = limit - self._size
        self._size += len(data)
        if room > 0:
            self._body.append(data[:room])
        if self._size > limit:
            self._answer.is_cut = True
            self._ends_with_connection = False
            self._finish()
            self.close()  # rather than read what nobody wants

    def on_message_complete(self) -> None:
        if self._answer.status < 200:
            return  # 100 Continue and the like: the answer is still to come
        keep = cast("httptools.HttpResponseParser", self._parser).should_keep_alive()
        self._finish()
        if keep and self.is_usable:
            self._pool.keep(self._key, self)
        else:
            self.close()

    def _finish(self) -> None:
        self._ends_with_connection = False
        # Once the future is set the connection may be somebody else's: the exchange that waits must not touch it again.
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            self._answer.body = b"".join(self._body)
            waiting.set_result(self._answer)


def _expire(waiting: asyncio.Future[Answer]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())


def _nothing(_status: int) -> int:
    return 0


def _text(error: BaseException) -> str:
    with suppress(AttributeError):
        if error.strerror:  # type: ignore[attr-defined]
            return str(error.strerror)  # type: ignore[attr-defined]
    return str(error) or type(error).__name__
