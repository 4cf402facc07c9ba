"""The dispatcher: what a sink gets, and what becomes of each kind of answer."""

from __future__ import annotations

import itertools

import pytest

from scaup.core.model.definitions import Destination
from scaup.dispatcher import limits
from tests.support.dataplane import QUICK, delivery, metric, of_trigger, working
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, RESET, Reaction, answer, raw, sink
from tests.support.waiting import eventually


async def test_event_arrives_as_it_was_sent(nats: NatsServer) -> None:
    data = bytes(range(256)) * 10
    async with working(nats.url) as world, sink() as there:
        await world.trigger("t", there.url + "in?x=1")
        await world.send(
            data,
            id="a b%",
            source="/ü",
            subject='q"',
            datacontenttype='a/b; c="d e"',
            extra="€",
            time="1985-04-12T23:20:50Z",
        )
        await world.until_settled()
        request = there.requests[0]
        assert request.line == "POST /in?x=1 HTTP/1.1"
        assert request.body == data
        assert request.headers == {
            "host": f"127.0.0.1:{there.port}",
            "content-length": str(len(data)),
            "content-type": 'a/b; c="d e"',
            "ce-specversion": "1.0",
            "ce-id": "a%20b%25",
            "ce-source": "/%C3%BC",
            "ce-type": "com.example.test",
            "ce-subject": "q%22",
            "ce-time": "1985-04-12T23:20:50Z",
            "ce-extra": "%E2%82%AC",
            "ce-knativearrivaltime": "2026-01-02T03:04:05.678901Z",
            "prefer": "reply",
            "kn-namespace": "default",
            "scaup-hops": "255",
        }


async def test_headers_that_travel_with_an_event_reach_the_sink(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there:
        await world.trigger("t", there.url)
        await world.send(passed={"x-request-id": "r1", "knative-x": "y", "x-b3-traceid": "z"})
        await world.until_settled()
        headers = there.requests[0].headers
        assert (headers["x-request-id"], headers["knative-x"], headers["x-b3-traceid"]) == ("r1", "y", "z")


async def test_structured_events_are_sent_where_the_delivery_says_so(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there:
        await world.trigger("t", there.url, delivery=delivery(format="json"))
        await world.send(b'{"n": 1.0}', datacontenttype="application/json", passed={"x-request-id": "r1"})
        await world.until_settled()
        request = there.requests[0]
        assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert request.headers["x-request-id"] == "r1"
        assert request.headers["prefer"] == "reply"
        assert b'"data":{"n": 1.0}' in request.body
        assert b"knativebrokerttl" not in request.body


async def test_event_that_no_trigger_wants_is_acknowledged(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there:
        await world.trigger("t", there.url, attributes={"type": "another"})
        await world.send()
        await world.until_settled()
        assert not there.requests


async def test_each_trigger_gets_the_event_once_also_where_they_share_a_sink(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there:
        for uid in ("a", "b", "c"):
            await world.trigger(uid, there.url + uid)
        ids = await world.send_many(20)
        await world.until_settled()
        await world.until_queues_hold(0)
        for path in ("/a", "/b", "/c"):
            assert sorted(r.id for r in there.requests if r.path == path) == sorted(ids)


async def test_sink_behind_a_reference_is_found_in_the_address_book_and_a_change_takes_effect_at_once(
    nats: NatsServer,
) -> None:
    key = "address/v1/Service/default/web"
    async with working(nats.url) as world, sink() as old, sink() as new:
        await world.address(key, old.url + "base/")
        await world.trigger("t", Destination(address=key, uri="more"))
        first = await world.send()
        await world.until_settled()
        await world.address(key, new.url)
        await eventually(lambda: world.bus.is_connected, "connected")

        async def arrives_at_the_new() -> bool:
            await world.send()
            await world.until_settled()
            return bool(new.requests)

        await eventually(arrives_at_the_new, "the new address is used")
        assert old.requests[0].path == "/base/more"
        assert new.requests[0].path == "/more"
        assert first in old.ids


async def test_events_for_a_sink_without_address_wait_and_are_delivered_when_it_has_one(nats: NatsServer) -> None:
    key = "address/v1/Service/default/web"
    async with working(nats.url) as world, sink() as there:
        await world.address(key, None)
        await world.trigger("t", Destination(address=key), delivery=delivery(retry=0))
        ids = await world.send_many(30)
        await world.until_settled()
        await world.until_queues_hold(30)
        await world.address(key, there.url)
        await eventually(lambda: sorted(there.ids) == sorted(ids), "all are delivered")
        await world.until_queues_hold(0)
        assert metric("scaup_delivery_attempts_total", **of_trigger("t", outcome="unresolved")) >= 1
        assert not await world.dead_letters()


async def test_sink_that_was_dead_gets_its_events_soon_after_its_address_changed(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The breaker's pause is about the old address; nobody waits for it at the new one."""
    monkeypatch.setattr(limits, "_FIRST_PAUSE_S", 600.0)
    key = "address/v1/Service/default/web"
    async with working(nats.url) as world, sink(answer(500)) as dead, sink() as well:
        await world.address(key, dead.url)
        await world.trigger("t", Destination(address=key), delivery=delivery(retry=50))
        ids = await world.send_many(30)
        labels = of_trigger("t", lane="subscriber")
        await eventually(lambda: metric("scaup_trigger_breaker_open", **labels) == 1, "its breaker is open")
        await world.address(key, well.url)
        await eventually(lambda: set(well.ids) == set(ids), "all are delivered")


@pytest.mark.parametrize(
    "failure", [answer(500), answer(404), answer(408), answer(409), RESET, raw(b"rubbish", end="close")]
)
async def test_retryable_failures_are_tried_again_until_they_succeed(nats: NatsServer, failure: Reaction) -> None:
    async with working(nats.url) as world, sink(failure, failure, failure, OK) as there:
        await world.trigger("t", there.url)
        sent = await world.send()
        await eventually(lambda: len(there.requests) == 4, "it is delivered at the fourth attempt")
        await world.until_settled()
        await world.until_queues_hold(0)
        assert there.ids == [sent] * 4
        assert not await world.dead_letters()


async def test_retries_that_are_exhausted_leave_a_dead_letter_with_its_facts(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(answer(500, b"out of order")) as there:
        await world.trigger("t", there.url)
        sent = await world.send(b"data", subject="s")
        [letter] = await world.dead_letters(1)
        assert len(there.requests) == 4
        await world.until_settled()
        await world.until_queues_hold(0)
        facts = letter.facts
        assert (letter.trigger, letter.trigger_name, letter.event.id, letter.event.data) == (
            "t",
            "default/t",
            sent,
            b"data",
        )
        assert (facts.attempts, facts.status, facts.destination) == (4, 500, there.url)
        assert (facts.error_data, facts.sequence) == (b"out of order", 1)
        assert facts.accepted <= facts.first_failure < facts.last_failure
        assert "4 attempts" in facts.reason


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 401, 403, 410, 422])
async def test_final_failures_become_dead_letters_at_once(nats: NatsServer, status: int) -> None:
    async with working(nats.url) as world, sink(answer(status, headers={"location": "/elsewhere"})) as there:
        await world.trigger("t", there.url)
        await world.send()
        [letter] = await world.dead_letters(1)
        await world.until_settled()
        assert len(there.requests) == 1
        assert (letter.facts.attempts, letter.facts.status) == (1, status)


async def test_no_retry_means_one_attempt(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(answer(500)) as there:
        await world.trigger("t", there.url, delivery=delivery(retry=0))
        await world.send()
        [letter] = await world.dead_letters(1)
        assert (letter.facts.attempts, len(there.requests)) == (1, 1)


async def test_hanging_sink_is_given_up_after_its_timeouts(nats: NatsServer) -> None:
    async with working(nats.url, {"slow_s": 5.0}) as world, sink(HANG) as there:
        await world.trigger("t", there.url, delivery=delivery(retry=1, timeout_s=1.0))
        await world.send()
        [letter] = await world.dead_letters(1)
        assert (letter.facts.attempts, letter.facts.status, len(there.requests)) == (2, None, 2)
        assert "within 1 s" in letter.facts.reason


async def test_retry_waits_as_long_as_the_sink_asks(nats: NatsServer) -> None:
    busy = answer(503, headers={"retry-after": "2"})
    async with working(nats.url) as world, sink(busy, OK) as there:
        await world.trigger("t", there.url)
        await world.send()
        await eventually(lambda: len(there.requests) == 2, "it is tried again")
        assert 1.9 < there.requests[1].at - there.requests[0].at < 10


@pytest.mark.parametrize("value", ["\xb2", "9" * 400, "soon", "Mon, 01 Jan 0001 00:00:00 +2359", "-1", ""])
async def test_retry_after_that_makes_no_sense_is_passed_over(nats: NatsServer, value: str) -> None:
    strange = raw(b"HTTP/1.1 429 X\r\ncontent-length: 0\r\nretry-after: " + value.encode("latin-1") + b"\r\n\r\n")
    async with working(nats.url) as world, sink(strange, OK) as there:
        await world.trigger("t", there.url, delivery=delivery(retry_after_max_s=0.05))
        await world.send()
        await eventually(lambda: len(there.requests) == 2, "it is tried again")


async def test_retries_that_wait_longer_than_a_second_fire_in_time(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(answer(500), answer(500), OK) as there:
        await world.trigger("t", there.url, delivery=delivery(backoff_delay_s=1.2))
        await world.send()
        await eventually(lambda: len(there.requests) == 3, "it is delivered")
        times = [request.at for request in there.requests]
        assert all(1.1 < later - before < 8 for before, later in itertools.pairwise(times))
        await world.until_queues_hold(0)


async def test_retries_do_not_hold_up_the_events_behind_them(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there:
        there.script = lambda request: answer(500) if request.id == "bad" else OK
        await world.trigger("t", there.url, delivery=QUICK)
        await world.send(id="bad")
        ids = await world.send_many(20)
        await eventually(lambda: set(ids) <= set(there.ids), "the others are delivered")
        [letter] = await world.dead_letters(1)
        assert letter.event.id == "bad"


async def test_failing_sinks_do_not_cost_the_others_anything(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as well, sink(HANG) as hanging, sink(answer(500)) as broken:
        await world.trigger("well", well.url)
        await world.trigger("hanging", hanging.url, delivery=delivery(timeout_s=600))
        await world.trigger("broken", broken.url, delivery=delivery(retry=20))
        for number in range(100):
            await world.send(id=f"n-{number}")
            await eventually(lambda n=number: len(well.requests) > n, "the healthy sink gets it")  # type: ignore[misc]
        assert sorted(well.ids) == sorted(f"n-{number}" for number in range(100))


async def test_filters_on_data_see_every_event_however_large(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there, sink() as other:
        await world.trigger("plain", other.url)
        await world.send(b'{"n": 1}', datacontenttype="application/json")
        await world.trigger("wants-data", there.url, filters=({"cel": "data.n == 1"},))
        bulk = b'{"n": 1, "bulk": "' + b"x" * 200_000 + b'"}'
        for number in range(8):
            await world.send(bulk, id=f"big-{number}", datacontenttype="application/json")
            await world.send(b'{"n": 2}', id=f"no-{number}", datacontenttype="application/json")
            await world.send(b"no json", id=f"text-{number}", datacontenttype="text/plain")
        await world.until_settled()
        assert {request.headers["ce-id"] for request in there.requests} >= {f"big-{number}" for number in range(8)}
        assert all(b'"n": 1' in request.body for request in there.requests)
        assert len(other.requests) == 25
