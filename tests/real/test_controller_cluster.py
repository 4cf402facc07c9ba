"""The controller and a genuine API server: its restarts, its expired versions, its rights, its Leases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaup.controller import kube as client
from scaup.controller.app import Controller, Mandate
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.runtime.definitions import Definitions
from tests.support.cable import Cable, cable
from tests.support.clusterkinds import apply, broker, install, trigger
from tests.support.controlplane import PUBLIC_URL, condition_of, data_plane
from tests.support.natsserver import NatsServer
from tests.support.realkube import Kube, kube
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

SINK = {"uri": "http://sink.test/"}
LEAST = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: least}
rules:
- {apiGroups: [eventing.knative.dev], resources: [brokers, triggers], verbs: [get, list, watch]}
- {apiGroups: [eventing.knative.dev], resources: [brokers/status, triggers/status], verbs: [patch]}
- {apiGroups: [""], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: least}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: least}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: least}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: least, namespace: default}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [scaup], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: least, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: least}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: least}]
"""


@pytest.fixture(scope="module")
def own() -> Iterator[Kube]:
    """An API server of these tests' own, which they kill."""
    tokens = 'strong,strong,strong,"system:masters"\nleast,least,least,"none"\n'
    with kube(tokens=tokens) as running:
        install(running)
        yield running


@dataclass
class World:
    """A controller in this process behind a cable, and a data plane that reports."""

    kube: Kube
    bus: Bus
    cable: Cable
    api: client.Api
    plane: Definitions
    namespace: str

    def controller(self, name: str = "", lease: str = "") -> Controller:
        return Controller(self.bus, self.api, Mandate(PUBLIC_URL, name=name, lease=lease))

    def names(self) -> set[str]:
        """The Triggers that the data plane has, of this test's namespace."""
        return {t.name for t in self.plane.triggers.values() if t.namespace == self.namespace}

    async def kubectl(self, *args: str) -> str:
        return await asyncio.to_thread(self.kube.kubectl, *args, "-n", self.namespace)

    async def apply(self, *objects: dict[str, Any]) -> None:
        await asyncio.to_thread(apply, self.kube, *objects)

    async def until_ready(self, *names: str, within_s: float = 45.0) -> None:
        async def are_ready() -> bool:
            listed = json.loads(await self.kubectl("get", "triggers", "-o", "json"))["items"]
            ready = {v["metadata"]["name"] for v in listed if condition_of(v, "Ready").get("status") == "True"}
            return ready >= set(names)

        _: bool = await eventually(are_ready, f"{names} are Ready", within_s=within_s)


@asynccontextmanager
async def world(own: Kube, nats: NatsServer, namespace: str, token: str = "strong") -> AsyncIterator[World]:
    own.kubectl("create", "namespace", namespace)
    async with (
        cable(own.port) as way,
        connect(BusAccess(nats.url), "test") as bus,
        data_plane(bus) as plane,
        client.connect(_through(way, own, own.kubeconfig_of(token))) as api,
    ):
        yield World(own, bus, way, api, plane, namespace)
    own.kubectl("delete", "namespace", namespace, "--wait=false")


def _through(way: Cable, own: Kube, config: Path) -> str:
    config.write_text(config.read_text().replace(f":{own.port}", f":{way.port}"))
    return str(config)


@asynccontextmanager
async def running(*controllers: Controller) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in controllers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def test_a_killed_and_restarted_server_is_followed_on_and_nothing_is_taken_away(
    own: Kube, nats: NatsServer
) -> None:
    async with world(own, nats, "restart") as w, running(controller := w.controller()):
        await w.apply(broker("default", "restart"), trigger("one", "restart", SINK))
        await w.until_ready("one")
        for name in ("two", "three"):
            await asyncio.to_thread(own.kill)
            await eventually(controller.why_not_ready, "it says that the API is away", within_s=30)
            assert "one" in w.names()
            await asyncio.to_thread(own.restart)
            await w.apply(trigger(name, "restart", SINK))
            await w.until_ready(name)
            await eventually(lambda: controller.why_not_ready() is None, "it is ready again", within_s=30)
        assert w.names() == {"one", "two", "three"}


async def test_what_happened_while_the_way_was_cut_is_found_and_an_expired_version_too(
    own: Kube, nats: NatsServer
) -> None:
    async with world(own, nats, "expired") as w, running(controller := w.controller()):
        await w.apply(broker("default", "expired"), trigger("goes", "expired", SINK), trigger("stays", "expired", SINK))
        await w.until_ready("goes", "stays")
        w.cable.unplug()
        await w.kubectl("delete", "trigger", "goes")
        await w.apply(trigger("comes", "expired", SINK))
        observed = controller._observed
        assert observed is not None
        for collection in (observed.brokers, observed.triggers):
            collection._version = "1"  # long expired: the server says 410
        w.cable.plug()
        await w.until_ready("comes")
        await eventually(lambda: w.names() == {"comes", "stays"}, "one is gone", within_s=30)
        await w.apply(trigger("last", "expired", SINK))  # the watch stands again
        await w.until_ready("last")


async def test_watches_that_are_cut_again_and_again_miss_nothing(own: Kube, nats: NatsServer) -> None:
    async with world(own, nats, "cut") as w, running(controller := w.controller()):
        await w.apply(broker("default", "cut"), trigger("t0", "cut", SINK))
        await w.until_ready("t0")
        for number in range(1, 8):
            await w.apply(trigger(f"t{number}", "cut", SINK))
            w.cable.cut()
        await w.until_ready(*(f"t{number}" for number in range(8)))
        await eventually(lambda: controller.why_not_ready() is None, "it is ready", within_s=30)
        assert w.cable.cuts


async def test_no_more_rights_are_needed_than_are_said(own: Kube, nats: NatsServer) -> None:
    own.kubectl("apply", "-f", "-", stdin=LEAST)
    async with world(own, nats, "rights", token="least") as w:
        controller = w.controller("least", "default/scaup")
        async with running(controller):
            await w.apply(broker("default", "rights"), trigger("one", "rights", SINK))
            await w.until_ready("one")
            assert controller._snapshot.writer is not None
            uid = own.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
            assert controller._snapshot.writer.cluster == uid
            assert controller.why_not_ready() is None
        lease = json.loads(own.kubectl("get", "lease", "scaup", "-o", "json"))
        assert lease["spec"]["holderIdentity"] == ""  # it was given back


async def test_two_controllers_share_a_lease_as_kubectl_shows(own: Kube, nats: NatsServer) -> None:
    async with world(own, nats, "lease") as w:
        one, two = w.controller("one", "lease/scaup"), w.controller("two", "lease/scaup")
        async with running(two):
            async with running(one):
                await w.apply(broker("default", "lease"), trigger("first", "lease", SINK))
                await w.until_ready("first")
                shown = await w.kubectl("get", "lease")
                assert sum(name in shown for name in ("one_", "two_")) == 1
                leader, other = (one, two) if one.standing_by() is None else (two, one)
                await eventually(
                    lambda: other.standing_by() and other.why_not_ready() is None, "the other is warm", within_s=30
                )
            # `one` has ended; whoever led, `two` leads now or soon
            await w.apply(trigger("second", "lease", SINK))
            await w.until_ready("second", within_s=14)  # less than the Lease stands
            assert two.standing_by() is None
            assert leader in (one, two)
