"""Sending history again, without the command: how much waits at a time, and who may go on with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from scaup.core.bus.replaying import Progress, Replay, ReplayError, Wanted
from scaup.core.bus.resuming import Record, Records
from scaup.core.model import names
from scaup.core.model.names import TriggerUid
from tests.support.dataplane import World, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import sink
from tests.support.waiting import eventually


def wanted(here: World, upto: int) -> Wanted:
    return Wanted("r", here.broker.uid, TriggerUid("t"), 1, upto)


async def test_no_more_wait_at_a_time_than_is_allowed(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        sent = await here.send_many(300)
        await here.until_settled()
        await here.dispatchers[0].stop()
        await here.trigger("t", there.url)
        replay = Replay(here.bus, wanted(here, 300), Progress(1), ahead=50)
        working_on_it = asyncio.create_task(replay.run())
        await here.until_queues_hold(50)
        largest = 50
        await here.dispatcher()
        while not working_on_it.done():
            largest = max(largest, await here.queue_size())
            await asyncio.sleep(0.01)
        await working_on_it
        assert largest == 50
        assert (replay.progress.queued, replay.is_done) == (300, True)
        await eventually(lambda: set(there.ids) == set(sent), "all is delivered")


async def test_a_replay_that_waits_for_room_stops_at_once(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.filter()
        await here.trigger("t", "http://127.0.0.1:9/")
        await here.send_many(100)
        replay = Replay(here.bus, wanted(here, 100), Progress(1), ahead=10)
        working_on_it = asyncio.create_task(replay.run())
        await here.until_queues_hold(10)
        replay.stop()
        async with asyncio.timeout(20):
            await working_on_it
        assert (replay.progress.queued, replay.progress.following, replay.is_done) == (10, 11, False)


async def test_the_same_part_of_a_replay_is_queued_once_however_often_it_is_worked(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.filter()
        await here.trigger("t", "http://127.0.0.1:9/")
        await here.send_many(100)
        for begin in (1, 1, 40):
            await Replay(here.bus, wanted(here, 100), Progress(begin)).run()
        assert await here.queue_size() == 100


async def test_events_trimmed_before_they_are_read_are_counted(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.send_many(100)
        await here.until_settled()
        await here.bus.api(f"STREAM.PURGE.{names.log_stream(here.broker.uid)}", {"seq": 41})
        replay = Replay(here.bus, wanted(here, 100), Progress(11))
        await replay.run()
        assert replay.progress == Progress(101, queued=60, looked_at=60, missing=30)


async def test_only_one_goes_on_with_a_replay(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        mine, theirs = Records(here.bus), Records(here.bus)
        await mine.ensure()
        record = await mine.write(Record(wanted(here, 9), Progress(1), "2026-01-01T00:00:00Z"), "replay.r")
        there = await theirs.read("replay.r")
        assert there == record
        moved = await mine.write(replace(record, progress=Progress(5)), "replay.r")
        with pytest.raises(ReplayError, match="replay r is gone on with elsewhere"):
            await theirs.write(there, "replay.r")
        assert await mine.write(replace(moved, progress=Progress(7)), "replay.r") == await theirs.read("replay.r")
