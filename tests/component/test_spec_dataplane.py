"""Knative Eventing, specs/eventing/data-plane.md: a test for each sentence that binds a Broker, named by its row.

The rows are those of docs/conformance.md. Black box: requests go in at the ingress, sinks see what comes out. Finer
tests of the same behaviour stand with the modules.
"""

from __future__ import annotations

import itertools

import orjson
import pytest

from scaup.core.model.definitions import Destination
from tests.support.broker import a_broker
from tests.support.dataplane import delivery, metric, of_trigger
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Reaction, answer, reply, sink, structured_reply
from tests.support.waiting import eventually

STRUCTURED = {"content-type": "application/cloudevents+json"}
ONLY = {"type": "com.example.test"}
"""Of what a test posts, and not of what a sink replies."""


async def test_dp_1_delivery_is_an_http_1_1_request_as_the_cloudevents_http_binding_says(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.trigger("t", there.url + "in?x=1")
        assert await broker.post("e", b"\x00\xff", subject="a b", datacontenttype="") == 202
        await broker.settled()
        [request] = there.requests
        assert request.line == "POST /in?x=1 HTTP/1.1"
        assert request.headers["host"] == f"127.0.0.1:{there.port}"
        assert {request.headers[f"ce-{name}"] for name in ("id", "specversion", "source", "type")} == {
            "e",
            "1.0",
            "/tests",
            "com.example.test",
        }
        assert request.headers["ce-subject"] == "a%20b"  # HTTP binding 3.1.3.2
        assert request.body == b"\x00\xff"


async def test_dp_2_unknown_negotiation_such_as_upgrade_is_ignored(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker:
        headers = {"ce-specversion": "1.0", "ce-id": "e", "ce-source": "/s", "ce-type": "t"}
        found = await broker.send("POST", headers | {"Upgrade": "h2c, foo/2", "Connection": "Upgrade"})
        assert found.status == 202
        assert len(await broker.here.log()) == 1


async def test_dp_3_binary_and_structured_mode_are_understood_and_sent(nats: NatsServer) -> None:
    event = {"specversion": "1.0", "id": "s", "source": "/s", "type": "t", "data": {"a": 1}}
    async with a_broker(nats.url) as broker, sink() as binary, sink() as structured:
        await broker.here.trigger("binary", binary.url)
        await broker.here.trigger("structured", structured.url, delivery=delivery(format="json"))
        assert (await broker.send("POST", STRUCTURED, orjson.dumps(event))).status == 202
        assert await broker.post("b", b'{"b": 2}', type="t", source="/s") == 202
        await broker.settled()
        assert {request.id: orjson.loads(request.body) for request in binary.requests} == {"s": {"a": 1}, "b": {"b": 2}}
        assert {r.headers["content-type"] for r in structured.requests} <= {
            "application/cloudevents+json",
            "application/cloudevents+json; charset=utf-8",
        }
        sent = {request.id: orjson.loads(request.body) for request in structured.requests}
        assert {name: sent["s"][name] for name in event} == event
        assert sent["b"]["id"] == "b"


async def test_dp_5_events_are_delivered_with_post(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.trigger("t", there.url)
        for number in range(5):
            await broker.post(f"e-{number}")
        await broker.settled()
        assert {request.line.split(" ")[0] for request in there.requests} == {"POST"}


async def test_dp_6_options_lists_post_in_allow(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker:
        found = await broker.send("OPTIONS", {"webhook-request-origin": "tests"})
        assert found.status == 200
        assert "POST" in [method.strip() for method in found.headers["allow"].split(",")]


async def test_dp_8_the_status_says_whether_the_event_was_accepted(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker:
        assert await broker.post("yes") == 202
        assert await broker.post("no-type", type="") == 400
        assert await broker.post("old", specversion="0.3") == 400
        assert (await broker.send("POST", STRUCTURED, b"{")).status == 400
        assert (await broker.send("PUT")).status == 405
        log = [(msg.headers or {})["ce-id"] for msg in await broker.here.log()]
        assert log == ["yes"]


async def test_dp_9_what_is_acknowledged_is_stored(nats: NatsServer) -> None:
    """It is in the log the moment the answer is there: NATS is killed at once, and the event comes all the same."""
    async with a_broker(nats.url) as broker, sink(answer(503)) as there:
        await broker.here.trigger("t", there.url, delivery=delivery(retry=1000))
        assert await broker.post("e") == 202
        nats.kill()
        nats.start()
        there.script = lambda _request: OK
        await eventually(
            lambda: there.ids and len(there.requests) > there.ids.count("x"), "it is delivered", within_s=30
        )
        assert set(there.ids) == {"e"}


FINAL = (300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 405, 406, 410, 413, 415, 418, 422, 431, 451)
RETRIED = (404, 408, 409, 429, 500, 501, 502, 503, 504, 599)
UNKNOWN = (600, 799, 999)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_dp_10_a_2xx_answer_completes_the_delivery(nats: NatsServer, status: int) -> None:
    async with a_broker(nats.url) as broker, sink(answer(status)) as there:
        await broker.here.trigger("t", there.url)
        await broker.post("e")
        await broker.settled()
        assert there.ids == ["e"]
        assert not await broker.here.dead_letters()


async def test_dp_10_other_3xx_and_4xx_answers_are_final_and_redirects_are_not_followed(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there, sink() as elsewhere:
        there.script = lambda request: answer(int(request.id), headers={"location": elsewhere.url})
        await broker.here.trigger("t", there.url, delivery=delivery(retry=3))
        for status in FINAL:
            await broker.post(str(status))
            letters = await broker.here.dead_letters(FINAL.index(status) + 1)
            assert letters[-1].facts.status == status
        await broker.settled()
        assert there.ids == [str(status) for status in FINAL]
        assert not elsewhere.requests


@pytest.mark.parametrize("status", [*RETRIED, *UNKNOWN])
async def test_dp_10_and_dp_11_retryable_and_unknown_codes_are_tried_again(nats: NatsServer, status: int) -> None:
    async with a_broker(nats.url) as broker, sink(answer(status), OK) as there:
        await broker.here.trigger("t", there.url)
        await broker.post("e")
        await eventually(lambda: there.ids == ["e", "e"], "it is tried again")
        await broker.settled()
        assert not await broker.here.dead_letters()


async def test_dp_12_duplicates_are_accepted(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.trigger("t", there.url)
        assert [await broker.post("same") for _ in range(3)] == [202, 202, 202]
        await broker.settled()
        assert set(there.ids) == {"same"}


async def test_dp_13_events_with_one_id_and_different_sources_are_different_events(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.trigger("t", there.url)
        for source in ("/a", "/b"):
            assert await broker.post("same", source=source) == 202
        await broker.settled()
        assert sorted(request.headers["ce-source"] for request in there.requests) == ["/a", "/b"]


async def test_dp_15_and_dp_16_retries_wait_longer_and_longer(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink(answer(500), answer(500), answer(500), OK) as there:
        await broker.here.trigger(
            "t", there.url, delivery=delivery(retry=5, backoff_policy="exponential", backoff_delay_s=0.1)
        )
        await broker.post("e")
        await eventually(lambda: len(there.requests) == 4, "it is delivered at last")
        waits = [later.at - earlier.at for earlier, later in itertools.pairwise(there.requests)]
        assert all(wait >= expected for wait, expected in zip(waits, (0.1, 0.2, 0.4), strict=True))


async def test_dp_17_a_sink_that_is_overloaded_is_given_less_and_gets_everything_in_the_end(nats: NatsServer) -> None:
    """Congestion control and retries: Retry-After is heeded, and attempts at a time are fewer."""
    async with a_broker(nats.url) as broker, sink() as there:
        there.script = lambda _request: answer(429, headers={"retry-after": "1"}) if len(there.requests) <= 5 else OK
        await broker.here.trigger("t", there.url, delivery=delivery(retry=50))
        for number in range(20):
            await broker.post(f"e-{number}")
        await eventually(lambda: len(set(there.ids[5:])) == 20, "all are delivered", within_s=30)
        for refused in there.requests[:5]:
            again = next(request for request in there.requests[5:] if request.id == refused.id)
            assert again.at - refused.at >= 1.0
        assert not await broker.here.dead_letters()


async def test_dp_18_deliveries_are_counted_for_each_trigger_and_outcome(nats: NatsServer) -> None:
    labels = of_trigger("counted", outcome="accepted")
    before = metric("scaup_delivery_attempts_total", **labels)
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.trigger("counted", there.url)
        await broker.post("e")
        await broker.settled()
    assert metric("scaup_delivery_attempts_total", **labels) == before + 1


async def test_dp_19_and_dp_24_subscribers_are_asked_for_replies_and_no_others(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink(answer(400)) as there, sink() as dead:
        await broker.here.trigger("t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        await broker.post("e")
        await eventually(lambda: dead.requests, "it is a dead letter")
        assert there.requests[0].headers["prefer"] == "reply"
        assert "prefer" not in dead.requests[0].headers


@pytest.mark.parametrize("answered", [reply("r"), structured_reply("r")], ids=["binary", "structured"])
async def test_dp_20_a_200_with_an_event_in_either_mode_is_a_reply(nats: NatsServer, answered: Reaction) -> None:
    async with a_broker(nats.url) as broker, sink(answered) as there, sink() as other:
        await broker.here.trigger("replies", there.url, attributes=ONLY)
        await broker.here.trigger("hears", other.url, attributes={"type": "a.reply"})
        await broker.post("e")
        await eventually(lambda: other.ids == ["r"], "the reply is delivered")


async def test_dp_21_a_202_without_a_body_is_no_reply_and_completes_the_delivery(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink(answer(202)) as there:
        await broker.here.trigger("t", there.url)
        await broker.post("e")
        await broker.settled()
        assert len(await broker.here.log()) == len(there.requests) == 1


@pytest.mark.parametrize("answered", [reply("r", status=202), structured_reply("r", status=202)], ids=["b", "s"])
async def test_dp_22_the_body_of_a_202_is_no_reply(nats: NatsServer, answered: Reaction) -> None:
    async with a_broker(nats.url) as broker, sink(answered) as there:
        await broker.here.trigger("t", there.url)
        await broker.post("e")
        await broker.settled()
        assert there.ids == ["e"]
        assert len(await broker.here.log()) == 1
        assert not await broker.here.dead_letters()


async def test_dp_23_a_reply_of_a_dead_letter_sink_which_was_not_asked_for_counts_as_taken_and_is_dropped(
    nats: NatsServer,
) -> None:
    async with a_broker(nats.url) as broker, sink(answer(400)) as there, sink(reply("r")) as dead:
        await broker.here.trigger("t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        await broker.post("e")
        await eventually(lambda: dead.ids == ["e"], "it is a dead letter")
        await broker.settled()
        assert len(await broker.here.log()) == 1
        assert not await broker.here.dead_letters()
