"""A cluster in trouble: its API killed, watches cut, controllers paused and killed. Deliveries never stop."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import Bucket
from tests.support import rawhttp
from tests.support.cable import Cable, cable
from tests.support.clusterkinds import apply, broker, install, trigger
from tests.support.controlplane import condition_of
from tests.support.natsserver import NatsServer
from tests.support.realkube import Kube, kube
from tests.support.services import Service, service
from tests.support.sinks import Sink, sink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

NAMESPACE = "chaos"
EVERY_S = 0.05
LONGEST_GAP_S = 5.0
TAKEN_OVER_S = 40.0
"""A Lease stands 15 s; the rest is for a busy machine."""


@dataclass
class Producer:
    """Sends an event every 50 ms to one Broker and remembers which were accepted."""

    port: int
    accepted: set[str] = field(default_factory=set)
    sent: int = 0

    async def run(self) -> None:
        while True:
            self.sent += 1
            event_id = f"e-{self.sent}"
            answer = await rawhttp.post(self.port, f"/{NAMESPACE}/default", b"{}", ce_id=event_id)
            if answer.status == 202:
                self.accepted.add(event_id)
            await asyncio.sleep(EVERY_S)


@dataclass
class World:
    """Everything there is, as processes."""

    kube: Kube
    bus: Bus
    cables: list[Cable]
    controllers: list[Service]
    stack: AsyncExitStack
    config: list[dict[str, str]]

    async def kubectl(self, *args: str) -> str:
        return await asyncio.to_thread(self.kube.kubectl, *args)

    async def apply(self, *objects: dict[str, Any]) -> None:
        await asyncio.to_thread(apply, self.kube, *objects)

    async def objects(self) -> dict[str, dict[str, Any]]:
        listed = json.loads(await self.kubectl("get", "brokers,triggers", "-n", NAMESPACE, "-o", "json"))
        return {f"{v['kind']}/{v['metadata']['name']}": v for v in listed["items"]}

    async def until_ready(self, *names: str, within_s: float = 30.0) -> None:
        """Until these, or all there are, are Ready in their present generation."""

        async def are_ready() -> bool:
            found = await self.objects()
            return all(_is_ready(found.get(name)) for name in names or found)

        _: bool = await eventually(are_ready, f"{names or 'all'} are Ready", within_s=within_s)

    async def leader(self, *, other_than: int = -1) -> int:
        """Which controller leads, by the Lease."""

        async def leads() -> int | None:
            lease = json.loads(await self.kubectl("get", "lease", "scaup", "-n", NAMESPACE, "-o", "json"))
            holder = lease["spec"].get("holderIdentity") or ""
            number = int(holder[1]) if holder else -1
            return number + 1 if number not in {-1, other_than} else None

        found: int | None = await eventually(leads, "somebody else leads", within_s=TAKEN_OVER_S)
        assert found is not None
        return found - 1

    def start(self, number: int, nats_url: str, directory: Path) -> Service:
        return self.stack.enter_context(service("controller", directory, nats_url, **self.config[number]))


def _is_ready(value: dict[str, Any] | None) -> bool:
    if value is None or (value.get("status") or {}).get("observedGeneration") != value["metadata"]["generation"]:
        return False
    return condition_of(value, "Ready").get("status") == "True"


@asynccontextmanager
async def world(nats: NatsServer, directory: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(kube(tokens='c0,c0,c0,"system:masters"\nc1,c1,c1,"system:masters"\n'))
        install(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        bus = await stack.enter_async_context(connect(BusAccess(nats.url), "test"))
        made = World(cluster, bus, [], [], stack, [])
        for number in range(2):
            way = await stack.enter_async_context(cable(cluster.port))
            made.cables.append(way)
            config = cluster.kubeconfig_of(f"c{number}")
            config.write_text(config.read_text().replace(f":{cluster.port}", f":{way.port}"))
            made.config.append(
                {
                    "SCAUP_KUBECONFIG": str(config),
                    "SCAUP_CONTROLLER_LEASE": f"{NAMESPACE}/scaup",
                    "SCAUP_REPLICA": f"c{number}",
                }
            )
            made.controllers.append(made.start(number, nats.url, directory))
        yield made


async def _steady(w: World) -> None:
    """Nothing is written while nothing changes."""

    async def is_steady() -> bool:
        before = {name: v["metadata"]["resourceVersion"] for name, v in (await w.objects()).items()}
        await asyncio.sleep(3)  # the length of the silence, not a wait for something
        after = {name: v["metadata"]["resourceVersion"] for name, v in (await w.objects()).items()}
        return before == after

    _: bool = await eventually(is_steady, "no object is written any more", within_s=30)


async def _api_is_killed_twice(w: World, there: Sink) -> None:
    for name in ("after-one", "after-two"):
        await asyncio.to_thread(w.kube.kill)
        await asyncio.to_thread(w.kube.restart)
        await w.apply(trigger(name, NAMESPACE, {"uri": there.url}))
        await w.until_ready(f"Trigger/{name}", within_s=TAKEN_OVER_S)


async def _watches_are_cut(w: World, there: Sink) -> None:
    for number in range(5):
        await w.apply(trigger(f"cut-{number}", NAMESPACE, {"uri": there.url}))
        for way in w.cables:
            way.cut()
    await w.until_ready()


async def _the_leader_is_paused_for_longer_than_its_lease(w: World, there: Sink) -> None:
    paused = await w.leader()
    process = w.controllers[paused].process
    process.send_signal(signal.SIGSTOP)
    other = await w.leader(other_than=paused)
    await w.apply(broker("new", NAMESPACE), trigger("of-new", NAMESPACE, {"uri": there.url}, broker="new"))
    await w.until_ready("Broker/new", "Trigger/of-new", within_s=TAKEN_OVER_S)
    streams = await _streams(w.bus)
    process.send_signal(signal.SIGCONT)
    port = w.controllers[paused].metrics_port

    async def stands_by() -> bool:
        answer = await rawhttp.send(port, "GET", "/readyz")
        return answer.status == 200 and "stands by" in answer.json().get("notes", {}).get("controller", "")

    _: bool = await eventually(stands_by, "the one that was paused stands by", within_s=TAKEN_OVER_S)
    await _steady(w)
    assert await w.leader() == other
    assert await _streams(w.bus) == streams  # it took nothing for removed that was made meanwhile
    writer = await Bucket(w.bus, "definitions").get("writer")
    assert writer is not None
    assert orjson.loads(writer.value or b"")["holder"].startswith(f"c{other}_")


async def _the_leader_is_killed(w: World, there: Sink, nats_url: str, directory: Path) -> None:
    killed = await w.leader()
    w.controllers[killed].process.kill()
    await w.apply(trigger("after-kill", NAMESPACE, {"uri": there.url}))
    await w.leader(other_than=killed)
    await w.until_ready("Trigger/after-kill", within_s=TAKEN_OVER_S)
    w.controllers[killed] = w.start(killed, nats_url, directory)
    await w.controllers[killed].until_ready(within_s=TAKEN_OVER_S)


async def _streams(bus: Bus) -> set[str]:
    found = (await bus.api("STREAM.NAMES"))["streams"]
    return {name for name in found if name.startswith("scaup-")}


async def test_deliveries_never_stop_whatever_becomes_of_the_api_and_the_controllers(
    nats: NatsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(nats, tmp_path) as w, sink() as always, sink() as others, AsyncExitStack() as stack:
        plane = [stack.enter_context(service(home, tmp_path, nats.url)) for home in ("ingress", "filter", "dispatcher")]
        await w.apply(broker("default", NAMESPACE), trigger("always", NAMESPACE, {"uri": always.url}))
        for one in (*plane, *w.controllers):
            await one.until_ready(within_s=60)
        await w.until_ready()
        producer = Producer(plane[0].port)
        producing = asyncio.create_task(producer.run())
        try:
            await _watches_are_cut(w, others)
            await _api_is_killed_twice(w, others)
            await _the_leader_is_paused_for_longer_than_its_lease(w, others)
            await _the_leader_is_killed(w, others, nats.url, tmp_path)
            await w.until_ready()
            await _steady(w)
        finally:
            producing.cancel()
            await asyncio.gather(producing, return_exceptions=True)
        assert not isinstance(producing.exception() if not producing.cancelled() else None, Exception)
        await eventually(lambda: producer.accepted <= set(always.ids), "every accepted event is delivered", within_s=30)
        gap = max(later - earlier for earlier, later in pairwise(request.at for request in always.requests))
        with capsys.disabled():
            print(
                f"\n{len(producer.accepted)} accepted of {producer.sent}, {len(always.ids)} delivered, gap {gap:.2f} s"
            )
        assert len(producer.accepted) >= producer.sent - 1  # the last one's answer was not waited for
        assert gap < LONGEST_GAP_S
