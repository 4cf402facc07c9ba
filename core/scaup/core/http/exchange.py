"""One connection of the client: a request out, an answer in, with a deadline and with bounds for all that is held.

llhttp (through httptools) reads the answers. Where connections come from and go to is the pool's (``outbound``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

_MAX_HEADERS_BYTES: Final = 128 << 10
_MAX_HEADERS: Final = 1000
_CHUNK_OVERHEAD: Final = 8
_UNSUSPICIOUS: Final = 4 << 10
_PIECE: Final = 128 << 10
_SMALL: Final = 512
_MAX_KNOWN: Final = 256
_NEAR_S: Final = 2.0
_LOOK_EVERY_S: Final = 0.1


class NoAnswerError(Exception):
    """The connection could not be made, broke, or carried something that is no HTTP. The text says which."""


class SwitchedError(NoAnswerError):
    """The answer was 101: the connection is to speak another protocol, which nobody asked for."""


class StaleError(Exception):
    """The connection was closed before a byte of the answer came."""


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


class Deadlines:
    """The deadlines of exchanges, looked at all together: a timer for each would cost more than reading its answer.

    They are kept to a tenth of a second; those that are near have a timer after all.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[Answer], float] = {}
        self._looking: asyncio.TimerHandle | None = None

    def add(self, waiting: asyncio.Future[Answer], deadline: float) -> asyncio.TimerHandle | None:
        """Fail ``waiting`` with TimeoutError at its deadline, unless it is done or taken back before."""
        if deadline - self._loop.time() < _NEAR_S:
            return self._loop.call_at(deadline, _expire, waiting)
        self._waiting[waiting] = deadline
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_EVERY_S, self._look)
        return None

    def remove(self, waiting: asyncio.Future[Answer], timer: asyncio.TimerHandle | None) -> None:
        """Take back what ``add`` gave."""
        if timer is not None:
            timer.cancel()
        else:
            del self._waiting[waiting]

    def _look(self) -> None:
        now = self._loop.time()
        for waiting, deadline in self._waiting.items():
            if deadline <= now:
                _expire(waiting)
        self._looking = self._loop.call_later(_LOOK_EVERY_S, self._look) if self._waiting else None


class KnownAnswers:
    """Whole answers without a body, by their bytes: most of a sink's differ in the second of their Date only."""

    def __init__(self) -> None:
        self._answers: dict[bytes, Answer] = {}
        self.get = self._answers.get

    def add(self, data: bytes, answer: Answer) -> None:
        """Remember an answer that came in one piece, nothing before or behind it, on a connection that is kept."""
        if len(data) <= _SMALL and not answer.body:
            if len(self._answers) >= _MAX_KNOWN:
                self._answers.clear()
            self._answers[data] = answer


class Connection(asyncio.Protocol):
    """One connection: one exchange at a time. After each it gives itself to ``keep``, or closes."""

    def __init__(self, keep: Callable[[Connection], None], known: KnownAnswers, deadlines: Deadlines) -> None:
        self.is_usable = False
        self._known = known
        self._deadlines = deadlines
        self.idle_since = 0.0
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._limit: Limit = _nothing
        self._body: bytearray | None = None
        self._size = 0
        self._received = 0
        self._heard = False
        self._ends_with_connection = False
        self._unsent: memoryview | None = None
        self._is_full = False
        self._early = b""

    async def exchange(self, request: bytes, rest: bytes | None, deadline: float, limit: Limit) -> Answer:
        """Send ``request`` and, as the sink takes it, ``rest``; the answer, or StaleError where none began."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise StaleError
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting = future
        self._limit = limit
        self._received = self._size = 0
        self._heard = False
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        timer = self._deadlines.add(future, deadline)
        try:
            transport.write(request)
            if rest is not None:
                self._unsent = memoryview(rest)
                self._send_on()
            if self._early:
                early, self._early = self._early, b""
                self.data_received(early)
                transport.resume_reading()
            return await future
        except BaseException:
            if self._waiting is future:
                self._waiting = None
                self.close()
            raise
        finally:
            self._deadlines.remove(future, timer)

    def close(self) -> None:
        """Close at once; what was being sent is not waited for."""
        self.is_usable = False
        self._unsent = None
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over: the end of the answer, or of the hope for one."""
        self.is_usable = False
        self._unsent = None
        if self._ends_with_connection and exc is None:
            self._answer.body = bytes(self._body or b"")
            self._finish(self._answer)
        elif not self._heard:
            self._fail(StaleError())
        else:
            why = text_of(exc) if exc else "it was closed in the middle of the answer"
            self._fail(NoAnswerError(f"the connection broke: {why}"))
        self._parser = None

    # A sink that reads slowly, or not at all, holds a piece of a large body, not a copy of it for every attempt.

    def pause_writing(self) -> None:
        """The sink takes no more for now."""
        self._is_full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_full = False
        if self._unsent is not None:
            self._send_on()

    def _send_on(self) -> None:
        transport = cast("asyncio.Transport", self._transport)
        while self._unsent and not self._is_full and not transport.is_closing():
            piece, self._unsent = self._unsent[:_PIECE], self._unsent[_PIECE:]
            transport.write(piece)
        if not self._unsent:
            self._unsent = None

    def data_received(self, data: bytes) -> None:
        """A part of the answer; from here on it is the sink that decides what comes."""
        if self._waiting is None or self._waiting.done() or self._parser is None:
            self._unasked(data)
            return
        is_first, self._heard = not self._heard, True
        if is_first and (answer := self._known.get(data)) is not None:
            self._give(answer, keep=True)
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(SwitchedError("the answer wants another protocol"))
            self.close()
        except httptools.HttpParserError as error:
            self._fail(NoAnswerError(f"the answer is no HTTP: {error}"))
            self.close()
        if self._waiting is not None:
            if self._received > _UNSUSPICIOUS:
                self._bound_headers()
        elif is_first and self.is_usable:
            self._known.add(data, self._answer)

    def _unasked(self, data: bytes) -> None:
        if self._parser is None and not self._early and self._transport is not None:
            self._early = data  # it answers as it is connected to, such as "503, I am full"
            self._transport.pause_reading()
        else:
            self.close()

    def _bound_headers(self) -> None:
        # The parser gathers a header line, or a trailer, until it is whole: nothing else bounds what that takes. And
        # thousands of tiny headers take thirty times their bytes.
        allowed = _MAX_HEADERS_BYTES + (_CHUNK_OVERHEAD + 1) * self._size
        if self._received > allowed or len(self._answer.headers) > _MAX_HEADERS:
            self._fail(NoAnswerError("the answer's headers are too large"))
            self.close()

    # What follows is called by the parser, in the order of an answer's parts.

    def on_message_begin(self) -> None:
        """A status line begins."""
        if self._waiting is None:
            self.close()  # more than was asked for: the next request must not take it for its answer
        self._answer = Answer()
        self._body = None
        self._size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or trailer."""
        self._answer.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser = cast("httptools.HttpResponseParser", self._parser)
        self._answer.status = status = parser.get_status_code()
        has_body = status >= 200 and status not in {204, 304}
        self._ends_with_connection = has_body and not any(
            name == b"content-length" or (name == b"transfer-encoding" and value.lower().endswith(b"chunked"))
            for name, value in self._answer.headers
        )

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        limit = self._limit(self._answer.status)
        room = limit - self._size
        self._size += len(data)
        if room > 0:
            if self._body is None:
                self._body = bytearray()  # not a list: chunks of two bytes would take thirty times their bytes
            self._body += data[:room]
        if self._size > limit:
            self._answer.is_cut = True
            self._answer.body = bytes(self._body or b"")
            self._finish(self._answer)
            self.close()  # rather than read what nobody wants

    def on_message_complete(self) -> None:
        """All of it is here."""
        if self._answer.status < 200:
            return  # 100 Continue and the like: the answer is still to come
        keep = cast("httptools.HttpResponseParser", self._parser).should_keep_alive()
        if self._body is not None:
            self._answer.body = bytes(self._body)
        self._give(self._answer, keep=keep)

    def _give(self, answer: Answer, *, keep: bool) -> None:
        """Give a whole answer to whoever waits for it, and the connection to the next, or end it."""
        self._finish(answer)
        # Full: it answered before it had read the request, and whether it ever will is not to be found out by the next.
        if keep and self.is_usable and not self._is_full:
            self._keep(self)
        else:
            self.close()

    def _finish(self, answer: Answer) -> None:
        self._ends_with_connection = False
        # Once the future is set the connection may be somebody else's: the exchange that waits must not touch it again.
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


def _expire(waiting: asyncio.Future[Answer]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())


def _nothing(_status: int) -> int:
    return 0


def text_of(error: BaseException) -> str:
    """An error in the words of the system, where it has some."""
    with suppress(AttributeError):
        if error.strerror:  # type: ignore[attr-defined]
            return str(error.strerror)  # type: ignore[attr-defined]
    return str(error) or type(error).__name__
