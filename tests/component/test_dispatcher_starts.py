"""The dispatcher: Triggers that start with history."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from scaup.core.bus.resuming import Record, Records
from scaup.core.model import names
from scaup.core.model.names import STARTS_BUCKET, TriggerUid
from tests.support.dataplane import World, working, world
from tests.support.natsserver import NatsServer
from tests.support.services import service, short_queue_waits
from tests.support.sinks import sink
from tests.support.waiting import eventually

KEY = names.start_key(TriggerUid("new"))


async def record(here: World) -> Record | None:
    return await Records(here.bus, STARTS_BUCKET, 0.0).read(KEY)


async def done(here: World) -> Record:
    async def it_is() -> Record | None:
        found = await record(here)
        return found if found is not None and found.is_done else None

    found = await eventually(it_is, "its history is sent", within_s=30)
    assert found is not None
    return found


async def test_a_new_trigger_gets_the_history_that_it_wants_once_and_nobody_else_does(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as old, sink() as new:
        await here.trigger("old", old.url)
        wanted = await here.send_many(50, type="a")
        await here.send_many(50, type="b")
        await eventually(lambda: len(old.ids) == 100, "they are delivered")
        await here.trigger("new", new.url, start="all", filters=({"exact": {"type": "a"}},))
        progress = (await done(here)).progress
        assert (progress.queued, progress.looked_at, progress.missing) == (50, 100, 0)
        await eventually(lambda: sorted(new.ids) == sorted(wanted), "it has its history")
        await here.dispatchers[0].stop()
        await here.dispatcher()
        wanted.append(await here.send(type="a"))
        await eventually(lambda: sorted(new.ids) == sorted(wanted), "it goes on, and nothing is sent again")
        await here.until_queues_hold(0)
        assert len(old.ids) == 101


async def test_a_new_trigger_may_start_at_a_time_or_with_what_is_new(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as new, sink() as other:
        await here.send_many(20)
        info = await here.bus.api(f"STREAM.INFO.{names.log_stream(here.broker.uid)}")
        late = await here.send_many(20)
        await here.until_settled()
        await here.trigger("other", other.url)
        await here.trigger("new", new.url, start=info["ts"])
        assert (await done(here)).progress.queued == 20
        await eventually(lambda: sorted(new.ids) == sorted(late), "it has what was accepted since")
        assert other.ids == []


async def test_an_empty_history_is_done_at_once(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as new:
        await here.trigger("new", new.url, start="all")
        assert (await done(here)).progress.looked_at == 0


async def test_no_event_is_missed_at_the_seam(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as new:
        await here.filter("filter-2")
        sent: list[str] = []

        async def keep_sending() -> None:
            while True:
                sent.append(await here.send())
                await asyncio.sleep(0.002)

        sending = asyncio.create_task(keep_sending())
        await eventually(lambda: len(sent) > 100, "there is history")
        await here.trigger("new", new.url, start="all")
        await done(here)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await here.until_settled()
        await here.until_queues_hold(0)
        assert set(sent) <= set(new.ids)


async def test_a_killed_dispatcher_goes_on_where_it_was(nats: NatsServer, tmp_path: Path) -> None:
    async with world(nats.url) as here, sink() as new:
        await here.filter()
        with service("dispatcher", tmp_path, nats.url, **short_queue_waits(tmp_path / "short")) as first:
            await first.until_ready()
            sent = []
            for _ in range(8):
                sent += await here.send_many(1000)
            await here.until_settled(within_s=30)
            await here.trigger("new", new.url, start="all")

            async def is_under_way() -> bool:
                found = await record(here)
                return found is not None and not found.is_done and found.progress.queued > 0

            await eventually(is_under_way, "it is under way")
            first.process.kill()
        assert not (await record(here) or await done(here)).is_done
        with service("dispatcher", tmp_path, nats.url, **short_queue_waits(tmp_path / "short")) as second:
            await second.until_ready()
            progress = (await done(here)).progress
            assert (progress.queued, progress.looked_at) == (8000, 8000)
            await eventually(lambda: set(new.ids) == set(sent), "it has its whole history", within_s=60)
            assert sum(count - 1 for count in Counter(new.ids).values()) < 2000


async def test_nothing_is_missed_when_nats_is_killed_in_the_middle(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as new:
        sent = []
        for _ in range(6):
            sent += await here.send_many(1000)
        await here.until_settled(within_s=30)
        await here.trigger("new", new.url, start="all")
        await eventually(lambda: len(new.ids) > 10, "it is under way")
        nats.kill()
        nats.start()
        await eventually(lambda: set(new.ids) == set(sent), "it has its whole history", within_s=40)


async def test_what_is_known_of_its_history_goes_with_the_trigger(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as new:
        await here.send_many(10)
        await here.until_settled()
        await here.trigger("new", new.url, start="all")
        await done(here)
        await here.delete_trigger("new")

        async def is_gone() -> bool:
            return await record(here) is None

        await eventually(is_gone, "its record is gone")
