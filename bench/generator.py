"""The load generator: CloudEvents in binary mode over raw connections, on a timetable or as fast as answered.

Responsible for: when each event is sent, on which connection, and what the broker answered when.
Must not: wait for an answer before a scheduled send (open loop), send an event twice, or judge the answers.
"""

import asyncio
import contextlib
import gc
from array import array
from collections import deque
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import cast

from bench.arrivals import ID_DIGITS, MOST_EVENTS
from bench.loop import Ticker
from bench.wire import NotHttpError, closes, measure

MAX_RATE = 0.0
"""The rate that means: closed loop, each connection sends its next event when the last one is answered."""
FINEST_TICK_NS = 250_000
NOT_ANSWERED = 0
_RECONNECT_SECONDS = 0.05
_KNOWN_ANSWERS = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, where and when."""

    host: str
    port: int
    path: str
    run: str
    rate: float = MAX_RATE
    duration: float = 10.0
    count: int = 0
    """Stop after so many events; 0 leaves it to `duration`. Whichever comes first."""
    size: int = 1024
    event_type: str = "dev.scaup.bench"
    connections: int = 32
    most_connections: int = 256
    """In an open loop connections are added up to here; then events wait, and their latency says so."""
    timeout: float = 10.0
    """Seconds until an unanswered request counts as an error and its connection is dropped."""


@dataclass(slots=True)
class Record:
    """What happened to the event with each sequence number; times are monotonic nanoseconds, 0 is never."""

    scheduled: "array[int]" = field(default_factory=lambda: array("q"))
    sent: "array[int]" = field(default_factory=lambda: array("q"))
    answered: "array[int]" = field(default_factory=lambda: array("q"))
    status: "array[int]" = field(default_factory=lambda: array("h"))
    errors: dict[str, int] = field(default_factory=dict)

    def add(self, scheduled: int) -> int:
        """Enter one more event; its sequence number."""
        self.scheduled.append(scheduled)
        self.sent.append(0)
        self.answered.append(0)
        self.status.append(NOT_ANSWERED)
        return len(self.sent) - 1


class Generator:
    """One run of the timetable over a pool of connections."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.record = Record()
        self.before, self.after = _request(plan)
        self.known: dict[bytes, int] = {}
        """Whole answers seen before and their status: most differ only in the second of their Date."""
        self.done = asyncio.Event()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._connected = asyncio.Event()
        self._backlog: deque[int] = deque()
        self._outstanding = 0
        self._sending = True
        self._start = self._end = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._most = min(plan.count or MOST_EVENTS, MOST_EVENTS)

    async def send_all(self) -> Record:
        """Send everything the plan says, wait (bounded) for the answers, and hand over the record."""
        await self._connect_all()
        gc.collect()
        gc.freeze()  # what was made until now would otherwise be walked again in the middle of the run
        loop = asyncio.get_running_loop()
        self._start = monotonic_ns() + 5_000_000
        self._end = self._start + int(self.plan.duration * 1e9)
        sweep = loop.create_task(self._sweep())
        ticker = self._begin()
        try:
            await asyncio.sleep(max(0.0, (self._start - monotonic_ns()) / 1e9))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.done.wait(), self.plan.duration + self.plan.timeout + 2)
        finally:
            self._sending = False
            self._backlog.clear()  # what has not been sent by now stays unsent
            for task in (sweep, *self._tasks):
                task.cancel()
            if ticker is not None:
                ticker.stop()
            for connection in list(self._open):
                connection.drop("no answer")
            await asyncio.sleep(0)  # lets the dropped ones count their errors
            gc.unfreeze()
        return self.record

    async def _connect_all(self) -> None:
        for _ in range(self.plan.connections):
            self._connect()
        try:
            async with asyncio.timeout(self.plan.timeout):
                await self._connected.wait()
        except TimeoutError:
            self._sending = False
            raise ConnectionError(f"nobody answers at {self.plan.host}:{self.plan.port}") from None

    def _begin(self) -> Ticker | None:
        if self.plan.rate > 0:
            return Ticker(self._tick, self._start, max(int(1e9 / self.plan.rate), FINEST_TICK_NS))
        self._start = monotonic_ns()
        self._end = self._start + int(self.plan.duration * 1e9)
        asyncio.get_running_loop().call_later(self.plan.duration, self._stop_sending)
        ready, self._idle = self._idle, []
        for connection in ready:
            self.ready(connection)
        return None

    # The timetable (open loop)

    def _tick(self) -> None:
        """Send everything that is due, whatever was answered."""
        now = monotonic_ns()
        if now < self._start or not self._sending:
            return
        interval = 1e9 / self.plan.rate
        total = min(self._most, int(self.plan.duration * self.plan.rate))
        due = min(int((now - self._start) / interval) + 1, total)
        for sequence in range(len(self.record.sent), due):
            self.record.add(self._start + int(sequence * interval))
            if self._idle:
                self._send(self._idle.pop(), sequence, now)
            else:
                self._backlog.append(sequence)
        # One new connection for each waiting event, but no stampede
        room = self.plan.most_connections - len(self._open) - self._opening
        for _ in range(min(len(self._backlog) - self._opening, room, 8)):
            self._connect()
        if due >= total:
            self._stop_sending()

    def ready(self, connection: "Connection") -> None:
        """A connection is free: give it the next event, or keep it for later."""
        if self._backlog:
            self._send(connection, self._backlog.popleft(), monotonic_ns())
        elif self.plan.rate > 0 or not self._start:
            self._idle.append(connection)
        elif self._sending:
            now = monotonic_ns()
            if now >= self._end or len(self.record.sent) >= self._most:
                self._stop_sending()
            else:
                self._send(connection, self.record.add(now), now)

    def _send(self, connection: "Connection", sequence: int, now: int) -> None:
        self._outstanding += 1
        self.record.sent[sequence] = now
        connection.send(sequence, now, b"%s%010d%s" % (self.before, sequence, self.after))

    def _stop_sending(self) -> None:
        self._sending = False
        if not self._outstanding and not self._backlog:
            self.done.set()

    # What comes back

    def answered(self, sequence: int, status: int) -> None:
        """The broker answered this event."""
        self.record.answered[sequence] = monotonic_ns()
        self.record.status[sequence] = status
        self._ended()

    def failed(self, why: str) -> None:
        """An event has no answer: whether the broker has it is not known."""
        self.record.errors[why] = self.record.errors.get(why, 0) + 1
        self._ended()

    def _ended(self) -> None:
        self._outstanding -= 1
        if not self._sending and not self._outstanding and not self._backlog:
            self.done.set()

    # Connections

    def _connect(self) -> None:
        self._opening += 1
        task = asyncio.get_running_loop().create_task(self._open_one())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open_one(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Connection(self), self.plan.host, self.plan.port)
        except OSError:
            await asyncio.sleep(_RECONNECT_SECONDS)
            if self._sending or self._backlog:
                self._connect()
        finally:
            self._opening -= 1

    def opened(self, connection: "Connection") -> None:
        """A connection is made."""
        self._open.add(connection)
        if len(self._open) >= self.plan.connections:
            self._connected.set()
        self.ready(connection)

    def closed(self, connection: "Connection") -> None:
        """A connection is gone; keep up the number we started with."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if (self._sending or self._backlog) and len(self._open) + self._opening < self.plan.connections:
            self._connect()

    async def _sweep(self) -> None:
        """Drop connections whose answer is overdue, so that a hanging broker cannot hold the run."""
        while True:
            await asyncio.sleep(min(1.0, self.plan.timeout / 4))
            overdue = monotonic_ns() - int(self.plan.timeout * 1e9)
            for connection in list(self._open):
                if connection.sequence >= 0 and connection.since < overdue:
                    connection.drop("timeout")


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request outstanding."""

    __slots__ = ("_buffer", "_generator", "_transport", "_why", "sequence", "since")

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._why = "connection lost"
        self.sequence = -1
        self.since = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._generator.opened(self)

    def send(self, sequence: int, now: int, request: bytes) -> None:
        """Write one request; its answer comes to `Generator.answered`."""
        self.sequence = sequence
        self.since = now
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        generator = self._generator
        if self._buffer or (status := generator.known.get(data)) is None:
            self._parse(data)
            return
        sequence, self.sequence = self.sequence, -1
        if sequence >= 0:
            generator.answered(sequence, status)
            generator.ready(self)

    def _parse(self, data: bytes) -> None:
        """The slow way: an answer not seen before, or one in pieces."""
        data = self._buffer + data
        try:
            head, length = measure(data)
            status = int(head[9:12]) if length else 0
        except (NotHttpError, ValueError):
            self.drop("not HTTP")
            return
        if length == 0 or length > len(data):
            self._buffer = data
            return
        self._buffer = b""
        if status < 200:  # 100 Continue and the like: the answer is still to come
            if length < len(data):
                self._parse(data[length:])
            return
        last = closes(head)
        if not last and len(data) == length <= 1024:
            if len(self._generator.known) >= _KNOWN_ANSWERS:
                self._generator.known.clear()
            self._generator.known[data] = status
        sequence, self.sequence = self.sequence, -1
        if sequence < 0:
            self.drop()
            return
        self._generator.answered(sequence, status)
        if last:
            self.drop()
        else:
            self._generator.ready(self)

    def drop(self, why: str = "connection lost") -> None:
        """End this connection now."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None
        sequence, self.sequence = self.sequence, -1
        self._generator.closed(self)
        if sequence >= 0:
            self._generator.failed(self._why)


def _request(plan: Plan) -> tuple[bytes, bytes]:
    """The request's bytes before and after the sequence number."""
    filler = "x" * max(0, plan.size - len('{"data":""}'))
    data = f'{{"data":"{filler}"}}'[: plan.size] if plan.size < 11 else f'{{"data":"{filler}"}}'
    before = (
        f"POST {plan.path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\n"
        f"ce-specversion: 1.0\r\nce-type: {plan.event_type}\r\nce-source: /scaup/bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nce-id: {plan.run}-"
    )
    if ID_DIGITS != 10:
        raise AssertionError("the format in Generator._send has 10 digits")
    return before.encode(), b"\r\n\r\n" + data.encode()
