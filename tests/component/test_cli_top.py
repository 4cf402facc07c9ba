"""``scaup top``: rates and latency of what happened between two looks, how things stand, and what is not known."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.longwork import Stop
from scaup.cli.problems import FailedError
from scaup.cli.top import telling
from scaup.cli.top.figures import Figures, figures, latency
from scaup.cli.top.sampling import Sample, sample
from scaup.cli.top.story import Asked, metrics_urls, noted_metrics, watch
from scaup.cli.up import layout
from scaup.cli.up.datadir import DataDirectory
from scaup.core.bus import topology
from scaup.core.http.server import HttpServer, bind
from scaup.core.model import names
from scaup.core.model.definitions import Destination
from scaup.core.runtime.health import Health
from scaup.core.runtime.observe import metrics_app
from tests.support import rawhttp
from tests.support.apiserver import TRIGGERS, api_server, trigger
from tests.support.dataplane import World, delivery, working, world
from tests.support.events import an_event
from tests.support.natsserver import NatsServer
from tests.support.services import ingress_here
from tests.support.sinks import OK, answer, sink
from tests.support.waiting import eventually


async def looked(
    here: World, urls: tuple[str, ...] = (), access: ApiAccess | None = None, earlier: Sample | None = None
) -> Sample:
    return await sample(here.bus, access, urls, "default", earlier)


@asynccontextmanager
async def metrics_here() -> AsyncIterator[tuple[str, ...]]:
    """The metrics endpoint of this process, which is a dispatcher and an ingress."""
    server = HttpServer(metrics_app(Health()), bind("127.0.0.1", 0))
    serving = asyncio.create_task(server.run())
    await eventually(lambda: server._server.started, "the server listens")
    try:
        yield metrics_urls([f"127.0.0.1:{server.port}"])
    finally:
        server.stop()
        await serving


def row(found: Figures, name: str) -> Any:
    """Of a Trigger."""
    (one,) = [one for one in found.triggers if one.name == name]
    return one


async def test_what_happens_between_two_looks_is_shown_as_rates_and_latency(nats: NatsServer) -> None:
    async with (
        working(nats.url) as here,
        ingress_here(here.bus) as entry,
        metrics_here() as urls,
        sink(OK) as there,
        sink(answer(400)) as bad,
    ):
        await here.trigger("t", there.url)
        await here.trigger("bad", bad.url, filters=({"exact": {"type": "bad"}},))
        await here.send_many(5)
        await here.until_settled()
        before = await looked(here, urls)
        for number in range(20):
            kind = "bad" if number < 4 else "good"
            body = orjson.dumps(an_event(id=f"n-{number}", type=kind).attributes)
            head = {"content-type": "application/cloudevents+json"}
            assert (await rawhttp.send(entry.port, "POST", "/default/one", head, body)).status == 202
        await here.dead_letters(4)
        await here.until_settled()
        after = await looked(here, urls)
        found = figures(before, after, "default")
        rates = (row(found, "t").delivered, row(found, "bad").delivered, row(found, "bad").failed)
        assert [round(rate * found.seconds) for rate in rates] == [20, 0, 4]
        (broker,) = found.brokers
        assert round((broker.accepted or 0) * found.seconds) == 20
        assert round((broker.delivered or 0) * found.seconds) == 20
        assert (broker.lag, broker.queue, broker.dead, row(found, "bad").dead, row(found, "t").dead) == (0, 0, 4, 4, 0)
        for one in (found.accepting, found.delivering):
            assert one is not None
            assert 0 < one.p50 <= one.p99 < 10
        assert (broker.accepting, broker.delivering) == (found.accepting, found.delivering)
        assert found.not_known == ["conditions: no API is named"]
        text = telling.description(found)
        assert "BROKER   STATE   ACCEPTED/S   DELIVERED/S   LAG   QUEUE   RETRIES   DEAD LETTERS" in text
        value = telling.as_object(found)
        assert value["triggers"][0]["deadLetters"] == 4
        assert value["deliverySeconds"]["p99"] == round(found.delivering.p99, 6) if found.delivering else False


async def test_what_waits_is_shown_by_trigger_and_what_is_a_retry(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(503)) as there, sink() as other:
        await here.trigger(
            "retried", there.url, delivery=delivery(backoff_delay_s=60), filters=({"exact": {"id": "e-1"}},)
        )
        await here.trigger("paused", other.url, paused=True)
        await here.send_many(3)
        await here.until_queues_hold(4)
        first = await looked(here)
        found = figures(first, await looked(here), "default")
        assert (row(found, "retried").queue, row(found, "retried").retries) == (1, 1)
        assert (row(found, "paused").queue, row(found, "paused").retries) == (3, 0)
        assert row(found, "paused").state == "paused"
        (broker,) = found.brokers
        assert (broker.queue, broker.retries) == (4, 1)


async def test_figures_that_cannot_be_read_are_said_and_the_rest_is_shown(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        urls = metrics_urls(["http://127.0.0.1:9"])
        first = await looked(here, urls)
        await here.send()
        found = figures(first, await looked(here, urls), "default")
        assert (row(found, "t").delivered, row(found, "t").failed, row(found, "t").queue) == (None, None, 0)
        assert (found.brokers[0].accepted or 0) > 0
        assert found.not_known == [
            "conditions: no API is named",
            "metrics: http://127.0.0.1:9/metrics does not answer",
            "deliveries, failures and their latency: no metrics of a dispatcher are read (--metrics URL names them)",
            "the latency of accepting: no metrics of an ingress are read (--metrics URL names them)",
        ]
        assert "Not known: metrics: http://127.0.0.1:9/metrics does not answer" in telling.description(found)
        async with metrics_here() as urls:
            await here.dispatcher(replica="second")
            some = await looked(here, urls)
            said = figures(some, some, "default").not_known
            assert any("latency of 1 of 2 dispatchers: name their metrics too" in text for text in said)


async def test_conditions_are_those_of_the_api(nats: NatsServer, tmp_path: Path) -> None:
    async with world(nats.url) as here, api_server(nats.url) as api:
        data = DataDirectory(tmp_path)
        metrics = layout.metrics_urls(layout.Options(port_offset=1000))
        data.note(api=api.url, nats=nats.url, embedded=False, metrics=metrics)
        access = ApiAccess(str(data.kubeconfig), None)
        assert noted_metrics(access) == tuple(
            f"http://127.0.0.1:{port}/metrics" for port in (10091, 10093, 10092, 10094)
        )
        made = (await api.made(TRIGGERS, trigger("t", broker="one")))["metadata"]["uid"]
        await here.trigger(made, Destination(uri="http://127.0.0.1:9/"), name="t")
        first = await looked(here, access=access)
        found = figures(first, await looked(here, access=access), "default")
        assert row(found, "t").state == "not Ready: it is new"
        assert found.brokers[0].state == "not in the API"
        assert not any("conditions" in text for text in found.not_known)
        await here.trigger("late", "http://127.0.0.1:9/")
        later = await looked(here, access=access, earlier=first)
        assert row(figures(first, later, "default"), "late").state == "not in the API"
        again = await looked(here, access=access, earlier=later)
        assert again.snapshot is later.snapshot


async def test_streams_and_consumers_that_are_not_there_are_said(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        first = await looked(here)
        log = names.log_stream(here.broker.uid)
        await here.bus.api(f"CONSUMER.DELETE.{log}.{names.DISPATCH_CONSUMER}")
        (broker,) = figures(first, await looked(here), "default").brokers
        assert broker.lag is None
        await topology.remove_broker(here.bus, here.broker.uid)
        found = figures(first, await looked(here), "default")
        assert found.brokers == []
        assert "Broker one: its streams are not there (`scaup doctor` says more)" in found.not_known


async def test_a_terminal_shows_the_busiest_and_says_how_many_more_there_are(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        for number in range(30):
            await here.trigger(f"t-{number:02}", "http://127.0.0.1:9/", matching=number != 25)
        first = await looked(here)
        text = telling.description(figures(first, await looked(here), "default"), most=20)
        assert len(text.splitlines()) <= 20
        assert "more Triggers with less to do" in text
        assert "t-25      one      filter refused" in text


async def test_a_namespace_without_a_broker_is_said(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        asked = Asked("elsewhere", is_once=True)
        with pytest.raises(FailedError, match="no Broker in elsewhere"):
            await watch(None, NatsAccess(here.url), asked, Stop(), (print, print))


async def test_once_is_one_look_at_what_happens_in_the_time_given(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.trigger("t", "http://127.0.0.1:9/")
        shown: list[Figures] = []
        asked = Asked(is_once=True, every_s=0.1)
        assert await watch(None, NatsAccess(here.url), asked, Stop(), (shown.append, print)) == 0
        (found,) = shown
        assert [one.name for one in found.triggers] == ["t"]
        assert 0.1 <= found.seconds < 5


async def test_on_a_terminal_it_is_refreshed_in_place_until_ctrl_c(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.trigger("t", "http://127.0.0.1:9/")
        main, terminal = pty.openpty()
        watching = on_terminal(terminal, "top", "--nats-url", nats.url, "--every", "0.1")
        os.close(terminal)
        shown = bytearray()

        def read() -> None:
            with suppress(OSError):  # the other end is closed
                while part := os.read(main, 65536):
                    shown.extend(part)

        reading = asyncio.create_task(asyncio.to_thread(read))
        await eventually(lambda: shown.count(b"TRIGGER") >= 2, "it is refreshed")
        watching.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(watching.wait, 10) == 0
        await reading
        os.close(main)
        assert shown.startswith(b"\x1b[2J\x1b[HNamespace default")
        assert shown.count(b"\x1b[2J") == 1


def on_terminal(terminal: int, *arguments: str) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SCAUP_")}
    command = [sys.executable, "-m", "scaup.cli", *arguments]
    return subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environ)


def test_the_latency_of_a_broker_is_its_own() -> None:
    def bucket(broker: str, bound: str) -> Any:
        return "s_bucket", (("broker", broker), ("le", bound), ("namespace", "default"))

    quick = {bucket("quick", "0.1"): 8.0, bucket("quick", "0.2"): 8.0, bucket("quick", "+Inf"): 8.0}
    slow = {bucket("slow", "0.1"): 0.0, bucket("slow", "0.2"): 8.0, bucket("slow", "+Inf"): 8.0}
    grown = quick | slow
    found = [latency(grown, "s_bucket", namespace="default", broker=name) for name in ("quick", "slow", "none")]
    assert [one and round(one.p50, 6) for one in found] == [0.05, 0.15, None]
    both = latency(grown, "s_bucket", namespace="default")
    assert both is not None
    assert round(both.p50, 6) == 0.1
    assert latency(grown, "s_bucket", namespace="other") is None


def test_percentiles_are_those_that_prometheus_would_give() -> None:
    def counted(**by_bound: float) -> Any:
        return {("s_bucket", (("le", bound.removeprefix("le").replace("_", ".")),)): n for bound, n in by_bound.items()}

    found = latency(counted(le0_1=50.0, le0_2=100.0, leInf=100.0), "s_bucket")
    assert found is not None
    assert (round(found.p50, 6), round(found.p99, 6)) == (0.1, 0.198)
    beyond = latency(counted(le0_1=0.0, leInf=4.0), "s_bucket")
    assert beyond is not None
    assert beyond.p99 == 0.1  # the last bucket has no end
    assert latency(counted(le0_1=0.0, leInf=0.0), "s_bucket") is None
    assert latency({}, "s_bucket") is None
