"""nats-py's client, quicker where every event goes through: reading headers, writing headers, many small publishes.

The only place that touches the client's private parts, which is why its minor version is pinned. Measured per message
on two cores: reading 10 headers 12 µs instead of 60, a publish with 10 headers 6 µs instead of 20.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import nats.errors
from nats.aio.client import Client

_VERSION: Final = "NATS/1.0\r\n"

Entry = tuple[str, bytes, bytes]
"""What is stored in a stream: the subject, the header lines as they are sent (``header_lines``), the data."""


def size_of(entry: Entry) -> int:
    """Bytes of an entry, as the server's ``max_payload`` counts them."""
    return len(_VERSION) + len(entry[1]) + 2 + len(entry[2])


def header_lines(headers: dict[str, str]) -> bytes:
    """Headers as they are sent. They are ours: checked where they are made, one line each."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()


class QuickClient(Client):
    """A Client with ``send``, and a ``flush`` that keeps the order; everything else is as it was."""

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        headers: dict[str, str] = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                headers[name] = value.strip()
        return headers

    def give_up_requests(self) -> None:
        """Fail the requests under way: their answers cannot come, and the client would wait for their deadlines."""
        for answer in self._resp_map.values():
            if not answer.done():
                answer.set_exception(nats.errors.ConnectionReconnectingError())

    async def send(self, subject: str, reply: str, data: bytes, headers: dict[str, str] | None) -> None:
        """Publish. Subjects and headers are ours: checked where they are made, one line each.

        Raises MaxPayloadError over the server's limit, headers included: the server would cut the client off for good,
        and the client's own publish looks at the data only.
        """
        if headers:
            head = b"".join((_VERSION.encode(), header_lines(headers), b"\r\n"))
            if len(head) + len(data) > self.max_payload:
                raise nats.errors.MaxPayloadError
            line = f"HPUB {subject} {reply} {len(head)} {len(head) + len(data)}\r\n".encode()
            await self._put(b"".join((line, head, data, b"\r\n")))
        else:
            if len(data) > self.max_payload:
                raise nats.errors.MaxPayloadError
            await self._put(b"".join((f"PUB {subject} {reply} {len(data)}\r\n".encode(), data, b"\r\n")))

    async def send_entries(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Publish many entries, each with its reply subject, in one write. Who calls has looked at their sizes."""
        parts: list[bytes] = []
        for (subject, lines, data), reply in entries:
            head = len(_VERSION) + len(lines) + 2
            line = f"HPUB {subject} {reply} {head} {head + len(data)}\r\n{_VERSION}".encode()
            parts += (line, lines, b"\r\n", data, b"\r\n")
        await self._put(b"".join(parts))

    async def send_many(self, posts: list[tuple[str, bytes]]) -> None:
        """Publish many small things at once, without replies."""
        lines = [b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(data), data) for subject, data in posts]
        await self._put(b"".join(lines))

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        """Ping after what waits to be written: nats-py's own ping overtakes it, and the answer to it, for which
        ``flush`` and the draining of a subscription wait, says nothing of what comes after.
        """
        if self._pending and self.is_connected and self._transport is not None:
            self._transport.writelines(self._pending)
            self._pending = []
            self._pending_data_size = 0
        await super()._send_ping(future)

    async def _put(self, command: bytes) -> None:
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        if not self.is_connected and len(command) + self._pending_data_size > self._max_pending_size:
            raise nats.errors.OutboundBufferLimitError
        await self._send_command(command)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()
