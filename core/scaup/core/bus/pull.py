"""Pulling from a durable consumer: as much as there is room for, without a gap between two requests.

One request is under way while the room allows; the next is sent before the last is used up. Requests that the server
may have forgotten (a reconnect, a silence) are asked again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
import structlog
from nats.aio.msg import Msg

from scaup.core.bus.connection import Bus

log = structlog.get_logger()

_EXPIRES_S: Final = 30.0
_HEARTBEAT_S: Final = 5.0
_SILENCE_S: Final = 2.5 * _HEARTBEAT_S
_RETRY_S: Final = 0.25
_NS: Final = 1_000_000_000


def nak(delay_s: float = 0.0) -> bytes:
    """The word that hands a message back, to come again after ``delay_s`` (JetStream's acknowledgements)."""
    return b'-NAK {"delay": %d}' % int(delay_s * _NS) if delay_s else b"-NAK"


@dataclass(slots=True)
class _Request:
    number: int
    remaining: int


class Puller:
    """Pulls one consumer for as long as ``run`` runs.

    ``consumer`` names stream and durable. ``room()`` says how many messages may come (0: none now; call ``wake`` when
    that changes); ``received`` gets each message, in order, and must not block. ``gone`` is called when the consumer
    or its stream is not there.
    """

    def __init__(
        self,
        bus: Bus,
        consumer: tuple[str, str],
        *,
        room: Callable[[], int],
        received: Callable[[Msg], None],
        batch: int = 256,
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{consumer[0]}.{consumer[1]}"
        self._room = room
        self._received = received
        self._batch = batch
        self._gone = gone
        self._requests: deque[_Request] = deque()
        self._outstanding = 0
        self._number = 0
        self._heard = 0.0
        self._wait_until = 0.0
        self._wake = asyncio.Event()
        self._inbox = ""
        self._is_ending = False

    def wake(self) -> None:
        """There is room again."""
        self._wake.set()

    async def run(self) -> None:
        """Pull until cancelled."""
        self._inbox = self._bus.client.new_inbox() + "."
        end_subscription = await self._bus.subscribe(self._inbox + "*", self._on_message, drains=True)
        end_change = self._bus.on_change(lambda _: self._forget())
        try:
            while True:
                self._wake.clear()
                now = self._loop.time()
                if self._requests and now - self._heard > _SILENCE_S:
                    self._forget()
                if now >= self._wait_until and self._bus.is_connected:
                    await self._ask()
                timeout = _HEARTBEAT_S if now >= self._wait_until else self._wait_until - now
                try:
                    async with asyncio.timeout(timeout):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            self._is_ending = True
            end_change()
            await end_subscription()

    async def _ask(self) -> None:
        if self._outstanding * 2 >= self._batch:
            return  # more would only be lost to this replica's like while it is paused
        want = min(self._batch, self._room() - self._outstanding)
        if want <= 0 or (self._outstanding and want * 2 < self._batch):
            return
        self._number += 1
        self._outstanding += want
        if not self._requests:
            self._heard = self._loop.time()
        self._requests.append(_Request(self._number, want))
        body = {"batch": want, "expires": int(_EXPIRES_S * _NS), "idle_heartbeat": int(_HEARTBEAT_S * _NS)}
        await self._bus.publish(self._subject, orjson.dumps(body), f"{self._inbox}{self._number}")

    async def _on_message(self, msg: Msg) -> None:
        if msg.headers is not None and (status := msg.headers.get("Status")) and not msg.reply:
            self._on_status(status, msg)
            return
        if self._is_ending:
            self._bus.post(msg.reply, nak())  # it was on its way; nobody would miss it before the ack wait is over
            return
        if self._requests:
            head = self._requests[0]
            head.remaining -= 1
            if head.remaining <= 0:
                self._requests.popleft()
        if self._outstanding > 0:
            self._outstanding -= 1
            if self._outstanding * 2 < self._batch:
                self._wake.set()
        self._heard = self._loop.time()
        self._received(msg)

    def _on_status(self, status: str, msg: Msg) -> None:
        self._heard = self._loop.time()
        if status == "100":
            return
        number = msg.subject[len(self._inbox) :]
        for request in self._requests:
            if str(request.number) == number:
                self._outstanding -= request.remaining
                self._requests.remove(request)
                break
        description = (msg.headers or {}).get("Description", "")
        if status == "503" or (status in {"404", "409"} and "Batch" not in description and "Max" not in description):
            # No such consumer, its leader moved, or JetStream is not up yet: ask again, but not at once.
            self._wait_until = self._loop.time() + _RETRY_S
            if status != "409" or "Deleted" in description:
                log.debug("pull.consumer_gone", subject=self._subject, status=status, description=description)
                self._gone()
        self._wake.set()

    def _forget(self) -> None:
        self._requests.clear()
        self._outstanding = 0
        self._wake.set()
