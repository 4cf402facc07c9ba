"""Ready means that progress was made lately: not that a port is open, nor that a connection is."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from scaup.core.bus import topology
from scaup.core.bus.connection import BusAccess, connect
from scaup.core.model import names
from scaup.dispatcher import keeper, worker
from scaup.ingress import app as ingress_app
from tests.support import rawhttp
from tests.support.dataplane import delivery, working, world
from tests.support.events import a_broker, an_event
from tests.support.natsserver import NatsServer
from tests.support.services import Service, define, ingress_here, service
from tests.support.sinks import answer, sink
from tests.support.waiting import eventually


async def problems(of: Service) -> dict[str, str]:
    """What its /readyz says; nothing where it is ready."""
    found = await rawhttp.send(of.metrics_port, "GET", "/readyz")
    told: dict[str, str] = found.json()["problems"]
    assert (found.status == 200) is (not told)
    return told


async def test_services_are_not_ready_while_nats_hangs_say_why_and_recover_by_themselves(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [a_broker()])
        with ExitStack() as stack:
            services = [
                stack.enter_context(service(home, tmp_path, nats.url)) for home in ("ingress", "filter", "dispatcher")
            ]
            for each in services:
                await each.until_ready()
            assert nats.process is not None
            os.kill(nats.process.pid, signal.SIGSTOP)
            try:
                for each in services:

                    async def says_why(each: Service = each) -> bool:
                        told = await problems(each)
                        return "JetStream stores nothing" in told.get("storage", "") or "bus" in told

                    _: bool = await eventually(says_why, f"{each.home} says that it is not ready", within_s=30)
                    assert (await rawhttp.send(each.metrics_port, "GET", "/healthz")).status == 200
            finally:
                os.kill(nats.process.pid, signal.SIGCONT)
            for each in services:
                await each.until_ready(within_s=30)


async def test_dispatcher_is_not_ready_while_events_wait_and_no_filter_answers(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LEASE_S", 0.5)
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        dispatcher = await here.dispatcher()
        assert dispatcher.life.health.problems() == {}
        sent = await here.send()
        health = dispatcher.life.health
        reason = "no filter answers for broker default/one"
        await eventually(lambda: reason in health.problems().get("deliveries", ""), "it says so")
        monkeypatch.undo()
        await here.filter()
        await eventually(lambda: there.ids == [sent], "it is delivered")
        await eventually(lambda: dispatcher.life.health.problems() == {}, "it is ready again")


async def test_dispatcher_is_not_ready_while_somebody_holds_what_waits_and_settles_nothing(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one, that hangs: seen by the one who looks after the log."""
    monkeypatch.setattr(keeper, "_PATIENCE_S", 1.0)
    async with working(nats.url) as here:
        await here.dispatcher(replica="second")
        stream = names.log_stream(here.broker.uid)
        pause = f"CONSUMER.PAUSE.{stream}.{names.DISPATCH_CONSUMER}"
        await here.bus.api(pause, {"pause_until": "2100-01-01T00:00:00Z"})
        await here.send()
        everyone = [running.life.health for running in here.dispatchers]
        await eventually(
            lambda: any("1 events wait in the log" in health.problems().get("deliveries", "") for health in everyone),
            "its owner says so",
            within_s=15,
        )
        await here.bus.api(pause, {})
        await eventually(lambda: not any(health.problems() for health in everyone), "all are ready again", within_s=15)


async def test_dead_sinks_and_idleness_leave_the_dispatcher_ready(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_PATIENCE_S", 5.0)  # longer than from one look to the next
    async with working(nats.url) as here, sink(answer(503)) as there:
        await here.trigger("t", there.url, delivery=delivery(retry=1000, backoff_delay_s=0.01))
        await here.send_many(50)
        await here.until_settled()
        await eventually(lambda: len(there.requests) > 8, "the sink is asked")
        for _ in range(80):  # two rounds of the keeper and more
            assert [running.life.health.problems() for running in here.dispatchers] == [{}]
            await asyncio.sleep(0.1)


async def test_ingress_whose_log_stores_nothing_is_not_ready_until_it_does(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress_app, "_PATIENCE_S", 0.1)
    broker = a_broker()
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [broker])
        async with ingress_here(bus) as ingress:

            async def post() -> int:
                headers = {f"ce-{name}": value for name, value in an_event().attributes.items()}
                return (await rawhttp.send(ingress.port, "POST", "/default/one", headers, b"{}")).status

            assert await post() == 202
            await bus.api(f"STREAM.DELETE.{names.log_stream(broker.uid)}")
            assert ingress.ingress.why_not_ready() is None

            async def says_why() -> bool:
                assert await post() == 503
                return "event log of broker default/one stores nothing" in (ingress.ingress.why_not_ready() or "")

            _: bool = await eventually(says_why, "it says so")
            await topology.ensure_broker(bus, broker)
            assert await post() == 202
            assert ingress.ingress.why_not_ready() is None
