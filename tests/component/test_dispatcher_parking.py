"""Parking: what waits for sinks is written together, and still each event has an end of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from scaup.core.codec import bundle, kept
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.names import BrokerUid, Lane, TriggerUid, parked_hint, queue_subject
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher import capacity, target
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.counts import Counts
from scaup.dispatcher.entries import Delivery, LogEntry
from scaup.dispatcher.marks import Marks
from scaup.dispatcher.parking import Parking
from scaup.dispatcher.settle import Settler
from tests.support.dataplane import World, delivery, metric, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import answer, sink
from tests.support.waiting import eventually


@dataclass
class Lot:
    """A parking lot on a real bus, and what became of what was parked there."""

    here: World
    parking: Parking
    tasks: list[asyncio.Task[None]]
    done: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)

    def delivery(self, sequence: int, trigger: str = "t", data: bytes = b"{}", lease_s: float = 10.0) -> Delivery:
        lane = Lane(BrokerUid(self.here.broker.uid), TriggerUid(trigger))
        name = f"{trigger}-{sequence}"
        return Delivery(
            lane,
            Outgoing({"ce-id": name}, data),
            Facts(sequence, "2026-01-02T03:04:05Z"),
            lambda _: self.done.append(name),
            lambda _: self.back.append(name),
            asyncio.get_running_loop().time() + lease_s,
        )

    async def park(self, *deliveries: Delivery) -> None:
        for each in deliveries:
            self.parking.add(each, "backed_up")
        await self.parked()

    async def park_entries(self, count: int) -> None:
        """The first entries of a log, for which nothing was begun."""
        lane = Lane(BrokerUid(self.here.broker.uid), TriggerUid("t"))
        for sequence in range(1, count + 1):
            entry = LogEntry(sequence, "", Outgoing({"ce-id": f"t-{sequence}"}, b"{}"), 0, 0.0)
            entry.facts = Facts(sequence, "2026-01-02T03:04:05Z")
            self.parking.add_entry(entry, lane, "backed_up", Log(self))
        await self.parked()

    async def parked(self) -> None:
        while waiting := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(waiting)

    async def waiting(self) -> list[tuple[Lane | None, str]]:
        """Lane and event id of what is in the queues, in order."""
        return [(each.lane, each.headers["ce-id"]) for each in await self.here.queued()]


@dataclass
class Log:
    """Whose entries are parked."""

    lot: Lot

    def settled(self, entry: LogEntry, trigger: TriggerUid) -> None:
        self.lot.done.append(f"{trigger}-{entry.sequence}")

    def delivery(self, entry: LogEntry, lane: Lane) -> Delivery:
        return self.lot.delivery(entry.sequence, lane.trigger, lease_s=0.6)


@asynccontextmanager
async def lot(nats: NatsServer, quota: int = 1000) -> AsyncIterator[Lot]:
    async with world(nats.url) as here:
        tasks: list[asyncio.Task[None]] = []

        async def run(work: Awaitable[None]) -> None:
            await work

        def start(work: Awaitable[None], _name: str) -> asyncio.Task[None]:
            tasks.append(asyncio.create_task(run(work)))
            return tasks[-1]

        settler = Settler(here.bus, Definitions(), Counts(here.bus, quota), Marks(here.bus, start))
        yield Lot(here, Parking(settler, start), tasks)


async def test_events_of_many_lanes_are_parked_each_in_its_own_with_its_facts_and_the_owners_are_told(
    nats: NatsServer,
) -> None:
    async with lot(nats) as where:
        hints: list[str] = []

        async def hinted(msg: object) -> None:
            hints.append(msg.subject)  # type: ignore[attr-defined]

        await where.here.bus.subscribe("scaup.hint.>", hinted)
        parked = [where.delivery(number, trigger) for number in range(1, 51) for trigger in ("a", "b", "c")]
        await where.park(*parked)
        assert sorted(where.done) == sorted(f"{each.lane.trigger}-{each.facts.sequence}" for each in parked)
        in_order = sorted(parked, key=lambda each: each.lane)
        assert await where.waiting() == [(each.lane, each.outgoing.headers["ce-id"]) for each in in_order]
        facts = [kept.from_headers(each.headers) for each in await where.here.queued()]
        assert facts == [each.facts for each in in_order]
        assert [each.parked for each in in_order] == [number for number in (1, 2, 3) for _ in range(50)]
        lanes = {each.lane for each in parked}
        assert {msg.subject for msg in await where.here.queue_entries()} == {queue_subject(lane, 50) for lane in lanes}
        await eventually(lambda: set(hints) == {parked_hint(lane) for lane in lanes}, "the owners hear of it")
        assert len(hints) < 50


async def test_event_that_was_parked_by_itself_is_not_parked_twice(nats: NatsServer) -> None:
    """Its dispatcher died before the log heard of it."""
    async with lot(nats) as where:
        for _ in range(2):
            await where.park(where.delivery(2, "a"), where.delivery(2, "b"), where.delivery(4, "c"))
        assert sorted(where.done) == ["a-2", "a-2", "b-2", "b-2", "c-4", "c-4"]
        assert sorted(name for _, name in await where.waiting()) == ["a-2", "b-2", "c-4"]


async def test_large_events_are_entries_of_their_own_and_small_ones_between_them_are_bundled(nats: NatsServer) -> None:
    async with lot(nats) as where:
        large = b"x" * (bundle.MAX_BYTES + 1)
        data = [b"{}", large, b"{}", b"{}", large, large, b"{}"]
        await where.park(*(where.delivery(number, data=one) for number, one in enumerate(data, 1)))
        sizes = [names.events_of_subject(msg.subject) for msg in await where.here.queue_entries()]
        assert sizes == [1, 1, 2, 1, 1, 1]
        assert [name for _, name in await where.waiting()] == [f"t-{number}" for number in range(1, 8)]


async def test_reply_is_parked_for_every_lane_although_it_is_in_the_log_under_an_id_of_its_own(
    nats: NatsServer,
) -> None:
    async with lot(nats) as where:
        parked = [where.delivery(7, trigger) for trigger in ("a", "b", "c")]
        for each in parked:
            each.outgoing.headers["Nats-Msg-Id"] = "reply:6:a"
        await where.park(*parked)
        assert sorted(name for _, name in await where.waiting()) == ["a-7", "b-7", "c-7"]


async def test_what_is_over_the_quota_of_one_lane_becomes_a_dead_letter_and_other_lanes_are_not_touched(
    nats: NatsServer,
) -> None:
    async with lot(nats, quota=3) as where:
        await where.park(*(where.delivery(number, trigger) for number in range(1, 6) for trigger in ("full", "other")))
        assert len(where.done) == 10
        assert len(await where.waiting()) == 6
        letters = await where.here.dead_letters(4)
        assert sorted(letter.facts.sequence for letter in letters) == [4, 4, 5, 5]
        assert {letter.facts.reason for letter in letters} == {"the queue is full"}


async def test_entries_are_bundled_as_they_are_and_what_is_over_the_quota_goes_by_itself(nats: NatsServer) -> None:
    async with lot(nats, quota=3) as where:
        await where.park_entries(5)
        assert where.done == [f"t-{number}" for number in range(1, 6)]
        assert [name for _, name in await where.waiting()] == ["t-1", "t-2", "t-3"]
        assert len(await where.here.queue_entries()) == 1
        assert sorted(letter.facts.sequence for letter in await where.here.dead_letters(2)) == [4, 5]


async def test_without_a_bus_entries_are_handed_back_when_their_lease_is_over(nats: NatsServer) -> None:
    async with lot(nats) as where:
        nats.kill()
        await eventually(lambda: not where.here.bus.is_connected, "the loss is noticed")
        await where.park_entries(3)
        assert (where.done, sorted(where.back)) == ([], ["t-1", "t-2", "t-3"])
        await asyncio.to_thread(nats.start)


async def test_event_too_large_for_the_bus_is_dropped_and_counted_and_the_others_are_parked(nats: NatsServer) -> None:
    async with lot(nats) as where:
        before = metric("scaup_dropped_events_total", namespace="", broker="", reason="too_large")
        large = where.delivery(2, data=b"x" * where.here.bus.client.max_payload)
        await where.park(where.delivery(1), large, where.delivery(3))
        assert sorted(where.done) == ["t-1", "t-2", "t-3"]
        assert sorted(name for _, name in await where.waiting()) == ["t-1", "t-3"]
        assert metric("scaup_dropped_events_total", namespace="", broker="", reason="too_large") == before + 1


async def test_without_a_bus_everything_is_handed_back_when_its_lease_is_over(nats: NatsServer) -> None:
    async with lot(nats) as where:
        nats.kill()
        await eventually(lambda: not where.here.bus.is_connected, "the loss is noticed")
        await where.park(*(where.delivery(number, lease_s=0.6) for number in range(1, 4)))
        assert (where.done, sorted(where.back)) == ([], ["t-1", "t-2", "t-3"])
        await asyncio.to_thread(nats.start)


async def test_wide_fan_out_is_begun_as_it_can_be_worked_and_needs_no_queue(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "_FEWEST_DELIVERIES", 64)
    monkeypatch.setattr(capacity, "_FEWEST_BUSY", 64)
    monkeypatch.setattr(target, "SLOW_S", 600.0)  # that they are held up here says nothing about the sinks
    answered = asyncio.Event()
    async with working(nats.url, {"slow_s": 600.0}) as here, sink(answer(202, after=answered)) as there:
        for number in range(20):
            await here.trigger(f"t-{number}", f"{there.url}{number}", delivery=delivery(timeout_s=600))
        ids = await here.send_many(40)
        await eventually(lambda: len(there.requests) >= 64, "as many are begun as may be")
        await asyncio.sleep(0.2)  # more would be begun by now
        assert len(there.requests) < 64 + 20
        answered.set()
        await eventually(lambda: len(there.requests) == 800, "all are delivered")
        assert sorted(there.ids) == sorted(ids * 20)
        await here.until_settled()
        assert await here.queue_size() == 0
