"""The ingress over real sockets with a real event log: Knative's decision table, and what is better than it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.codec import stored
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.event import ARRIVAL_TIME, HOPS, Event
from tests.support.events import REQUIRED, a_broker, an_event
from tests.support.natsserver import NatsServer
from tests.support.rawhttp import BINARY, Answer, connection, post, send
from tests.support.services import define, entries, ingress_here
from tests.support.sinks import sink
from tests.support.spec import whole_broker
from tests.support.waiting import eventually

BROKER = a_broker()
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


def as_json(**changes: Any) -> bytes:
    return json.dumps(REQUIRED | changes).encode()


async def stored_events(bus: Bus, broker: BrokerDefinition = BROKER) -> list[Event]:
    return [stored.from_headers(entry.headers or {}, entry.data) for entry in await entries(bus, broker.uid)]


def assert_problem(answer: Answer) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status
    assert problem["detail"]


async def test_knatives_decision_table(nats: NatsServer) -> None:
    """I0-I14, E1-E12 and IT1-IT13, each row a request of its own on one connection."""
    valid = as_json()
    rows: list[tuple[str, str, str, dict[str, str], bytes, int]] = [
        ("I2/IT1", "PATCH", "/default/one", STRUCTURED, valid, 405),
        ("IT2", "PUT", "/default/one", STRUCTURED, valid, 405),
        ("IT3", "DELETE", "/default/one", {}, b"", 405),
        ("IT4", "GET", "/default/one", {}, b"", 405),
        ("HEAD", "HEAD", "/default/one", {}, b"", 405),
        ("IT6", "POST", "/default/one", STRUCTURED, valid, 202),
        ("IT7", "POST", "/default/one/", STRUCTURED, valid, 202),
        ("a query is no part of the name", "POST", "/default/one?x=1", STRUCTURED, valid, 202),
        ("I3/IT13", "POST", "/", STRUCTURED, valid, 404),
        ("I4", "POST", "/default", STRUCTURED, valid, 400),
        ("I4/IT10", "POST", "/knative/default/one", STRUCTURED, valid, 400),
        ("I4", "POST", "/default/one//", STRUCTURED, valid, 400),
        ("I4", "POST", "/default/o%2Fne", STRUCTURED, valid, 400),
        ("I6/IT11", "POST", "/default/one", {}, b"not an event", 400),
        ("I6", "POST", "/default/one", STRUCTURED, b"not an event", 400),
        ("I7/IT8", "POST", "/default/one", STRUCTURED, b'{"specversion":"1.0","type":"t"}', 400),
        ("I8", "POST", "/default/other", STRUCTURED, valid, 404),
        ("I8", "POST", "/other/one", STRUCTURED, valid, 404),
        ("I8", "POST", "/default/other", STRUCTURED, b"{}", 400),
        ("I11", "POST", "/default/one", BINARY | {"ce-knativebrokerttl": "1"}, b"", 400),
        ("E1", "POST", "/default/one", STRUCTURED | {"ce-id": "", "ce-specversion": "9"}, valid, 202),
        ("E2: batches are taken", "POST", "/default/one", BATCH, b"[" + valid + b"]", 202),
        ("E3", "POST", "/default/one", BINARY, b"", 202),
        ("E3: 0.3 is taken", "POST", "/default/one", BINARY | {"ce-specversion": "0.3"}, b"", 202),
        ("E4", "POST", "/default/one", {"content-type": "application/json"}, valid, 400),
        ("E5", "POST", "/default/one", BINARY | {"ce-specversion": "19.0"}, b"", 400),
        ("E6", "POST", "/default/one", BINARY | {"ce-id": ""}, b"", 400),
        ("E6", "POST", "/default/one", BINARY | {"ce-type": "%20"}, b"", 400),
        ("E7", "POST", "/default/one", BINARY | {"content-type": "json"}, b"", 400),
        ("E8", "POST", "/default/one", BINARY | {"ce-dataschema": "/relative"}, b"", 400),
        ("E9", "POST", "/default/one", BINARY | {"ce-my-ext": "x"}, b"", 400),
        ("E9", "POST", "/default/one", BINARY | {"CE-MyExt": "x"}, b"", 202),
        ("E11", "POST", "/default/one", STRUCTURED, as_json(datacontenttype="text/xml", data={}), 400),
        ("E12", "POST", "/default/one", BINARY | {"ce-subject": ""}, b"", 202),
        ("unknown format", "POST", "/default/one", {"content-type": "application/cloudevents+avro"}, valid, 400),
    ]
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress, connection(ingress.port) as one:
            for row, method, path, headers, body, status in rows:
                answer = await one.request(method, path, headers, body)
                assert (row, answer.status) == (row, status)
                assert answer.headers["allow"] == "POST, OPTIONS", row
                assert "retry-after" not in answer.headers, row
                if status == 202:
                    assert answer.body == b"", row
                elif method != "HEAD":
                    assert_problem(answer)
        accepted = sum(1 for *_, status in rows if status == 202)
        found = await stored_events(bus)
        assert len(found) == accepted
        assert found[3].attributes.keys() == {*REQUIRED, HOPS, ARRIVAL_TIME}
        assert [event.attributes["myext"] for event in found if "myext" in event.attributes] == ["x"]


@pytest.mark.parametrize("path", ["/default/one", "/nobody/knows", "/", "/a/b/c"])
async def test_the_webhook_handshake_is_granted_on_any_path(nats: NatsServer, path: str) -> None:
    """I1, IT5."""
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus)
        async with ingress_here(bus) as ingress:
            answer = await send(ingress.port, "OPTIONS", path, {"webhook-request-origin": "x"})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["webhook-allowed-origin"] == "*"
    assert answer.headers["webhook-allowed-rate"] == "*"
    assert answer.headers["allow"] == "POST, OPTIONS"


async def test_an_event_is_stored_byte_for_byte_with_what_the_broker_adds(nats: NatsServer) -> None:
    """2.3 and E14, in all three modes."""
    odd = bytes(range(256))
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress:
            await post(ingress.port, body=odd, content_type="application/x-thrift", ce_subject="Zo%C3%AB 100%")
            await post(ingress.port, body=odd, ce_knativearrivaltime="2001-01-01T00:00:00Z", ce_knativebrokerttl="2")
            body = as_json(n=5, yes=True)[:-1] + b', "data": [1.0, 1e400] }'
            await send(ingress.port, "POST", "/default/one", STRUCTURED, body)
            answer = await send(
                ingress.port, "POST", "/default/one", BATCH, b"[" + as_json(id="a") + b"," + as_json(id="b") + b"]"
            )
            assert answer.status == 202
        found = await stored_events(bus)
    arrivals = [event.attributes.pop(ARRIVAL_TIME) for event in found]
    hops = [event.attributes.pop(HOPS) for event in found]
    assert all(arrival.endswith("Z") and arrival > "2026" for arrival in arrivals)
    assert hops == ["255", "1", "255", "255", "255"]
    assert found == [
        an_event(odd, datacontenttype="application/x-thrift", subject="Zoë 100%"),
        an_event(odd),
        an_event(b"[1.0, 1e400]", n="5", yes="true", datacontenttype="application/json"),
        an_event(id="a"),
        an_event(id="b"),
    ]


@pytest.mark.parametrize(
    ("given", "left"), [(None, "255"), ("x", "255"), ("255", "254"), ("2", "1"), ("1", None), ("0", None), ("-1", None)]
)
async def test_the_hop_limit_is_kept(nats: NatsServer, given: str | None, left: str | None) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress:
            answer = await post(ingress.port, ce_knativebrokerttl=given or "")
        found = [event.attributes[HOPS] for event in await stored_events(bus)]
    if left is None:
        assert (answer.status, answer.json()["title"], found) == (400, "event.hop-limit", [])
    else:
        assert (answer.status, found) == (202, [left])


async def test_headers_that_travel_keep_their_bytes_and_all_their_values(nats: NatsServer) -> None:
    """What is no UTF-8 is Latin-1; several of a name are one with all values (RFC 9110, 5.3)."""
    head = "".join(f"{name}: {value}\r\n" for name, value in BINARY.items()).encode()
    sent = b"Knative-Foo: Zo\xc3\xab\r\nknative-foo: 2\r\nX-Request-Id: caf\xe9\r\nX-B3-Sampled: \r\n"
    request = b"POST /default/one HTTP/1.1\r\nhost: x\r\n" + head + sent + b"content-length: 0\r\n\r\n"
    async with whole_broker(nats.url) as here, sink() as there:
        await here.world.trigger("t", there.url)
        async with connection(here.producer.port) as one:
            await one.write(request)
            assert (await one.answer()).status == 202
        await eventually(lambda: there.requests, "it arrives")
    found = {name: value.encode("latin-1").decode() for name, value in there.requests[0].headers.items()}
    passed = {name: value for name, value in found.items() if name.startswith(("knative-", "x-"))}
    assert passed == {"knative-foo": "Zo\u00eb, 2", "x-request-id": "caf\u00e9", "x-b3-sampled": ""}


async def test_a_cookie_or_a_token_is_never_stored(nats: NatsServer) -> None:
    secrets = ("Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-Forwarded-For")
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress:
            answer = await send(ingress.port, "POST", "/default/one", BINARY | dict.fromkeys(secrets, "s3cret"))
            assert answer.status == 202
        [entry] = await entries(bus, BROKER.uid)
    assert "s3cret" not in str(entry.headers)


async def test_only_the_listed_headers_are_passed_on(nats: NatsServer) -> None:
    """2.4, IT14."""
    sent = {
        "foo": "1", "Traceparent": "2", "Authorization": "3", "Nats-Msg-Id": "4", "KV-Operation": "5", "Prefer": "6",
        "Knative-Foo": "7", "X-B3-Foo": "8", "X-Request-Id": "9", "Retry-After": "10",
    }  # fmt: skip
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress:
            for _ in range(2):
                assert (await send(ingress.port, "POST", "/default/one", BINARY | sent)).status == 202
        first, second = await entries(bus, BROKER.uid)
    passed = {name: value for name, value in (first.headers or {}).items() if not name.startswith("ce-")}
    assert passed == {"knative-foo": "7", "x-b3-foo": "8", "x-request-id": "9", "retry-after": "10"}
    assert second.headers


async def test_a_batch_is_stored_whole_or_not_at_all(nats: NatsServer) -> None:
    good, bad, looping = as_json(id="a"), as_json(id=""), as_json(knativebrokerttl="1")
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress, connection(ingress.port) as one:
            for body, status in [(b"[%b,%b]" % (good, bad), 400), (b"[%b,%b]" % (good, looping), 400), (b"[]", 202)]:
                assert (await one.request("POST", "/default/one", BATCH, body)).status == status
            assert await stored_events(bus) == []
            body = b"[" + b",".join(as_json(id=str(i)) for i in range(500)) + b"]"
            assert (await one.request("POST", "/default/one", BATCH, body)).status == 202
        assert [event.id for event in await stored_events(bus)] == [str(i) for i in range(500)]


async def test_two_hundred_and_two_means_that_the_log_has_it(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress, connection(ingress.port) as one:
            for number in range(20):
                assert (await one.request("POST", "/default/one", BINARY | {"ce-id": str(number)})).status == 202
                assert len(await entries(bus, BROKER.uid)) == number + 1


async def test_health_is_answered_on_the_same_port(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus)
        async with ingress_here(bus) as ingress:
            assert (await send(ingress.port, "GET", "/healthz")).status == 200
            assert (await send(ingress.port, "GET", "/readyz")).json() == {"ready": True, "problems": {}}
            assert (await send(ingress.port, "POST", "/healthz", BINARY)).status == 400


async def test_pipelined_requests_are_answered_in_order(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress, connection(ingress.port) as one:
            head = "".join(f"{name}: {value}\r\n" for name, value in BINARY.items())
            request = f"POST /default/one HTTP/1.1\r\nhost: x\r\n{head}content-length: 1\r\n\r\nx".encode()
            await one.write(request + request.replace(b"/one", b"/two") + request)
            assert [(await one.answer()).status for _ in range(3)] == [202, 404, 202]


async def test_a_request_without_host_is_refused_where_http_asks_for_one(nats: NatsServer) -> None:
    """RFC 9112, 3.2: a MUST for HTTP/1.1; HTTP/1.0 knows no Host."""
    head = "".join(f"{name}: {value}\r\n" for name, value in BINARY.items()) + "content-length: 0\r\n\r\n"
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress:
            for version, status in (("HTTP/1.1", 400), ("HTTP/1.0", 202)):
                async with connection(ingress.port) as one:
                    await one.write(f"POST /default/one {version}\r\n{head}".encode())
                    answer = await one.answer()
                assert (version, answer.status) == (version, status)
                if status == 400:
                    assert "Host" in answer.json()["detail"]


async def test_space_and_tabs_around_a_value_are_no_part_of_it(nats: NatsServer) -> None:
    """RFC 9112, 5.1."""
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with ingress_here(bus) as ingress:
            answer = await send(ingress.port, "POST", "/default/one", BINARY | {"ce-subject": " \ta b \t "})
        assert answer.status == 202
        assert [event.attributes["subject"] for event in await stored_events(bus)] == ["a b"]
