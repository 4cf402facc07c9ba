"""Acknowledged publishing with our own window.

The client's own request makes a timer for every message and its asynchronous publish never returns once a stream
refuses; here one subscription takes all acknowledgements and one sweep looks after all deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import nats.errors
import orjson
from nats.aio.msg import Msg

from scaup.core.bus.client import Entry, QuickClient
from scaup.core.model.errors import BusRequestError, BusUnavailableError, EventTooLargeError, LogFullError

ACK_TIMEOUT_S: Final = 5.0
MOST_AT_ONCE: Final = 1000
"""Entries in an atomic batch: the server's own default limit."""
_SWEEP_S: Final = 0.5

# JetStream's numbers for "no room" of the account or the server; a stream's own limits all have 10077 and a text.
_FULL: Final = frozenset({10047, 10023, 10028, 10002})
_FULL_WORDS: Final = frozenset(
    {"maximum messages exceeded", "maximum bytes exceeded", "maximum messages per subject exceeded"}
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a message was stored; ``duplicate`` where it was there already (by its ``Nats-Msg-Id``)."""

    sequence: int
    duplicate: bool = False


class AckedPublisher:
    """Publishes to streams and waits for the word that it is stored."""

    def __init__(self, client: QuickClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()  # looking it up costs a system call (Python 3.11)
        self._prefix = ""
        self._next = 0
        self._waiting: dict[str, tuple[asyncio.Future[bytes], float]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """How many publishes wait for their acknowledgement."""
        return len(self._waiting)

    async def start(self) -> None:
        """Subscribe to the acknowledgements. Once, after connecting."""
        self._prefix = self._client.new_inbox() + "."
        await self._client.subscribe(self._prefix + "*", cb=self._on_ack, pending_msgs_limit=0, pending_bytes_limit=0)

    async def store(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Stored:
        """Publish and wait until the stream has it.

        Raises LogFullError (its limits), EventTooLargeError (over the server's ``max_payload``, headers included),
        BusRequestError (refused otherwise), and BusUnavailableError: no connection, or no answer within 5 s, in
        which case the message may be stored all the same.
        """
        return await self._acknowledged(lambda reply: self._client.send(subject, reply, data, headers))

    async def store_all(self, entries: Sequence[Entry]) -> Stored:
        """Publish up to MOST_AT_ONCE entries of one stream, which stores all of them in order or none.

        Gives back the last one's sequence. The stream must have ``allow_atomic``. Raises as ``store`` does, and also
        BusRequestError where an entry has a ``Nats-Msg-Id`` that is stored already: then each has to be stored alone.
        """
        batch = self._client.new_inbox()
        return await self._acknowledged(lambda reply: self._client.send_batch(batch, reply, entries))

    async def _acknowledged(self, send: Callable[[str], Awaitable[None]]) -> Stored:
        """Send with a reply subject of our own and wait for what comes back there."""
        client = self._client
        if not client.is_connected:
            msg = "no connection to NATS"
            raise BusUnavailableError(msg)
        self._next += 1
        token = str(self._next)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[token] = (future, self._loop.time() + ACK_TIMEOUT_S)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        try:
            await send(self._prefix + token)
            return _read(await future)
        except nats.errors.MaxPayloadError as error:
            msg = f"the event is larger than the bus takes ({client.max_payload} bytes, attributes included)"
            raise EventTooLargeError(msg, hint="send less, or a reference to the data (extension dataref)") from error
        except nats.errors.Error as error:
            msg = f"NATS did not take the message: {error}"
            raise BusUnavailableError(msg) from error
        finally:
            self._waiting.pop(token, None)

    def connection_lost(self) -> None:
        """Every publish under way fails at once: its acknowledgement cannot come any more."""
        for future, _ in self._waiting.values():
            if not future.done():
                msg = "the connection to NATS was lost before the acknowledgement came"
                future.set_exception(BusUnavailableError(msg))

    async def _on_ack(self, msg: Msg) -> None:
        waiting = self._waiting.get(msg.subject[len(self._prefix) :])
        if waiting is None or waiting[0].done():
            return
        if not msg.data:  # status 503: no stream listens on that subject
            text = f"no stream takes the message (status {(msg.headers or {}).get('Status', '?')})"
            waiting[0].set_exception(BusUnavailableError(text))
        else:
            waiting[0].set_result(msg.data)

    def _sweep(self) -> None:
        now = self._loop.time()
        for future, deadline in self._waiting.values():  # in order of their deadlines
            if deadline > now:
                break
            if not future.done():
                msg = f"no acknowledgement from the event log within {ACK_TIMEOUT_S:g} s"
                future.set_exception(BusUnavailableError(msg))
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep) if self._waiting else None


def _read(data: bytes) -> Stored:
    answer = orjson.loads(data)
    if (error := answer.get("error")) is None:
        return Stored(answer["seq"], answer.get("duplicate", False))
    description, number = error.get("description", ""), error.get("err_code", 0)
    if number in _FULL or description in _FULL_WORDS:
        msg = f"the stream is full: {description}"
        raise LogFullError(msg)
    msg = f"the stream refused the message: {description} ({number})"
    raise BusRequestError(msg, status=error.get("code", 500), err_code=number)
