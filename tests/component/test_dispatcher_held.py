"""Triggers that are paused, or limited by their owner: what they do not get now waits in the queue."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from scaup.core.model.definitions import Destination
from tests.support.dataplane import World, delivery, metric, of_trigger, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, Request, Sink, answer, sink
from tests.support.waiting import eventually


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def most_at_a_time(requests: list[Request], each_s: float) -> int:
    """Attempts under way at once, where each takes ``each_s``."""
    begins = [request.at for request in requests]
    return max(sum(begin <= moment < begin + each_s for begin in begins) for moment in begins)


def most_in(requests: list[Request], window_s: float) -> int:
    """Attempts begun within any ``window_s``."""
    begins = sorted(request.at for request in requests)
    return max(sum(begin <= other < begin + window_s for other in begins) for begin in begins)


async def pause(here: World, there: Sink, **changes: object) -> None:
    await here.trigger("t", there.url, paused=True, **changes)


async def test_a_paused_trigger_gets_nothing_and_when_it_is_resumed_everything_once(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there, sink() as other:
        await pause(here, there)
        await here.trigger("other", other.url)
        ids = await here.send_many(200)
        await here.until_settled()
        await eventually(lambda: len(other.requests) == 200, "the other has all")
        await here.until_queues_hold(200)
        assert not there.requests
        assert metric("scaup_parked_events_total", **of_trigger("t", reason="paused")) >= 200
        await here.trigger("t", there.url, resumed_at=now())
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)


async def test_a_pause_stops_what_is_not_begun_and_lets_finish_what_is(nats: NatsServer) -> None:
    async with working(nats.url, {"max_in_flight": 4}) as here, sink(answer(202, delay_s=0.4)) as there:
        await here.trigger("t", there.url)
        ids = await here.send_many(50)
        await eventually(lambda: len(there.requests) >= 4, "the first are under way")
        await pause(here, there)
        await here.until_settled()
        begun = len(there.requests)
        await here.until_queues_hold(50 - begun)
        assert begun < 20
        there.script = lambda _request: OK
        await here.trigger("t", there.url, resumed_at=now())
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)


async def test_retries_of_a_paused_trigger_wait_too_and_its_dead_letters_reach_their_sink(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400), answer(500), OK) as there, sink() as dead:
        to_dead = delivery(dead_letter_sink=Destination(uri=dead.url), backoff_delay_s=1.5)
        dead.script = lambda _request: answer(500) if len(dead.requests) < 2 else OK
        await here.trigger("t", there.url, delivery=to_dead)
        ids = [await here.send(), await here.send()]
        await eventually(lambda: len(there.requests) == 2, "one died, one is to be tried again")
        await eventually(lambda: dead.requests, "the dead letter was refused once")
        await pause(here, there, delivery=to_dead)
        await eventually(lambda: len(dead.requests) == 2, "its sink has the dead letter")
        await here.until_queues_hold(1)
        assert sorted(there.ids) == sorted(ids)
        await here.trigger("t", there.url, delivery=to_dead, resumed_at=now())
        await here.until_queues_hold(0)
        assert len(there.requests) == 3


async def test_a_pause_outlives_dispatchers_and_nats(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.filter()
        first = await here.dispatcher(replica="first")
        await pause(here, there)
        ids = await here.send_many(50)
        await here.until_settled()
        await first.stop()
        await asyncio.to_thread(nats.stop)  # a kill could cost an ack wait until the log is acknowledged
        await asyncio.to_thread(nats.start)
        await eventually(lambda: here.bus.is_connected, "the test is connected again")
        await here.dispatcher(replica="second")
        ids += await here.send_many(50)
        await here.until_settled()
        assert not there.requests
        await here.trigger("t", there.url, resumed_at=now())
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)


async def test_time_in_a_pause_does_not_count_as_waiting(nats: NatsServer) -> None:
    async with working(nats.url, {"max_wait_s": 1.0}) as here, sink() as there:
        await pause(here, there)
        ids = await here.send_many(5)
        await here.until_queues_hold(5)
        gauge = of_trigger("t")
        await eventually(lambda: metric("scaup_trigger_queue_oldest_seconds", **gauge) > 1.1, "they wait for long")
        await here.trigger("t", there.url, resumed_at=now())
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)
        assert not await here.dead_letters()


async def test_no_more_attempts_are_under_way_than_a_trigger_allows_whatever_the_number_of_dispatchers(
    nats: NatsServer,
) -> None:
    async with world(nats.url) as here, sink(answer(202, delay_s=0.1)) as there:
        await here.filter()
        for number in range(3):
            await here.dispatcher(replica=f"d-{number}")
        await here.trigger("t", there.url, max_in_flight=3)
        ids = await here.send_many(60)
        await here.until_settled()
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)
        assert 2 <= most_at_a_time(there.requests, 0.09) <= 3
        await here.trigger("t", there.url, max_in_flight=None)
        before = len(there.requests)
        await here.send_many(60)
        await here.until_settled()
        await here.until_queues_hold(0)
        assert most_at_a_time(there.requests[before:], 0.09) > 10


async def test_a_trigger_gets_no_more_events_a_second_than_its_rate_whatever_the_number_of_dispatchers(
    nats: NatsServer,
) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.filter()
        for number in range(2):
            await here.dispatcher(replica=f"d-{number}")
        await here.trigger("t", there.url, rate=10.0)
        ids = await here.send_many(50)
        await here.until_settled()
        assert len(there.requests) < 50
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)
        # An attempt is begun at its time, and comes later where the machine is slow; without a common limit there would
        # be 20 a second, and all would be here after 2.5 s.
        assert most_in(there.requests, 1.0) < 18
        assert there.requests[-1].at - there.requests[0].at > 4.0


async def test_a_limited_trigger_holds_up_nobody_else(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(HANG) as there, sink() as other:
        await here.trigger("t", there.url, max_in_flight=1, delivery=delivery(timeout_s=30))
        await here.trigger("slow", there.url + "slow", rate=0.1)
        await here.trigger("other", other.url)
        await here.send_many(300)
        await eventually(lambda: len(other.requests) == 300, "the other has all")
        await here.until_settled()
        assert len(there.requests) <= 3
