"""The data plane specification (specs/eventing/data-plane.md), row by row: DP-1 to DP-18, from the outside.

Replies, DP-19 to DP-24, are in ``test_spec_replies``. ``docs/conformance.md`` lists every row and its test.
"""

from __future__ import annotations

import asyncio
import base64

import orjson
import pytest

from tests.support.dataplane import delivery, metric, of_trigger, world
from tests.support.natsserver import NatsServer
from tests.support.rawhttp import connection
from tests.support.services import ingress_here
from tests.support.sinks import OK, RESET, Reaction, Request, answer, raw, sink
from tests.support.spec import STRUCTURED, Producer, until_quiet, whole_broker
from tests.support.waiting import eventually

AGAIN_ONCE = delivery(retry=1)


async def test_dp_1_the_http_binding_and_http_rule_what_the_document_leaves_open(nats: NatsServer) -> None:
    """data-plane.md DP-1, MUST: the CloudEvents HTTP binding 1.0 and HTTP/1.1 hold wherever the document is silent.

    Shown by what they say themselves: header values are percent-encoded, header names have no case, the content type is
    ``datacontenttype``, a body may come in chunks, and a connection takes one request after the other.
    """
    head = (
        b"POST /default/one HTTP/1.1\r\nHost: x\r\nCE-SpecVersion: 1.0\r\nCe-Id: %d\r\nce-source: /s\r\nce-type: t\r\n"
        b"ce-subject: Z%%C3%%BCrich%%20100%%25\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with whole_broker(nats.url) as here, sink() as binary, sink() as structured:
        await here.world.trigger("binary", binary.url)
        await here.world.trigger("structured", structured.url, delivery=delivery(format="json"))
        async with connection(here.producer.port) as one:
            for number in (1, 2):
                await one.write(head % number + b"3\r\none\r\n4\r\n two\r\n0\r\n\r\n")
                assert (await one.answer()).status == 202
        await until_quiet(here.world)
    assert {(r.headers["ce-subject"], r.headers["content-type"], r.body) for r in binary.requests} == {
        ("Z%C3%BCrich%20100%25", "text/plain", b"one two")
    }
    got = orjson.loads(structured.requests[0].body)
    assert (got["subject"], got["datacontenttype"], got["data"]) == ("Zürich 100%", "text/plain", "one two")


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "IRC/6.9"])
async def test_dp_2_a_wish_for_another_protocol_is_passed_over(nats: NatsServer, protocol: str) -> None:
    """data-plane.md DP-2, SHOULD: negotiation that is not understood, such as ``Upgrade``, is ignored."""
    wish = {"connection": "Upgrade", "upgrade": protocol, "http2-settings": "AAMAAABkAAQAAP__"}
    async with whole_broker(nats.url) as here, sink() as there:
        await here.world.trigger("t", there.url)
        event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
        assert (await here.producer.send("POST", event | wish, b"data")).status == 202
        await until_quiet(here.world)
    assert [request.body for request in there.requests] == [b"data"]


@pytest.mark.parametrize("data", [b'{"a": 1.0}', b"\x00\xff"], ids=["json", "bytes"])
async def test_dp_3_events_are_taken_and_sent_in_binary_and_in_structured_mode(nats: NatsServer, data: bytes) -> None:
    """data-plane.md DP-3, MUST: CloudEvents 1.0 in both modes, as a recipient and as a sender: all four ways."""
    is_json = data.startswith(b"{")
    kind = "application/json" if is_json else "application/octet-stream"
    envelope = orjson.dumps({"specversion": "1.0", "id": "s", "source": "/s", "type": "t", "datacontenttype": kind})
    member = b'"data":' + data if is_json else b'"data_base64":"' + base64.b64encode(data) + b'"'
    async with whole_broker(nats.url) as here, sink() as binary, sink() as structured:
        await here.world.trigger("binary", binary.url, delivery=delivery(format="binary"))
        await here.world.trigger("structured", structured.url, delivery=delivery(format="json"))
        assert (await here.producer.post("b", data, kind)).status == 202
        whole = envelope[:-1] + b"," + member + b"}"
        assert (await here.producer.send("POST", {"content-type": STRUCTURED}, whole)).status == 202
        await until_quiet(here.world)
    assert sorted(binary.ids) == sorted(structured.ids) == ["b", "s"]
    assert {(r.body, r.headers["content-type"], r.headers["ce-specversion"]) for r in binary.requests} == {
        (data, kind, "1.0")
    }
    for request in structured.requests:
        assert request.headers["content-type"].startswith(STRUCTURED)
        assert not any(name.startswith("ce-") for name in request.headers)
        got = orjson.loads(request.body)
        assert (got["specversion"], got["datacontenttype"]) == ("1.0", kind)
        assert (got["data"] == {"a": 1.0}) if is_json else (base64.b64decode(got["data_base64"]) == data)


async def test_dp_5_events_are_delivered_with_post(nats: NatsServer) -> None:
    """data-plane.md DP-5, MUST: a delivery is a POST, and the sender chooses the mode. Nothing else is a delivery."""
    async with whole_broker(nats.url) as here, sink() as there:
        await here.world.trigger("t", there.url)
        event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            assert (await here.producer.send(method, event)).status == 405
        assert (await here.producer.post()).status == 202
        await until_quiet(here.world)
    assert [request.line for request in there.requests] == ["POST / HTTP/1.1"]


async def test_dp_6_options_lists_post(nats: NatsServer) -> None:
    """data-plane.md DP-6, MUST: a recipient that implements OPTIONS lists POST in ``Allow``."""
    async with whole_broker(nats.url) as here:
        answered = await here.producer.send("OPTIONS", {})
    assert answered.status == 200
    assert "POST" in [method.strip() for method in answered.headers["allow"].split(",")]


async def test_dp_7_a_sink_that_knows_no_options_gets_its_events(nats: NatsServer) -> None:
    """data-plane.md DP-7, SHOULD: an error on OPTIONS does not stop the sender. Scaup does not even ask."""
    async with whole_broker(nats.url) as here, sink() as there:
        there.script = lambda request: OK if request.line.startswith("POST") else answer(405)
        await here.world.trigger("t", there.url)
        await here.producer.post()
        await until_quiet(here.world)
    assert there.ids == ["1"]


async def test_dp_8_the_status_says_whether_the_event_was_accepted(nats: NatsServer) -> None:
    """data-plane.md DP-8, MUST: what is answered 2xx is delivered, what is answered otherwise is not."""
    event = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "t"}
    async with whole_broker(nats.url) as here, sink() as there:
        await here.world.trigger("t", there.url)
        elsewhere = Producer(here.producer.port, "/default/nobody")
        answers = {
            "well": (await here.producer.post("well")).status,
            "nowhere": (await elsewhere.post("nowhere")).status,
            "no-type": (await here.producer.send("POST", event | {"ce-id": "no-type", "ce-type": ""})).status,
            "no-event": (await here.producer.send("POST", {}, b"text")).status,
            "as-json": (await here.producer.post_json("as-json")).status,
        }
        await until_quiet(here.world)
    assert answers == {"well": 202, "nowhere": 404, "no-type": 400, "no-event": 400, "as-json": 202}
    assert sorted(there.ids) == ["as-json", "well"]


async def test_dp_9_nothing_is_acknowledged_that_is_not_stored(nats: NatsServer) -> None:
    """data-plane.md DP-9, SHOULD NOT: acknowledge before the event is processed or stored. Without a store: no 2xx."""
    async with world(nats.url) as here, ingress_here(here.bus) as ingress, sink() as there:
        await here.trigger("t", there.url)
        producer = Producer(ingress.port)
        assert (await producer.post("stored")).status == 202
        assert len(await here.log()) == 1
        nats.kill()
        assert [(await producer.post(f"lost-{number}")).status for number in range(3)] == [503, 503, 503]
        await asyncio.to_thread(nats.start)
        await eventually(lambda: here.bus.is_connected, "the bus is back")
        await here.filter()
        await here.dispatcher()
        await until_quiet(here)
    assert "stored" in there.ids


COMPLETE = (200, 201, 202, 203, 204, 205, 206, 207, 226, 299)
FINAL = (300, 301, 302, 303, 304, 305, 307, 308, 399, 400, 401, 402, 403, 405, 406, 407, 410, 411, 412, 413, 414, 415,
         416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 431, 451, 499)  # fmt: skip
RETRIED = (404, 408, 409, 429, 500, 501, 502, 503, 504, 505, 507, 508, 511, 599)


async def attempts_by_status(nats: NatsServer, statuses: tuple[int, ...]) -> tuple[dict[int, int], set[int]]:
    """One Trigger a status, one retry: how often each sink was asked, and which events became dead letters."""
    async with whole_broker(nats.url) as here, sink() as there:
        moved = {"location": there.url + "moved"}
        there.script = lambda request: answer(int(request.path[1:]), b"", moved)
        for status in statuses:
            await here.world.trigger(f"s{status}", f"{there.url}{status}", delivery=AGAIN_ONCE)
        assert (await here.producer.post()).status == 202
        await until_quiet(here.world)
        asked = [request.path[1:] for request in there.requests]
        assert "moved" not in asked
        dead = {int(str(letter.trigger)[1:]) for letter in await here.world.dead_letters()}
        return {status: asked.count(str(status)) for status in statuses}, dead


@pytest.mark.parametrize(
    ("statuses", "attempts", "are_dead"),
    [(COMPLETE, 1, False), (FINAL, 1, True), (RETRIED, 2, True)],
    ids=["2xx is complete", "3xx and most 4xx are final", "404, 408, 409, 429 and 5xx are tried again"],
)
async def test_dp_10_the_sender_acts_on_the_table_of_status_codes(
    nats: NatsServer, statuses: tuple[int, ...], attempts: int, are_dead: bool
) -> None:
    """data-plane.md DP-10, MUST: complete, final or to be tried again, by the table. Redirects are not followed."""
    asked, dead = await attempts_by_status(nats, statuses)
    assert asked == dict.fromkeys(statuses, attempts)
    assert dead == (set(statuses) if are_dead else set())


async def test_dp_10_a_switch_of_protocols_nobody_asked_for_is_final(nats: NatsServer) -> None:
    """data-plane.md DP-10, MUST: 1xx as the answer is a final failure; 101 is the one that ends an exchange."""
    switch = raw(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", end="hang")
    async with whole_broker(nats.url) as here, sink(switch) as there:
        await here.world.trigger("t", there.url, delivery=delivery(retry=2))
        await here.producer.post()
        [letter] = await here.world.dead_letters(1)
        await until_quiet(here.world)
    assert (len(there.requests), letter.facts.status) == (1, 101)


async def test_dp_10_an_interim_answer_is_none_and_the_one_that_follows_counts(nats: NatsServer) -> None:
    """data-plane.md DP-10 with RFC 9110 15.2: 100, 102 and 103 only announce the answer."""
    interim = b"".join(b"HTTP/1.1 %d X\r\n\r\n" % status for status in (100, 102, 103))
    well = raw(interim + b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n")
    refused = raw(interim + b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n")
    async with whole_broker(nats.url) as here, sink(refused, well) as there:
        await here.world.trigger("t", there.url)
        await here.producer.post()
        await until_quiet(here.world)
        assert not await here.world.dead_letters()
    assert len(there.requests) == 2


async def test_dp_11_a_status_of_no_row_is_tried_again(nats: NatsServer) -> None:
    """data-plane.md DP-11, SHOULD: codes that the table does not know are retriable."""
    asked, dead = await attempts_by_status(nats, (600, 700, 999))
    assert asked == {600: 2, 700: 2, 999: 2}
    assert dead == {600, 700, 999}


async def test_dp_12_duplicates_are_accepted(nats: NatsServer) -> None:
    """data-plane.md DP-12, MUST: an event that comes again is accepted. Scaup does not look whether it did."""
    async with whole_broker(nats.url) as here, sink() as there:
        await here.world.trigger("t", there.url)
        assert [(await here.producer.post("same", b"data")).status for _ in range(3)] == [202, 202, 202]
        await until_quiet(here.world)
    assert there.ids == ["same"] * 3


async def test_dp_13_only_source_and_id_together_make_a_duplicate(nats: NatsServer) -> None:
    """data-plane.md DP-13, MUST: who detects duplicates does so by source and id; half of it is another event."""
    async with whole_broker(nats.url) as here, sink() as there:
        await here.world.trigger("t", there.url)
        events = [("1", "/a"), ("1", "/b"), ("2", "/a"), ("2", "/b")]
        for event_id, source in events:
            assert (await here.producer.post(event_id, source=source)).status == 202
        await until_quiet(here.world)
    assert sorted((r.headers["ce-id"], r.headers["ce-source"]) for r in there.requests) == events


async def test_dp_14_every_attempt_of_an_event_carries_the_same(nats: NatsServer) -> None:
    """data-plane.md DP-14, MAY: attributes may change between attempts. Scaup's attempts are all alike."""
    async with whole_broker(nats.url) as here, sink(answer(503), RESET, answer(404), OK) as there:
        await here.world.trigger("t", there.url)
        await here.producer.post(data=b"data", subject="s", myextension="x", time="2026-01-01T00:00:00.100Z")
        await until_quiet(here.world)
    assert len(there.requests) == 4
    assert all((r.headers, r.body) == (there.requests[0].headers, b"data") for r in there.requests)


@pytest.mark.parametrize(
    "failure",
    [answer(404), answer(408), answer(409), answer(429), answer(500), answer(503), RESET, raw(b"", end="close")],
    ids=["404", "408", "409", "429", "500", "503", "reset", "closed"],
)
async def test_dp_15_what_may_be_tried_again_is_until_it_is_taken(nats: NatsServer, failure: Reaction) -> None:
    """data-plane.md DP-15, SHOULD: a retryable answer, or none, is followed by another attempt."""
    async with whole_broker(nats.url) as here, sink(failure, failure, OK) as there:
        await here.world.trigger("t", there.url)
        await here.producer.post()
        await until_quiet(here.world)
        assert not await here.world.dead_letters()
    assert [request.id for request in there.requests][-1] == "1"
    assert len(there.requests) >= 3  # a closed connection may be asked once more on a fresh one


async def test_dp_16_the_sender_backs_off_and_throttles(nats: NatsServer) -> None:
    """data-plane.md DP-16, RECOMMENDED: retries wait, and no sink gets more at a time than a bound."""
    slow = answer(202, delay_s=0.05)
    async with whole_broker(nats.url, {"max_in_flight": 4}) as here, sink(slow) as there, sink(answer(503)) as busy:
        await here.world.trigger("t", there.url)
        patient = delivery(retry=2, backoff_delay_s=0.3)
        await here.world.trigger("busy", busy.url, delivery=patient, attributes={"n": "1"})
        await here.producer.post(n="1")
        await asyncio.gather(*(here.producer.post(str(number)) for number in range(40)))
        await until_quiet(here.world)
    assert len(there.requests) == 41
    assert there.connections <= 4
    first, second, third = (request.at for request in busy.requests)
    assert min(second - first, third - second) >= 0.3


async def test_dp_17_a_sink_that_has_too_much_gets_everything_in_the_end(nats: NatsServer) -> None:
    """data-plane.md DP-17, MUST: Brokers implement congestion control and retries: here towards an overloaded sink."""
    refusals = [answer(429)] * 20
    async with whole_broker(nats.url) as here, sink() as there:
        there.script = lambda _request: refusals.pop() if refusals else OK
        await here.world.trigger("t", there.url, delivery=delivery(retry=30))
        await asyncio.gather(*(here.producer.post(str(number)) for number in range(30)))
        await until_quiet(here.world, within_s=20)
        assert not await here.world.dead_letters()
    assert set(there.ids) == {str(number) for number in range(30)}
    assert len(there.ids) == 50


async def test_dp_17_a_broker_that_has_too_much_says_so_and_when_to_come_again(nats: NatsServer) -> None:
    """data-plane.md DP-17, MUST: congestion control towards producers: 507, or 429, with Retry-After, and no loss."""
    async with world(nats.url, log_max_bytes=100_000) as here, ingress_here(here.bus) as ingress, sink() as there:
        await here.trigger("t", there.url)
        producer = Producer(ingress.port)
        answers = [await producer.post(str(number), b"x" * 8_000) for number in range(16)]
        accepted = [str(number) for number, got in enumerate(answers) if got.status == 202]
        refused = [got for got in answers if got.status != 202]
        assert refused
        assert {(got.status, got.headers["retry-after"]) for got in refused} == {(507, "5")}
        await here.filter()
        await here.dispatcher()
        await until_quiet(here)
    assert sorted(there.ids) == sorted(accepted)


async def test_dp_18_how_deliveries_go_is_shown(nats: NatsServer) -> None:
    """data-plane.md DP-18, SHOULD: delivery telemetry for users: attempts by outcome, and what became a dead letter."""

    def counted() -> list[float]:
        attempts = "scaup_delivery_attempts_total"
        outcomes = [metric(attempts, **of_trigger("dp18", outcome=outcome)) for outcome in ("accepted", "refused")]
        return [*outcomes, metric("scaup_dead_lettered_events_total", **of_trigger("dp18", to="kept"))]

    async with whole_broker(nats.url) as here, sink() as there:

        def script(request: Request) -> Reaction:
            return answer(500) if request.id == "bad" else OK

        there.script = script
        before = counted()
        await here.world.trigger("dp18", there.url, delivery=delivery(retry=2))
        await here.producer.post("good")
        await here.producer.post("bad")
        await until_quiet(here.world)
        assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 3, 1]
