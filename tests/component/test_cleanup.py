"""What is deleted goes, with everything it had and nothing that was others'; its dead letters stay for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.deadletters import Wanted, find
from scaup.controller import app, provision
from scaup.controller.app import Controller, Mandate
from scaup.core.bus import topology
from scaup.core.bus.connection import Bus
from scaup.core.bus.deadletters import read
from scaup.core.codec import kept, stored
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from tests.support.controlplane import PUBLIC_URL, World, data_plane, world
from tests.support.dataplane import delivery, working
from tests.support.dataplane import world as data_world
from tests.support.events import an_event
from tests.support.natsserver import NatsServer
from tests.support.sinks import answer, sink
from tests.support.waiting import eventually

SINK = {"uri": "http://127.0.0.1:9/"}
PATH = "/apis/eventing.knative.dev/v1/namespaces/default"


async def keep(bus: Bus, broker: str, trigger: str | None) -> None:
    """Put a dead letter there, as a dispatcher would."""
    headers = stored.to_headers(an_event()) | kept.to_headers(Facts(1, "2026-01-02T03:04:05Z", reason="refused"))
    uid = None if trigger is None else TriggerUid(trigger)
    await bus.acked.store(names.dead_subject(BrokerUid(broker), uid), b"{}", headers)


async def uid_of(w: World, path: str) -> str:
    value = await w.get(path)
    assert value is not None
    return str(value["metadata"]["uid"])


async def letters(bus: Bus, broker: str) -> list[str | None]:
    """The Triggers of the dead letters that are kept for a Broker."""
    return [letter.trigger for letter in await read(bus, BrokerUid(broker))]


async def stream_names(bus: Bus) -> set[str]:
    return {name for name in (await bus.api("STREAM.NAMES"))["streams"] or [] if name.startswith("scaup-")}


async def metadata_of(bus: Bus, broker: str) -> dict[str, str]:
    """Of a Broker's stream of dead letters."""
    found: dict[str, str] = (await bus.api(f"STREAM.INFO.scaup-dead-{broker}"))["config"]["metadata"]
    return found


@asynccontextmanager
async def controlled(nats: NatsServer, directory: Path) -> AsyncIterator[World]:
    """A controller, with Brokers a, a-b and b, and Triggers with names that are alike."""
    async with world(directory, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        for name in ("a", "a-b", "b"):
            await w.until(await w.broker(name), "Ready", "True")
        for name, broker in (("t", "a"), ("t-1", "a"), ("t-2", "a-b")):
            await w.until(await w.trigger(name, SINK, broker), "Ready", "True")
        yield w


async def keeping_nothing(w: World) -> None:
    """In place of the controller another one that keeps dead letters for no time at all."""
    await w.stop_controller()
    w.running.append(asyncio.create_task(Controller(w.bus, w.api, Mandate(PUBLIC_URL, keep_dead_letters_s=0.0)).run()))


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller looks after what was deleted without a pause."""
    monkeypatch.setattr(app, "_FAREWELL_EVERY_S", 0.05)


async def test_deleted_broker_keeps_its_dead_letters_and_loses_everything_else_and_the_others_lose_nothing(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with controlled(nats, tmp_path) as w:
        uids = {name: await uid_of(w, f"{PATH}/brokers/{name}") for name in ("a", "a-b", "b")}
        for uid in uids.values():
            await keep(w.bus, uid, "somebody")
        await keep(w.bus, uids["a"], None)
        everything = await stream_names(w.bus)
        await w.delete(f"{PATH}/brokers/a")
        gone = {f"scaup-log-{uids['a']}", f"scaup-queue-{uids['a']}"}

        async def are_gone() -> bool:
            return await stream_names(w.bus) == everything - gone

        _: bool = await eventually(are_gone, "log and queues of a are gone, and only these")
        assert await letters(w.bus, uids["a"]) == ["somebody", None]
        again = await uid_of(w, await w.broker("a"))
        assert again != uids["a"]
        access = ApiAccess(w.server.kubeconfig(), None)
        listed = await find(access, NatsAccess(nats.url), Wanted("default", broker="a"))
        assert [found[:2] for found in listed] == [("a (deleted)", "? (deleted)"), ("a (deleted)", "-")]


async def test_dead_letters_of_a_deleted_broker_go_after_the_stated_time_whatever_was_restarted_meanwhile(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with controlled(nats, tmp_path) as w:
        uid = await uid_of(w, f"{PATH}/brokers/a")
        await keep(w.bus, uid, "somebody")
        await w.delete(f"{PATH}/brokers/a")

        async def is_marked() -> bool:
            return topology.DELETED_AT in await metadata_of(w.bus, uid)

        _: bool = await eventually(is_marked, "the time is written down")
        marked = await metadata_of(w.bus, uid)
        await w.stop_controller()
        w.start_controller()
        await w.until(f"{PATH}/brokers/b", "Ready", "True")
        assert await metadata_of(w.bus, uid) == marked
        assert await letters(w.bus, uid) == ["somebody"]
        await keeping_nothing(w)

        async def is_gone() -> bool:
            return f"scaup-dead-{uid}" not in await stream_names(w.bus)

        _ = await eventually(is_gone, "they are gone")


async def test_dead_letters_of_a_deleted_trigger_go_after_the_stated_time_and_no_others(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with controlled(nats, tmp_path) as w:
        broker = await uid_of(w, f"{PATH}/brokers/a")
        uids = [await uid_of(w, f"{PATH}/triggers/{name}") for name in ("t", "t-1")]
        for uid in (*uids, None):
            await keep(w.bus, broker, uid)
        await w.delete(f"{PATH}/triggers/t")

        async def marks() -> list[str]:
            return [key for key in await metadata_of(w.bus, broker) if key.startswith(topology.DELETED_AT)]

        async def is_marked() -> bool:
            return await marks() == [f"{topology.DELETED_AT}.{uids[0]}"]

        _: bool = await eventually(is_marked, "the time is written down, of this one alone")
        assert await letters(w.bus, broker) == [*uids, None]
        await keeping_nothing(w)

        async def is_purged() -> bool:
            return await letters(w.bus, broker) == [uids[1], None] and not await marks()

        _ = await eventually(is_purged, "these are gone, and their mark")


async def test_broker_that_is_there_after_all_takes_the_mark_of_its_deletion_back(nats: NatsServer) -> None:
    async with data_world(nats.url) as here:
        uid = here.broker.uid
        await keep(here.bus, uid, "t")
        await topology.remove_broker(here.bus, uid)
        marked = await metadata_of(here.bus, uid)
        await topology.remove_broker(here.bus, uid)
        assert await metadata_of(here.bus, uid) == marked
        await topology.ensure_broker(here.bus, here.broker)
        metadata = await metadata_of(here.bus, uid)
        assert topology.DELETED_AT in marked
        assert topology.DELETED_AT not in metadata
        assert metadata["scaup.dev/broker"] == "one"
        assert await letters(here.bus, uid) == ["t"]


async def test_broker_without_dead_letters_leaves_nothing(nats: NatsServer) -> None:
    async with data_world(nats.url) as here:
        await topology.remove_broker(here.bus, here.broker.uid)
        assert await stream_names(here.bus) == set()


async def test_refused_removal_is_tried_again(
    nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "RETRY_S", 0.1)
    monkeypatch.setattr(app, "RETRY_S", 0.1)
    async with controlled(nats, tmp_path) as w:
        uid = await uid_of(w, f"{PATH}/brokers/b")
        refusals: list[str] = []
        remove = topology.remove_stream

        async def refused_at_first(bus: Bus, name: str) -> None:
            if len(refusals) < 3:
                refusals.append(name)
                await bus.api(f"STREAM.MSG.DELETE.{name}", {"seq": 10**9})  # refused: there is no such entry
            await remove(bus, name)

        monkeypatch.setattr(topology, "remove_stream", refused_at_first)
        await w.delete(f"{PATH}/brokers/b")

        async def is_gone() -> bool:
            return not any(name.endswith(uid) for name in await stream_names(w.bus))

        _: bool = await eventually(is_gone, "they are gone in the end")
        assert len(refusals) == 3


async def test_trigger_deleted_while_no_dispatcher_ran_loses_queue_and_consumers_and_its_like_loses_nothing(
    nats: NatsServer,
) -> None:
    async with working(nats.url) as here, sink(answer(500)) as there:
        for uid in ("t", "t-1"):
            await here.trigger(uid, there.url, delivery=delivery(retry=50, backoff_delay_s=30))
        await here.send_many(5)
        await here.until_queues_hold(10)
        await here.dispatchers[0].stop()
        stream = names.queue_stream(here.broker.uid)
        lanes = [Lane(here.broker.uid, TriggerUid("t"), kind) for kind in (names.SUBSCRIBER, names.DEAD_LETTER)]
        for lane in (*lanes, Lane(here.broker.uid, TriggerUid("t-1"))):
            await topology.ensure_consumer(here.bus, stream, topology.queue_consumer(lane))
        await here.delete_trigger("t")
        await here.dispatcher(replica="next")
        await here.until_queues_hold(5)

        async def only_the_other() -> bool:
            found = await here.bus.api(f"CONSUMER.NAMES.{stream}")
            return bool(found["consumers"] == ["t-1_subscriber"])

        _: bool = await eventually(only_the_other, "its consumers are gone, and only these")
        waiting = {each.lane for each in await here.queued()}
        assert waiting == {Lane(here.broker.uid, TriggerUid("t-1"))}
