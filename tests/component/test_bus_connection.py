"""The connection: requests and their failures, coming and going, and the end for good."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from scaup.core.bus.connection import Bus, BusAccess, Msg, connect
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.model.errors import BusRequestError, BusUnavailableError
from tests.support.cable import cable
from tests.support.natsserver import NatsServer, nats_server
from tests.support.waiting import eventually


async def test_a_request_that_jetstream_refuses_keeps_its_number(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        with pytest.raises(BusRequestError, match=r"STREAM\.INFO\.none") as found:
            await bus.api("STREAM.INFO.none")
    assert (found.value.err_code, found.value.status) == (STREAM_NOT_FOUND, 404)


async def test_nobody_to_answer_and_no_answer_in_time_are_told(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        with pytest.raises(BusUnavailableError, match="nobody answers"):
            await bus.request("nobody", b"", timeout=1)
        await bus.client.subscribe("mute")
        with pytest.raises(BusUnavailableError, match=r"within 0\.05 s"):
            await bus.request("mute", b"", timeout=0.05)


async def test_a_lost_connection_fails_the_requests_under_way_at_once(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await bus.client.subscribe("mute")
        asking = asyncio.create_task(bus.request("mute", b"", timeout=30))
        await eventually(lambda: bus.client._resp_map, "it is under way")
        nats.kill()
        with pytest.raises(BusUnavailableError, match="was lost before the answer on mute"):
            await asyncio.wait_for(asking, 20)


def has_epoch(bus: Bus, epoch: int) -> bool:
    return bus.epoch == epoch


async def test_losses_and_returns_are_told_and_counted(nats: NatsServer) -> None:
    told: list[bool] = []
    async with connect(BusAccess(nats.url), "test") as bus:
        end = bus.on_change(told.append)
        for epoch in (2, 3):
            nats.kill()
            await eventually(lambda: not bus.is_connected, "the loss is noticed")
            with pytest.raises(BusUnavailableError, match="no connection"):
                await bus.request("x", b"", timeout=1)
            await asyncio.to_thread(nats.start)
            # The client takes itself for connected a moment before it says so.
            await eventually(partial(has_epoch, bus, epoch), "the connection is back")
            assert bus.is_connected
        end()
        nats.kill()
        await eventually(lambda: not bus.is_connected, "the loss is noticed")
    assert told == [False, True, False, True]


async def test_a_server_that_comes_later_is_waited_for(nats: NatsServer) -> None:
    nats.kill()

    async def use() -> bool:
        async with connect(BusAccess(nats.url), "test") as bus:
            return bus.is_connected

    using = asyncio.create_task(use())
    done, _ = await asyncio.wait([using], timeout=0.5)
    assert not done
    await asyncio.to_thread(nats.start)
    assert await asyncio.wait_for(using, 10)


async def test_posts_are_delivered_in_order_and_the_last_ones_at_the_end(nats: NatsServer) -> None:
    heard: list[bytes] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg.data)

    async with connect(BusAccess(nats.url), "listener") as listener:
        await listener.subscribe("posts", hear)
        await listener.client.flush()
        async with connect(BusAccess(nats.url), "poster") as poster:
            for number in range(1000):
                poster.post("posts", b"%d" % number)
            await eventually(lambda: len(heard) == 1000, "all came")
            poster.post("posts", b"last")
        await eventually(lambda: len(heard) == 1001, "the last came")
    assert heard == [b"%d" % number for number in range(1000)] + [b"last"]


async def test_a_flush_comes_after_what_was_asked_for_before_it(nats: NatsServer) -> None:
    """What is subscribed to before is heard from then on; and what is drained is whole."""
    async with cable(nats.port) as way, connect(BusAccess(f"nats://127.0.0.1:{way.port}"), "test") as bus:
        await bus.client.flush()
        way.sent.clear()
        end = await bus.subscribe("heard", _says_nothing, drains=True)
        await bus.client.flush()
        await end()
        lines = [line.split()[0] for line in way.sent.split(b"\r\n") if line]
        assert lines == [b"SUB", b"PING", b"UNSUB", b"PING"]


async def test_a_client_that_is_closed_for_good_ends_whoever_waits_for_that(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        waiting = asyncio.create_task(bus.until_closed())
        await bus.client.close()
        with pytest.raises(BusUnavailableError, match="closed for good"):
            await asyncio.wait_for(waiting, 20)


async def test_a_token_is_asked_for_and_given(tmp_path: Path) -> None:
    async def who(bus: Bus) -> bool:
        return bus.is_connected

    with nats_server(tmp_path / "n", 'authorization { token: "secret" }') as server:
        async with connect(BusAccess(server.url, token="secret"), "test") as bus:
            assert await who(bus)


@pytest.mark.parametrize("is_answered", [True, False])
async def test_cancellation_that_comes_with_the_answer_is_not_forgotten(nats: NatsServer, is_answered: bool) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        end = await bus.subscribe("slow", _says_nothing)
        asked = asyncio.create_task(bus.request("slow", b"", timeout=30))
        waiting = await eventually(lambda: list(bus.client._resp_map.values()), "it waits for the answer")
        headers = None if is_answered else {"Status": "503"}
        waiting[0].set_result(Msg(bus.client, "x", "", b"", headers))
        asked.cancel()  # in the same turn of the loop
        await asyncio.wait([asked])
        assert asked.cancelled()
        await end()


async def _says_nothing(_msg: Msg) -> None: ...
