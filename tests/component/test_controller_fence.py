"""Two writers of one snapshot, and two clusters on one bus: what must not be mixed is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest

from scaup.controller import kube
from scaup.controller.app import Controller, Mandate
from scaup.controller.snapshot import Snapshot, SupersededError
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.model.definitions import BrokerDefinition, Destination, TriggerDefinition, to_json
from scaup.core.model.names import BrokerUid, TriggerUid
from tests.support.controlplane import PUBLIC_URL, api_server, data_plane, world
from tests.support.natsserver import NatsServer, cluster, nats_server
from tests.support.waiting import eventually

SINK = {"uri": "http://sink.test/"}
BROKER = dumps(to_json(BrokerDefinition(BrokerUid("b"), "ns", "b")))


def trigger(uid: str, uri: str = "http://sink.test") -> bytes:
    return dumps(to_json(TriggerDefinition(TriggerUid(uid), "ns", uid, BrokerUid("b"), Destination(uri=uri))))


@asynccontextmanager
async def following(bus: Bus, holder: str = "") -> AsyncIterator[Snapshot]:
    """A snapshot that has been loaded, and claimed by ``holder``."""
    snapshot = Snapshot(bus, lambda: None)
    task = asyncio.create_task(snapshot.follow())
    try:
        await eventually(lambda: snapshot.is_loaded, "the bucket is loaded")
        if holder:
            await snapshot.claim(holder, "here")
        yield snapshot
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def refused(snapshot: Snapshot, wanted: dict[str, bytes]) -> None:
    with pytest.raises(SupersededError):
        await snapshot.publish(wanted, ())


async def last(bus: Bus) -> int:
    return int((await bus.api("STREAM.INFO.KV_definitions"))["state"]["last_seq"])


async def test_a_former_writer_that_has_heard_nothing_of_the_new_one_changes_nothing(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, AsyncExitStack() as stack:
        old = await stack.enter_async_context(following(bus, "old"))
        await old.publish({"broker.b": BROKER, "trigger.t": trigger("t")}, ())
        old._apply = lambda _: None  # type: ignore[method-assign,assignment]  # as if it were stopped: it hears nothing any more
        new = await stack.enter_async_context(following(bus, "new"))
        await new.publish({"broker.b": BROKER, "trigger.t": trigger("t"), "trigger.u": trigger("u")}, ())
        before = await last(bus)
        await refused(old, {"broker.b": BROKER, "trigger.t": trigger("t", "http://old.test")})
        await refused(old, {"broker.b": BROKER, "trigger.t": trigger("t"), "trigger.old": trigger("old")})
        await refused(old, {"broker.b": BROKER})
        assert await last(bus) == before


async def test_a_former_writer_that_hears_of_the_new_one_takes_nothing_away_from_it(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, AsyncExitStack() as stack:
        old = await stack.enter_async_context(following(bus, "old"))
        await old.publish({"broker.b": BROKER}, ())
        new = await stack.enter_async_context(following(bus, "new"))
        await new.publish({"broker.b": BROKER, "trigger.u": trigger("u")}, ())
        await eventually(lambda: old.keys("trigger."), "the old one hears of the new Trigger")
        await refused(old, {"broker.b": BROKER})
        assert not old.is_ours
        assert (old.writer or new.writer).holder == "new"  # type: ignore[union-attr]
        assert await Bucket(bus, "definitions").get("trigger.u") is not None


async def test_of_two_that_claim_at_once_one_is_the_writer(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, AsyncExitStack() as stack:
        both = [await stack.enter_async_context(following(bus)) for _ in range(2)]
        results = await asyncio.gather(*(s.claim(f"c{n}", "") for n, s in enumerate(both)), return_exceptions=True)
        assert [type(result) for result in results if result] == [SupersededError]
        assert [s.is_ours for s in both].count(True) == 1


async def test_on_three_servers_a_thousand_definitions_are_written_and_a_former_writer_is_refused(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as servers:
        async with connect(BusAccess(servers.url), "test") as bus, AsyncExitStack() as stack:
            old = await stack.enter_async_context(following(bus, "old"))
            await Bucket(bus, "definitions").keep_on(3)
            wanted = {"broker.b": BROKER} | {f"trigger.t{n}": trigger(f"t{n}") for n in range(1000)}
            assert await old.publish(wanted, ()) == {}
            assert len(old.keys("trigger.")) == 1000
            old._apply = lambda _: None  # type: ignore[method-assign,assignment]
            new = await stack.enter_async_context(following(bus, "new"))
            await refused(old, {"broker.b": BROKER})
            assert len(new.keys("trigger.")) == 1000


async def test_of_two_controllers_without_election_the_newer_one_controls(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        await w.broker()
        older = w.start_controller()
        await eventually(lambda: older.published, "the first one has published")
        newer = Controller(w.bus, w.api, Mandate(PUBLIC_URL, name="another-process"))
        w.running.append(asyncio.create_task(newer.run()))
        await eventually(lambda: newer._snapshot.is_ours, "the second one writes")
        await w.until(await w.trigger("t", SINK), "Ready", "True")
        why = await eventually(older.why_not_ready, "the first one is not ready")
        assert "controls this bus by now" in str(why)
        assert "SCAUP_CONTROLLER_LEASE" in str(why)
        assert newer.why_not_ready() is None
        assert len(plane.triggers) == 1


async def test_the_api_of_another_cluster_takes_nothing_away_until_it_is_told_to(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(tmp_path / "one", nats.url) as w, data_plane(w.bus) as plane, AsyncExitStack() as stack:
        w.start_controller()
        await w.broker()
        await w.until(await w.trigger("t", SINK), "Ready", "True")
        await w.stop_controller()
        store = stack.enter_context(nats_server(tmp_path / "other"))
        server = stack.enter_context(api_server(tmp_path / "two", store.url))  # an empty cluster
        api = await stack.enter_async_context(kube.connect(server.kubeconfig()))
        elsewhere = Controller(w.bus, api, Mandate(PUBLIC_URL))
        running = asyncio.create_task(elsewhere.run())
        why = await eventually(lambda: _says(elsewhere, "another Kubernetes API"), "it refuses")
        assert f"SCAUP_CONTROLLER_TAKE_OVER={await api.identity()}" in why
        assert api.host in why
        assert (len(plane.brokers), len(plane.triggers)) == (1, 1)
        await _end(running)
        told = Controller(w.bus, api, Mandate(PUBLIC_URL, take_over=await api.identity()))
        running = asyncio.create_task(told.run())
        await eventually(lambda: told.published and not plane.brokers, "the bus follows the other API")
        assert told.why_not_ready() is None
        await _end(running)
        back = w.start_controller()
        await eventually(lambda: _says(back, "another Kubernetes API"), "the first one is now another")


async def test_a_snapshot_that_does_not_say_where_it_is_from_is_adopted(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker()
        await w.until(await w.trigger("t", SINK), "Ready", "True")
        await w.stop_controller()
        await Bucket(w.bus, "definitions").purge("writer")  # as a controller of former versions leaves it
        controller = w.start_controller()
        await eventually(lambda: controller.published, "it has published")
        mark = await Bucket(w.bus, "definitions").get("writer")
        assert mark is not None
        assert orjson.loads(mark.value or b"")["cluster"] == await w.api.identity()
        assert len(plane.triggers) == 1


async def test_an_api_that_restarts_is_the_same_one(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w:
        before = await w.api.identity()
        w.server.kill()
        await w.start_api()
        assert before
        assert await w.api.identity() == before


def _says(controller: Controller, words: str) -> str:
    why = controller.why_not_ready() or ""
    return why if words in why else ""


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
