"""Requests as HTTP lets them be: chunks, kept connections, slow bodies; methods, paths, and the webhook's question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from scaup.conformance.checks.registry import Needs, check
from scaup.conformance.event import binary, id_of
from scaup.conformance.place import Place, structured_headers
from scaup.conformance.wire import PATIENCE_S, Address, Answer, Headers, Request, WireError, chunked, with_length

_ORIGIN: Final = ("WebHook-Request-Origin", "conformance.example.com")


async def _whole(
    at: Place, data: bytes, *, change: Callable[[Headers], Headers] = list, version: str = "HTTP/1.1"
) -> str:
    """Post the event of a request that is made by hand; its id, once it was accepted."""
    event = at.event()
    address = at.ground.broker
    headers = change([("Host", address.authority), *binary(event)])
    async with at.connection() as one:
        request = Request("POST", address.target, headers, data, version)
        await one.write(request.bytes)
        at.note("sent", request)
        found = await one.answer()
        at.note("answered", found)
    at.need(found.accepted, f"a valid event is answered with {found.status}")
    return event["id"]


async def _carries(at: Place, event_id: str, data: bytes) -> None:
    request = await at.observed(event_id)
    at.need(request is None or request.body == data, "the data is not what was sent")


@check("HB-25", "DP-1", needs=Needs.BROKER)
async def a_chunked_body_is_read(at: Place) -> None:
    """Its parts are one body."""
    body = chunked(b"one", b" and ", b"two" * 500)
    event_id = await _whole(at, body, change=lambda headers: [*headers, ("Transfer-Encoding", "chunked")])
    await _carries(at, event_id, b"one and " + b"two" * 500)


@check("HB-26", needs=Needs.BROKER)
async def who_waits_for_a_hundred_gets_one(at: Place) -> None:
    """The body is sent only when the broker says so (or has answered for good)."""
    event, address = at.event(), at.ground.broker
    headers = with_length([*binary(event), ("Expect", "100-continue")], b"data", address.authority)
    async with at.connection() as one:
        await one.write(Request("POST", address.target, headers).head)
        status = await one.interim()
        at.need(status == 100, f"Expect: 100-continue is answered with {status}")
        await one.write(b"data")
        found = await one.answer()
    at.need(found.accepted, f"a valid event is answered with {found.status}")


@check("HB-27", "DP-1", needs=Needs.BROKER)
async def a_connection_is_kept(at: Place) -> None:
    """Five events, one after the other, on one connection."""
    address = at.ground.broker
    async with at.connection() as one:
        for number in range(5):
            headers = with_length(binary(at.event()), b"x", address.authority)
            await one.write(Request("POST", address.target, headers, b"x").bytes)
            found = await one.answer()
            at.need(found.accepted, f"event {number + 1} of a connection is answered with {found.status}")


@check("HB-37", needs=Needs.BROKER)
async def pipelined_requests_are_answered_in_order(at: Place) -> None:
    """The second is wrong, and it is the second answer that says so."""
    address = at.ground.broker
    good = Request("POST", address.target, with_length(binary(at.event()), b"x", address.authority), b"x").bytes
    bad = Request("POST", address.target, with_length([("ce-specversion", "1.0")], b"", address.authority)).bytes
    async with at.connection() as one:
        await one.write(good + bad + good)
        statuses = [(await one.answer()).status for _ in range(3)]
    at.note("answered", statuses)
    fits = [200 <= statuses[0] < 300, 400 <= statuses[1] < 500, 200 <= statuses[2] < 300]
    at.need(all(fits), f"good, bad, good are answered with {statuses}")


@check("HB-28", needs=Needs.BROKER)
async def half_a_body_is_no_event(at: Place) -> None:
    """The sender goes away before its body is complete."""
    event, address = at.event(), at.ground.broker
    headers = [("Host", address.authority), *binary(event), ("Content-Length", "100")]
    async with at.connection() as one:
        await one.write(Request("POST", address.target, headers, b"half").bytes)
        one.end()
        try:
            found = await one.answer(within_s=3)
            at.need(not found.accepted, f"half a body is answered with {found.status}")
        except WireError:
            pass  # a connection that is closed is an answer too
    await at.settle()
    observer = at.ground.observers.get("binary")
    came = observer is not None and any(id_of(request) == event["id"] for request in observer.requests)
    at.need(not came, "half a body is sent on as an event")


@check("HB-29", needs=Needs.BROKER)
async def lengths_that_contradict_are_not_believed(at: Place) -> None:
    """Two lengths are refused. A length beside chunks is too, or the chunks count; and the connection is closed."""
    event, address = at.event(), at.ground.broker
    head = [("Host", address.authority), *binary(event)]
    statuses = await _statuses(
        at, Request("POST", address.target, [*head, ("Content-Length", "1"), ("Content-Length", "2")], b"ab")
    )
    at.need(all(status >= 400 for status in statuses), f"two lengths are answered with {statuses}")
    both = [*head, ("Content-Length", "4"), ("Transfer-Encoding", "chunked")]
    hidden = Request("POST", address.target, with_length(binary(at.event()), b"", address.authority)).bytes
    statuses = await _statuses(at, Request("POST", address.target, both, b"0\r\n\r\n" + hidden))
    at.need(len(statuses) <= 1, f"after a length beside chunks the connection goes on: {statuses}")
    at.need(all(status < 500 for status in statuses), f"a length beside chunks is answered with {statuses}")


async def _statuses(at: Place, request: Request) -> list[int]:
    """The statuses of all answers until the connection is closed, or nothing comes."""
    found: list[int] = []
    async with at.connection() as one:
        await one.write(request.bytes)
        try:
            while len(found) < 5:
                found.append((await one.answer(within_s=1 if found else PATIENCE_S)).status)
        except WireError:
            pass
    at.note("sent", request)
    at.note("answered", found)
    return found


@check("HB-30", needs=Needs.BROKER)
async def http_1_0_is_understood(at: Place) -> None:
    """A client of the older protocol, which closes after each request."""
    event_id = await _whole(at, b"data", change=lambda headers: [*headers, ("Content-Length", "4")], version="HTTP/1.0")
    await _carries(at, event_id, b"data")


@check("HB-31", needs=Needs.BROKER)
async def a_request_without_host_is_refused(at: Place) -> None:
    """HTTP/1.1 has it as a MUST, and names the status."""
    request = Request("POST", at.ground.broker.target, [*binary(at.event()), ("Content-Length", "0")])
    statuses = await _statuses(at, request)
    at.need(statuses[:1] == [400], f"a request without Host is answered with {statuses}")


@check("HB-32", needs=Needs.BROKER)
async def space_around_a_value_is_no_part_of_it(at: Place) -> None:
    """Spaces and tabs before and behind."""
    event = at.event(subject="  \ts \t ")
    found = await at.post(event)
    at.need(found.accepted, f"a valid event is answered with {found.status}")
    request = await at.observed(event["id"])
    at.need(request is None or request.header("ce-subject") == "s", "the space has become part of the value")


@check("HB-34", needs=Needs.BROKER)
async def a_slow_body_is_taken(at: Place) -> None:
    """Eight bytes, one every sixth of a second."""
    event, address = at.event(), at.ground.broker
    headers = [("Host", address.authority), *binary(event), ("Content-Length", "8")]
    async with at.connection() as one:
        await one.write(Request("POST", address.target, headers).head)
        for number in range(8):
            await asyncio.sleep(1 / 6)
            await one.write(b"%d" % number)
        found = await one.answer()
    at.need(found.accepted, f"a slow body is answered with {found.status}")
    await _carries(at, event["id"], b"01234567")


@check("HB-35", needs=Needs.BROKER)
async def a_broken_request_ends_no_other(at: Place) -> None:
    """After nonsense on one connection the next one is served."""
    async with at.connection() as one:
        await one.write(b"\x00\x01 nonsense\r\n\r\n")
        try:
            found = await one.answer(within_s=3)
            at.need(400 <= found.status < 600, f"nonsense is answered with {found.status}")
        except WireError:
            pass
    await at.take(at.event())


@check("DP-2", needs=Needs.BROKER)
async def a_wish_for_another_protocol_is_passed_over(at: Place) -> None:
    """Upgrade is a wish, and the event is an event."""
    wish = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    await at.take(at.event(), b"data", headers=wish)


@check("DP-6", "WH-14", "WH-18", needs=Needs.BROKER)
async def options_lists_post(at: Place) -> None:
    """Where OPTIONS is known at all."""
    found = await at.send([_ORIGIN], method="OPTIONS")
    if found.accepted:
        at.need("POST" in (found.header("allow") or ""), f"Allow is {found.header('allow')!r}")
    else:
        at.need(found.status in {405, 501, 404}, f"OPTIONS is answered with {found.status}")


@check("WH-13", needs=Needs.BROKER)
async def the_question_for_leave_is_answered(at: Place) -> None:
    """With a grant: without one, senders of the webhook may not send."""
    found = await at.send([_ORIGIN], method="OPTIONS")
    at.need(found.accepted, f"OPTIONS is answered with {found.status}")
    at.need(found.header("webhook-allowed-origin") is not None, "no origin is granted")


@check("WH-15", "WH-16", "WH-17", needs=Needs.BROKER)
async def a_grant_names_origin_and_rate(at: Place) -> None:
    """A grant that names no origin is none, and one for a rate names a rate."""
    found = await at.send([_ORIGIN, ("WebHook-Request-Rate", "120")], method="OPTIONS")
    origin = found.header("webhook-allowed-origin")
    if origin is None:
        at.need(found.status in {405, 501, 404}, f"a {found.status} without a grant")
        return
    at.need(origin in {"*", _ORIGIN[1]}, f"WebHook-Allowed-Origin is {origin!r}")
    rate = found.header("webhook-allowed-rate") or ""
    at.need(rate == "*" or (rate.isdigit() and int(rate) > 0), f"WebHook-Allowed-Rate is {rate!r}")


@check("DP-8", "WH-4", needs=Needs.BROKER)
async def the_status_says_whether_the_event_was_accepted(at: Place) -> None:
    """A 2xx of the few there are, a 4xx for what is none; and it is true."""
    good, bad = at.event(), at.event(specversion="19")
    found = await at.post(good)
    at.need(found.status in {200, 201, 202, 204}, f"a valid event is answered with {found.status}")
    refused = await at.post(bad)
    at.need(400 <= refused.status < 500, f"what is no valid event is answered with {refused.status}")
    observer = at.ground.observers.get("binary")
    if observer is not None:
        await at.arrived(observer, good["id"])
        await at.settle()
        at.times(observer, bad["id"], 0)


@check("WH-6", needs=Needs.BROKER)
async def what_is_stored_and_not_yet_processed_is_a_202(at: Place) -> None:
    """The answer says so."""
    found = await at.post(at.event())
    at.need(found.status == 202, f"a valid event is answered with {found.status}")


@check("WH-5", "WH-7", needs=Needs.BROKER)
async def no_answer_is_a_redirect_or_lacks_its_type(at: Place) -> None:
    """Neither of a good event nor of a bad one, nor of the same path with a slash."""
    address = at.ground.broker
    slash = Address(address.host, address.port, address.target + "/", address.tls)
    answers: list[Answer] = [
        await at.post(at.event()),
        await at.post({"specversion": "1.0"}),
        await at.post(at.event(), to=slash),
    ]
    for found in answers:
        at.need(not 300 <= found.status < 400, f"a target answers with {found.status}")
        at.need(found.status != 200 or not found.body or found.header("content-type") is not None, "no Content-Type")


@check("WH-12", "CP-44", needs=Needs.BROKER)
async def what_is_malformed_is_refused(at: Place) -> None:
    """No event at all, an event cut short, and a format nobody knows."""
    for headers, body in (
        ([("Content-Type", "text/plain")], b"not an event"),
        (structured_headers(), b'{"specversion": "1.0"'),
        (structured_headers(), b""),
        ([("Content-Type", "application/cloudevents+x-odd")], b"odd"),
    ):
        found = await at.send(list(headers), body)
        at.need(found.status in {400, 415}, f"{body!r} is answered with {found.status}")


@check("DP-12", needs=Needs.BROKER)
async def duplicates_are_accepted(at: Place) -> None:
    """An event that comes again is no mistake of its sender."""
    event = at.event()
    for _ in range(3):
        await at.take(event)


@check("DP-13")
async def only_source_and_id_together_make_a_duplicate(at: Place) -> None:
    """Equal ids of two sources are two events."""
    event = at.event()
    await at.take(event)
    await at.take({**event, "source": "/another"})
    observer = at.ground.observers["binary"]
    came = await at.arrived(observer, event["id"], 2)
    at.need({request.header("ce-source") for request in came} >= {event["source"], "/another"}, "one of them is lost")


@check("KE-11", needs=Needs.BROKER)
async def a_slash_behind_the_address_changes_nothing(at: Place) -> None:
    """As people write addresses."""
    address = at.ground.broker
    await at.take(at.event(), to=Address(address.host, address.port, address.target + "/", address.tls))


@check("KE-12", needs=Needs.BROKER)
async def other_methods_are_a_405(at: Place) -> None:
    """GET, PUT, PATCH, DELETE."""
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        found = await at.send(binary(at.event()), method=method)
        at.need(found.status == 405, f"{method} is answered with {found.status}")


@check("KE-13", needs=Needs.BROKER)
async def the_root_is_a_404(at: Place) -> None:
    """There is no Broker without a name."""
    address = at.ground.broker
    found = await at.post(at.event(), to=Address(address.host, address.port, "/", address.tls))
    at.need(found.status == 404, f"/ is answered with {found.status}")


@check("KE-14", needs=Needs.BROKER)
async def a_broker_that_is_not_there_is_a_404(at: Place) -> None:
    """A Broker of another name beside the one that is there."""
    address = at.ground.broker
    target = address.target.rstrip("/") + "-that-is-not-there"
    found = await at.post(at.event(), to=Address(address.host, address.port, target, address.tls))
    at.need(found.status == 404, f"{target} is answered with {found.status}")


@check("KE-9", "KE-10")
async def some_headers_travel_and_credentials_do_not(at: Place) -> None:
    """The list of Knative's Broker."""
    travel = {"X-Request-Id": "r-1", "Knative-Foo": "k", "X-B3-Foo": "b", "Retry-After": "7"}
    sent = {**travel, "Authorization": "Bearer secret"}
    event_id = await at.take(at.event(), headers=sent.items())
    found = await at.observed(event_id)
    assert found is not None  # noqa: S101 - with an API there are observers
    for name, value in travel.items():
        at.need(found.header(name) == value, f"{name} is sent on as {found.header(name)!r}")
    at.need("secret" not in (found.header("authorization") or ""), "Authorization is sent on")


@check("KE-26")
async def no_other_headers_travel(at: Place) -> None:
    """Not what the producer asked of the broker, nor what only the broker should know."""
    sent = {"Prefer": "handling=strict", "Cookie": "c=secret", "Proxy-Authorization": "Basic secret", "Foo": "secret"}
    found = await at.observed(await at.take(at.event(), headers=sent.items()))
    assert found is not None  # noqa: S101 - with an API there are observers
    came = {name: value for name, value in found.headers if value in sent.values()}
    at.need(not came, f"sent on are {came}")


@check("KE-27")
async def a_header_that_travels_keeps_its_bytes(at: Place) -> None:
    """UTF-8, and two values of one name in their order."""
    name = "Knative-Foo"
    sent = [(name, "Zo\u00eb".encode().decode("latin-1")), (name, "2")]
    found = await at.observed(await at.take(at.event(), headers=sent))
    assert found is not None  # noqa: S101 - with an API there are observers
    values = [value for key, value in found.headers if key.lower() == name.lower()]
    parts = [part.strip() for value in values for part in value.split(",")]
    at.need(parts == [value for _, value in sent], f"{name} is sent on as {values!r}")


@check("KE-28", needs=Needs.BROKER)
async def options_is_answered_anywhere_and_takes_no_event(at: Place) -> None:
    """Of a Broker that is not there too, and with an event in the request."""
    address = at.ground.broker
    nowhere = Address(address.host, address.port, address.target.rstrip("/") + "-that-is-not-there", address.tls)
    event = at.event()
    for found in (
        await at.send([_ORIGIN], method="OPTIONS", to=nowhere),
        await at.send([_ORIGIN, *binary(event)], b"data", method="OPTIONS"),
    ):
        at.need(found.status in {200, 204}, f"OPTIONS is answered with {found.status}")
        at.need(not found.body, "an answer to OPTIONS has a body")
    observer = at.ground.observers.get("binary")
    if observer is not None:
        await at.settle()
        at.times(observer, event["id"], 0)
