"""The dispatcher: replies go back into the log, to all Triggers, and not for ever."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.core.codec import stored
from tests.support.dataplane import delivery, working
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Reaction, Request, answer, raw, reply, sink, structured_reply
from tests.support.waiting import eventually

_TYPE = {"type": "com.example.test"}


async def test_reply_goes_to_every_trigger_also_the_one_that_made_it(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there, sink() as other:
        there.script = lambda request: reply("r-1", data=b"\x00", subject="s") if request.id == "e-1" else OK
        await world.trigger("replies", there.url)
        await world.trigger("other", other.url)
        await world.send()
        await eventually(lambda: set(there.ids) == set(other.ids) == {"e-1", "r-1"}, "both have both")
        await world.until_settled()
        got = next(request for request in other.requests if request.id == "r-1")
        assert (got.body, got.headers["ce-subject"], got.headers["ce-type"]) == (b"\x00", "s", "a.reply")
        assert got.headers["ce-knativearrivaltime"] > "2026-01-02T04"
        assert "ce-knativebrokerttl" not in got.headers
        assert len(there.requests) == len(other.requests) == 2


async def test_reply_in_structured_mode_is_understood(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(structured_reply("r-1", data={"a": 1})) as there, sink() as other:
        await world.trigger("replies", there.url, attributes=_TYPE)
        await world.trigger("other", other.url, attributes={"type": "a.reply"})
        await world.send()
        await eventually(lambda: other.ids == ["r-1"], "the reply arrives")
        assert other.requests[0].body == b'{"a":1}'


async def test_reply_has_one_hop_less_than_what_it_answers(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink(reply("r-1", knativebrokerttl="250")) as there:
        await world.trigger("replies", there.url, attributes=_TYPE)
        await world.send(knativebrokerttl="7")
        await world.until_settled()
        _, stored_reply = await world.log()
        assert stored_reply.subject.endswith(".reply")
        assert stored.from_headers(stored_reply.headers or {}, b"").attributes["knativebrokerttl"] == "6"


async def test_headers_of_the_answer_that_travel_go_with_the_reply(nats: NatsServer) -> None:
    with_header = answer(
        200,
        b"",
        {"ce-specversion": "1.0", "ce-id": "r", "ce-source": "/s", "ce-type": "x", "X-Request-Id": "q", "x-y": "z"},
    )
    async with working(nats.url) as world, sink(with_header) as there, sink() as other:
        await world.trigger("replies", there.url, attributes=_TYPE)
        await world.trigger("other", other.url, attributes={"type": "x"})
        await world.send()
        await eventually(lambda: other.requests, "the reply arrives")
        assert other.requests[0].headers["x-request-id"] == "q"
        assert "x-y" not in other.requests[0].headers


async def test_loop_of_replies_ends_at_the_hop_limit_and_its_last_reply_is_kept(nats: NatsServer) -> None:
    async with working(nats.url) as world, sink() as there:
        there.script = lambda request: reply(f"{request.id}+")
        await world.trigger("loops", there.url)
        await world.send(id="e", knativebrokerttl="4")
        [letter] = await world.dead_letters(1)
        await world.until_settled()
        assert there.ids == ["e", "e+", "e++", "e+++"]
        assert (letter.event.id, letter.trigger) == ("e++++", "loops")
        assert "knativebrokerttl" in letter.facts.reason


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_only_a_200_can_carry_a_reply(nats: NatsServer, status: int) -> None:
    body = b"" if status == 204 else b"data"
    async with working(nats.url) as world, sink(reply("r-1", status=status, data=body)) as there:
        await world.trigger("t", there.url)
        await world.send()
        await world.until_settled()
        assert len(await world.log()) == 1
        assert len(there.requests) == 1


async def test_answer_that_claims_to_be_no_event_is_none(nats: NatsServer) -> None:
    async with (
        working(nats.url) as world,
        sink(answer(200, b"<html>" * 300_000, {"content-type": "text/html"})) as there,
    ):
        await world.trigger("t", there.url)
        await world.send()
        await world.until_settled()
        assert len(await world.log()) == 1
        assert not await world.dead_letters()


_BAD = {
    "no id": answer(200, b"", {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "x"}),
    "wrong version": answer(200, b"", {"ce-specversion": "0.2", "ce-id": "1", "ce-source": "/s", "ce-type": "x"}),
    "bad json": answer(200, b"{", {"content-type": "application/cloudevents+json"}),
    "deep json": answer(200, b"[" * 100_000, {"content-type": "application/cloudevents+json"}),
    "no utf-8": raw(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\nce-specversion: 1.0\r\nce-id: \xff\r\n\r\n"),
    "batch": answer(200, b"[]", {"content-type": "application/cloudevents-batch+json"}),
    "another format": answer(200, b"<e/>", {"content-type": "application/cloudevents+xml"}),
    "too large": reply("r", data=b"x" * 3_000_000),
}


@pytest.mark.parametrize("bad", _BAD.values(), ids=_BAD.keys())
async def test_malformed_reply_is_a_failed_delivery_that_is_tried_again(nats: NatsServer, bad: Reaction) -> None:
    async with working(nats.url) as world, sink(bad, bad, OK) as there:
        await world.trigger("t", there.url)
        await world.send()
        await eventually(lambda: len(there.requests) == 3, "it is tried again")
        await world.until_queues_hold(0)
        assert len(await world.log()) == 1
        assert not await world.dead_letters()


async def test_reply_that_is_too_large_for_the_bus_fails_the_delivery(nats: NatsServer) -> None:
    large = reply("r", data=b"x" * ((2 << 20) - 5000))
    async with working(nats.url, {"max_answer_bytes": 4 << 20}) as world, sink(large) as there:
        await world.trigger("t", there.url, delivery=delivery(retry=1))
        await world.send()
        [letter] = await world.dead_letters(1)
        assert "could not be stored" in letter.facts.reason
        assert len(there.requests) == 2


async def test_reply_with_attributes_over_64_kib_fails_the_delivery(nats: NatsServer) -> None:
    attributes: dict[str, Any] = {f"ext{n}": "x" * 6_600 for n in range(10)}
    large = reply("r", **attributes)
    async with working(nats.url) as world, sink(large) as there:
        await world.trigger("t", there.url, delivery=delivery(retry=0))
        await world.send()
        [letter] = await world.dead_letters(1)
        assert "65536 at most" in letter.facts.reason


async def test_reply_that_cannot_be_stored_fails_the_delivery_until_it_can(nats: NatsServer) -> None:
    """CP-27. The log is full, so it refuses even replies; then it is given room."""
    async with working(nats.url, log_max_bytes=200_000) as world, sink() as there:
        there.script = lambda request: reply("r-1", data=b"x" * 60_000) if request.id == "asks" else OK
        await world.trigger("t", there.url, delivery=delivery(retry=1000, backoff_delay_s=0.1))
        await world.send(id="asks", data=b"x" * 150_000)
        await eventually(lambda: there.ids.count("asks") >= 3, "it is tried again")
        stream = f"scaup-log-{world.broker.uid}"
        config = (await world.bus.api(f"STREAM.INFO.{stream}"))["config"]
        await world.bus.api(f"STREAM.UPDATE.{stream}", config | {"max_bytes": 1_000_000})
        await eventually(lambda: "r-1" in there.ids, "the reply is stored")
        await world.until_settled()
        assert there.ids.count("r-1") == 1


async def test_reply_of_a_delivery_that_is_made_twice_is_stored_once(nats: NatsServer) -> None:
    """The same entry comes again within the duplicate window, as after a lost acknowledgement."""
    async with working(nats.url) as world, sink(reply("r-1")) as there:

        def twice(request: Request) -> Reaction:
            return reply("r-1") if request.id == "e-1" else OK

        there.script = twice
        await world.trigger("t", there.url)
        await world.send()
        await world.until_settled()
        headers = (await world.log())[1].headers or {}
        assert headers["Nats-Msg-Id"] == "reply:1:t"
