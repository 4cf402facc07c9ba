"""The dispatcher: dead letter sinks, the queue's quota, and Triggers that go away."""

from __future__ import annotations

import base64

import pytest

from scaup.core.model.definitions import Destination
from tests.support.dataplane import World, delivery, metric, of_trigger, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, Sink, answer, raw, reply, sink
from tests.support.waiting import eventually


async def _with_dead_letter_sink(there: World, subscriber: Sink, dead: Sink, **changes: object) -> None:
    await there.trigger("t", subscriber.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url), **changes))


async def test_dead_letter_sink_gets_the_event_with_the_error(nats: NatsServer) -> None:
    body = b"no\nway" + b"x" * 5000
    async with working(nats.url) as here, sink(answer(422, body)) as there, sink() as dead:
        await _with_dead_letter_sink(here, there, dead)
        sent = await here.send(b"data", subject="s", passed={"x-request-id": "r"})
        await eventually(lambda: dead.requests, "the dead letter arrives")
        await here.until_settled()
        await here.until_queues_hold(0)
        headers = dead.requests[0].headers
        assert (dead.requests[0].id, dead.requests[0].body, headers["ce-subject"]) == (sent, b"data", "s")
        assert headers["ce-knativeerrordest"] == there.url
        assert headers["ce-knativeerrorcode"] == "422"
        assert base64.b64decode(headers["ce-knativeerrordata"]) == body[:768]
        assert len(headers["ce-knativeerrordata"]) == 1024
        assert (headers["ce-scauptrigger"], headers["ce-scaupattempts"]) == ("default/t", "1")
        assert "2026" <= headers["ce-scaupfirstfailure"] <= headers["ce-scauplastfailure"]
        assert "prefer" not in headers
        assert headers["kn-namespace"] == "default"
        assert headers["x-request-id"] == "r"
        assert not await here.dead_letters()


async def test_error_of_a_sink_that_cannot_be_reached_is_its_address_alone(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as dead:
        there = Sink()
        await there.start()
        await there.stop()
        await _with_dead_letter_sink(here, there, dead, retry=0)
        await here.send()
        await eventually(lambda: dead.requests, "the dead letter arrives")
        headers = dead.requests[0].headers
        assert headers["ce-knativeerrordest"] == there.url
        assert "ce-knativeerrorcode" not in headers
        assert "ce-knativeerrordata" not in headers


async def test_dead_letter_sink_is_tried_as_often_as_the_subscriber(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(500)) as there, sink(answer(503), answer(503), OK) as dead:
        await _with_dead_letter_sink(here, there, dead, retry=2)
        await here.send()
        await eventually(lambda: len(dead.requests) == 3, "the dead letter arrives")
        await here.until_queues_hold(0)
        assert len(there.requests) == 3
        assert dead.requests[0].headers["ce-scaupattempts"] == "3"
        assert not await here.dead_letters()


async def test_dead_letter_is_kept_where_its_sink_fails_too(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400)) as there, sink(answer(500)) as dead:
        await _with_dead_letter_sink(here, there, dead, retry=1)
        sent = await here.send()
        [letter] = await here.dead_letters(1)
        await here.until_queues_hold(0)
        assert (letter.event.id, letter.facts.destination) == (sent, dead.url)
        assert letter.event.attributes["knativeerrordest"] == there.url
        assert (len(there.requests), len(dead.requests)) == (1, 2)


@pytest.mark.parametrize("what", ["reply", "malformed"])
async def test_answer_of_a_dead_letter_sink_is_dropped(nats: NatsServer, what: str) -> None:
    answers = {
        "reply": reply("r-1"),
        "malformed": raw(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\nce-specversion: 1.0\r\n\r\n"),
    }
    async with working(nats.url) as here, sink(answer(400)) as there, sink(answers[what]) as dead:
        await _with_dead_letter_sink(here, there, dead)
        await here.send()
        await eventually(lambda: dead.requests, "the dead letter arrives")
        await here.until_queues_hold(0)
        assert len(dead.requests) == 1
        assert len(await here.log()) == 1
        assert not await here.dead_letters()


async def test_dead_letter_sink_that_is_taken_away_leaves_its_letters_kept(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400)) as there, sink(answer(500)) as dead:
        await _with_dead_letter_sink(here, there, dead, retry=100, backoff_delay_s=0.2)
        await here.send()
        await eventually(lambda: dead.requests, "the dead letter is tried")
        await here.trigger("t", there.url)
        assert len(await here.dead_letters(1)) == 1


async def test_full_queue_sends_to_the_dead_letters_and_keeps_what_it_has(nats: NatsServer) -> None:
    settings = {"queue_quota": 10, "max_in_flight": 4, "slow_s": 0.3}
    async with working(nats.url, settings) as here, sink(HANG) as there:
        await here.trigger("t", there.url, delivery=delivery(timeout_s=3, retry=5))
        ids = await here.send_many(40)
        await here.until_settled()
        letters = await here.dead_letters(20)
        assert all("queue is full" in letter.facts.reason for letter in letters)
        dead = {letter.event.id for letter in letters}
        there.script = lambda _request: OK
        await eventually(lambda: set(there.ids) | dead >= set(ids), "each is delivered or dead", within_s=15)
        await here.until_queues_hold(0, within_s=15)
        assert {letter.event.id for letter in await here.dead_letters()} == dead


async def test_retries_of_a_full_queue_are_not_cut_short(nats: NatsServer) -> None:
    """What comes out of a full queue and fails goes back to its place: it needs none that is not its own."""
    async with working(nats.url, {"queue_quota": 3}) as here, sink(answer(500)) as there:
        await here.trigger("t", there.url, delivery=delivery(retry=1000, backoff_delay_s=0.3))
        await here.send_many(3)
        await here.until_settled()
        await eventually(lambda: len(there.requests) >= 12, "they are tried again and again")
        assert await here.queue_size() >= 3
        assert not await here.dead_letters()


async def test_deleted_trigger_takes_its_queue_with_it_and_the_events_are_counted(nats: NatsServer) -> None:
    dropped = metric("scaup_dropped_events_total", namespace="default", broker="one", reason="trigger_deleted")
    async with working(nats.url) as here, sink(answer(500)) as there, sink() as well:
        await here.trigger("t", there.url, delivery=delivery(retry=50, backoff_delay_s=30))
        await here.trigger("other", well.url)
        await here.send_many(20)
        await here.until_queues_hold(20)
        await here.delete_trigger("t")
        await here.until_queues_hold(0)
        assert len(well.requests) == 20
        now = metric("scaup_dropped_events_total", namespace="default", broker="one", reason="trigger_deleted")
        assert now - dropped == 20
        info = await here.bus.api(f"CONSUMER.NAMES.scaup-queue-{here.broker.uid}")
        assert not info["consumers"]


async def test_trigger_deleted_while_its_events_wait_for_a_hanging_sink_stops_nothing(nats: NatsServer) -> None:
    async with working(nats.url, {"max_in_flight": 2, "slow_s": 0.5}) as here, sink(HANG) as there, sink() as well:
        await here.trigger("t", there.url, delivery=delivery(timeout_s=600))
        await here.trigger("other", well.url)
        await here.send_many(5)
        await eventually(lambda: len(there.requests) == 2, "the sink hangs")
        await here.delete_trigger("t")
        await here.until_settled()
        await here.send()
        await here.until_settled()
        assert len(well.requests) == 6


async def test_trigger_that_is_not_known_yet_keeps_its_events(nats: NatsServer) -> None:
    """Not knowing is not the same as deleted: only a deletion that was seen drops an event."""
    async with world(nats.url) as here, sink() as there:
        await here.filter()
        dispatcher = await here.dispatcher()
        await here.trigger("t", there.url)
        plane_definitions = next(
            frame.f_locals["plane"].definitions
            for task in [dispatcher.task]
            for frame in task.get_stack()
            if "plane" in frame.f_locals
        )
        await eventually(lambda: "t" in plane_definitions.triggers, "it is known")
        known = plane_definitions.triggers.pop("t")
        sent = await here.send()
        await eventually(
            lambda: metric("scaup_handed_back_events_total", reason="not_settled") > 0, "the entry is handed back"
        )
        assert await here.unsettled() == 1
        plane_definitions.triggers["t"] = known
        await eventually(lambda: there.ids == [sent], "it is delivered")


async def test_events_that_waited_too_long_become_dead_letters_and_reach_the_dead_letter_sink(nats: NatsServer) -> None:
    key = "address/v1/Service/default/web"
    async with working(nats.url, {"max_wait_s": 0.5}) as here, sink() as dead:
        await here.address(key, None)
        to_dead = delivery(dead_letter_sink=Destination(uri=dead.url))
        await here.trigger("t", Destination(address=key), delivery=to_dead)
        ids = await here.send_many(5)
        await eventually(lambda: sorted(dead.ids) == sorted(ids), "all are dead letters")
        await here.until_queues_hold(0)
        assert metric("scaup_dead_lettered_events_total", **of_trigger("t", to="sink")) >= 5


async def test_events_that_waited_long_in_the_log_are_tried_all_the_same(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        sent = await here.send()
        first = await here.send()
        del first
        await here.filter()
        await here.dispatcher(max_wait_s=0.0)
        await eventually(lambda: sent in there.ids, "it is delivered")
        assert not await here.dead_letters()
