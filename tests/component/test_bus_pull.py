"""Pulling a durable consumer: within the room, without pause, and across everything that can happen to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scaup.core.bus import pull, topology
from scaup.core.bus.connection import Bus, BusAccess, Msg, connect
from scaup.core.bus.pull import Puller
from scaup.core.model.names import DISPATCH_CONSUMER, event_subject, log_stream
from tests.support.events import a_broker
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

BROKER = a_broker()
STREAM, SUBJECT = log_stream(BROKER.uid), event_subject(BROKER.uid)


class Pulled:
    """A puller and what it has received; ``free`` is its room."""

    def __init__(self, bus: Bus, **options: Any) -> None:
        self.bus = bus
        self.free = 10_000
        self.data: list[bytes] = []
        self.gone = 0
        self.puller = Puller(
            bus,
            (STREAM, DISPATCH_CONSUMER),
            room=lambda: self.free,
            received=self._received,
            gone=self._is_gone,
            **options,
        )

    def _received(self, msg: Msg) -> None:
        self.free -= 1
        self.data.append(msg.data)
        self.bus.post(msg.reply, b"+ACK")

    def _is_gone(self) -> None:
        self.gone += 1

    async def until(self, count: int) -> None:
        await eventually(lambda: len(set(self.data)) >= count, f"{count} came (have {len(self.data)})")


@asynccontextmanager
async def pulling(nats: NatsServer, **options: Any) -> AsyncIterator[tuple[Bus, Pulled]]:
    async with connect(BusAccess(nats.url), "test") as bus:
        await topology.ensure_broker(bus, BROKER)
        pulled = Pulled(bus, **options)
        running = asyncio.create_task(pulled.puller.run())
        try:
            yield bus, pulled
        finally:
            running.cancel()
            await asyncio.wait([running])


async def store(bus: Bus, first: int, count: int) -> None:
    await asyncio.gather(*(bus.acked.store(SUBJECT, b"%d" % number) for number in range(first, first + count)))


def numbers(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


async def test_everything_comes_once_and_in_order(nats: NatsServer) -> None:
    async with pulling(nats, batch=16) as (bus, pulled):
        for first in range(0, 1000, 100):
            await store(bus, first, 100)
        await pulled.until(1000)
        assert pulled.data == numbers(0, 1000)


async def test_no_more_comes_than_there_is_room_for(nats: NatsServer) -> None:
    async with pulling(nats, batch=64) as (bus, pulled):
        pulled.free = 0
        pulled.puller.wake()
        await asyncio.sleep(0)
        await store(bus, 0, 300)
        total = len(pulled.data)
        for more in (100, 1, 63):
            pulled.free += more
            total += more
            pulled.puller.wake()
            await pulled.until(total)
            await bus.client.flush()
            assert (len(pulled.data), pulled.free) == (total, 0)


async def test_a_restart_of_the_server_is_survived_without_a_loss(nats: NatsServer) -> None:
    async with pulling(nats) as (bus, pulled):
        await store(bus, 0, 10)
        await pulled.until(10)
        for round_ in (1, 2):
            nats.kill()
            await asyncio.to_thread(nats.start)
            await eventually(lambda: bus.is_connected, "connected again")
            await store(bus, round_ * 10, 10)
            await pulled.until(round_ * 10 + 10)
        assert set(pulled.data) == set(numbers(0, 30))


async def test_a_consumer_that_is_deleted_is_told_and_pulled_again_when_it_is_back(nats: NatsServer) -> None:
    async with pulling(nats) as (bus, pulled):
        await store(bus, 0, 10)
        await pulled.until(10)
        await topology.remove_consumer(bus, STREAM, DISPATCH_CONSUMER)
        await eventually(lambda: pulled.gone, "it is told that the consumer is gone")
        await store(bus, 10, 10)
        await topology.ensure_broker(bus, BROKER)
        await pulled.until(20)


async def test_a_consumer_that_is_not_there_yet_is_asked_for_again_but_not_in_a_rush(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        pulled = Pulled(bus)
        running = asyncio.create_task(pulled.puller.run())
        await eventually(lambda: pulled.gone >= 3, "it is asked for again")
        assert pulled.puller._number < 10
        await topology.ensure_broker(bus, BROKER)
        await store(bus, 0, 5)
        await pulled.until(5)
        running.cancel()
        await asyncio.wait([running])


async def test_a_request_that_the_server_forgot_is_asked_again(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "_HEARTBEAT_S", 0.1)
    monkeypatch.setattr(pull, "_SILENCE_S", 0.3)
    publish = Bus.publish
    swallowed: list[str] = []

    async def forgetful(self: Bus, subject: str, data: bytes = b"", reply: str = "") -> None:
        if "MSG.NEXT" in subject and not swallowed:
            swallowed.append(subject)
        else:
            await publish(self, subject, data, reply)

    monkeypatch.setattr(Bus, "publish", forgetful)
    async with pulling(nats) as (bus, pulled):
        await store(bus, 0, 5)
        await pulled.until(5)
        assert len(swallowed) == 1


async def test_requests_that_run_out_are_renewed(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "_EXPIRES_S", 0.4)
    monkeypatch.setattr(pull, "_HEARTBEAT_S", 0.1)
    async with pulling(nats) as (bus, pulled):
        await eventually(lambda: pulled.puller._number >= 3, "two requests have run out")
        await store(bus, 0, 5)
        await pulled.until(5)
        assert pulled.gone == 0
        assert 0 < pulled.puller._outstanding <= 256


async def test_two_pullers_share_a_consumer(nats: NatsServer) -> None:
    async with pulling(nats, batch=8) as (bus, one):
        other = Pulled(bus, batch=8)
        running = asyncio.create_task(other.puller.run())
        await eventually(lambda: other.puller._number, "both have asked")
        await store(bus, 0, 400)
        await eventually(lambda: len(one.data) + len(other.data) >= 400, "all came")
        assert sorted(one.data + other.data) == sorted(numbers(0, 400))
        assert one.data
        assert other.data
        running.cancel()
        await asyncio.wait([running])


async def test_what_is_on_its_way_to_a_puller_that_ends_goes_back_at_once(nats: NatsServer) -> None:
    """Else nobody would have it until the ack wait is over, 15 s later."""
    async with connect(BusAccess(nats.url), "test") as bus:
        await topology.ensure_broker(bus, BROKER)
        await store(bus, 0, 2000)
        first = Pulled(bus)
        running = asyncio.create_task(first.puller.run())
        await eventually(lambda: first.data, "it pulls")
        running.cancel()
        await asyncio.wait([running])
        assert len(first.data) < 2000
        second = Pulled(bus)
        running = asyncio.create_task(second.puller.run())
        await eventually(lambda: len({*first.data, *second.data}) == 2000, "the next one has the rest", within_s=12)
        running.cancel()
        await asyncio.wait([running])
