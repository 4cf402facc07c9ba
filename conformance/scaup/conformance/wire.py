"""HTTP/1.1 on a plain socket: every byte that is sent is the caller's, every header that comes back is kept.

No HTTP library is used, for what the suite wants to send and see is what libraries put right.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

PATIENCE_S: Final = 15.0
_LIMIT: Final = 8 << 20

Headers = list[tuple[str, str]]


class WireError(Exception):
    """What came back is no HTTP, or nothing came back."""


def value_of(headers: Headers, name: str) -> str | None:
    """The first value of a header, whatever the case of its name."""
    return next((value for key, value in headers if key.lower() == name.lower()), None)


def values_of(headers: Headers, name: str) -> list[str]:
    """All values of a header."""
    return [value for key, value in headers if key.lower() == name.lower()]


@dataclass(frozen=True)
class Request:
    """A request as it goes out, or came in. ``at`` is the loop's time when it was complete."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    version: str = "HTTP/1.1"
    at: float = 0.0
    connection: int = 0

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return value_of(self.headers, name)

    @property
    def head(self) -> bytes:
        """The request line and the headers, with the empty line."""
        return _head(f"{self.method} {self.target} {self.version}", self.headers)

    @property
    def bytes(self) -> bytes:
        """All of it."""
        return self.head + self.body

    def __str__(self) -> str:
        return _text(self.head, self.body)


@dataclass(frozen=True)
class Answer:
    """An answer as it came, with the interim answers (1xx) before it."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    reason: str = ""
    interim: tuple[int, ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return value_of(self.headers, name)

    @property
    def accepted(self) -> bool:
        """Whether the event was taken."""
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return _text(_head(f"HTTP/1.1 {self.status} {self.reason}".rstrip(), self.headers), self.body)


@dataclass(frozen=True)
class Address:
    """Where a broker listens, out of its URL."""

    host: str
    port: int
    target: str
    tls: bool = False

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL; ValueError where it is none."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"{url!r} is no http or https address"
            raise ValueError(msg)
        tls = parts.scheme == "https"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.hostname, parts.port or (443 if tls else 80), target, tls)

    @property
    def authority(self) -> str:
        """What ``Host`` says."""
        return f"{self.host}:{self.port}"


class Connection:
    """One connection: write what you like, and read one answer after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, data: bytes) -> None:
        """Send bytes. That the other side has closed shows when the answer is read."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    def end(self) -> None:
        """Say that no more comes; answers can still be read."""
        with suppress(OSError):
            self._writer.write_eof()

    async def answer(self, method: str = "POST", within_s: float = PATIENCE_S) -> Answer:
        """The next answer; WireError where there is none."""
        interim: list[int] = []
        try:
            async with asyncio.timeout(within_s):
                while True:
                    found = await self._answer(method)
                    if found.status >= 200 or found.status == 101:
                        return Answer(found.status, found.headers, found.body, found.reason, tuple(interim))
                    interim.append(found.status)
        except TimeoutError:
            msg = f"no answer within {within_s:g} s"
            raise WireError(msg) from None
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            msg = f"no whole answer: {type(error).__name__}"
            raise WireError(msg) from error

    async def interim(self, within_s: float = PATIENCE_S) -> int:
        """The status of whatever answer comes next, a 1xx too."""
        try:
            async with asyncio.timeout(within_s):
                return (await self._answer("POST")).status
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            msg = f"no answer: {type(error).__name__}"
            raise WireError(msg) from error

    async def _answer(self, method: str) -> Answer:
        line, headers = await read_head(self._reader)
        words = line.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            msg = f"this is no answer of HTTP: {line[:80]!r}"
            raise WireError(msg)
        status = int(words[1])
        bodiless = method == "HEAD" or status < 200 or status in {204, 304}
        body = b"" if bodiless else await read_body(self._reader, headers, to_the_end=True)
        return Answer(status, headers, body, words[2] if len(words) > 2 else "")


@asynccontextmanager
async def connection(address: Address) -> AsyncIterator[Connection]:
    """A connection of its own; WireError where nobody listens."""
    tls = ssl.create_default_context() if address.tls else None
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls, limit=_LIMIT)
    except (OSError, TimeoutError) as error:
        msg = f"cannot connect to {address.authority}: {error or type(error).__name__}"
        raise WireError(msg) from error
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


async def exchange(address: Address, request: Request) -> Answer:
    """One request on a connection of its own."""
    async with connection(address) as one:
        await one.write(request.bytes)
        return await one.answer(request.method)


def with_length(headers: Iterable[tuple[str, str]], body: bytes, host: str) -> Headers:
    """These headers, with ``Host`` and ``Content-Length`` where they are not among them."""
    made = list(headers)
    names = {name.lower() for name, _ in made}
    if "host" not in names:
        made.insert(0, ("Host", host))
    if not names & {"content-length", "transfer-encoding"}:
        made.append(("Content-Length", str(len(body))))
    return made


def chunked(*parts: bytes) -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


async def read_head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    """The first line, and the headers in the order and the writing in which they came."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head[:-4].split("\r\n")
    pairs = (text.partition(":") for text in rest)
    return line, [(name, value.strip(" \t")) for name, _, value in pairs]


async def read_body(reader: asyncio.StreamReader, headers: Headers, *, to_the_end: bool = False) -> bytes:
    """The body as its headers say; where they say nothing, none, or all that comes ``to_the_end``."""
    if "chunked" in (value_of(headers, "transfer-encoding") or "").lower():
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return b"".join(parts)
    length = value_of(headers, "content-length")
    if length is not None:
        return await reader.readexactly(int(length))
    return await reader.read() if to_the_end else b""


def _head(line: str, headers: Headers) -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def _text(head: bytes, body: bytes) -> str:
    shown = body[:2000].decode("utf-8", "backslashreplace")
    rest = f" ... ({len(body)} bytes)" if len(body) > 2000 else ""
    return head.decode("latin-1") + shown + rest
