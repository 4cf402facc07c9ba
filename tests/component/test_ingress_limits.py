"""The ingress at its limits: sizes, times, a full log, too much at once, definitions and bus away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scaup.core.bus import topology
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.http import server
from scaup.core.model.definitions import Complete, to_json
from scaup.core.model.names import COMPLETE_KEY, DEFINITIONS_BUCKET, broker_key, event_subject, log_stream, trim_hint
from scaup.core.runtime.definitions import Definitions
from tests.support.events import a_broker
from tests.support.natsserver import NatsServer
from tests.support.rawhttp import BINARY, Connection, connection, post, send
from tests.support.services import InProcess, define, entries, ingress_here
from tests.support.waiting import eventually

BROKER = a_broker()
HEAD = "POST /default/one HTTP/1.1\r\nhost: x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in BINARY.items())
CHUNKED = f"{HEAD}transfer-encoding: chunked\r\n\r\n".encode()


@asynccontextmanager
async def an_ingress(nats: NatsServer, **settings: Any) -> AsyncIterator[tuple[Bus, InProcess]]:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus, **settings) as ingress:
            yield bus, ingress


def announced(size: int) -> bytes:
    return f"{HEAD}content-length: {size}\r\n\r\n".encode()


def chunks(*bodies: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\n\r\n"


async def until_accepted(ingress: InProcess, body: bytes = b"") -> None:
    async def is_accepted() -> bool:
        return (await post(ingress.port, body=body)).status == 202

    _: bool = await eventually(is_accepted, "events are accepted again")


async def accepted(one: Connection) -> int:
    return (await one.answer()).status


@pytest.mark.parametrize("limit", [1000, 1 << 20])
async def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_413(nats: NatsServer, limit: int) -> None:
    async with an_ingress(nats, max_body_bytes=limit) as (bus, ingress):
        exact, more = b"x" * limit, b"x" * (limit + 1)
        half = limit // 2
        for head, body, status in [
            (announced(limit), exact, 202),
            (announced(limit + 1), more, 413),
            (CHUNKED, chunks(exact), 202),
            (CHUNKED, chunks(more), 413),
            (CHUNKED, chunks(exact[:half], exact[half:]), 202),
            (CHUNKED, chunks(exact, b"x"), 413),
        ]:
            async with connection(ingress.port) as one:
                await one.write(head)
                await one.write(body)
                answer = await one.answer()
            assert answer.status == status
            if status == 413:
                assert answer.json()["title"] == "event.too-large"
                assert str(limit) in answer.json()["detail"]
                assert answer.headers["connection"] == "close"
        assert [len(entry.data) for entry in await entries(bus, BROKER.uid)] == [limit] * 3


async def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(nats: NatsServer) -> None:
    async with an_ingress(nats) as (_, ingress), connection(ingress.port) as one:
        await one.write(announced(10**15))
        assert (await one.answer()).status == 413
        assert await one.reader.read() == b""


async def test_the_body_limit_never_exceeds_what_the_bus_takes(nats: NatsServer) -> None:
    async with an_ingress(nats, max_body_bytes=1 << 30) as (bus, ingress):
        assert ingress.ingress.max_body_bytes == bus.max_payload - (64 << 10)
        size = ingress.ingress.max_body_bytes
        assert (await post(ingress.port, body=b"x" * size)).status == 202
        assert (await post(ingress.port, body=b"x" * (size + 1))).status == 413


async def test_attributes_that_are_too_large_are_413_and_harm_nobody(nats: NatsServer) -> None:
    """Over the server's ``max_payload`` it would cut the client off for good; two bytes a character count as two."""
    async with an_ingress(nats, max_body_bytes=1 << 30) as (bus, ingress):
        body = b"x" * ingress.ingress.max_body_bytes
        for name, value in [("ce-ext", "x" * 70_000), ("knative-x", "é" * 40_000)]:
            answer = await send(ingress.port, "POST", "/default/one", BINARY | {name: value}, body)
            assert answer.status == 413
        assert (await post(ingress.port, ce_ext="x" * 32_768)).status == 202
        assert bus.is_connected
        assert bus.epoch == 1


async def test_a_head_without_end_is_refused(nats: NatsServer) -> None:
    async with an_ingress(nats) as (_, ingress), connection(ingress.port) as one:
        await one.write(HEAD.encode() + b"x-long: ")
        for _ in range(5):
            await one.write(b"x" * 65_536)
        assert (await one.answer()).status == 431


async def test_who_does_not_send_a_head_is_not_waited_for(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.2)
    async with (
        an_ingress(nats) as (_, ingress),
        connection(ingress.port) as silent,
        connection(ingress.port) as slow,
        connection(ingress.port) as used,
    ):
        await slow.write(HEAD.encode())
        await used.write(announced(0))
        assert (await used.answer()).status == 202
        await used.write(HEAD.encode())
        for one in (silent, slow, used):
            assert (await one.answer()).status == 408
            assert await one.reader.read() == b""


@pytest.mark.parametrize("sent", [b"", b"x", b"x" * 100_000])
async def test_a_body_that_does_not_come_is_408(nats: NatsServer, sent: bytes) -> None:
    async with an_ingress(nats, body_timeout_s=0.2) as (bus, ingress):
        for head in (announced(200_000) + sent, CHUNKED + (b"%x\r\n%b\r\n" % (len(sent), sent) if sent else b"")):
            async with connection(ingress.port) as one:
                await one.write(head)
                answer = await one.answer()
            assert (answer.status, answer.json()["title"]) == (408, "request.slow")
        assert await entries(bus, BROKER.uid) == []
        assert (ingress.ingress._in_flight, ingress.ingress._in_flight_bytes) == (0, 0)
        assert (await post(ingress.port)).status == 202


@pytest.mark.parametrize("sent", [b"", b"x" * 10, b"x" * 100_000])
async def test_a_sender_that_goes_away_within_its_body_leaves_nothing_in_the_log(nats: NatsServer, sent: bytes) -> None:
    async with an_ingress(nats) as (bus, ingress):
        async with connection(ingress.port) as one:
            await one.write(announced(200_000) + sent)
            await eventually(lambda: ingress.ingress._in_flight == 1, "the request is under way")
        await eventually(lambda: ingress.ingress._in_flight == 0, "the request is given up")
        assert await entries(bus, BROKER.uid) == []
        assert ingress.ingress._in_flight_bytes == 0


async def test_too_many_requests_are_429_and_those_under_way_are_not_disturbed(nats: NatsServer) -> None:
    async with an_ingress(nats, max_in_flight=2) as (_, ingress):
        async with connection(ingress.port) as one, connection(ingress.port) as two:
            for each in (one, two):
                await each.write(announced(10) + b"12345")
            await eventually(lambda: ingress.ingress._in_flight == 2, "two are under way")
            answer = await post(ingress.port)
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            for each in (one, two):
                await each.write(b"67890")
                assert await accepted(each) == 202
        assert (await post(ingress.port)).status == 202


async def test_too_many_bytes_at_once_are_429(nats: NatsServer) -> None:
    async with an_ingress(nats, max_in_flight_bytes=100_000) as (_, ingress), connection(ingress.port) as one:
        await one.write(announced(60_000) + b"x")
        await eventually(lambda: ingress.ingress._in_flight_bytes == 60_000, "the bytes are held")
        answer = await post(ingress.port, body=b"x" * 60_000)
        assert (answer.status, answer.json()["title"]) == (429, "bus.overloaded")
        async with connection(ingress.port) as two:
            await two.write(CHUNKED + chunks(b"x" * 60_000))
            assert await accepted(two) == 429
        await one.write(b"x" * 59_999)
        assert await accepted(one) == 202
        assert (await post(ingress.port, body=b"x" * 60_000)).status == 202


async def test_before_the_first_complete_snapshot_it_is_503_and_never_404(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await topology.ensure_broker(bus, BROKER)
        definitions = Definitions()
        async with ingress_here(bus, definitions) as ingress:
            following = asyncio.create_task(definitions.follow(bus))
            bucket = Bucket(bus, DEFINITIONS_BUCKET)
            await bucket.ensure()
            await bucket.put(broker_key(BROKER.uid), dumps(to_json(BROKER)))
            await eventually(lambda: definitions.brokers, "the broker is known, but not whether that is all")
            for path in ("/default/one", "/default/other"):
                answer = await post(ingress.port, path)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert answer.json()["title"] == "bus.not-loaded"
            assert (await post(ingress.port, "/nowhere")).status == 400
            await bucket.put(COMPLETE_KEY, dumps(to_json(Complete(1, 1, 0, 0))))
            await eventually(lambda: definitions.is_loaded, "the snapshot is complete")
            assert (await post(ingress.port, "/default/one")).status == 202
            assert (await post(ingress.port, "/default/other")).status == 404
            following.cancel()


async def test_a_log_over_90_percent_is_507_and_accepts_again_when_there_is_room(nats: NatsServer) -> None:
    small = a_broker(log_max_bytes=100_000)
    hints: list[str] = []
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket = await define(bus, [small])

        async def hinted(msg: Any) -> None:
            hints.append(msg.subject)

        await bus.subscribe("scaup.hint.>", hinted)
        async with ingress_here(bus) as ingress:
            statuses = [(await post(ingress.port, body=b"x" * 8_000)).status for _ in range(14)]
            assert statuses.index(507) in {10, 11}
            assert set(statuses[statuses.index(507) :]) == {507}
            answer = await post(ingress.port, body=b"x" * 9_000)
            assert (answer.headers["retry-after"], answer.json()["title"]) == ("5", "bus.full")
            assert "default/one" in answer.json()["detail"]
            await eventually(lambda: trim_hint(small.uid) in hints, "the dispatchers were asked for room")
            # The last tenth is for replies: the stream itself still takes them.
            await bus.acked.store(event_subject(small.uid), b"x" * 1_000)

            await bus.api(f"STREAM.PURGE.{log_stream(small.uid)}", {"keep": 2})
            await until_accepted(ingress, b"x" * 8_000)
            while (await post(ingress.port, body=b"x" * 8_000)).status == 202:
                pass
            larger = a_broker(log_max_bytes=1_000_000, generation=2)
            await topology.ensure_broker(bus, larger)
            await bucket.put(broker_key(larger.uid), dumps(to_json(larger)))
            await until_accepted(ingress, b"x" * 8_000)


async def test_a_stream_that_is_full_is_507_whatever_the_ingress_counted(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [a_broker(log_max_bytes=20_000)])
        async with ingress_here(bus) as ingress:
            ingress.definitions.brokers_by_name["default", "one"] = a_broker(log_max_bytes=10**9)
            statuses = [(await post(ingress.port, body=b"x" * 8_000)).status for _ in range(4)]
        assert statuses == [202, 202, 507, 507]


async def test_a_broker_without_its_stream_is_503_with_retry_after(nats: NatsServer) -> None:
    """I12, IT12: the definition is there, the log is not."""
    async with an_ingress(nats) as (bus, ingress):
        await bus.api(f"STREAM.DELETE.{log_stream(BROKER.uid)}")
        answer = await post(ingress.port)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_a_bus_that_dies_is_503_and_accepts_again_when_it_is_back(nats: NatsServer) -> None:
    async with an_ingress(nats) as (bus, ingress):
        assert (await post(ingress.port)).status == 202
        nats.kill()
        answer = await post(ingress.port)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["title"] == "bus.unavailable"
        await eventually(lambda: not bus.is_connected, "the loss is noticed")
        assert (await post(ingress.port)).status == 503
        assert (await post(ingress.port, "/default/other")).status == 404
        await asyncio.to_thread(nats.start)
        await until_accepted(ingress)
        assert len(await entries(bus, BROKER.uid)) >= 2


async def test_attributes_over_64_kib_together_are_413_with_the_event_and_nothing_of_the_batch_is_stored(
    nats: NatsServer,
) -> None:
    async with an_ingress(nats) as (bus, ingress):
        large = {f"ext{n}": "x" * 11_000 for n in range(6)}
        small = {"specversion": "1.0", "source": "/s", "type": "t"}
        batch = [small | {"id": "small"}, small | large | {"id": "large"}]
        headers = {"content-type": "application/cloudevents-batch+json"}
        answer = await send(ingress.port, "POST", "/default/one", headers, json.dumps(batch).encode())
        assert answer.status == 413
        assert b"'large'" in answer.body
        assert b"65536" in answer.body
        assert await entries(bus, BROKER.uid) == []
        below = BINARY | {f"ce-ext{n}": "x" * 10_000 for n in range(6)}
        assert (await send(ingress.port, "POST", "/default/one", below, b"")).status == 202
