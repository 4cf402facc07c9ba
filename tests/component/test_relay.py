"""Two installations whose Brokers are each other's sinks: every event once at each place, and no circle without end.

Two NATS servers, two control planes, two data planes, which know of each other only a URL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.dataplane import metric
from tests.support.natsserver import NatsServer, nats_server
from tests.support.sinks import Sink, sink
from tests.support.spec import Cluster, Producer, cluster, until_quiet
from tests.support.waiting import eventually

QUICK = {"retry": 1, "backoffPolicy": "linear", "backoffDelay": "PT0.02S"}
REFUSED = {"namespace": "default", "broker": "default", "result": "hop_limit"}


@asynccontextmanager
async def two(nats: NatsServer, directory: Path) -> AsyncIterator[tuple[Cluster, Cluster]]:
    """Two installations that have nothing in common."""
    with nats_server(directory / "other-nats") as other:
        async with cluster(directory / "one", nats.url) as one, cluster(directory / "two", other.url) as here:
            yield one, here


async def watched(here: Cluster, there: Sink, **spec: Any) -> tuple[Producer, str]:
    """Who posts to the installation's Broker, all of whose events ``there`` gets, and the Broker's URL."""
    broker = await here.api.broker()
    producer = await here.producer(broker)
    await here.ready(await here.api.trigger("seen", {"uri": there.url}, **spec))
    return producer, here.url + producer.path


async def relay(here: Cluster, url: str, **spec: Any) -> None:
    """What ``here`` sends to another Broker."""
    await here.ready(await here.api.trigger("relay", {"uri": url}, delivery=QUICK, **spec))


async def test_every_event_is_once_at_each_installation_and_keeps_what_it_says(
    nats: NatsServer, tmp_path: Path
) -> None:
    """By filters each installation sends on what began there: no event comes back."""
    async with two(nats, tmp_path) as (one, other), sink() as at_one, sink() as at_other:
        to_one, url_one = await watched(one, at_one)
        to_other, url_other = await watched(other, at_other)
        await relay(one, url_other, filters=[{"exact": {"madein": "one"}}])
        await relay(other, url_one, filters=[{"exact": {"madein": "other"}}])
        for number in range(20):
            await to_one.post(f"one-{number}", b"\x00\xff", "application/x-odd", madein="one", subject="a b")
            await to_other.post_json(f"other-{number}", data={"n": number}, madein="other")
        everything = sorted(f"{where}-{number}" for where in ("one", "other") for number in range(20))
        await eventually(lambda: min(len(at_one.ids), len(at_other.ids)) >= len(everything), "all events are at both")
        await until_quiet(one.plane)
        await until_quiet(other.plane)
    assert sorted(at_one.ids) == sorted(at_other.ids) == everything
    relayed = next(request for request in at_other.requests if request.id == "one-7")
    assert relayed.body == b"\x00\xff"
    assert (relayed.headers["content-type"], relayed.headers["ce-subject"]) == ("application/x-odd", "a%20b")
    assert "ce-knativebrokerttl" not in relayed.headers


@pytest.mark.parametrize("form", ["binary", "json"])
async def test_brokers_that_relay_in_a_circle_stop_when_the_hops_are_used_up(
    nats: NatsServer, tmp_path: Path, form: str
) -> None:
    """control-plane.md CP-28, MAY: also over HTTP, in either mode; what was stopped is kept, with who refused it."""
    async with two(nats, tmp_path) as (one, other), sink() as at_one, sink() as at_other:
        to_one, url_one = await watched(one, at_one)
        _, url_other = await watched(other, at_other)
        await one.ready(await one.api.trigger("relay", {"uri": url_other}, delivery=QUICK | {"format": form}))
        await other.ready(await other.api.trigger("relay", {"uri": url_one}, delivery=QUICK | {"format": form}))
        before = metric("scaup_ingress_events_total", **REFUSED)
        await to_one.post("round", knativebrokerttl="7")
        [letter] = await other.plane.dead_letters(1)
        await until_quiet(one.plane)
        await until_quiet(other.plane)
        assert not await one.plane.dead_letters()
    # Stored with 6, 4, 2 hops left at one, with 5, 3, 1 at the other, whose relay is refused then.
    assert (at_one.ids, at_other.ids) == (["round"] * 3, ["round"] * 3)
    assert (letter.event.id, letter.facts.status, letter.facts.attempts) == ("round", 400, 1)
    assert letter.facts.destination == url_one
    assert b"knativebrokerttl" in letter.facts.error_data
    assert metric("scaup_ingress_events_total", **REFUSED) - before == 1


@pytest.mark.long
async def test_a_circle_without_a_limit_of_its_own_has_the_brokers(nats: NatsServer, tmp_path: Path) -> None:
    async with two(nats, tmp_path) as (one, other), sink() as at_one, sink() as at_other:
        to_one, url_one = await watched(one, at_one)
        _, url_other = await watched(other, at_other)
        await relay(one, url_other)
        await relay(other, url_one)
        await to_one.post("round")
        await one.plane.dead_letters(1, within_s=40)
        await until_quiet(one.plane)
    assert len(at_one.ids) + len(at_other.ids) == 255


async def test_a_sink_that_says_how_many_hops_are_left_gives_itself_no_more(nats: NatsServer, tmp_path: Path) -> None:
    """The count beside the event and the one in it are both heeded: the lesser holds, and nonsense counts for none."""
    async with cluster(tmp_path, nats.url) as here, sink() as there:
        producer, _ = await watched(here, there)
        base = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "t"}
        answers = {}
        for name, headers in {
            "lesser header": {"scaup-hops": "3", "ce-knativebrokerttl": "9"},
            "lesser attribute": {"scaup-hops": "9", "ce-knativebrokerttl": "3"},
            "nonsense": {"scaup-hops": "many", "ce-knativebrokerttl": "3"},
            "used up": {"scaup-hops": "1"},
        }.items():
            answers[name] = (await producer.send("POST", base | {"ce-id": name.replace(" ", "-")} | headers)).status
        await eventually(lambda: len(there.ids) == 3, "three are delivered")
    assert answers == {"lesser header": 202, "lesser attribute": 202, "nonsense": 202, "used up": 400}
    assert {request.headers["scaup-hops"] for request in there.requests} == {"2"}
