"""The dispatcher: a slow, hanging or dead sink is felt in its own queue and nowhere else."""

from __future__ import annotations

import asyncio

from tests.support.dataplane import delivery, metric, of_trigger, working
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, Reaction, Request, answer, sink
from tests.support.waiting import eventually


async def test_log_is_acknowledged_soon_although_a_sink_hangs_and_the_others_have_their_events(
    nats: NatsServer,
) -> None:
    async with working(nats.url) as world, sink(HANG) as hanging, sink() as well:
        await world.trigger("hanging", hanging.url, delivery=delivery(timeout_s=600))
        await world.trigger("well", well.url)
        ids = await world.send_many(50)
        await eventually(lambda: sorted(well.ids) == sorted(ids), "the healthy sink has all")
        await world.until_settled()
        assert await world.queue_size() == 50


async def test_late_success_removes_the_waiting_entry_and_is_the_only_delivery(nats: NatsServer) -> None:
    """What is in no queue any more, nor unsettled in the log, cannot come again."""
    late = asyncio.Event()
    async with working(nats.url, {"slow_s": 0.2}) as world, sink(answer(202, after=late)) as there:
        await world.trigger("t", there.url, delivery=delivery(timeout_s=30))
        ids = await world.send_many(20)
        await world.until_settled()
        await world.until_queues_hold(20)
        late.set()
        await world.until_queues_hold(0)
        await eventually(lambda: metric("scaup_parked_events_total", **of_trigger("t", reason="slow")) >= 20, "parked")
        await world.send(id="last")
        await eventually(lambda: "last" in there.ids, "the next one comes")
        assert sorted(there.ids) == sorted([*ids, "last"])


async def test_late_failure_is_retried_once_and_not_twice(nats: NatsServer) -> None:
    """The entry parked while the attempt ran gives way to the retry; with no back-off at all, too."""
    async with working(nats.url, {"slow_s": 0.2}) as world, sink() as there:
        failed: set[str] = set()
        late = asyncio.Event()

        def fails_once(request: Request) -> Reaction:
            if request.id in failed:
                return OK
            failed.add(request.id)
            return answer(500, after=late)

        there.script = fails_once
        await world.trigger("t", there.url, delivery=delivery(timeout_s=30, backoff_delay_s=0.0))
        ids = await world.send_many(10)
        await world.until_settled()
        await world.until_queues_hold(10)
        late.set()
        await eventually(lambda: len(there.requests) == 20, "each came twice")
        await world.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids * 2)


async def test_attempt_that_times_out_as_it_is_moved_aside_is_retried_once(nats: NatsServer) -> None:
    async with working(nats.url, {"slow_s": 1.9}) as world, sink() as there:
        seen: set[str] = set()

        def first_hangs(request: Request) -> Reaction:
            if request.id in seen:
                return OK
            seen.add(request.id)
            return HANG

        there.script = first_hangs
        await world.trigger("t", there.url, delivery=delivery(timeout_s=2.0))
        ids = await world.send_many(20)
        await eventually(lambda: len(there.requests) >= 40, "each came twice")
        await world.until_settled()
        await world.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids * 2)


async def test_hanging_sink_delays_no_healthy_one(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(HANG) as hanging, sink() as well:
        await world.trigger("hanging", hanging.url, delivery=delivery(timeout_s=600))
        for number in range(5):
            await world.trigger(f"well-{number}", f"{well.url}{number}")
        for number in range(300):
            await world.send(id=f"n-{number}")
            await asyncio.sleep(0.005)
        await eventually(lambda: len(well.requests) >= 1500, "the healthy have all")
        assert len(well.requests) == 1500


async def test_dead_sink_is_asked_seldom_and_gets_everything_when_it_recovers(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(answer(503)) as there:
        await world.trigger("t", there.url, delivery=delivery(retry=20))
        first = await world.send_many(30)
        await eventually(lambda: len(there.requests) >= 8, "the breaker opens")
        more = await world.send_many(200)
        await world.until_settled()
        await world.until_queues_hold(230)
        failed = len(there.requests)
        assert failed < 100
        there.script = lambda _request: OK
        await eventually(lambda: set(there.ids[failed:]) == {*first, *more}, "all are delivered")
        await world.until_queues_hold(0)
        assert len(there.ids[failed:]) == 230
        assert not await world.dead_letters()


async def test_retries_of_what_is_refused_for_ever_do_not_close_the_way_for_the_others(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there:
        there.script = lambda request: answer(500) if request.id.startswith("poison") else OK
        await world.trigger("t", there.url, delivery=delivery(retry=3, backoff_delay_s=0.3))

        async def deliver(event_id: str) -> None:
            await world.send(id=event_id)
            await eventually(lambda: event_id in there.ids, f"{event_id} is delivered")

        for number in range(10):
            await world.send(id=f"poison-{number}")
            await deliver(f"well-{number}")
        await world.dead_letters(10)  # 30 refusals in a row, and no pause between them
        await deliver("well-10")
        assert len(there.requests) == 51


async def test_waiting_behind_an_open_breaker_uses_no_attempts(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(answer(503)) as there:
        await world.trigger("t", there.url, delivery=delivery(retry=30))
        await world.send_many(10)
        await eventually(lambda: len(there.requests) >= 8, "the breaker opens")
        waiting = await world.send_many(10)
        await world.until_settled()
        tried = len(there.requests)
        there.script = lambda _request: OK
        await eventually(lambda: set(waiting) <= set(there.ids[tried:]), "they are delivered")
        assert not set(waiting) & set(there.ids[: tried - 2])


async def test_recovered_sink_is_delivered_to_without_the_queue_again(nats: NatsServer) -> None:
    """Also by the dispatcher that does not own the queue: its own breaker has to learn of the recovery."""
    async with working(nats.url) as world, sink(answer(503)) as there:
        await world.dispatcher(replica="second")
        await world.trigger("t", there.url, delivery=delivery(retry=30))
        await world.send_many(60)
        await eventually(lambda: len(there.requests) >= 16, "the breakers open")
        there.script = lambda _request: OK

        async def goes_straight() -> bool:
            before = metric("scaup_parked_events_total", **of_trigger("t", reason="backed_up"))
            await world.send_many(20)
            await world.until_settled()
            return metric("scaup_parked_events_total", **of_trigger("t", reason="backed_up")) == before

        for _ in range(3):
            await eventually(goes_straight, "nothing is parked any more", within_s=15)
        await world.until_queues_hold(0)


async def test_slow_but_steady_sink_gets_everything_once(nats: NatsServer) -> None:
    async with working(nats.url, {"max_in_flight": 8}) as world, sink(answer(202, delay_s=0.05)) as there:
        await world.trigger("t", there.url)
        ids = await world.send_many(300)
        await world.until_settled()
        await eventually(lambda: len(there.requests) >= 300, "all are delivered")
        await world.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)
        assert there.connections <= 9
