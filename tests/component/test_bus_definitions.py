"""Replicas of the data plane over a real bucket: definitions followed, revisions reported, the live ones known."""

from __future__ import annotations

import asyncio

import pytest

from scaup.core.bus import kv
from scaup.core.bus.connection import BusAccess, connect
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.model.definitions import Complete, to_json
from scaup.core.model.names import COMPLETE_KEY, REPLICAS_BUCKET, replica_key, trigger_key
from scaup.core.runtime import replicas
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.replicas import Roster, leave, report
from tests.support.events import a_broker, a_trigger
from tests.support.natsserver import NatsServer
from tests.support.services import define, following
from tests.support.waiting import eventually

BROKER = a_broker()


async def test_definitions_follow_the_bucket_across_kills_of_the_server(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, asyncio.TaskGroup() as tasks:
        bucket = await define(bus, [BROKER], [a_trigger("t1")])
        held = Definitions()
        task = await following(bus, held, tasks)
        assert set(held.triggers) == {"t1"}
        for number in (2, 3):
            nats.kill()
            await eventually(lambda: not bus.is_connected, "the loss is noticed")
            assert set(held.triggers) >= {"t1"}, "the last good snapshot stays"
            await asyncio.to_thread(nats.start)
            await eventually(lambda: bus.is_connected, "connected again")
            await bucket.put(trigger_key(f"t{number}"), dumps(to_json(a_trigger(f"t{number}"))))
            await eventually(lambda name=f"t{number}": name in held.triggers, "the change is seen")  # type: ignore[misc,arg-type]
        await bucket.delete(trigger_key("t1"))
        await eventually(lambda: set(held.triggers) == {"t2", "t3"}, "the deletion is seen")
        task.cancel()


async def test_a_bucket_made_anew_is_followed_without_losing_a_definition_on_the_way(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv, "_HEARTBEAT_S", 0.1)
    monkeypatch.setattr(kv, "_SILENCE_S", 0.25)
    async with connect(BusAccess(nats.url), "test") as bus, asyncio.TaskGroup() as tasks:
        bucket = await define(bus, [BROKER], [a_trigger("t1"), a_trigger("t2")])
        held = Definitions()
        seen: list[set[str]] = []
        held.on_change(lambda _: seen.append(set(held.triggers)))
        task = await following(bus, held, tasks)
        created = held.created
        await bus.api("STREAM.DELETE.KV_definitions")
        await bucket.ensure()
        await eventually(lambda: held.created != created, "the new bucket is noticed")
        assert set(held.triggers) == {"t1", "t2"}
        await define(bus, [BROKER], [a_trigger("t2"), a_trigger("t3")])
        await eventually(lambda: set(held.triggers) == {"t2", "t3"}, "it is complete again")
        assert all("t2" in triggers for triggers in seen)
        task.cancel()


async def test_a_replica_reports_its_revision_soon_after_each_change_and_that_it_leaves(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "HEARTBEAT_S", 600.0)
    monkeypatch.setattr(replicas, "LIVE_S", 600.0)
    async with connect(BusAccess(nats.url), "test") as bus, asyncio.TaskGroup() as tasks:
        held, roster = Definitions(), Roster()
        reporting = tasks.create_task(report(bus, "filter", "one.two", held))
        watching = tasks.create_task(roster.follow(bus, lambda: None))
        await eventually(lambda: roster.is_loaded, "the roster is loaded")
        assert roster.live("filter") == []
        bucket = await define(bus, [BROKER])
        task = await following(bus, held, tasks)
        await eventually(lambda: roster.live("filter"), "it is reported")
        revision = await bucket.put(trigger_key("t1"), dumps(to_json(a_trigger("t1"))))
        await eventually(lambda: roster.live("filter")[0].revision == revision, "the new revision is")
        (found,) = roster.live("filter")
        assert (found.key, found.role, found.created) == (replica_key("filter", "one.two"), "filter", held.created)
        assert roster.live("dispatcher") == []
        reporting.cancel()
        await leave(bus, "filter", "one.two")
        await eventually(lambda: not roster.live("filter"), "it has left")
        for each in (watching, task):
            each.cancel()


async def test_a_replica_that_is_not_heard_of_is_not_alive(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "LIVE_S", 2.0)
    async with connect(BusAccess(nats.url), "test") as bus, asyncio.TaskGroup() as tasks:
        roster = Roster()
        watching = tasks.create_task(roster.follow(bus, lambda: None))
        await eventually(lambda: roster.is_loaded, "the roster is loaded")
        await Bucket(bus, REPLICAS_BUCKET).put(replica_key("filter", "dead"), dumps({"revision": 1, "created": ""}))
        await eventually(lambda: roster.live("filter"), "it is alive")
        await eventually(lambda: not roster.live("filter"), "and then not any more")
        watching.cancel()


async def test_a_replica_goes_on_reporting_after_its_bucket_was_lost(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "HEARTBEAT_S", 0.1)
    async with connect(BusAccess(nats.url), "test") as bus, asyncio.TaskGroup() as tasks:
        await define(bus)
        held = Definitions()
        task = await following(bus, held, tasks)
        reporting = tasks.create_task(report(bus, "filter", "one", held))
        bucket = Bucket(bus, REPLICAS_BUCKET)
        await bucket.ensure()
        await bus.api("STREAM.DELETE.KV_replicas")

        async def is_there() -> bool:
            return (await bus.api("STREAM.NAMES"))["total"] >= 2 and await bucket.get(
                replica_key("filter", "one")
            ) is not None

        _: bool = await eventually(is_there, "it is reported again")
        reporting.cancel()
        task.cancel()


async def test_the_mark_of_completeness_is_read_as_it_is_written(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket = await define(bus, [BROKER], [a_trigger("t1")])
        found = await bucket.get(COMPLETE_KEY)
        assert found is not None
        assert found.value == dumps(to_json(Complete(1, 1, 1, 0)))
