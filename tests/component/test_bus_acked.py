"""Acknowledged publishing against a real server: every way it can end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scaup.core.bus import acked
from scaup.core.bus.acked import ACK_TIMEOUT_S, Stored
from scaup.core.bus.client import Entry, header_lines
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.model.errors import (
    BusRequestError,
    BusUnavailableError,
    EventTooLargeError,
    LogFullError,
    StorageFullError,
)
from tests.support.natsserver import NatsServer, nats_server
from tests.support.waiting import eventually

STREAM = {"name": "s", "subjects": ["s.*"], "storage": "file", "retention": "limits", "discard": "new"}


@asynccontextmanager
async def a_stream(nats: NatsServer, **config: Any) -> AsyncIterator[Bus]:
    async with connect(BusAccess(nats.url), "test") as bus:
        await bus.api("STREAM.CREATE.s", STREAM | config)
        yield bus


async def messages(bus: Bus) -> int:
    return int((await bus.api("STREAM.INFO.s"))["state"]["messages"])


async def test_what_is_acknowledged_is_stored_at_the_sequence_told(nats: NatsServer) -> None:
    async with a_stream(nats) as bus:
        found = await asyncio.gather(*(bus.acked.store("s.a", b"%d" % i, {"x": "é"}) for i in range(500)))
        assert sorted(each.sequence for each in found) == list(range(1, 501))
        assert await messages(bus) == 500
        assert bus.acked.in_flight == 0


async def test_a_repeated_id_is_stored_once_and_said_so(nats: NatsServer) -> None:
    async with a_stream(nats) as bus:
        first = await bus.acked.store("s.a", b"x", {"Nats-Msg-Id": "1"})
        second = await bus.acked.store("s.a", b"x", {"Nats-Msg-Id": "1"})
    assert (first.duplicate, second.duplicate, second.sequence) == (False, True, first.sequence)


def many(count: int, subject: str = "s.a", **headers: str) -> list[Entry]:
    return [(subject, header_lines({"n": str(number), **headers}), b"%d" % number) for number in range(count)]


async def test_many_at_once_are_stored_in_their_order_and_each_has_its_sequence(nats: NatsServer) -> None:
    async with a_stream(nats) as bus:
        await bus.acked.store("s.a", b"before")
        assert await bus.acked.store_all(many(500)) == [Stored(number) for number in range(2, 502)]
        second = await bus.client.jetstream().get_msg("s", 2)
        assert (second.data, (second.headers or {})["n"]) == (b"0", "0")
        assert bus.acked.in_flight == 0


async def test_each_of_many_at_once_has_an_outcome_of_its_own(nats: NatsServer) -> None:
    async with a_stream(nats, max_msgs=3) as bus:
        await bus.acked.store("s.a", b"x", {"Nats-Msg-Id": "known"})
        outcomes = await bus.acked.store_all(
            [
                *many(1),
                *many(1, **{"Nats-Msg-Id": "known"}),
                ("s.a", b"", b"x" * bus.client.max_payload),
                *many(1, "nobody.listens"),
                *many(2),
            ]
        )
        assert outcomes[:2] == [Stored(2), Stored(1, duplicate=True)]
        assert [type(outcome) for outcome in outcomes[2:]] == [
            EventTooLargeError,
            BusUnavailableError,
            Stored,
            LogFullError,
        ]
        assert bus.acked.in_flight == 0
        assert await bus.acked.store_all([]) == []


async def test_many_at_once_fail_one_by_one_when_the_connection_is_lost_and_at_once_when_there_is_none(
    nats: NatsServer,
) -> None:
    async with a_stream(nats) as bus:
        await bus.client.subscribe("swallowed", cb=_nothing)
        waiting = asyncio.create_task(bus.acked.store_all([*many(2, "swallowed"), *many(1)]))
        await eventually(lambda: bus.acked.in_flight == 3, "they are sent")
        nats.kill()
        outcomes = await waiting
        assert [type(outcome) for outcome in outcomes[:2]] == [BusUnavailableError] * 2
        assert bus.acked.in_flight == 0
        await eventually(lambda: not bus.is_connected, "the loss is noticed")
        with pytest.raises(BusUnavailableError):
            await bus.acked.store_all(many(2))
        await asyncio.to_thread(nats.start)


async def _nothing(_msg: object) -> None:
    pass


@pytest.mark.parametrize(
    "limits",
    [
        {"max_msgs": 2},
        {"max_bytes": 250},
        {"max_msgs_per_subject": 2, "discard_new_per_subject": True},
    ],
)
async def test_a_full_stream_is_said_to_be_full_and_takes_again_when_there_is_room(
    nats: NatsServer, limits: dict[str, Any]
) -> None:
    async with a_stream(nats, **limits) as bus:
        for _ in range(2):
            await bus.acked.store("s.a", b"x" * 60)
        outcomes = await asyncio.gather(*(bus.acked.store("s.a", b"x" * 60) for _ in range(50)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {LogFullError}
        await bus.api("STREAM.PURGE.s")
        await bus.acked.store("s.a", b"x" * 60)
        assert bus.acked.in_flight == 0


async def test_a_full_account_is_full_too(tmp_path: Path) -> None:
    with nats_server(
        tmp_path / "n", "accounts { A { jetstream: {max_file: 1000000}, users: [{user: a, password: b}] } }"
    ) as small:
        async with connect(BusAccess(small.url.replace("//", "//a:b@")), "test") as bus:
            await bus.api("STREAM.CREATE.s", STREAM)
            storing = (bus.acked.store("s.a", b"x" * 100_000) for _ in range(20))
            outcomes = await asyncio.gather(*storing, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Stored, StorageFullError}


async def test_a_refusal_of_another_kind_keeps_its_number(nats: NatsServer) -> None:
    async with a_stream(nats) as bus:
        with pytest.raises(BusRequestError) as found:
            await bus.acked.store("s.a", b"x", {"Nats-Expected-Last-Sequence": "7"})
        assert found.value.err_code == 10071


async def test_a_stream_that_is_not_there_is_known_at_once(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        async with asyncio.timeout(ACK_TIMEOUT_S * 0.9):
            with pytest.raises(BusUnavailableError, match="no stream takes"):
                await bus.acked.store("nobody.listens", b"x")


async def test_what_is_too_large_is_refused_here_and_the_connection_survives(nats: NatsServer) -> None:
    async with a_stream(nats) as bus:
        limit = bus.max_payload
        await bus.acked.store("s.a", b"x" * limit)
        await bus.acked.store("s.a", b"x" * (limit - 100), {"a": "x" * (100 - len("NATS/1.0\r\na: \r\n\r\n"))})
        for data, headers in [
            (b"x" * (limit + 1), None),
            (b"x" * (limit - 100), {"a": "x" * (101 - len("NATS/1.0\r\na: \r\n\r\n"))}),
            (b"", {"a": "é" * (limit // 2)}),
        ]:
            with pytest.raises(EventTooLargeError):
                await bus.acked.store("s.a", data, headers)
        assert (await bus.acked.store("s.a", b"x")).sequence == 3
        assert (bus.epoch, bus.closed.is_set()) == (1, False)


async def test_a_lost_connection_fails_what_is_under_way_at_once(nats: NatsServer) -> None:
    async with a_stream(nats) as bus:
        await bus.client.subscribe("swallowed")  # a subscriber, but no stream: no acknowledgement will come
        waiting = [asyncio.create_task(bus.acked.store("swallowed", b"x")) for _ in range(10)]
        await eventually(lambda: bus.acked.in_flight == 10, "all wait")
        nats.kill()
        async with asyncio.timeout(ACK_TIMEOUT_S * 0.9):
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {BusUnavailableError}
        assert bus.acked.in_flight == 0
        async with asyncio.timeout(ACK_TIMEOUT_S * 0.9):
            with pytest.raises(BusUnavailableError, match="no connection"):
                await bus.acked.store("s.a", b"x")
        await asyncio.to_thread(nats.start)
        await eventually(lambda: bus.epoch == 2, "the connection is back")
        assert bus.is_connected


async def test_no_acknowledgement_in_time_is_an_error(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acked, "ACK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(acked, "_SWEEP_S", 0.05)
    async with a_stream(nats) as bus:
        await bus.client.subscribe("swallowed")
        with pytest.raises(BusUnavailableError, match="no acknowledgement"):
            await bus.acked.store("swallowed", b"x")
        monkeypatch.undo()
        await bus.acked.store("s.a", b"x")


async def test_a_cancelled_publish_leaves_nothing_behind(nats: NatsServer) -> None:
    async with a_stream(nats) as bus:
        await bus.client.subscribe("swallowed")
        waiting = asyncio.create_task(bus.acked.store("swallowed", b"x"))
        await eventually(lambda: bus.acked.in_flight == 1, "it waits")
        waiting.cancel()
        await asyncio.wait([waiting])
        assert bus.acked.in_flight == 0
