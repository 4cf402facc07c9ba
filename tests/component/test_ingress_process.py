"""Ingress and filter as the processes they are: ready, stopped, and with NATS away or killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable
from pathlib import Path

import orjson
import pytest

from scaup.core.bus.connection import BusAccess, connect
from scaup.core.model.matching import Question
from scaup.core.model.names import REPLICAS_BUCKET, match_subject
from tests.support import rawhttp
from tests.support.events import BROKER, a_broker, a_trigger, an_event
from tests.support.natsserver import NatsServer
from tests.support.rawhttp import post, send
from tests.support.services import define, entries, service
from tests.support.waiting import eventually


async def test_the_ingress_accepts_shows_its_metrics_and_leaves_when_asked(nats: NatsServer, tmp_path: Path) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [a_broker()])
        with service("ingress", tmp_path, nats.url, SCAUP_REPLICA="me") as ingress:
            await ingress.until_ready()
            assert (await send(ingress.port, "GET", "/readyz")).status == 200
            for path, status in [("/default/one", 202), ("/default/one", 202), ("/default/two", 404)]:
                assert (await post(ingress.port, path)).status == status
            assert len(await entries(bus, BROKER)) == 2
            metrics = (await send(ingress.metrics_port, "GET", "/metrics")).body.decode()
            for line in (
                'scaup_ingress_events_total{broker="one",namespace="default",result="accepted"} 2.0',
                'scaup_ingress_events_total{broker="",namespace="",result="unknown_broker"} 1.0',
                'scaup_ingress_accept_seconds_count{broker="one",namespace="default"} 2.0',
                "scaup_bus_connected 1.0",
            ):
                assert line in metrics
            keys = (await bus.api(f"STREAM.INFO.KV_{REPLICAS_BUCKET}", {"subjects_filter": ">"}))["state"]["subjects"]
            assert f"$KV.{REPLICAS_BUCKET}.ingress.me" in keys
            assert await ingress.stopped(signal.SIGTERM) == 0


async def test_the_ingress_waits_for_nats_and_for_the_definitions_and_says_so(nats: NatsServer, tmp_path: Path) -> None:
    nats.kill()
    with service("ingress", tmp_path, nats.url) as ingress:

        async def said() -> str:
            try:
                return str((await rawhttp.send(ingress.metrics_port, "GET", "/readyz")).json()["problems"])
            except OSError:
                return ""

        _: bool = await eventually(lambda: _contains(said(), "NATS"), "it says that NATS is away")
        answer = await post(ingress.port)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["detail"] == "not connected to NATS yet"
        assert (await send(ingress.port, "GET", "/healthz")).status == 200
        await asyncio.to_thread(nats.start)
        _ = await eventually(
            lambda: _contains(said(), "no complete snapshot"), "it says that the definitions are missing"
        )
        answer = await post(ingress.port)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await send(ingress.port, "GET", "/healthz")).status == 200
        assert (await send(ingress.port, "GET", "/readyz")).status == 503
        async with connect(BusAccess(nats.url), "test") as bus:
            await define(bus, [a_broker()])
            await ingress.until_ready()
            assert (await post(ingress.port)).status == 202


async def _contains(saying: Awaitable[str], text: str) -> bool:
    return text in await saying


@pytest.mark.parametrize("home", ["ingress", "filter"])
async def test_a_service_that_waits_for_nats_stops_at_once_when_asked(
    nats: NatsServer, tmp_path: Path, home: str
) -> None:
    nats.kill()
    with service(home, tmp_path, nats.url) as waiting:

        async def listens() -> bool:
            try:
                return (await send(waiting.metrics_port, "GET", "/healthz")).status == 200
            except OSError:
                return False

        _: bool = await eventually(listens, "it waits")
        assert await waiting.stopped(signal.SIGTERM) == 0
        assert "drain_deadline" not in waiting.log.read_text()


async def test_an_accepted_request_is_answered_while_the_ingress_stops(nats: NatsServer, tmp_path: Path) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [a_broker()])
        with service("ingress", tmp_path, nats.url) as ingress:
            await ingress.until_ready()
            async with rawhttp.connection(ingress.port) as slow:
                head = "".join(f"{name}: {value}\r\n" for name, value in rawhttp.BINARY.items())
                await slow.write(f"POST /default/one HTTP/1.1\r\nhost: x\r\n{head}content-length: 2\r\n\r\n1".encode())
                await post(ingress.port)  # by its answer the slow one is under way too
                ingress.process.terminate()

                async def closed() -> bool:
                    try:
                        await send(ingress.port, "GET", "/healthz")
                    except (OSError, EOFError):
                        return True
                    return False

                _: bool = await eventually(closed, "no more requests are taken")
                await slow.write(b"2")
                assert (await slow.answer()).status == 202
            assert await asyncio.to_thread(ingress.process.wait, 5) == 0
        assert len(await entries(bus, BROKER)) == 2


async def test_two_filters_answer_and_either_may_be_killed(nats: NatsServer, tmp_path: Path) -> None:
    question = Question([an_event().attributes]).to_bytes()
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [a_broker()], [a_trigger("t1")])
        with service("filter", tmp_path, nats.url) as one, service("filter", tmp_path, nats.url) as two:
            await one.until_ready()
            await two.until_ready()

            async def answered() -> bool:
                answer = orjson.loads((await bus.request(match_subject(BROKER), question, timeout=2)).data)
                return bool(answer["triggers"] == [["t1", 1]])

            assert await answered()
            one.process.kill()
            one.process.wait()
            for _ in range(20):
                assert await answered()
            nats.kill()
            await asyncio.to_thread(nats.start)
            await eventually(lambda: bus.is_connected, "connected again")
            await two.until_ready()
            assert await answered()
            assert await two.stopped(signal.SIGTERM) == 0
