"""Dispatchers and filters in this process, over a real bus, with definitions that a test changes as it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import orjson
from nats.aio.msg import Msg
from prometheus_client import REGISTRY

from scaup.core.bus import topology
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.deadletters import DeadLetter, read
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.bus.waiting import waiting
from scaup.core.codec import bundle, stored
from scaup.core.model import names
from scaup.core.model.definitions import (
    Address,
    AddressBookEntry,
    BrokerDefinition,
    Complete,
    Delivery,
    Destination,
    TriggerDefinition,
    to_json,
)
from scaup.core.model.event import ARRIVAL_TIME, HOPS
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings
from scaup.dispatcher.__main__ import run as run_dispatcher
from scaup.dispatcher.settings import DispatcherSettings
from scaup.filter.__main__ import run as run_filter
from scaup.filter.settings import FilterSettings
from tests.support.events import BROKER, a_broker, a_trigger, an_event
from tests.support.services import entries
from tests.support.waiting import WITHIN_S, eventually

ANYWHERE = Listen("127.0.0.1", 0)
QUICK = Delivery(retry=3, backoff_policy="linear", backoff_delay_s=0.02, timeout_s=5.0)
"""A delivery whose retries do not keep a test waiting."""


@dataclass
class Running:
    """A service that runs in this process."""

    life: Life
    task: asyncio.Task[None]

    async def stop(self) -> None:
        """As SIGTERM would."""
        self.life.stop()
        async with asyncio.timeout(10):
            await asyncio.shield(self.task)


class Queued(NamedTuple):
    """An event that waits in a queue."""

    lane: names.Lane | None
    headers: dict[str, str]
    data: bytes


@dataclass
class World:
    """One Broker on a bus of its own, with what a test puts there."""

    bus: Bus
    url: str
    broker: BrokerDefinition
    bucket: Bucket
    stack: AsyncExitStack
    triggers: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    sent: int = 0
    filters: dict[str, Running] = field(default_factory=dict)
    dispatchers: list[Running] = field(default_factory=list)

    async def trigger(self, uid: str, uri: str | Destination, **changes: Any) -> TriggerDefinition:
        """Make or change a Trigger; it is one when this returns, as a Ready one would be."""
        subscriber = Destination(uri=uri) if isinstance(uri, str) else uri
        changes.setdefault("delivery", QUICK)
        definition = a_trigger(uid, subscriber=subscriber, **changes)
        self.triggers.add(uid)
        revision = await self.bucket.put(names.trigger_key(uid), dumps(to_json(definition)))
        await self._complete()
        for running in (*self.filters.values(), *self.dispatchers):
            if not running.task.done():
                await self._until_reported(running, running.task.get_name(), revision)
        return definition

    async def delete_trigger(self, uid: str) -> None:
        self.triggers.discard(uid)
        await self.bucket.delete(names.trigger_key(uid))
        await self._complete()

    async def address(self, key: str, url: str | None) -> None:
        """What the address book says of an Addressable; None: it has no address."""
        entry = AddressBookEntry((Address(url),) if url else (), "" if url else "it is not ready")
        self.addresses.add(key)
        await self.bucket.put(key, dumps(to_json(entry)))
        await self._complete()

    async def _complete(self) -> None:
        mark = Complete(1, 1, len(self.triggers), len(self.addresses))
        await self.bucket.put(names.COMPLETE_KEY, dumps(to_json(mark)))

    async def send(self, data: bytes | None = b"{}", passed: dict[str, str] | None = None, **attributes: str) -> str:
        """Store an event as the ingress does; its id is given back."""
        self.sent += 1
        whole = {"id": f"e-{self.sent}", HOPS: "255", ARRIVAL_TIME: "2026-01-02T03:04:05.678901Z"} | attributes
        event = an_event(data, **whole)
        await self.bus.acked.store(names.event_subject(self.broker.uid), data or b"", stored.to_headers(event, passed))
        return event.id

    async def send_many(self, count: int, data: bytes = b"{}", **attributes: str) -> list[str]:
        return list(await asyncio.gather(*(self.send(data, None, **attributes) for _ in range(count))))

    async def dispatcher(self, *, bus_url: str = "", replica: str = "", **settings: Any) -> Running:
        """Start a dispatcher, in this process."""
        replica = replica or f"dispatcher-{len(asyncio.all_tasks())}"
        whole = DispatcherSettings(
            bus=BusSettings(bus_url or self.url),
            service=ServiceSettings(replica=replica),
            metrics_listen=ANYWHERE,
            **settings,
        )
        key = names.replica_key("dispatcher", replica)
        running = await self._start(lambda life: run_dispatcher(whole, life), key)
        self.dispatchers.append(running)
        return running

    async def filter(self, replica: str = "filter-1") -> Running:
        """Start a filter, in this process."""
        whole = FilterSettings(BusSettings(self.url), ServiceSettings(replica=replica), ANYWHERE)
        key = names.replica_key("filter", replica)
        running = self.filters[key] = await self._start(lambda life: run_filter(whole, life), key)
        return running

    async def _start(self, run: Any, key: str) -> Running:
        life = Life()
        running = Running(life, asyncio.create_task(run(life), name=key))
        self.stack.push_async_callback(self._end, running)

        await self._until_reported(running, key, 0)
        return running

    async def _until_reported(self, running: Running, key: str, revision: int) -> None:
        """Until a service says that it has applied a revision of the definitions."""

        async def has_reported() -> bool:
            if running.task.done():
                running.task.result()
            entry = await Bucket(self.bus, names.REPLICAS_BUCKET).get(key)
            return entry is not None and orjson.loads(entry.value or b"{}").get("revision", -1) >= revision

        await eventually(has_reported, f"{key} has revision {revision}")

    async def _end(self, running: Running) -> None:
        if not running.task.done():
            running.life.stop()
            done, _ = await asyncio.wait({running.task}, timeout=10)
            if not done:
                running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)

    # What there is to see.

    async def unsettled(self) -> int:
        """Entries of the log that are not acknowledged yet."""
        stream = names.log_stream(self.broker.uid)
        info = await self.bus.api(f"CONSUMER.INFO.{stream}.{names.DISPATCH_CONSUMER}")
        return int(info["num_pending"] + info["num_ack_pending"])

    async def until_settled(self, within_s: float = WITHIN_S) -> None:
        """Until every entry that the log has now is acknowledged."""
        stream = names.log_stream(self.broker.uid)
        last = (await self.bus.api(f"STREAM.INFO.{stream}"))["state"]["last_seq"]

        async def is_settled() -> bool:
            # Not what is pending: a consumer hears of an entry a moment after the one who stored it.
            info = await self.bus.api(f"CONSUMER.INFO.{stream}.{names.DISPATCH_CONSUMER}")
            return bool(info["ack_floor"]["stream_seq"] >= last)

        await eventually(is_settled, "the log is acknowledged", within_s=within_s)

    async def queue_entries(self) -> list[Msg]:
        """The entries of the queues of all Triggers as they are, scheduled retries included."""
        return await entries(self.bus, self.broker.uid, stream=names.queue_stream(self.broker.uid))

    async def queued(self) -> list[Queued]:
        """The events in the queues of all Triggers, bundled or not, scheduled retries included."""
        return [
            Queued(names.lane_of_subject(msg.subject), headers, data)
            for msg in await self.queue_entries()
            for headers, data in bundle.events(msg.subject, msg.headers or {}, msg.data)
        ]

    async def queue_size(self) -> int:
        """How many events wait in all queues."""
        return (await waiting(self.bus, self.broker.uid)).total()

    async def until_queues_hold(self, count: int, within_s: float = WITHIN_S) -> None:
        async def holds() -> bool:
            return await self.queue_size() == count

        await eventually(holds, f"{count} events are queued", within_s=within_s)

    async def dead_letters(self, count: int = 0, within_s: float = WITHIN_S) -> list[DeadLetter]:
        """The kept dead letters, when there are ``count`` of them at least."""

        async def there_are() -> list[DeadLetter] | None:
            found = await read(self.bus, self.broker.uid)
            return found if len(found) >= count else None

        if not count:
            return await read(self.bus, self.broker.uid)
        found = await eventually(there_are, f"{count} dead letters are kept", within_s=within_s)
        return found or []

    async def log(self) -> list[Msg]:
        """Everything in the event log."""
        return await entries(self.bus, self.broker.uid)


def metric(name: str, **labels: str) -> float:
    """A sample of this process's metrics; 0 where there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def of_trigger(uid: str, **labels: str) -> dict[str, str]:
    """The labels of a Trigger's metrics."""
    return {"namespace": "default", "broker": "one", "trigger": uid, **labels}


@asynccontextmanager
async def world(nats_url: str, **broker: Any) -> AsyncIterator[World]:
    """A Broker and nothing else; what is started in it ends with it."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(BusAccess(nats_url), "test"))
        definition = a_broker(BROKER, **broker)
        await topology.ensure_broker(bus, definition)
        bucket = Bucket(bus, names.DEFINITIONS_BUCKET)
        await bucket.ensure(replicas=definition.replicas)
        await Bucket(bus, names.REPLICAS_BUCKET).ensure(ttl_s=20, replicas=definition.replicas)
        await bucket.put(names.broker_key(definition.uid), dumps(to_json(definition)))
        async with AsyncExitStack() as running:
            made = World(bus, nats_url, definition, bucket, running)
            await made._complete()
            try:
                yield made
            finally:
                for one in (*made.filters.values(), *made.dispatchers):  # all at once: each takes its time to end
                    one.life.stop()


@asynccontextmanager
async def working(nats_url: str, settings: dict[str, Any] | None = None, **broker: Any) -> AsyncIterator[World]:
    """The same with a filter and a dispatcher."""
    async with world(nats_url, **broker) as made:
        await made.filter()
        await made.dispatcher(**(settings or {}))
        yield made


def delivery(**changes: Any) -> Delivery:
    """The quick delivery, changed."""
    return replace(QUICK, **changes)
