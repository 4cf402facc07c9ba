"""Buckets, and a watch that does not go blind: server killed, bucket made anew, gaps, purges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats as plain_client
import pytest

from scaup.core.bus import kv
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import WRONG_LAST_SEQUENCE, Bucket, Entry, Metadata, Reloaded
from scaup.core.model.errors import BusRequestError
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats every 0.1 s, so that silence is noticed soon."""
    monkeypatch.setattr(kv, "_HEARTBEAT_S", 0.1)
    monkeypatch.setattr(kv, "_SILENCE_S", 0.25)


class Seen:
    """What a watch handed out, and the state it adds up to."""

    def __init__(self) -> None:
        self.changes: list[Reloaded | Entry] = []
        self.state: dict[str, bytes | None] = {}

    async def watch(self, bucket: Bucket) -> None:
        async for change in bucket.watch():
            self.changes.append(change)
            if isinstance(change, Reloaded):
                self.state = {key: entry.value for key, entry in change.entries.items()}
            else:
                self.state[change.key] = change.value

    @property
    def reloads(self) -> list[Reloaded]:
        return [change for change in self.changes if isinstance(change, Reloaded)]

    async def until(self, condition: Callable[[Seen], Any], what: str) -> None:
        await eventually(lambda: condition(self), what)


@asynccontextmanager
async def a_watch(nats: NatsServer) -> AsyncIterator[tuple[Bus, Bucket, Seen]]:
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket = Bucket(bus, "b")
        await bucket.ensure()
        seen = Seen()
        watching = asyncio.create_task(seen.watch(bucket))
        try:
            yield bus, bucket, seen
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def test_values_are_put_got_deleted_and_purged(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket = Bucket(bus, "b")
        await bucket.ensure()
        await bucket.ensure()
        assert await bucket.get("a/b.c") is None
        revision = await bucket.put("a/b.c", b"\x00value")
        assert await bucket.get("a/b.c") == Entry("a/b.c", b"\x00value", revision)
        await bucket.delete("a/b.c")
        assert await bucket.get("a/b.c") is None
        await bucket.purge("a/b.c")
        assert (await bus.api("STREAM.INFO.KV_b"))["state"]["messages"] == 0


async def test_a_put_can_expect_a_revision(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket = Bucket(bus, "b")
        await bucket.ensure()
        first = await bucket.put("k", b"1", expected=0)
        second = await bucket.put("k", b"2", expected=first)
        for attempt in (
            bucket.put("k", b"3", expected=first),
            bucket.delete("k", expected=0),
            bucket.put("k", b"", expected=0),
        ):
            with pytest.raises(BusRequestError) as found:
                await attempt
            assert found.value.err_code == WRONG_LAST_SEQUENCE
        assert await bucket.get("k") == Entry("k", b"2", second)
        gone = await bucket.delete("k", expected=second)
        await bucket.put("k", b"4")
        await bucket.purge("k", through=gone)
        assert (await bucket.get("k") or Entry("k", None, 0)).value == b"4"


async def test_other_nats_clients_read_and_write_the_same_bucket(nats: NatsServer) -> None:
    async with a_watch(nats) as (_, bucket, seen):
        await bucket.put("ours", b"1")
        client = await plain_client.connect(nats.url)
        theirs = await client.jetstream().key_value("b")
        assert (await theirs.get("ours")).value == b"1"
        await theirs.put("theirs", b"2")
        await theirs.delete("ours")
        await seen.until(lambda s: s.state == {"ours": None, "theirs": b"2"}, "their changes are seen")
        await client.close()


async def test_a_watch_gives_the_whole_first_and_then_every_change_in_order(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket = Bucket(bus, "b")
        await bucket.ensure()
        for number in range(300):
            await bucket.put(f"k{number}", b"old")
        await bucket.delete("k7")
    async with a_watch(nats) as (_, bucket, seen):
        await seen.until(lambda s: s.changes, "the first load")
        (first,) = seen.changes
        assert isinstance(first, Reloaded)
        assert len(first.entries) == 300
        assert first.entries["k7"].value is None
        assert first.revision == 301
        for number in range(200):
            await bucket.put(f"k{number}", b"%d" % number)
        await seen.until(lambda s: len(s.changes) == 201, "every change")
        values = [change.value for change in seen.changes if isinstance(change, Entry)]
        assert values == [b"%d" % number for number in range(200)]
        assert [change.revision for change in seen.changes] == list(range(301, 502))
        for number in range(200):  # only the last value of a key is kept, so some of these may never be sent
            await bucket.put("k0", b"%d" % number)
        await seen.until(lambda s: s.state["k0"] == b"199", "the last one is always seen")


async def test_an_empty_bucket_is_a_complete_state(nats: NatsServer) -> None:
    async with a_watch(nats) as (_, _, seen):
        await seen.until(lambda s: s.changes, "the first load")
        assert [reload.entries for reload in seen.reloads] == [{}]


async def test_a_watch_begins_when_its_bucket_is_made(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket, seen = Bucket(bus, "later"), Seen()
        watching = asyncio.create_task(seen.watch(bucket))
        await bucket.ensure()
        await bucket.put("k", b"v")
        await seen.until(lambda s: s.state == {"k": b"v"}, "it is seen")
        watching.cancel()
        await asyncio.wait([watching])


async def test_after_a_kill_of_the_server_the_whole_is_given_again_soon(nats: NatsServer) -> None:
    async with a_watch(nats) as (bus, bucket, seen):
        await bucket.put("k", b"1")
        await bucket.put("gone", b"1")
        await seen.until(lambda s: len(s.state) == 2, "both are seen")
        for number in (2, 3):
            nats.kill()
            await asyncio.to_thread(nats.start)
            async with connect(BusAccess(nats.url), "other") as other:
                await Bucket(other, "b").put("k", b"%d" % number)
                if number == 2:
                    await Bucket(other, "b").delete("gone")
            value = b"%d" % number
            await seen.until(lambda s, value=value: s.state["k"] == value, "what was missed is seen")  # type: ignore[misc]
            assert seen.state["gone"] is None
        await eventually(lambda: bus.is_connected, "connected")
        await bucket.put("k", b"live")
        await seen.until(lambda s: s.state["k"] == b"live", "and it goes on live")
        assert len(seen.reloads) >= 3


@pytest.mark.usefixtures("impatient")
async def test_a_bucket_made_anew_is_noticed_and_has_another_creation_time(nats: NatsServer) -> None:
    async with a_watch(nats) as (bus, bucket, seen):
        await bucket.put("old", b"1")
        await seen.until(lambda s: s.state == {"old": b"1"}, "the first is seen")
        created = seen.reloads[-1].created
        await bus.api("STREAM.DELETE.KV_b")
        await bucket.ensure()
        await bucket.put("new", b"2")
        await seen.until(lambda s: s.state == {"new": b"2"}, "the new one is seen")
        assert seen.reloads[-1].created != created


@pytest.mark.usefixtures("impatient")
async def test_a_consumer_that_is_lost_is_made_again(nats: NatsServer) -> None:
    async with a_watch(nats) as (bus, bucket, seen):
        await seen.until(lambda s: s.reloads, "the first load")
        (consumer,) = (await bus.api("CONSUMER.NAMES.KV_b"))["consumers"]
        await bus.api(f"CONSUMER.DELETE.KV_b.{consumer}")
        await bucket.put("k", b"1")
        await seen.until(lambda s: s.state == {"k": b"1"}, "the change is seen")


@pytest.mark.usefixtures("impatient")
async def test_a_purge_during_the_first_load_does_not_hold_it_up(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What JetStream counted as pending and was purged before it was sent never comes."""
    make = kv._Watch._make_consumer

    async def counts_one_more(self: kv._Watch, inbox: str) -> dict[str, Any]:
        info = await make(self, inbox)
        return info | {"num_pending": info["num_pending"] + 1}

    monkeypatch.setattr(kv._Watch, "_make_consumer", counts_one_more)
    async with a_watch(nats) as (_, bucket, seen):
        await seen.until(lambda s: s.reloads, "the load ends with the first heartbeat")
        await bucket.put("k", b"1")
        await seen.until(lambda s: s.state == {"k": b"1"}, "and the watch goes on")


async def test_a_gap_starts_the_watch_over(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = kv._Watch._received
    lost: list[bytes] = []

    async def lossy(self: kv._Watch, msg: Any) -> None:
        if msg.data == b"lost" and not lost:
            lost.append(msg.data)
        else:
            await receive(self, msg)

    monkeypatch.setattr(kv._Watch, "_received", lossy)
    async with a_watch(nats) as (_, bucket, seen):
        await seen.until(lambda s: s.reloads, "the first load")
        for change in (b"1", b"lost", b"3"):
            await bucket.put(change.decode(), change)
        await seen.until(lambda s: set(s.state) == {"1", "lost", "3"}, "all is seen")
        assert (lost, len(seen.reloads)) == ([b"lost"], 2)


@pytest.mark.usefixtures("impatient")
async def test_a_loss_at_the_end_is_found_by_the_heartbeat(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = kv._Watch._received
    lost: list[bytes] = []

    async def lossy(self: kv._Watch, msg: Any) -> None:
        if msg.data == b"lost" and not lost:
            lost.append(msg.data)
        else:
            await receive(self, msg)

    monkeypatch.setattr(kv._Watch, "_received", lossy)
    async with a_watch(nats) as (_, bucket, seen):
        await seen.until(lambda s: s.reloads, "the first load")
        await bucket.put("k", b"lost")
        await seen.until(lambda s: s.state == {"k": b"lost"}, "it is seen")
        assert lost == [b"lost"]


async def test_a_watch_that_ends_removes_its_consumer(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        bucket = Bucket(bus, "b")
        await bucket.ensure()
        watch = bucket.watch()
        assert isinstance(await anext(watch), Reloaded)
        await watch.aclose()  # type: ignore[attr-defined]

        async def none_left() -> bool:
            return not (await bus.api("CONSUMER.NAMES.KV_b"))["consumers"]

        _: bool = await eventually(none_left, "its consumer is gone")


@pytest.mark.parametrize(
    "reply",
    ["$JS.ACK.S.C.3.17.5.1700000000000000000.2", "$JS.ACK.hub.acc.S.C.3.17.5.1700000000000000000.2",
     "$JS.ACK.hub.acc.S.C.3.17.5.1700000000000000000.2.rnd"],
)  # fmt: skip
def test_metadata_is_read_from_both_forms(reply: str) -> None:
    assert Metadata.parse(reply) == Metadata(3, 17, 5, 1_700_000_000_000_000_000, 2)
