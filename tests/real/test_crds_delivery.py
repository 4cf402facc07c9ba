"""From ``kubectl`` to the sink on a genuine API server, once with our kinds and once with Knative's own.

With both, the same manifests do the same, and the annotation ``scaup.dev/cel`` gives a filter that Knative's schema
would drop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaup.controller import kube as client
from scaup.controller.app import Controller, Mandate
from scaup.core.bus.connection import BusAccess, connect
from scaup.core.bus.kv import Bucket
from scaup.core.model.names import DEFINITIONS_BUCKET, REPLICAS_BUCKET
from tests.support import controlplane, dataplane, knativekinds
from tests.support.clusterkinds import broker, trigger
from tests.support.events import a_broker
from tests.support.natsserver import NatsServer
from tests.support.rawhttp import BINARY, send
from tests.support.realkube import Kube, kube
from tests.support.services import ingress_here
from tests.support.sinks import Sink, sink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]  # each calls kubectl twenty times

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "base" / "crds"
KNATIVES = [knativekinds.broker_crd(), knativekinds.trigger_crd()]
IS_BIG = "data.amount > 100"
CEL = {"scaup.dev/cel": IS_BIG}


@pytest.fixture(scope="module")
def with_ours() -> Iterator[Kube]:
    with kube() as server:
        server.kubectl("apply", "-k", str(FOLDER))
        yield established(server)


@pytest.fixture(scope="module")
def with_knatives() -> Iterator[Kube]:
    with kube() as server:
        server.kubectl("apply", "-f", "-", stdin=manifests(*KNATIVES))
        yield established(server)


def established(server: Kube) -> Kube:
    for plural in ("brokers", "triggers"):
        server.kubectl("wait", "--for=condition=Established", f"crd/{plural}.eventing.knative.dev")
    return server


def manifests(*objects: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


@dataclass
class Installation:
    """Scaup beside an API server; a namespace of the test's own."""

    server: Kube
    namespace: str
    port: int

    async def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self.server.kubectl, "-n", self.namespace, *args, stdin=stdin)

    async def apply(self, *objects: dict[str, Any], options: tuple[str, ...] = ()) -> None:
        await self.kubectl("apply", *options, "-f", "-", stdin=manifests(*objects))

    async def ready(self, *names: str) -> None:
        await self.kubectl("wait", "--for=condition=Ready", "--timeout=20s", *names)

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.kubectl("get", kind, name, "-o", "json"))
        return found

    async def post(self, event_id: str, amount: int, kind: str = "order") -> None:
        headers = BINARY | {"ce-id": event_id, "ce-type": kind, "content-type": "application/json"}
        answer = await send(self.port, "POST", f"/{self.namespace}/default", headers, b'{"amount": %d}' % amount)
        assert answer.status == 202


@asynccontextmanager
async def installation(server: Kube, nats_url: str, namespace: str) -> AsyncIterator[Installation]:
    async with (
        client.connect(server.kubeconfig) as api,
        connect(BusAccess(nats_url), "test") as bus,
        controlplane.replica(bus, "ingress") as definitions,
        ingress_here(bus, definitions) as ingress,
        AsyncExitStack() as running,
    ):
        await asyncio.to_thread(server.kubectl, "create", "namespace", namespace)
        controller = asyncio.create_task(Controller(bus, api, Mandate(f"http://127.0.0.1:{ingress.port}")).run())
        running.callback(controller.cancel)
        await Bucket(bus, REPLICAS_BUCKET).ensure(ttl_s=20)
        plane = dataplane.World(bus, nats_url, a_broker(), Bucket(bus, DEFINITIONS_BUCKET), running)
        await plane.filter()
        await plane.dispatcher()
        yield Installation(server, namespace, ingress.port)


async def has(there: Sink, *ids: str) -> None:
    await eventually(lambda: sorted(there.ids) == sorted(ids), f"the sink has {ids}")


@pytest.mark.parametrize("kinds", ["with_ours", "with_knatives"])
async def test_the_same_manifests_do_the_same_with_our_kinds_and_with_knatives(
    request: pytest.FixtureRequest, kinds: str, nats: NatsServer
) -> None:
    server: Kube = request.getfixturevalue(kinds)
    async with installation(server, nats.url, "same") as here, sink() as every, sink() as some, sink() as big:
        await here.apply(
            broker("default", "same"),
            trigger("every", "same", {"uri": every.url}),
            trigger(
                "some", "same", {"uri": some.url}, filters=[{"any": [{"exact": {"type": "order"}}, {"cesql": "FALSE"}]}]
            ),
            trigger("big", "same", {"uri": big.url}, annotations=CEL, filter={"attributes": {"type": "order"}}),
        )
        await here.ready("broker/default", "trigger/every", "trigger/some", "trigger/big")
        version = (await here.get("trigger", "every"))["metadata"]["resourceVersion"]
        await here.post("small", 1)
        await here.post("large", 1_000)
        await here.post("other", 1_000, "else")
        await has(every, "small", "large", "other")
        await has(some, "small", "large")
        await has(big, "large")
        await here.kubectl("annotate", "--overwrite", "trigger", "big", "scaup.dev/cel=data.amount <")
        await here.kubectl("wait", "--for=condition=Ready=False", "--timeout=20s", "trigger/big")
        conditions = {c["type"]: c for c in (await here.get("trigger", "big"))["status"]["conditions"]}
        assert conditions["SubscriptionReady"]["reason"] == "FilterInvalid"
        assert conditions["Ready"]["message"].startswith("metadata.annotations[scaup.dev/cel]: data.amount <: ")
        listed = (await here.kubectl("get", "triggers")).splitlines()
        assert next(line.split()[-2:] for line in listed if line.startswith("big")) == ["False", "FilterInvalid"]
        assert f"http://127.0.0.1:{here.port}/same/default" in await here.kubectl("get", "brokers")
        # Whatever else was looked at meanwhile: what a schema drops from a status is not written again and again.
        assert (await here.get("trigger", "every"))["metadata"]["resourceVersion"] == version
        await here.kubectl("delete", "trigger,broker", "--all")


async def test_what_knatives_schema_drops_from_filters_never_becomes_every_event(
    with_knatives: Kube, nats: NatsServer
) -> None:
    written = trigger("big", "dropped", {"uri": "http://127.0.0.1:9/"}, filters=[{"cel": IS_BIG}])
    async with installation(with_knatives, nats.url, "dropped") as here, sink() as big, sink() as every:
        done = await asyncio.to_thread(with_knatives.kubectl_run, "apply", "-f", "-", stdin=json.dumps(written))
        assert 'unknown field "spec.filters[0].cel"' in done.stderr  # who asks for a strict check is told at once
        ref = {"apiVersion": "v1", "kind": "Service", "name": "s", "address": "https"}
        spec = {"filter": {"attribute": {}}, "subscriber": {"ref": ref}}
        other = json.dumps(written | {"spec": spec})
        done = await asyncio.to_thread(with_knatives.kubectl_run, "apply", "-f", "-", stdin=other)
        for field in ("filter.attribute", "subscriber.ref.address"):  # as for what nobody could see afterwards
            assert f'unknown field "spec.{field}"' in done.stderr
        written["spec"]["subscriber"]["uri"] = big.url
        await here.apply(broker("default", "dropped"), trigger("every", "dropped", {"uri": every.url}))
        await here.apply(written, options=("--validate=false",))
        await here.ready("broker/default", "trigger/every")
        await here.kubectl("wait", "--for=condition=Ready=False", "--timeout=20s", "trigger/big")
        found = await here.get("trigger", "big")
        assert found["spec"]["filters"] == [{}]
        ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
        assert ready["reason"] == "FilterInvalid"
        assert "cel is given by the annotation scaup.dev/cel" in ready["message"]
        await here.post("before", 1_000)
        await has(every, "before")
        assert big.ids == []
        await here.apply(trigger("big", "dropped", {"uri": big.url}, annotations=CEL))
        await here.ready("trigger/big")
        await here.post("small", 1)
        await here.post("large", 1_000)
        await has(every, "before", "small", "large")
        await has(big, "large")
        await here.kubectl("delete", "trigger,broker", "--all")
