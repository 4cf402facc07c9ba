"""Triggers that are ordered: the events of a key one after the other, as the log has them, whatever happens."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from scaup.dispatcher.order import PARTITION_KEY
from tests.support.dataplane import World, delivery, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Reaction, Request, Sink, answer, sink
from tests.support.waiting import eventually

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
        await here.until_queues_hold(0, within_s=20)
        assert by_key(there) == sent
        assert len(there.requests) == 400


async def test_events_without_a_key_come_in_the_order_of_the_log(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, ordered=True)
        await here.send_many(200)
        await here.until_settled()
        await here.until_queues_hold(0, within_s=20)
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
        await here.until_queues_hold(0, within_s=20)
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
