"""Triggers that are ordered: the events of a key one after the other, as the log has them, whatever happens."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from scaup.core.bus.connection import Msg
from scaup.core.codec import kept, stored
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.dispatcher.order import PARTITION_KEY
from tests.support.dataplane import World, delivery, working, world
from tests.support.events import BROKER, an_event
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Reaction, Request, Sink, answer, sink
from tests.support.waiting import eventually

LANE = Lane(BrokerUid(BROKER), TriggerUid("t"))
KEYS = tuple("abcdefgh")


async def send_keys(here: World, count: int, keys: tuple[str, ...] = KEYS) -> dict[str, list[str]]:
    """Events of several keys, in any order; the ids of each key in the order in which the log has them."""
    await asyncio.gather(*(here.send(partitionkey=keys[number % len(keys)]) for number in range(count)))
    found: dict[str, list[str]] = defaultdict(list)
    for msg in await here.log():
        headers = msg.headers or {}
        found[headers[PARTITION_KEY]].append(headers["ce-id"])
    return found


def by_key(there: Sink) -> dict[str, list[str]]:
    """What came, by key, each event at its first time."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for request in there.requests:
        found[request.headers[PARTITION_KEY]].setdefault(request.id)
    return {key: list(ids) for key, ids in found.items()}


async def test_events_of_each_key_come_in_the_order_of_the_log_and_one_at_a_time(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink(answer(202, delay_s=0.01)) as there:
        await here.filter()
        for number in range(2):
            await here.dispatcher(replica=f"d-{number}")
        await here.trigger("t", there.url, ordered=True)
        sent = await send_keys(here, 400)
        await here.until_settled()
        await here.until_queues_hold(0)
        assert by_key(there) == sent
        assert len(there.requests) == 400


async def test_events_without_a_key_come_in_the_order_of_the_log(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, ordered=True)
        await here.send_many(200)
        await here.until_settled()
        await here.until_queues_hold(0)
        assert there.ids == [(msg.headers or {})["ce-id"] for msg in await here.log()]


async def test_failing_event_holds_up_its_own_key_and_no_other(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        is_mended = False

        def script(request: Request) -> Reaction:
            is_bad = request.headers[PARTITION_KEY] == "a"
            return answer(503) if is_bad and not is_mended else OK

        there.script = script
        await here.trigger("t", there.url, ordered=True, delivery=delivery(retry=1000, backoff_delay_s=0.1))
        sent = await send_keys(here, 400)
        await eventually(lambda: len(set(there.ids)) == 351, "all other keys have come, and the first of the bad one")
        assert set(by_key(there)["a"]) == {sent["a"][0]}
        is_mended = True
        await here.until_queues_hold(0)
        assert by_key(there) == sent


async def test_key_goes_on_when_its_failing_event_has_become_a_dead_letter(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, ordered=True, delivery=delivery(retry=2, backoff_delay_s=0.05))
        bad: list[str] = []
        there.script = lambda request: answer(500) if request.id in bad else OK
        bad.append("e-5")
        ids = [await here.send() for _ in range(10)]
        await here.until_queues_hold(0)
        await eventually(lambda: "e-10" in there.ids, "the last one comes")
        assert there.ids == [*ids[:4], *(["e-5"] * 3), *ids[5:]]
        [letter] = await here.dead_letters(1)
        assert (letter.event.id, letter.facts.attempts) == ("e-5", 3)


async def test_history_goes_before_what_is_new(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(202, delay_s=0.002)) as there:
        past = [await here.send() for _ in range(300)]
        await here.until_settled()
        await here.trigger("t", there.url, ordered=True, start="all")
        new = [await here.send() for _ in range(50)]
        await eventually(lambda: new[-1] in there.ids, "all have come")
        await here.until_queues_hold(0)
        assert there.ids == past + new


async def test_order_holds_for_what_comes_after_a_trigger_has_become_ordered_and_nothing_is_lost_on_the_way(
    nats: NatsServer,
) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, paused=True)
        before = await here.send_many(200)
        await here.until_queues_hold(200)
        assert len(await here.queue_entries()) < 200  # they are bundled
        await here.trigger("t", there.url, ordered=True)
        await here.until_queues_hold(0)
        after = [await here.send() for _ in range(100)]
        await here.until_settled()
        await here.until_queues_hold(0)
        assert sorted(there.ids[:200]) == sorted(before)
        assert there.ids[200:] == after
        await here.trigger("t", there.url)
        more = await here.send_many(50)
        await eventually(lambda: set(there.ids[300:]) == set(more), "it goes on without order")
        await here.until_queues_hold(0)


async def test_nothing_goes_while_somebody_else_holds_a_part_of_the_queue(nats: NatsServer) -> None:
    """Two dispatchers may take themselves for the owner; each is given a part, and none knows what the other has."""
    async with working(nats.url) as here, sink(answer(202, delay_s=0.002)) as there:
        await here.trigger("t", there.url, ordered=True, paused=True)
        await here.send_many(400)
        await here.until_settled()
        foreign: list[Msg] = []

        async def keep(msg: Msg) -> None:
            foreign.append(msg)

        inbox = here.bus.client.new_inbox()
        await here.bus.subscribe(inbox, keep)
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{names.queue_stream(here.broker.uid)}.{names.lane_consumer(LANE)}"
        request = b'{"batch": 100, "expires": 5000000000}'
        await eventually(lambda: _has_consumer(here), "the queue is worked")
        await here.bus.publish(pull, request, inbox)
        await eventually(lambda: len(foreign) == 100, "the other has its part")
        await here.trigger("t", there.url, ordered=True)
        last = await here.send()
        await here.until_settled()
        await eventually(lambda: _is_given(here, 100), "the owner has been given something, too")
        assert not there.requests
        for msg in foreign:
            here.bus.post(msg.reply, b"-NAK")
        await here.until_queues_hold(0)
        assert there.ids == [(msg.headers or {})["ce-id"] for msg in await here.log()]
        assert there.ids[-1] == last


async def _info(here: World) -> dict[str, Any] | None:
    try:
        return await here.bus.api(f"CONSUMER.INFO.{names.queue_stream(here.broker.uid)}.{names.lane_consumer(LANE)}")
    except BusRequestError:
        return None


async def _has_consumer(here: World) -> bool:
    return await _info(here) is not None


async def _is_given(here: World, more_than: int) -> bool:
    info = await _info(here)
    return info is not None and info["num_ack_pending"] > more_than


async def test_a_mark_that_nobody_wrote_is_missed_by_the_owner(nats: NatsServer) -> None:
    """Who parked was killed before it wrote one. Of a log that is lost none can come."""
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, ordered=True)
        accepted = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

        async def park(name: str, sequence: int) -> None:
            headers = kept.to_headers(Facts(sequence, accepted)) | stored.to_headers(an_event(b"{}", id=name))
            await here.bus.acked.store(names.queue_subject(LANE), b"{}", headers)

        await park("late", 1)
        await park("of-another-log", 1_000_000)
        await here.trigger("nobodys", there.url, attributes={"type": "never"})
        await here.send(type="other")  # so that the log is acknowledged beyond the first
        await eventually(lambda: "late" in there.ids, "it comes")
        await eventually(lambda: "of-another-log" in there.ids, "it comes in the end", within_s=15)


async def test_what_is_no_event_is_thrown_away_and_the_others_go_on(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, ordered=True)
        for headers in ({}, {kept.SEQUENCE: "x"}, {kept.SEQUENCE: "1", kept.NOT_BEFORE: "x"}, {kept.MARK: "x"}):
            await here.bus.acked.store(names.queue_subject(LANE), b"{}", headers)
        sent = await here.send()
        await eventually(lambda: there.ids == [sent], "the next one comes")
        await here.until_queues_hold(0)
