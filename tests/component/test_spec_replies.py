"""Replies by the specification: DP-19 to DP-24 of the data plane's, CP-25 to CP-29 of the control plane's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scaup.core.model.definitions import Destination
from tests.support.dataplane import delivery, metric, of_trigger, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, Reaction, Request, Script, answer, raw, reply, sink, structured_reply
from tests.support.spec import until_quiet, whole_broker
from tests.support.waiting import eventually

Replying = Callable[..., Reaction]
ASKED = {"type": "com.example.test"}
REPLIED = {"type": "a.reply"}


def to(asked: str, reaction: Reaction) -> Script:
    """React so on one event, and take all others."""
    return lambda request: reaction if request.id == asked else OK


async def test_dp_19_subscribers_are_told_that_a_reply_is_wanted(nats: NatsServer) -> None:
    """data-plane.md DP-19, MUST: a Broker sends ``Prefer: reply`` to ``spec.subscriber``, in either mode."""
    async with whole_broker(nats.url) as here, sink() as binary, sink() as structured:
        await here.world.trigger("binary", binary.url)
        await here.world.trigger("structured", structured.url, delivery=delivery(format="json"))
        await here.producer.post()
        await until_quiet(here.world)
    assert [request.headers["prefer"] for request in (*binary.requests, *structured.requests)] == ["reply", "reply"]


@pytest.mark.parametrize("make", [reply, structured_reply], ids=["binary", "structured"])
async def test_dp_20_an_event_in_a_200_is_a_reply(nats: NatsServer, make: Replying) -> None:
    """data-plane.md DP-20, MAY: a recipient answers with 200 and an event, in either mode."""
    reaction = make("r-1")
    async with whole_broker(nats.url) as here, sink(reaction) as there, sink() as other:
        await here.world.trigger("replies", there.url, attributes=ASKED)
        await here.world.trigger("other", other.url, attributes=REPLIED)
        await here.producer.post()
        await eventually(lambda: other.requests, "the reply arrives")
        await until_quiet(here.world)
    [got] = other.requests
    assert (got.id, got.headers["ce-source"], got.headers["ce-type"]) == ("r-1", "/sink", "a.reply")
    assert len(there.requests) == 1


async def test_dp_20_the_mode_of_a_reply_is_not_that_of_its_delivery(nats: NatsServer) -> None:
    """data-plane.md DP-20, CP-24: what was replied in structured mode is delivered in binary mode, byte for byte."""
    body = b'{"specversion":"1.0","id":"r","source":"/s","type":"a.reply","data": {"n": 1.0, "n": 2e400} }'
    reaction = answer(200, body, {"content-type": "application/cloudevents+json"})
    async with whole_broker(nats.url) as here, sink(reaction) as there, sink() as other:
        await here.world.trigger("replies", there.url, attributes=ASKED)
        await here.world.trigger("other", other.url, attributes=REPLIED)
        await here.producer.post()
        await eventually(lambda: other.requests, "the reply arrives")
    assert other.requests[0].body == b'{"n": 1.0, "n": 2e400}'
    assert other.requests[0].headers["content-type"] == "application/json"


async def test_dp_21_a_202_without_a_body_is_no_reply(nats: NatsServer) -> None:
    """data-plane.md DP-21, MAY: a recipient says with 202 and nothing else that it has no reply."""
    async with whole_broker(nats.url) as here, sink(answer(202)) as there:
        await here.world.trigger("t", there.url)
        await here.producer.post()
        await until_quiet(here.world)
        assert len(await here.world.log()) == 1
        assert not await here.world.dead_letters()
    assert len(there.requests) == 1


@pytest.mark.parametrize("make", [reply, structured_reply], ids=["binary", "structured"])
async def test_dp_22_the_body_of_a_202_is_not_a_reply(nats: NatsServer, make: Replying) -> None:
    """data-plane.md DP-22, MUST NOT: an event in a 202 is not taken for a reply; the delivery is complete."""
    reaction = make("r-1", status=202)
    async with whole_broker(nats.url) as here, sink(reaction) as there, sink() as other:
        await here.world.trigger("replies", there.url, attributes=ASKED)
        await here.world.trigger("other", other.url)
        await here.producer.post()
        await until_quiet(here.world)
        assert len(await here.world.log()) == 1
        assert not await here.world.dead_letters()
    assert (len(there.requests), other.ids) == (1, ["1"])


@pytest.mark.parametrize("make", [reply, structured_reply], ids=["binary", "structured"])
async def test_dp_23_a_reply_nobody_asked_for_is_an_acceptance(nats: NatsServer, make: Replying) -> None:
    """data-plane.md DP-23, SHOULD: where no reply was asked for, one counts as the event's acceptance.

    The dead letter sink is who is not asked for any.
    """
    reaction = make("r-1")
    async with whole_broker(nats.url) as here, sink(answer(400)) as there, sink(reaction) as dead, sink() as other:
        await here.world.trigger(
            "t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)), attributes=ASKED
        )
        await here.world.trigger("other", other.url, attributes=REPLIED)
        await here.producer.post()
        await eventually(lambda: dead.requests, "the dead letter arrives")
        await until_quiet(here.world)
        assert not await here.world.dead_letters()
        assert len(await here.world.log()) == 1
    assert len(dead.requests) == 1
    assert "prefer" not in dead.requests[0].headers
    assert not other.requests


async def test_dp_24_who_processes_replies_asks_for_them_every_time(nats: NatsServer) -> None:
    """data-plane.md DP-24, MUST: ``Prefer: reply`` goes with each request whose reply would be processed.

    With retries, then, and with the delivery of replies themselves.
    """
    async with whole_broker(nats.url) as here, sink() as there:
        reactions = {"1": [answer(503), answer(429), reply("r-1")]}
        there.script = lambda request: reactions.get(request.id, [OK]).pop(0)
        await here.world.trigger("t", there.url)
        await here.producer.post()
        await eventually(lambda: there.ids == ["1", "1", "1", "r-1"], "the reply arrives")
        await until_quiet(here.world)
    assert [request.headers["prefer"] for request in there.requests] == ["reply"] * 4


async def test_cp_25_a_reply_is_routed_and_kept_like_any_event(nats: NatsServer) -> None:
    """control-plane.md CP-25, MUST: replies are enqueued again with the same routing and the same persistence.

    Its Triggers are found by their filters, it is retried, and dead-lettered, as their delivery says.
    """
    async with (
        whole_broker(nats.url) as here,
        sink(reply("r-1", data=b"\x00", subject="s")) as there,
        sink(answer(503), answer(500), OK) as failing,
        sink(answer(400)) as refusing,
        sink() as dead,
        sink() as unwanted,
    ):
        to_dead = delivery(dead_letter_sink=Destination(uri=dead.url))
        await here.world.trigger("replies", there.url, attributes=ASKED)
        await here.world.trigger("failing", failing.url, attributes=REPLIED | {"subject": "s"})
        await here.world.trigger("refusing", refusing.url, attributes=REPLIED, delivery=to_dead)
        await here.world.trigger("unwanted", unwanted.url, attributes=REPLIED | {"subject": "other"})
        await here.producer.post()
        await eventually(lambda: len(failing.requests) == 3 and dead.requests, "the reply has its ends")
        await until_quiet(here.world)
        assert len(await here.world.log()) == 2
    assert {(r.id, r.body, r.headers["ce-subject"]) for r in (*failing.requests, *dead.requests)} == {
        ("r-1", b"\x00", "s")
    }
    assert not unwanted.requests


async def test_cp_26_a_reply_goes_to_all_triggers_also_to_the_one_it_came_from(nats: NatsServer) -> None:
    """control-plane.md CP-26, MUST: replies are evaluated against every Trigger, the originating one included."""
    async with whole_broker(nats.url) as here, sink() as there, sink() as other:
        there.script = to("1", reply("r-1"))
        await here.world.trigger("replies", there.url)
        await here.world.trigger("other", other.url)
        await here.producer.post()
        await eventually(lambda: len(there.ids) == len(other.ids) == 2, "both have both")
        await until_quiet(here.world)
    assert sorted(there.ids) == sorted(other.ids) == ["1", "r-1"]


async def test_cp_27_a_reply_that_cannot_be_stored_makes_the_delivery_fail_and_be_retried(nats: NatsServer) -> None:
    """control-plane.md CP-27, MUST: the delivery fails as a whole, and the *subscriber* is delivered to again.

    The log is full for a while, and refuses even replies.
    """
    async with working(nats.url, log_max_bytes=200_000) as here, sink() as there:
        there.script = to("asks", reply("r-1", data=b"x" * 60_000))
        await here.trigger("t", there.url, delivery=delivery(retry=1000, backoff_delay_s=0.1))
        await here.send(id="asks", data=b"x" * 150_000)
        await eventually(lambda: there.ids.count("asks") >= 3, "the subscriber is asked again")
        assert "r-1" not in there.ids
        stream = f"scaup-log-{here.broker.uid}"
        config = (await here.bus.api(f"STREAM.INFO.{stream}"))["config"]
        await here.bus.api(f"STREAM.UPDATE.{stream}", config | {"max_bytes": 1_000_000})
        await eventually(lambda: "r-1" in there.ids, "the reply is stored")
        await until_quiet(here)
        assert not await here.dead_letters()
    assert there.ids.count("r-1") == 1


async def test_cp_27_a_reply_that_can_never_be_stored_sends_the_event_to_the_dead_letter_sink(nats: NatsServer) -> None:
    """control-plane.md CP-27 with CP-32, MUST: such a delivery uses up its retries like any other that fails."""
    large = reply("r", data=b"x" * ((2 << 20) - 5000))
    async with working(nats.url, {"max_answer_bytes": 4 << 20}) as here, sink(large) as there, sink() as dead:
        to_dead = delivery(retry=1, dead_letter_sink=Destination(uri=dead.url))
        await here.trigger("t", there.url, delivery=to_dead)
        sent = await here.send()
        await eventually(lambda: dead.requests, "the event is a dead letter")
        await until_quiet(here)
        assert (len(there.requests), dead.ids) == (2, [sent])
    assert dead.requests[0].headers["ce-knativeerrordest"] == there.url


async def test_cp_28_replies_that_run_in_a_circle_come_to_an_end(nats: NatsServer) -> None:
    """control-plane.md CP-28, MAY: loops may be detected, and the README documents how.

    By a hop count, which no sink sees and no reply can reset; what it stops is kept as a dead letter.
    """
    async with whole_broker(nats.url) as here, sink() as there:
        there.script = lambda request: reply(request.id + "+", knativebrokerttl="255")
        await here.world.trigger("loops", there.url)
        await here.producer.post("e", knativebrokerttl="4")
        [letter] = await here.world.dead_letters(1)
        await until_quiet(here.world)
    assert there.ids == ["e", "e+", "e++"]
    assert letter.event.id == "e+++"
    assert not any("ce-knativebrokerttl" in request.headers for request in there.requests)


async def test_cp_29_replies_need_no_ingress(nats: NatsServer) -> None:
    """control-plane.md CP-29, MAY: replies may bypass HTTP within the broker. Here there is no ingress at all."""
    async with working(nats.url) as here, sink(reply("r-1")) as there, sink() as other:
        await here.trigger("replies", there.url, attributes=ASKED)
        await here.trigger("other", other.url, attributes=REPLIED)
        await here.send()
        await eventually(lambda: other.ids == ["r-1"], "the reply arrives")


BAD = {
    "no id": answer(200, b"", {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "x"}),
    "no json": answer(200, b"{", {"content-type": "application/cloudevents+json"}),
    "batch": answer(200, b"[]", {"content-type": "application/cloudevents-batch+json"}),
    "cut off": raw(b"HTTP/1.1 200 X\r\nce-specversion: 1.0\r\ncontent-length: 9\r\n\r\nfour", end="close"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_malformed_reply_is_a_failed_delivery_with_all_that_follows(nats: NatsServer, bad: Reaction) -> None:
    """data-plane.md with DP-10 and CP-32: it is tried again, and then the *event* goes to the dead letter sink."""
    async with whole_broker(nats.url) as here, sink(bad) as there, sink() as dead:
        to_dead = delivery(retry=2, dead_letter_sink=Destination(uri=dead.url))
        await here.world.trigger("t", there.url, delivery=to_dead)
        await here.producer.post(data=b"data")
        await eventually(lambda: dead.requests, "the dead letter arrives")
        await until_quiet(here.world)
        assert len(await here.world.log()) == 1
    assert len(there.requests) == 3
    assert [(request.id, request.body) for request in dead.requests] == [("1", b"data")]


async def test_a_reply_is_stored_before_its_delivery_counts_as_done(nats: NatsServer) -> None:
    """CP-25, CP-27: while NATS is away a reply is not stored, so the event is delivered, and replied to, again."""
    async with working(nats.url) as here, sink() as there:

        def script(request: Request) -> Reaction:
            if request.id != "e-1":
                return OK
            if len(there.requests) == 1:
                nats.kill()
            return reply("r-1")

        there.script = script
        await here.trigger("t", there.url, delivery=delivery(retry=1000, backoff_delay_s=0.1))
        await here.send()
        await eventually(lambda: there.requests and nats.process is None, "the sink replies, and NATS is gone")
        accepted = metric("scaup_delivery_attempts_total", **of_trigger("t", outcome="replied"))
        nats.start()
        await eventually(lambda: "r-1" in there.ids, "the reply is stored after all", within_s=30)
        await until_quiet(here, within_s=30)
        assert metric("scaup_delivery_attempts_total", **of_trigger("t", outcome="replied")) > accepted
        assert len(await here.log()) == 2
    assert there.ids.count("e-1") >= 2
    assert there.ids.count("r-1") == 1


async def test_a_reply_that_comes_again_is_not_stored_again(nats: NatsServer) -> None:
    """CP-25: an entry whose reply is stored already comes again, for another Trigger's delivery did not end in time.

    The sink replies again.
    """
    async with world(nats.url) as here, sink() as there, sink(HANG) as hanging, sink() as other:
        await here.filter()
        first = await here.dispatcher(slow_s=30)
        await here.trigger("replies", there.url, attributes=ASKED)
        await here.trigger("hangs", hanging.url, attributes=ASKED, delivery=delivery(timeout_s=60))
        await here.trigger("other", other.url, attributes=REPLIED)
        there.script = to("e-1", reply("r-1"))
        await here.send()
        await eventually(lambda: hanging.requests and other.ids == ["r-1"], "the reply is there, and one sink hangs")
        await first.stop()  # what hangs is handed back
        hanging.script = lambda _request: OK
        await here.dispatcher()
        await eventually(lambda: len(there.requests) == 2, "the event comes again")
        await until_quiet(here)
        assert len(await here.log()) == 2
    assert other.ids == ["r-1"]
