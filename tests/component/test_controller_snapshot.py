"""The snapshot's writing, on a real bucket: only differences, in order, complete at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
import pytest

from scaup.controller import snapshot as module
from scaup.controller.snapshot import Snapshot
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.model.definitions import AddressBookEntry, BrokerDefinition, Destination, TriggerDefinition, to_json
from scaup.core.model.errors import BusUnavailableError
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.core.runtime.definitions import Definitions
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

BROKER = dumps(to_json(BrokerDefinition(BrokerUid("b"), "ns", "b")))
ADDRESS = dumps(to_json(AddressBookEntry()))


def trigger(uid: str, uri: str = "http://sink.test") -> bytes:
    return dumps(to_json(TriggerDefinition(TriggerUid(uid), "ns", uid, BrokerUid("b"), Destination(uri=uri))))


@asynccontextmanager
async def following(bus: Bus) -> AsyncIterator[Snapshot]:
    snapshot = Snapshot(bus, lambda: None)
    task = asyncio.create_task(snapshot.follow())
    try:
        await eventually(lambda: snapshot.is_loaded, "the bucket is loaded")
        yield snapshot
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def last(bus: Bus) -> int:
    return int((await bus.api("STREAM.INFO.KV_definitions"))["state"]["last_seq"])


async def order(bus: Bus) -> list[str]:
    """The keys with a value, in the order they were last written."""
    bucket = Bucket(bus, "definitions")
    async for change in bucket.watch():
        entries = getattr(change, "entries", {})
        return sorted((k for k, e in entries.items() if e.value), key=lambda k: entries[k].revision)
    return []


async def test_what_is_referred_to_comes_first_and_the_counts_last(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, following(bus) as snapshot:
        wanted = {"trigger.t": trigger("t"), "broker.b": BROKER, "address/v1/Service/ns/s": ADDRESS}
        assert await snapshot.publish(wanted, ()) == {}
        assert await order(bus) == ["address/v1/Service/ns/s", "broker.b", "trigger.t", "complete"]
        mark = await Bucket(bus, "definitions").get("complete")
        assert mark is not None
        assert orjson.loads(mark.value or b"") == {"epoch": 1, "brokers": 1, "triggers": 1, "addresses": 1}


async def test_only_differences_are_written_also_by_the_next_process(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        wanted = {"trigger.t": trigger("t"), "broker.b": BROKER}
        async with following(bus) as snapshot:
            await snapshot.publish(wanted, ())
            await snapshot.publish(wanted, ())
            assert await last(bus) == 3
            changed = wanted | {"trigger.t": trigger("t", "http://other.test")}
            await snapshot.publish(changed, ())
            assert await last(bus) == 4  # the counts are the same
            assert snapshot.revision("trigger.t") == 4
        async with following(bus) as again:
            assert again.found_at == 4
            await again.publish(changed, ())
            assert await last(bus) == 4


async def test_what_is_not_wanted_goes_and_what_is_kept_stays(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, following(bus) as snapshot:
        definitions = Definitions()
        task = asyncio.create_task(definitions.follow(bus))
        wanted = {"trigger.t": trigger("t"), "trigger.u": trigger("u"), "broker.b": BROKER}
        await snapshot.publish(wanted, ())
        await eventually(lambda: definitions.is_loaded, "loaded")
        await snapshot.publish({"broker.b": BROKER}, {"trigger.u", "trigger.never"})
        await eventually(lambda: definitions.triggers.keys() == {"u"}, "one is gone, the other stays")
        assert snapshot.deleted("trigger.") == ["trigger.t"]
        assert snapshot.keys("trigger.") == ["trigger.u"]
        fresh = Definitions()
        other = asyncio.create_task(fresh.follow(bus))
        await eventually(lambda: fresh.is_loaded, "who comes now finds it complete")
        assert fresh.triggers.keys() == {"u"}
        task.cancel()
        other.cancel()


async def test_thousands_of_definitions_are_written_in_one_go(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, following(bus) as snapshot:
        wanted = {"broker.b": BROKER} | {f"trigger.t{n}": trigger(f"t{n}") for n in range(1000)}
        await snapshot.publish(wanted, ())
        definitions = Definitions()
        task = asyncio.create_task(definitions.follow(bus))
        await eventually(lambda: definitions.is_loaded, "loaded")
        assert len(definitions.triggers) == 1000
        task.cancel()


async def test_one_definition_too_large_for_the_bus_holds_up_no_other(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, following(bus) as snapshot:
        huge = trigger("huge", "http://sink.test/" + "x" * bus.max_payload)
        refused = await snapshot.publish({"trigger.huge": huge, "trigger.t": trigger("t"), "broker.b": BROKER}, ())
        assert refused.keys() == {"trigger.huge"}
        assert "larger" in refused["trigger.huge"]
        assert snapshot.keys("trigger.") == ["trigger.t"]
        mark = await Bucket(bus, "definitions").get("complete")
        assert mark is not None
        assert orjson.loads(mark.value or b"")["triggers"] == 1


async def test_a_bus_that_is_away_is_an_error_and_the_next_time_everything_is_written(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus, following(bus) as snapshot:
        nats.kill()
        await eventually(lambda: not bus.is_connected, "the connection is lost")
        with pytest.raises(BusUnavailableError):
            await snapshot.publish({"broker.b": BROKER}, ())
        await asyncio.to_thread(nats.start)
        await eventually(lambda: bus.is_connected, "the connection is back")

        async def written() -> bool:
            with suppress(BusUnavailableError):
                await snapshot.publish({"broker.b": BROKER}, ())
                return True
            return False

        _: bool = await eventually(written, "it is written")
        assert await order(bus) == ["broker.b", "complete"]


async def test_old_marks_of_deletion_go_when_there_are_many_and_fresh_ones_stay(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MARKS_KEPT", 3)
    async with connect(BusAccess(nats.url), "test") as bus, following(bus) as snapshot:
        await snapshot.publish({f"trigger.t{n}": trigger(f"t{n}") for n in range(5)}, ())
        await snapshot.publish({}, ())
        assert len(snapshot.deleted("trigger.")) == 5
        monkeypatch.setattr(module, "_MARK_KEPT_S", 0.0)
        await snapshot.publish({}, ())
        assert not snapshot.deleted("trigger.")
        assert await order(bus) == ["complete"]
