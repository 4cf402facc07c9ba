"""Order under fire: events of several keys to one ordered Trigger whose dispatchers are killed, paused and stopped.

What is checked is what a subscriber can see: no event of a key arrives for the first time before one that the log has
earlier, nor while that one is neither accepted nor given up. Events may come twice; they are counted.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scaup.core.bus.client import header_lines
from scaup.core.codec import stored
from scaup.core.model import names
from scaup.core.model.event import ARRIVAL_TIME, HOPS
from tests.support.dataplane import World, delivery, world
from tests.support.events import an_event
from tests.support.services import Service, service, short_queue_waits
from tests.support.sinks import OK, Reaction, Request, answer, sink

KEYS: Final = tuple("abcdefgh")
_DISPATCHERS: Final = ("dispatcher-a", "dispatcher-b")
_AT_ONCE: Final = 200
_RETRIES: Final = 3


@dataclass(frozen=True)
class Fault:
    """What happens to a dispatcher when so much of the events has arrived; ``seconds`` until it is there again."""

    kind: str
    dispatcher: str
    at: float
    seconds: float


@dataclass(frozen=True)
class Plan:
    """So many events, at most ``backlog`` on their way; of ``bad_every`` events of the first key one fails for ever."""

    events: int
    faults: tuple[Fault, ...]
    backlog: int = 5_000
    bad_every: int = 500


@dataclass
class Seen:
    """What the sink saw, by key: what is asked of it is worked out as it comes."""

    ended: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, -1))
    """Number of the last event of a key that was accepted, or tried as often as it may be."""
    attempts: Counter[tuple[str, int]] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, -1))
    inversions: list[str] = field(default_factory=list)
    arrived: int = 0
    again: int = 0

    def arrives(self, key: str, number: int, *, is_bad: bool) -> None:
        self.attempts[key, number] += 1
        if self.attempts[key, number] == 1:
            self.arrived += 1
            if number != self.first[key] + 1:
                self.inversions.append(f"{key}-{number} came after {key}-{self.first[key]}")
            if number > self.ended[key] + 1:
                self.inversions.append(f"{key}-{number} came before the end of {key}-{self.ended[key] + 1}")
            self.first[key] = max(self.first[key], number)
        elif not is_bad or self.attempts[key, number] > _RETRIES + 1:
            self.again += 1
        if not is_bad or self.attempts[key, number] > _RETRIES:
            self.ended[key] = max(self.ended[key], number)


@dataclass(frozen=True)
class Report:
    """What came of it."""

    seen: Seen
    sent: int
    dead: list[str]
    seconds: float
    faults: list[str]

    def complaints(self, plan: Plan) -> list[str]:
        """What is wrong, in words."""
        found = self.seen.inversions[:20]
        if self.seen.arrived != self.sent:
            found.append(f"{self.sent - self.seen.arrived} of {self.sent} events never came")
        bad = sorted(f"{KEYS[0]}-{number}" for number in range(self.sent // len(KEYS)) if is_bad(plan, KEYS[0], number))
        if sorted(self.dead) != bad:
            found.append(f"dead letters: {sorted(self.dead)[:10]}, and not {bad[:10]}")
        return found


def is_bad(plan: Plan, key: str, number: int) -> bool:
    """Whether the sink refuses this event for ever."""
    return key == KEYS[0] and number % plan.bad_every == plan.bad_every - 1


def some_faults(count: int, seed: int) -> tuple[Fault, ...]:
    """Faults spread over the run: kills, pauses that outlast the lease, orderly stops."""
    chance = random.Random(seed)
    return tuple(
        Fault(
            chance.choice(("kill", "kill", "pause", "stop")),
            chance.choice(_DISPATCHERS),
            (number + chance.random()) / (count + 1),
            chance.choice((0.5, 4.0, 9.0)),
        )
        for number in range(count)
    )


async def run(plan: Plan, nats_url: str, directory: Path, show: Callable[[str], None] = lambda _: None) -> Report:
    """Run it in ``directory``, against an empty NATS."""
    seen = Seen()

    def script(request: Request) -> Reaction:
        key, _, number = request.id.partition("-")
        bad = is_bad(plan, key, int(number))
        seen.arrives(key, int(number), is_bad=bad)
        there.requests.clear()  # of so many nobody wants to remember all
        return answer(500) if bad else OK

    began = time.monotonic()
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(world(nats_url))
        there = await stack.enter_async_context(sink())
        there.script = script
        policy = delivery(retry=_RETRIES, backoff_delay_s=0.1)
        await here.trigger("t", there.url, ordered=True, delivery=policy)
        await here.filter()
        fleet = stack.enter_context(_Fleet(nats_url, directory))
        for name in _DISPATCHERS:
            await fleet.start(name)
        sending = asyncio.create_task(_send(here, plan, seen))
        faults = asyncio.create_task(fleet.suffer(plan, seen))
        last = time.monotonic()
        arrived = -1
        while not (sending.done() and faults.done() and await _is_over(here)):
            await asyncio.sleep(0.5)
            if seen.arrived != arrived:
                last, arrived = time.monotonic(), seen.arrived
            if time.monotonic() - last > 60.0:
                break
            wrong = len(seen.inversions)
            show(f"{seen.arrived} of {plan.events} arrived, {wrong} out of order, {len(fleet.done)} faults")
        sending.cancel()
        faults.cancel()
        results = await asyncio.gather(sending, faults, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        dead = [letter.event.id for letter in await here.dead_letters()]
        return Report(seen, plan.events, dead, time.monotonic() - began, fleet.done)


async def _send(here: World, plan: Plan, seen: Seen) -> None:
    """Into the log, key after key; of each key in order, for the log's order is what counts."""
    sent = 0
    while sent < plan.events:
        while sent - seen.arrived > plan.backlog:  # noqa: ASYNC110 - the sink tells nobody
            await asyncio.sleep(0.02)
        batch = []
        for number in range(sent, min(sent + _AT_ONCE, plan.events)):
            key = KEYS[number % len(KEYS)]
            event = an_event(b"{}", id=f"{key}-{number // len(KEYS)}", partitionkey=key)
            whole = event.with_attributes(**{HOPS: "255", ARRIVAL_TIME: "2026-01-02T03:04:05.678901Z"})
            batch.append((names.event_subject(here.broker.uid), header_lines(stored.to_headers(whole)), b"{}"))
        results = await here.bus.acked.store_all(batch)
        for result in results:
            if isinstance(result, Exception):
                raise result
        sent += len(batch)


async def _is_over(here: World) -> bool:
    return not await here.unsettled() and not await here.queue_size()


class _Fleet(ExitStack):
    """The dispatchers, as processes."""

    def __init__(self, nats_url: str, directory: Path) -> None:
        super().__init__()
        self._nats_url = nats_url
        self._directory = directory
        self._environ = short_queue_waits(directory / "short")
        self._running: dict[str, Service] = {}
        self.done: list[str] = []

    async def start(self, name: str) -> None:
        environ = self._environ | {"SCAUP_REPLICA": name}
        running = self.enter_context(service("dispatcher", self._directory, self._nats_url, **environ))
        await running.until_ready()
        self._running[name] = running

    async def suffer(self, plan: Plan, seen: Seen) -> None:
        """Fault after fault, each when its time has come."""
        for fault in sorted(plan.faults, key=lambda fault: fault.at):
            while seen.arrived < fault.at * plan.events:  # noqa: ASYNC110 - the sink tells nobody
                await asyncio.sleep(0.02)
            pid = self._running[fault.dispatcher].process.pid
            match fault.kind:
                case "kill":
                    await self._running[fault.dispatcher].stopped(signal.SIGKILL)
                case "stop":
                    await self._running[fault.dispatcher].stopped(signal.SIGTERM, within_s=40.0)
                case _:
                    os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            if fault.kind == "pause":
                os.kill(pid, signal.SIGCONT)
            else:
                await self.start(fault.dispatcher)
            self.done.append(f"{fault.kind} {fault.dispatcher} for {fault.seconds:g} s")
