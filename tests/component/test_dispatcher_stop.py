"""Dispatchers that come and go: nothing is lost, and nothing repeated where nobody was killed."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.support.dataplane import delivery, world
from tests.support.natsserver import NatsServer
from tests.support.services import service
from tests.support.sinks import HANG, OK, Reaction, Request, answer, sink
from tests.support.waiting import eventually


async def test_dispatcher_that_stops_finishes_what_is_under_way_and_the_other_goes_on(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink(answer(202, delay_s=0.1)) as there:
        await here.trigger("t", there.url)
        await here.filter()
        first = await here.dispatcher(replica="first")
        await here.dispatcher(replica="second")
        ids = await here.send_many(300)
        await eventually(lambda: len(there.requests) >= 50, "they are being delivered")
        await first.stop()
        ids += await here.send_many(50)
        await here.until_settled()
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)


async def test_entries_that_were_not_matched_yet_go_to_the_other_dispatcher_at_once(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        first = await here.dispatcher(replica="first")
        ids = await here.send_many(20)  # nobody says who wants them
        await eventually(here.unsettled, "they are there")
        loop = asyncio.get_running_loop()
        start = loop.time()
        await first.stop()
        await here.filter()
        await here.dispatcher(replica="second")
        await eventually(lambda: sorted(there.ids) == sorted(ids), "all are delivered", within_s=10)
        assert loop.time() - start < 12  # far from the 15 s after which a silent dispatcher is taken for dead


async def test_dispatcher_that_stops_hands_back_what_hangs(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink(HANG) as there:
        await here.trigger("t", there.url, delivery=delivery(timeout_s=30))
        await here.filter()
        first = await here.dispatcher(replica="first", slow_s=60.0)
        sent = await here.send()
        await eventually(lambda: there.requests, "it hangs")
        await first.stop()
        there.script = lambda _request: OK
        await here.dispatcher(replica="second")
        await eventually(lambda: there.ids == [sent, sent], "it is delivered")
        await here.until_settled()


async def test_retries_that_wait_are_taken_over_by_the_next_owner_once(nats: NatsServer) -> None:
    """A dispatcher that joins takes over queues; what waited, or was under way, at the old owner comes once."""
    async with world(nats.url) as here, sink() as there:
        await here.filter()
        await here.dispatcher(replica="first")
        tries: dict[str, int] = {}

        def third_time(request: Request) -> Reaction:
            event_id = request.id
            tries[event_id] = tries.get(event_id, 0) + 1
            return answer(202 if tries[event_id] == 3 else 500, delay_s=0.05)

        there.script = third_time
        slow = delivery(retry=50, backoff_delay_s=0.9)
        for number in range(8):
            await here.trigger(f"t-{number}", f"{there.url}{number}", attributes={"n": str(number)}, delivery=slow)
        ids = [await here.send(n=str(number)) for number in range(8) for _ in range(4)]
        await here.until_settled()
        second = await here.dispatcher(replica="second")
        await eventually(lambda: len(there.requests) >= 60, "they are tried again")
        await second.stop()
        await eventually(lambda: all(tries.get(event_id) == 3 for event_id in ids), "all are delivered")
        await here.until_queues_hold(0)
        assert set(tries.values()) == {3}


async def test_attempt_from_the_queue_that_is_under_way_at_a_stop_is_let_finish(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink(answer(500), answer(202, delay_s=1.0)) as there:
        await here.trigger("t", there.url)
        await here.filter()
        first = await here.dispatcher(replica="first")
        await here.dispatcher(replica="second")
        sent = await here.send()
        await eventually(lambda: len(there.requests) == 2, "the retry is under way")
        await first.stop()
        await here.until_queues_hold(0)
        await here.until_settled()
        assert there.ids == [sent, sent]


async def test_killed_process_is_taken_over_and_a_terminated_one_ends_in_order(
    nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaup.core.bus.topology.ACK_WAIT_S", 3.0)  # so that the test does not wait for 15
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.filter()
        with service("dispatcher", tmp_path, nats.url) as first, service("dispatcher", tmp_path, nats.url) as second:
            await first.until_ready()
            await second.until_ready()
            ids = await here.send_many(500)
            first.process.kill()
            ids += await here.send_many(500)
            await eventually(lambda: set(there.ids) == set(ids), "all are delivered", within_s=30)
            await here.until_settled()
            await here.until_queues_hold(0)
            assert await second.stopped(signal.SIGTERM) == 0
            assert "Traceback" not in second.log.read_text()


async def test_nats_that_is_killed_and_comes_back_loses_nothing(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink(answer(202, delay_s=0.02)) as there, sink(answer(500)) as broken:
        await here.trigger("t", there.url)
        await here.trigger("broken", broken.url, delivery=delivery(retry=2, backoff_delay_s=0.5))
        await here.filter()
        await here.dispatcher()
        ids = await here.send_many(200)
        await eventually(lambda: len(there.requests) > 20, "they are being delivered")
        nats.kill()
        await asyncio.to_thread(nats.start)
        await eventually(lambda: here.bus.is_connected, "the test is connected again")
        await eventually(lambda: set(there.ids) == set(ids), "all are delivered", within_s=25)
        await here.until_settled(within_s=25)

        async def have_ends() -> bool:
            waiting = {each.headers["ce-id"] for each in await here.queued()}
            return waiting | {letter.event.id for letter in await here.dead_letters()} == set(ids)

        # Not at once: an entry that is tried again while they are read is seen under neither of its sequences.
        assert await eventually(have_ends, "what was refused waits or is kept")
        assert len(there.ids) <= 2 * len(ids)
