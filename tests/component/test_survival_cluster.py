"""A JetStream of three servers loses its leaders, by kill -9 and by order: what was accepted is delivered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from scaup.core.bus.check import problems
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusError
from tests.support import controlplane, rawhttp
from tests.support.dataplane import World, delivery, world
from tests.support.natsserver import Cluster, cluster
from tests.support.services import Service, entries, service
from tests.support.sinks import OK, Sink, answer, sink
from tests.support.waiting import eventually

EVERY_S = 0.02
BROKERS = f"{controlplane.EVENTING}/namespaces/default/brokers"
BUCKETS = (names.DEFINITIONS_BUCKET, names.REPLICAS_BUCKET)


@dataclass
class Producer:
    """Sends an event every 20 ms, whatever becomes of the others, and remembers each answer."""

    port: int
    accepted: list[str] = field(default_factory=list)
    others: Counter[int] = field(default_factory=Counter)
    _sent: int = 0
    _is_over: bool = False

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """While this lasts; all answers are there afterwards."""
        async with asyncio.TaskGroup() as tasks:
            going_on = tasks.create_task(self._go_on(tasks))
            yield
            self._is_over = True
            await going_on

    async def _go_on(self, tasks: asyncio.TaskGroup) -> None:
        while not self._is_over:
            self._sent += 1
            tasks.create_task(self._send(f"e-{self._sent}"))
            await asyncio.sleep(EVERY_S)

    async def _send(self, event_id: str) -> None:
        status = (await rawhttp.post(self.port, body=b"{}", ce_id=event_id)).status
        if status == 202:
            self.accepted.append(event_id)
        else:
            self.others[status] += 1

    async def until_more_are_accepted(self, number: int = 25, within_s: float = 30.0) -> None:
        """Until so many more were accepted than now."""
        enough = len(self.accepted) + number
        await eventually(lambda: len(self.accepted) >= enough, "events are accepted", within_s=within_s)


@dataclass
class Plane:
    """A Broker on three servers, its services as processes, a sink that is well and one that refuses at first."""

    servers: Cluster
    here: World
    well: Sink
    refusing: Sink
    producer: Producer

    async def until_all_is_delivered(self) -> None:
        """Every event that was accepted is at both sinks, and nothing is left to do."""
        accepted = set(self.producer.accepted)
        for there in (self.well, self.refusing):
            await eventually(partial(_has, there, accepted), "all are delivered", within_s=60)
        await self.here.until_settled(within_s=30)
        await self.here.until_queues_hold(0, within_s=30)
        assert {msg.headers["ce-id"] for msg in await entries(self.here.bus, self.here.broker.uid) if msg.headers} >= (
            accepted
        )
        assert not await self.here.dead_letters()


def _has(there: Sink, ids: set[str]) -> bool:
    return set(there.ids) >= ids


async def _let_lead(bus: Bus, broker: BrokerDefinition, node: str) -> None:
    """Make one server the leader of everything that a Broker has."""
    log = names.log_stream(broker.uid)
    streams = [log, names.queue_stream(broker.uid), names.dead_stream(broker.uid), *(f"KV_{name}" for name in BUCKETS)]
    wanted = {"placement": {"preferred": node}}
    for what, place in [("STREAM", name) for name in streams] + [("CONSUMER", f"{log}.{names.DISPATCH_CONSUMER}")]:

        async def leads(what: str = what, place: str = place) -> bool:
            with suppress(BusError):  # nobody answers while there is no leader; who steps down may not answer either
                info = await bus.api(f"{what}.INFO.{place}", timeout=1)
                if info["cluster"].get("leader") == node:
                    return True
                await bus.api(f"{what}.LEADER.STEPDOWN.{place}", wanted, timeout=1)
            return False

        _: bool = await eventually(leads, f"{node} leads {place}")


@asynccontextmanager
async def a_plane(directory: Path) -> AsyncIterator[Plane]:
    with cluster(directory / "nats") as servers, ExitStack() as stack:
        async with world(servers.url, replicas=3) as here, sink() as well, sink(answer(503)) as refusing:
            patient = delivery(retry=1000, backoff_delay_s=1.5)
            await here.trigger("well", well.url)
            await here.trigger("refusing", refusing.url, delivery=patient)
            made: dict[str, Service] = {
                home: stack.enter_context(service(home, directory, servers.url))
                for home in ("ingress", "filter", "dispatcher")
            }
            for each in made.values():
                await each.until_ready()
            yield Plane(servers, here, well, refusing, Producer(made["ingress"].port))
            assert [each.process.poll() for each in made.values()] == [None, None, None]


@pytest.mark.timeout(120)
async def test_the_server_that_leads_everything_is_killed_and_nothing_accepted_is_lost(tmp_path: Path) -> None:
    async with a_plane(tmp_path) as plane:
        await _let_lead(plane.here.bus, plane.here.broker, "n2")
        async with plane.producer.sending():
            await plane.producer.until_more_are_accepted()
            await eventually(lambda: plane.refusing.requests, "one sink refuses")
            plane.servers.nodes["n2"].kill()
            await plane.producer.until_more_are_accepted()
            plane.refusing.script = lambda _request: OK
            await asyncio.to_thread(plane.servers.start)
            await plane.producer.until_more_are_accepted()
        await plane.until_all_is_delivered()
        assert set(plane.producer.others) <= {503}
        repeated = len(plane.well.ids) - len(set(plane.well.ids))
        assert repeated <= 50


@pytest.mark.long
async def test_leaders_that_step_down_one_after_the_other_cost_nothing(tmp_path: Path) -> None:
    async with a_plane(tmp_path) as plane:
        await _let_lead(plane.here.bus, plane.here.broker, "n1")
        async with plane.producer.sending():
            for node in ("n2", "n3"):
                await plane.producer.until_more_are_accepted()
                await _let_lead(plane.here.bus, plane.here.broker, node)
            plane.refusing.script = lambda _request: OK
            await plane.producer.until_more_are_accepted()
        await plane.until_all_is_delivered()
        assert set(plane.producer.others) <= {503}
        repeated = len(plane.well.ids) - len(set(plane.well.ids))
        assert repeated <= 50


async def test_the_buckets_are_kept_on_as_many_servers_as_the_streams_of_a_broker(tmp_path: Path) -> None:
    with cluster(tmp_path / "nats") as servers:
        async with controlplane.world(tmp_path, servers.url) as here:
            here.start_controller()
            await here.broker("careless")
            await here.until(f"{BROKERS}/careless", "TriggerChannelReady", "True")
            every = [f"KV_{name}" for name in (*BUCKETS, names.OBJECTS_BUCKET)]
            assert [await _servers_of(here.bus, stream) for stream in every] == [1, 1, 1]
            path = await here.broker("careful", annotations={"scaup.dev/replicas": "3"})
            await here.until(path, "TriggerChannelReady", "True")

            async def are_kept() -> bool:
                return [await _servers_of(here.bus, stream) for stream in every] == [3, 3, 3]

            _: bool = await eventually(are_kept, "the buckets are on three servers")
            await here.delete(path)
            await here.broker("later")  # taken in by a bucket that has moved
            await here.until(f"{BROKERS}/later", "TriggerChannelReady", "True")
            assert [await _servers_of(here.bus, stream) for stream in every] == [3, 3, 3]


async def _servers_of(bus: Bus, stream: str) -> int:
    """How many servers have all of a stream."""
    found = (await bus.api(f"STREAM.INFO.{stream}"))["cluster"]
    return 1 + sum(bool(each["current"]) for each in found.get("replicas", ()))


async def test_a_service_finds_the_servers_that_live_whatever_the_order_they_are_named_in(tmp_path: Path) -> None:
    with cluster(tmp_path / "nats") as servers:
        servers.nodes["n1"].kill()
        async with connect(BusAccess(f" {servers.url} ,"), "test") as bus:
            assert bus.is_connected

        async def has_no_problems() -> bool:  # it has, until the cluster has chosen who leads now
            return await problems(BusAccess(servers.url)) == []

        _: bool = await eventually(has_no_problems, "the check is content")
