"""Acknowledged publishing with our own window.

The client's own request makes a timer for every message and its asynchronous publish never returns once a stream
refuses; here one subscription takes all acknowledgements and one sweep looks after all deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import nats.errors
import orjson
from nats.aio.msg import Msg

from scaup.core.bus.client import Entry, QuickClient, size_of
from scaup.core.model.errors import (
    BusError,
    BusRequestError,
    BusUnavailableError,
    EventTooLargeError,
    LogFullError,
    StorageFullError,
)

ACK_TIMEOUT_S: Final = 5.0
_SWEEP_S: Final = 0.5

# JetStream's numbers for "no room" of the account or the server; a stream's own limits all have 10077 and a text.
_STORAGE_FULL: Final = frozenset({10047, 10023, 10028, 10002})
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

        Raises LogFullError (its limits; StorageFullError those of NATS as a whole), EventTooLargeError (over the
        server's ``max_payload``, headers included),
        BusRequestError (refused otherwise), and BusUnavailableError: no connection, or no answer within 5 s, in
        which case the message may be stored all the same.
        """
        client = self._client
        self._check_connected()
        token, future = self._expect()
        try:
            await client.send(subject, self._prefix + token, data, headers)
            return _read(await future)
        except nats.errors.Error as error:
            raise self._in_words(error) from error
        finally:
            self._waiting.pop(token, None)

    async def store_all(self, entries: Sequence[Entry]) -> list[Stored | BusError | EventTooLargeError]:
        """Publish many entries in one write, and wait for all; what became of each, as ``store`` returns or raises.

        Raises BusUnavailableError where there is no connection: then nothing was sent.
        """
        self._check_connected()
        results: list[Stored | BusError | EventTooLargeError | None] = [None] * len(entries)
        sent: list[tuple[int, str, asyncio.Future[bytes]]] = []
        for place, entry in enumerate(entries):
            if size_of(entry) > self._client.max_payload:
                results[place] = self._too_large()
            else:
                sent.append((place, *self._expect()))
        try:
            await self._client.send_entries([(entries[place], self._prefix + token) for place, token, _ in sent])
            for place, _, future in sent:
                try:
                    results[place] = _read(await future)
                except BusError as error:
                    results[place] = error
        except nats.errors.Error as error:
            raise self._in_words(error) from error
        finally:
            for _, token, future in sent:
                del self._waiting[token]
                if future.done() and not future.cancelled():
                    future.exception()  # it may be that nobody came to read it
        return [result for result in results if result is not None]

    def _check_connected(self) -> None:
        if not self._client.is_connected:
            msg = "no connection to NATS"
            raise BusUnavailableError(msg)

    def _expect(self) -> tuple[str, asyncio.Future[bytes]]:
        """The token of an acknowledgement that is to come, and where it will be."""
        self._next += 1
        token = str(self._next)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[token] = (future, self._loop.time() + ACK_TIMEOUT_S)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        return token, future

    def _too_large(self) -> EventTooLargeError:
        msg = f"the event is larger than the bus takes ({self._client.max_payload} bytes, attributes included)"
        return EventTooLargeError(msg, hint="send less, or a reference to the data (extension dataref)")

    def _in_words(self, error: nats.errors.Error) -> BusUnavailableError | EventTooLargeError:
        if isinstance(error, nats.errors.MaxPayloadError):
            return self._too_large()
        msg = f"NATS did not take the message: {error}"
        return BusUnavailableError(msg)

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
    if number in _STORAGE_FULL:
        msg = f"NATS has no room left: {description}"
        raise StorageFullError(msg, hint="make room on the disk of the NATS servers, or raise their JetStream limits")
    if description in _FULL_WORDS:
        msg = f"the stream is full: {description}"
        raise LogFullError(msg)
    msg = f"the stream refused the message: {description} ({number})"
    raise BusRequestError(msg, status=error.get("code", 500), err_code=number)
