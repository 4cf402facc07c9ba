"""A whole broker for the specification's rows: producers and sinks on real sockets, everything between them real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from scaup.controller.app import Controller, Mandate
from scaup.core.bus.kv import Bucket
from scaup.core.model.names import DEFINITIONS_BUCKET, REPLICAS_BUCKET, BrokerUid
from tests.support import controlplane, dataplane
from tests.support.controlplane import pond_kind
from tests.support.events import REQUIRED, a_broker
from tests.support.rawhttp import BINARY, Answer, send
from tests.support.services import ingress_here
from tests.support.waiting import eventually

STRUCTURED = "application/cloudevents+json"
PONDS = "/apis/pond.test/v1/namespaces/default/ponds"
CRD = pond_kind("Pond")


@dataclass
class Producer:
    """Who posts events to one Broker."""

    port: int
    path: str = "/default/one"

    async def post(self, event_id: str = "1", data: bytes = b"", content_type: str = "", **attributes: str) -> Answer:
        """One event in binary mode."""
        headers = BINARY | {"ce-id": event_id} | {f"ce-{name}": value for name, value in attributes.items()}
        if content_type:
            headers["content-type"] = content_type
        return await send(self.port, "POST", self.path, headers, data)

    async def post_json(self, event_id: str = "1", **members: Any) -> Answer:
        """One event in structured mode."""
        body = orjson.dumps(REQUIRED | {"id": event_id} | members)
        return await self.send("POST", {"content-type": STRUCTURED}, body)

    async def send(self, method: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Any request."""
        return await send(self.port, method, self.path, headers, body)


@dataclass
class WholeBroker:
    """The Broker ``default/one``: ingress, filter, dispatcher. A test writes its Triggers as the controller would."""

    world: dataplane.World
    producer: Producer


async def until_quiet(world: dataplane.World, within_s: float = 10.0) -> None:
    """Until every event has its end: nothing is unsettled in the log, nothing waits in a queue."""
    await world.until_settled(within_s)
    await world.until_queues_hold(0, within_s)


@asynccontextmanager
async def whole_broker(nats_url: str, settings: dict[str, Any] | None = None) -> AsyncIterator[WholeBroker]:
    """A Broker that accepts and delivers. ``settings`` are the dispatcher's."""
    async with dataplane.working(nats_url, settings) as world, ingress_here(world.bus) as ingress:
        yield WholeBroker(world, Producer(ingress.port))


@dataclass
class Cluster:
    """The control plane with a data plane that runs: objects go in through the API, events through the ingress."""

    api: controlplane.World
    plane: dataplane.World
    url: str

    async def ready(self, path: str) -> dict[str, Any]:
        """The object, once it is Ready."""
        return await self.api.until(path, "Ready", "True")

    async def status(self, path: str, name: str, value: str) -> None:
        """Wait until a field of the object's status has that value."""

        async def says() -> bool:
            found = await self.api.get(path) or {}
            return bool((found.get("status") or {}).get(name) == value)

        _: bool = await eventually(says, f"{path}: status.{name} is {value!r}")

    async def producer(self, broker: str) -> Producer:
        """Who posts to where the status of a Ready Broker says; ``plane`` looks at that Broker from here on."""
        value = await self.ready(broker)
        self.plane.broker = replace(self.plane.broker, uid=BrokerUid(value["metadata"]["uid"]))
        url: str = value["status"]["address"]["url"]
        assert url.startswith(self.url)
        return Producer(int(self.url.rpartition(":")[2]), url.removeprefix(self.url))

    async def pond(self, name: str, url: str | None) -> dict[str, str]:
        """An object of a kind that nobody knows, with ``status.address.url``; the reference to it."""
        value = {"apiVersion": "pond.test/v1", "kind": "Pond", "metadata": {"name": name, "namespace": "default"}}
        await self.api.create(PONDS, value | {"spec": {}})
        if url:
            await self.move_pond(name, url)
        return {"apiVersion": "pond.test/v1", "kind": "Pond", "name": name}

    async def move_pond(self, name: str, url: str) -> None:
        """Give such an object its, or another, address."""
        await self.api.patch(f"{PONDS}/{name}/status", {"status": {"address": {"url": url}}})


@asynccontextmanager
async def cluster(directory: Path, nats_url: str) -> AsyncIterator[Cluster]:
    """The local API, the controller, an ingress, a filter and a dispatcher, and a kind of sinks called Pond."""
    async with (
        controlplane.world(directory, nats_url) as api,
        controlplane.replica(api.bus, "ingress") as definitions,
        ingress_here(api.bus, definitions) as ingress,
        AsyncExitStack() as running,
    ):
        url = f"http://127.0.0.1:{ingress.port}"
        await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
        api.running.append(asyncio.create_task(Controller(api.bus, api.api, Mandate(url)).run()))
        plane = dataplane.World(api.bus, nats_url, a_broker(), Bucket(api.bus, DEFINITIONS_BUCKET), running)
        await Bucket(api.bus, REPLICAS_BUCKET).ensure(ttl_s=20)
        await plane.filter()
        await plane.dispatcher()
        yield Cluster(api, plane, url)
