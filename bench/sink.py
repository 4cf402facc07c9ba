"""The recording sink: a process of its own that answers 202 to everything and remembers what came when.

Responsible for: receiving deliveries as cheaply as possible, per-path behaviours (hang, status, delay, poison), and
the control requests under `/_/` by which the generator asks what arrived and opens and shuts further ports.
Must not: forward, judge or print events, nor listen on anything but loopback.

    python -m bench.sink --port 9900
"""

import argparse
import asyncio
import sys
from functools import partial
from time import monotonic_ns
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import orjson
from bench.arrivals import Behaviour, Do, Place, is_poison, split_id
from bench.doors import Doors
from bench.loop import run_fast
from bench.wire import NotHttpError, closes, field, measure

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
MOST_PATHS = 10_000
MOST_WAITING = 1 << 20
"""Bytes kept behind a request that waits. Reading goes on until then, so that a leaving sender is noticed."""


class Sink:
    """All paths of this process."""

    def __init__(self) -> None:
        self.places: dict[bytes, Place] = {}
        self.doors = Doors(lambda transports: SinkConnection(self, transports))

    def place(self, path: bytes) -> Place:
        """The record of one path, made on first sight."""
        place = self.places.get(path)
        if place is None:
            if len(self.places) >= MOST_PATHS:
                raise NotHttpError("more paths than a bench has")
            place = self.places[path] = Place()
        return place

    def control(self, target: str) -> tuple[int, bytes]:
        """Answer one control request: status and body."""
        parts = urlsplit(target)
        asked = dict(parse_qsl(parts.query))
        run, path = asked.get("run", "").encode(), asked.get("path", "").encode()
        match parts.path:
            case "/_/ready":
                return 200, b"ok"
            case "/_/progress":
                return 200, orjson.dumps({p.decode(): _counts(place, run) for p, place in self.places.items()})
            case "/_/arrivals":
                arrivals = self.place(path).runs.get(run)
                return 200, arrivals.first.tobytes() if arrivals else b""
            case "/_/behave":
                try:
                    self.place(path).behaviour = Behaviour.parse(asked.get("as", ""))
                except ValueError as why:
                    return 400, str(why).encode()
                return 200, b"ok"
            case "/_/forget":
                for place in self.places.values():
                    place.runs.pop(run, None)
                return 200, b"ok"
            case "/_/reserve" | "/_/open" | "/_/shut":
                return self._turn_door(parts.path, asked.get("port", ""))
            case _:
                return 404, b"no such control request"

    def _turn_door(self, what: str, port: str) -> tuple[int, bytes]:
        try:
            if what == "/_/reserve":
                return 200, b"%d" % self.doors.reserve()
            turn = self.doors.open if what == "/_/open" else self.doors.shut
            turn(int(port))
        except (KeyError, ValueError, OSError) as why:
            return 400, repr(why).encode()
        return 200, b"ok"


def _counts(place: Place, run: bytes) -> dict[str, int]:
    arrivals = place.runs.get(run)
    return {
        "distinct": arrivals.distinct if arrivals else 0,
        "duplicates": sum(arrivals.again.values()) if arrivals else 0,
        "held": place.held,
        "refused": place.refused,
        "strange": place.strange,
    }


class SinkConnection(asyncio.Protocol):
    """One keep-alive connection; pipelined requests are answered in order."""

    __slots__ = ("_buffer", "_need", "_parts", "_peers", "_sink", "_transport", "_waiting")

    def __init__(self, sink: Sink, peers: set[asyncio.Transport] | None = None) -> None:
        self._sink = sink
        self._peers = peers
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._parts: list[bytes] = []
        self._need = 0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._peers is not None:
            self._peers.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._peers is not None and self._transport is not None:
            self._peers.discard(self._transport)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        # Parts are joined once, when enough is there: a large body costs no copy per read.
        if self._need:
            self._parts.append(data)
            self._need -= len(data)
            if self._need > 0:
                return
            data = b"".join(self._parts)
            self._parts.clear()
            self._need = 0
        self._buffer = self._buffer + data if self._buffer else data
        if not self._waiting:
            self._consume()
        elif len(self._buffer) > MOST_WAITING and self._transport is not None:
            self._transport.pause_reading()

    def _consume(self) -> None:
        """Answer every whole request in the buffer, until one has to wait."""
        while (data := self._buffer) and not self._waiting:
            try:
                head, length = measure(data)
                if length == 0:
                    return
                if length > len(data):
                    self._hold(head, data, length)
                    return
                self._buffer = data[length:] if length < len(data) else b""
                self._answer(head)
            except NotHttpError:
                self._close()
                return

    def _hold(self, head: bytes, data: bytes, length: int) -> None:
        """Keep the beginning of a request whose body is still on its way."""
        if b"\r\nexpect: 100-continue" in head and data.endswith(b"\r\n\r\n") and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._parts.append(data)
        self._need = length - len(data)
        self._buffer = b""

    def _answer(self, head: bytes) -> None:
        start = head.find(b" ") + 1
        path = head[start : head.find(b" ", start)]
        if path.startswith(b"/_/"):
            status, body = self._sink.control(path.decode())
            self._write(head, b"HTTP/1.1 %d Control\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
            return
        place = self._sink.place(path)
        behaviour = place.behaviour
        match behaviour.do:
            case Do.ANSWER:
                place.note(field(head, b"ce-id"), monotonic_ns())
                self._write(head, ACCEPTED)
            case Do.STATUS:
                self._answer_status(head, place, behaviour.status)
            case Do.POISON:
                sequence = split_id(field(head, b"ce-id"))[1]
                self._answer_status(head, place, behaviour.status if is_poison(sequence, behaviour.every) else 202)
            case Do.DELAY:
                self._waiting = True
                asyncio.get_running_loop().call_later(behaviour.seconds, partial(self._answer_late, head, place))
            case Do.HANG:
                place.held += 1
                self._waiting = True

    def _answer_status(self, head: bytes, place: Place, status: int) -> None:
        if 200 <= status < 300:
            place.note(field(head, b"ce-id"), monotonic_ns())
        else:
            place.refused += 1
        self._write(head, b"HTTP/1.1 %d As Told\r\nContent-Length: 0\r\n\r\n" % status)

    def _answer_late(self, head: bytes, place: Place) -> None:
        if self._transport is None or self._transport.is_closing():
            place.held += 1  # the sender gave up: it was not told of an arrival, so there was none
            return
        place.note(field(head, b"ce-id"), monotonic_ns())
        self._write(head, ACCEPTED)
        self._waiting = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._consume()

    def _write(self, head: bytes, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)
            if closes(head):
                self._close()

    def _close(self) -> None:
        self._buffer = b""
        if self._transport is not None:
            self._transport.close()


async def serve(port: int, with_parent: bool) -> None:
    """Listen until the parent goes away (or for ever, when started by hand)."""
    loop = asyncio.get_running_loop()
    sink = Sink()
    server = await loop.create_server(lambda: SinkConnection(sink), "127.0.0.1", port, backlog=1024)
    print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
    if not with_parent:
        await asyncio.Event().wait()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def main() -> None:
    parser = argparse.ArgumentParser(description="a sink that answers 202 and remembers what came when")
    parser.add_argument("--port", type=int, default=9900, help="port on 127.0.0.1; 0 chooses a free one")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    asked = parser.parse_args()
    run_fast(serve(asked.port, asked.with_parent))


if __name__ == "__main__":
    main()
