"""The producer: events at a constant rate, in both modes, whatever is answered; and what was answered 202."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from scaup.core.http.outbound import NoAnswerError, Origin, Outbound
from tests.chaos import traffic


@dataclass
class Producer:
    """Posts event after event; ``port`` says where the ingress is now."""

    rate: float
    port: Callable[[], int]
    sent: int = 0
    accepted: set[int] = field(default_factory=set)
    """Indices of the events that were answered 202."""
    answers: Counter[str] = field(default_factory=Counter)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _client: Outbound = field(default_factory=Outbound)

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            while self.sent < (loop.time() - start) * self.rate:
                task = loop.create_task(self._send(self.sent))
                self.sent += 1
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0.005)

    async def _send(self, number: int) -> None:
        origin = Origin.parse(f"http://127.0.0.1:{self.port()}/default/one")
        head, body = traffic.request_of(number)
        try:
            answer = await self._client.post(origin, head, body, timeout_s=6, limit=lambda _status: 1000)
        except (NoAnswerError, TimeoutError):
            self.answers["none"] += 1  # whether it was stored is not known: nobody owes it to anybody
            return
        self.answers[str(answer.status)] += 1
        if answer.status == 202:
            self.accepted.add(number * 2)

    async def finish(self) -> None:
        """Wait for the answers that are still to come."""
        await asyncio.gather(*self._tasks)
        await self._client.close()


@asynccontextmanager
async def load(rate: float, port: Callable[[], int]) -> AsyncIterator[Producer]:
    """A producer that sends for the length of the block."""
    producer = Producer(rate, port)
    sending = asyncio.create_task(producer.run())
    try:
        yield producer
    finally:
        sending.cancel()
        await producer.finish()
