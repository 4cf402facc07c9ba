"""HTTP over a plain socket, so that a test decides every byte and sees every header."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "com.example.test"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One connection; ``write`` what you like, ``answer`` reads one answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        with suppress(ConnectionError):  # the answer may be there all the same
            await self.writer.drain()

    async def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        lengths = {} if {"content-length", "transfer-encoding"} & set(headers or ()) else {"content-length": len(body)}
        lines = [f"{name}: {value}" for name, value in ({"host": "t"} | dict(headers or {}) | lengths).items()]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")
        await self.write(head + body)
        return await self.answer(has_body=method != "HEAD")

    async def answer(self, *, has_body: bool = True) -> Answer:
        async with asyncio.timeout(15):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            length = int(headers.get("content-length", "0")) if has_body else 0
            return Answer(int(head[0].split()[1]), headers, await self.reader.readexactly(length))


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def send(
    port: int, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request on a connection of its own."""
    async with connection(port) as one:
        return await one.request(method, path, headers, body)


async def post(port: int, path: str = "/default/one", body: bytes = b"", **headers: str) -> Answer:
    """One event in binary mode; keyword ``ce_x`` is the header ``ce-x``, an empty one takes a default away."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    merged = {name: value for name, value in (BINARY | given).items() if value}
    return await send(port, "POST", path, merged, body)
