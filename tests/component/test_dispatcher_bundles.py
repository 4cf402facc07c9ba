"""Many events in one entry of a queue: each of them is delivered, retried, counted and given up by itself."""

from __future__ import annotations

from collections import Counter

import pytest

from scaup.core.model import names
from scaup.core.model.definitions import Destination
from scaup.core.model.names import Lane, TriggerUid
from tests.support.dataplane import World, delivery, metric, of_trigger, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Reaction, Request, answer, sink
from tests.support.waiting import eventually

KEY = "address/v1/Service/default/web"


async def park(here: World, count: int, uid: str = "t", **changes: object) -> list[str]:
    """Events that wait in bundles for a Trigger whose sink has no address; when this returns the log is settled."""
    await here.address(KEY, None)
    await here.trigger(uid, Destination(address=KEY), **changes)
    ids = await here.send_many(count)
    await here.until_settled()
    await here.until_queues_hold(count)
    sizes = [names.events_of_subject(msg.subject) for msg in await here.queue_entries()]
    assert max(sizes) > 20, "they are bundled"
    return ids


async def test_bundled_events_are_delivered_once_each_when_their_sink_has_an_address(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        ids = await park(here, 300)
        await here.address(KEY, there.url)
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)
        assert not await here.dead_letters()


async def test_what_is_settled_of_a_bundle_is_not_delivered_again_while_the_rest_is_handed_back(
    nats: NatsServer,
) -> None:
    """The sink goes away again and again in the middle of a bundle; what it had taken it does not see again."""
    async with working(nats.url, {"max_in_flight": 4}) as here, sink() as there:
        ids = await park(here, 200, delivery=delivery(retry=1000, backoff_delay_s=0.05))
        taken: list[str] = []

        def moody(request: Request) -> Reaction:
            if len(there.requests) % 60 > 50:
                return answer(503)
            taken.append(request.id)
            return OK

        there.script = moody
        await here.address(KEY, there.url)
        await here.until_queues_hold(0, within_s=30)
        assert sorted(taken) == sorted(ids)


async def test_dispatcher_that_stops_in_the_middle_of_a_bundle_leaves_the_rest_of_it_to_the_next(
    nats: NatsServer,
) -> None:
    async with world(nats.url) as here, sink(answer(202, delay_s=0.02)) as there:
        await here.filter()
        first = await here.dispatcher(replica="first", max_in_flight=2)
        ids = await park(here, 200)
        await here.address(KEY, there.url)
        await eventually(lambda: len(there.requests) > 10, "they are being delivered")
        await first.stop()
        assert await here.queue_size() == 200 - len(there.requests)
        await here.dispatcher(replica="second")
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)


async def test_a_failing_event_of_a_bundle_is_retried_and_given_up_by_itself(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        ids = await park(here, 100)
        there.script = lambda request: answer(500) if request.id == ids[40] else OK
        await here.address(KEY, there.url)
        [letter] = await here.dead_letters(1)
        await here.until_queues_hold(0)
        assert (letter.event.id, letter.facts.attempts, letter.facts.status) == (ids[40], 4, 500)
        tries = Counter(there.ids)
        assert tries.pop(ids[40]) == 4
        assert tries == Counter(each for each in ids if each != ids[40])


async def test_bundled_events_count_one_by_one_for_quota_gauge_and_removal(nats: NatsServer) -> None:
    def dropped() -> float:
        return metric("scaup_dropped_events_total", namespace="default", broker="one", reason="trigger_deleted")

    before = dropped()
    async with working(nats.url, {"queue_quota": 120}) as here:
        await park(here, 100)
        gauge = of_trigger("t")
        await eventually(lambda: metric("scaup_trigger_queue_events", **gauge) == 100, "the gauge shows them")
        assert metric("scaup_trigger_queue_oldest_seconds", **gauge) > 0
        await here.send_many(50)
        await here.until_settled()
        letters = await here.dead_letters(30)
        assert (len(letters), await here.queue_size()) == (30, 120)
        await here.delete_trigger("t")
        await here.until_queues_hold(0)
        await eventually(lambda: dropped() - before == 120, "what was dropped is counted")


@pytest.mark.parametrize("data", [b"", b"\0\0\0\xffmuch too short"])
async def test_an_entry_that_is_no_whole_bundle_is_thrown_away_and_the_others_are_delivered(
    nats: NatsServer, data: bytes
) -> None:
    async with working(nats.url) as here, sink() as there:
        subject = names.queue_subject(Lane(here.broker.uid, TriggerUid("t")), 3)
        await here.bus.acked.store(subject, data, {})
        ids = await park_beside(here, 50)
        await here.address(KEY, there.url)
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(ids)


async def park_beside(here: World, count: int) -> list[str]:
    """The same where something waits already."""
    await here.address(KEY, None)
    await here.trigger("t", Destination(address=KEY))
    ids = await here.send_many(count)
    await here.until_settled()
    return ids
