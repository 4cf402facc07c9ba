"""What is common to the work on the queue of a lane, in order or not: its consumer, the pulling, leases, the end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Final

import structlog

from scaup.core.bus.connection import Msg
from scaup.core.bus.pull import Puller
from scaup.core.bus.topology import QUEUE_ACK_WAIT_S, ensure_consumer, remove_consumer
from scaup.core.model import names
from scaup.core.model.errors import BusError
from scaup.core.model.names import Lane
from scaup.dispatcher.target import Target, Tools
from scaup.dispatcher.trials import Trials

log = structlog.get_logger()

_PROGRESS_S: Final = QUEUE_ACK_WAIT_S / 3
_IDLE_S: Final = 60.0
_RETRY_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.1


class LaneWork(ABC):
    """Works the queue of one lane for as long as ``run`` runs."""

    def __init__(
        self, lane: Lane, target: Target, tools: Tools, trials: Trials, consumer: dict[str, Any], batch: int
    ) -> None:
        self.lane = lane
        self._consumer = consumer
        self._trials = trials
        self._loop = asyncio.get_running_loop()
        self.idle_since = self._loop.time()
        self._target = target
        self._tools = tools
        self._is_ending = False
        self._stream = names.queue_stream(lane.broker)
        self._is_gone = asyncio.Event()
        self._puller = Puller(
            tools.bus,
            (self._stream, names.lane_consumer(lane)),
            room=self._room,
            received=self._receive,
            batch=batch,
            gone=self._is_gone.set,
        )

    @property
    def is_idle(self) -> bool:
        """Nothing came for a minute, and nothing is held."""
        return self.is_empty and self._loop.time() - self.idle_since > _IDLE_S

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Nothing is held."""

    async def run(self) -> None:
        """Make the consumer, then pull, until cancelled. What waits goes back then; what is under way is let finish."""
        try:
            await self._ensure()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._puller.run(), name="pulling-queue")
                tasks.create_task(self._tend(), name="tending-queue")
        finally:
            self._is_ending = True
            self._hand_back()

    async def remove(self) -> None:
        """Remove the consumer of an empty lane."""
        await remove_consumer(self._tools.bus, self._stream, names.lane_consumer(self.lane))

    async def _ensure(self) -> None:
        while True:
            try:
                await ensure_consumer(self._tools.bus, self._stream, self._consumer)
            except BusError as error:
                log.debug("queues.waits", lane=self.lane, error=str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _tend(self) -> None:
        """Say "in progress" for what is held, wake the puller when the breaker lets a probe through."""
        said = self._loop.time()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._is_gone.is_set():
                self._is_gone.clear()
                await self._ensure()
            if self._loop.time() - said > _PROGRESS_S:
                said = self._loop.time()
                for reply in list(self._replies()):
                    await self._tools.bus.publish(reply, b"+WPI")
                self._said_in_progress(said)
            self._look()
            self._puller.wake()

    def _said_in_progress(self, at: float) -> None:  # noqa: B027 - nothing to be done about it, as a rule
        """It was said of all that is held, from loop time ``at`` on."""

    def _look(self) -> None:  # noqa: B027 - the same
        """Ten times a second."""

    @abstractmethod
    def _replies(self) -> Iterable[str]:
        """The reply subjects of what is held."""

    @abstractmethod
    def _hand_back(self) -> None:
        """The end: what waits goes back."""

    @abstractmethod
    def _room(self) -> int:
        """Entries that may come."""

    @abstractmethod
    def _receive(self, msg: Msg) -> None:
        """An entry came."""

    def _throw_away(self, reply: str, error: ValueError) -> None:
        log.error("queues.unreadable", lane=self.lane, error=str(error))
        self._tools.bus.post(reply, b"+TERM")
