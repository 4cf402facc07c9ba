"""SIGTERM in bad moments: every service ends with 0 in its drain time, and nothing is lost or given up for it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.support.dataplane import World, delivery, world
from tests.support.natsserver import NatsServer
from tests.support.services import Service, service
from tests.support.sinks import HANG, OK, Sink, answer, sink
from tests.support.waiting import eventually

DRAIN_S = 5.0
"""What SCAUP_DRAIN_SECONDS is where nobody sets it."""


@contextmanager
def paused(nats: NatsServer) -> Iterator[None]:
    """A server that is there and says nothing, as one on a machine that hangs."""
    assert nats.process is not None
    os.kill(nats.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(nats.process.pid, signal.SIGCONT)


async def _ends_in_order(each: Service, within_s: float = DRAIN_S + 5.0) -> None:
    began = time.monotonic()
    assert await each.stopped(signal.SIGTERM, within_s=20) == 0
    assert time.monotonic() - began < within_s
    assert "Traceback" not in each.log.read_text()


@asynccontextmanager
async def a_dispatcher(here: World, directory: Path) -> AsyncIterator[Service]:
    """One as a process, with a filter in this one."""
    with service("dispatcher", directory, here.url) as found:
        await found.until_ready()
        yield found


async def _next_one_delivers(here: World, there: Sink, ids: list[str]) -> None:
    """Another dispatcher finds everything and delivers it; nothing was given up."""
    there.script = lambda _request: OK
    await here.dispatcher()
    await eventually(lambda: set(there.ids) >= set(ids), "all are delivered", within_s=40)
    await here.until_settled(within_s=40)
    await here.until_queues_hold(0, within_s=40)
    assert not await here.dead_letters()


async def test_dispatcher_that_is_told_to_end_gives_nothing_up_for_attempts_that_run_or_retries_that_wait(
    nats: NatsServer, tmp_path: Path
) -> None:
    """The one that hangs may not be tried again: an attempt that is broken off must not count as one."""
    async with world(nats.url) as here, sink(HANG) as hanging, sink(answer(503)) as refusing:
        await here.filter()
        await here.trigger("hanging", hanging.url, delivery=delivery(retry=0, timeout_s=60))
        await here.trigger("refusing", refusing.url, delivery=delivery(retry=20, backoff_delay_s=0.9))
        async with a_dispatcher(here, tmp_path) as first:
            ids = await here.send_many(20)
            await eventually(lambda: hanging.requests and len(refusing.requests) >= 8, "they are being tried")
            await _ends_in_order(first)
        refusing.script = lambda _request: OK
        await _next_one_delivers(here, hanging, ids)
        await eventually(lambda: set(refusing.ids) >= set(ids), "the other sink has them too")


@pytest.mark.parametrize("how", ["killed", pytest.param("paused", marks=pytest.mark.long)])
async def test_dispatcher_that_is_told_to_end_while_nats_is_away_ends_in_time_and_loses_nothing(
    nats: NatsServer, tmp_path: Path, how: str
) -> None:
    async with world(nats.url) as here, sink() as there:
        there.script = lambda _request: answer(503, delay_s=0.3)
        await here.filter()
        await here.trigger("t", there.url, delivery=delivery(retry=2, backoff_delay_s=0.5))
        async with a_dispatcher(here, tmp_path) as first:
            ids = await here.send_many(20)
            await eventually(lambda: len(there.requests) >= 8, "they are being tried")
            if how == "killed":
                nats.kill()
                await _ends_in_order(first)
                await asyncio.to_thread(nats.start)
            else:
                with paused(nats):
                    await _ends_in_order(first)
        await eventually(lambda: here.bus.is_connected, "the test is connected")
        await _next_one_delivers(here, there, ids)


@pytest.mark.parametrize("home", ["ingress", "filter", "dispatcher"])
async def test_service_that_has_nothing_to_do_ends_soon_although_nats_does_not_answer(
    nats: NatsServer, tmp_path: Path, home: str
) -> None:
    async with world(nats.url) as here:
        with service(home, tmp_path, here.url) as each:
            await each.until_ready()
            with paused(nats):
                await _ends_in_order(each, within_s=DRAIN_S * 0.9)
