"""Replies: who is asked for them, what is one, and where it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scaup.conformance.checks.delivery import policy
from scaup.conformance.checks.registry import check
from scaup.conformance.event import BASE, id_of, received
from scaup.conformance.place import KEY, Place
from scaup.conformance.sink import OK, Reaction, Sink, answer, reply, structured_reply
from scaup.conformance.wire import Request

_REPLY: Final = "com.example.reply"


def _attributes(at: Place, event_id: str, **more: str) -> dict[str, str]:
    return {**BASE, "id": event_id, "type": _REPLY, KEY: at.key, **more}


def _for_type(at: Place, kind: str = BASE["type"], **more: str) -> dict[str, dict[str, str]]:
    return {"attributes": {KEY: at.key, "type": kind, **more}}


def _to(asked: str, reaction: Reaction) -> Callable[[Request], Reaction]:
    """React so on one event, and take all others."""
    return lambda request: reaction if id_of(request) == asked else OK


async def _replied(at: Place, reaction: Reaction, reply_id: str) -> tuple[Sink, str]:
    """An event whose subscriber replies so, and a Trigger that waits for replies; its sink, and the event's id."""
    other = at.sink("other")
    await at.trigger("other", other, filter=_for_type(at, _REPLY))
    await at.trigger("asks", at.sink("asks", reaction, OK), filter=_for_type(at))
    event_id = await at.take(at.event())
    await at.arrived(at.sink("asks"), event_id)
    at.note("the reply's id", reply_id)
    return other, event_id


@check("DP-19")
async def subscribers_are_told_that_a_reply_is_wanted(at: Place) -> None:
    """In either mode."""
    sinks = {kind: at.sink(kind) for kind in ("json", "binary")}
    for kind, there in sinks.items():
        await at.trigger(kind, there, delivery={"format": kind})
    event_id = await at.take(at.event())
    for kind, there in sinks.items():
        found = (await at.arrived(there, event_id))[0].header("prefer")
        at.need(found == "reply", f"in {kind} mode Prefer is {found!r}")


@check("DP-20")
async def an_event_in_a_200_is_a_reply(at: Place) -> None:
    """In binary mode."""
    reply_id = f"{at.key}-reply"
    other, _ = await _replied(at, reply(_attributes(at, reply_id, subject="s"), b"\x00data"), reply_id)
    event = received((await at.arrived(other, reply_id))[0])
    at.need(event.data == b"\x00data", f"the reply's data is {event.data!r}")
    at.need(event.attributes.get("subject") == "s", "the reply lacks an attribute")


@check("DP-20")
async def a_structured_event_in_a_200_is_a_reply(at: Place) -> None:
    """In structured mode."""
    reply_id = f"{at.key}-reply"
    other, _ = await _replied(at, structured_reply({**_attributes(at, reply_id), "data": {"a": 1}}), reply_id)
    await at.arrived(other, reply_id)


@check("DP-21")
async def a_202_without_a_body_is_no_reply(at: Place) -> None:
    """The delivery is complete, and nothing else follows."""
    there = at.sink("sink", answer(202))
    await at.trigger("t", there, delivery=policy(2))
    event_id = await at.take(at.event())
    await at.arrived(there, event_id)
    await at.settle()
    at.times(there, event_id, 1)


@check("DP-22")
async def the_body_of_a_202_is_not_a_reply(at: Place) -> None:
    """Not even where it is an event; the delivery is complete."""
    reply_id = f"{at.key}-reply"
    for mode in (
        reply(_attributes(at, reply_id), b"x", status=202),
        structured_reply(_attributes(at, reply_id), status=202),
    ):
        other, event_id = await _replied(at, mode, reply_id)
        await at.settle()
        at.times(other, reply_id, 0)
        at.times(at.sink("asks"), event_id, 1)
        await at.clean()


@check("DP-24")
async def who_processes_replies_asks_every_time(at: Place) -> None:
    """With retries, and with the delivery of replies themselves."""
    reply_id = f"{at.key}-reply"
    there = at.sink()
    answers = [answer(503), answer(500), reply(_attributes(at, reply_id))]
    there.script = lambda request: answers.pop(0) if answers and id_of(request) != reply_id else OK
    await at.trigger("t", there, delivery=policy(4))
    event_id = await at.take(at.event())
    came = [*await at.arrived(there, event_id, 3), *await at.arrived(there, reply_id)]
    found = [request.header("prefer") for request in came]
    at.need(found == ["reply"] * 4, f"Prefer is {found}")


@check("CP-25", "CP-32")
async def a_reply_is_routed_and_kept_like_any_event(at: Place) -> None:
    """By its Triggers' filters; it is tried again, and a dead letter, as their delivery says."""
    reply_id = f"{at.key}-reply"
    failing, refusing = at.sink("failing", answer(503), OK), at.sink("refusing", answer(400))
    dead, unwanted = at.sink("dead"), at.sink("unwanted")
    await at.trigger("failing", failing, filter=_for_type(at, _REPLY, subject="s"), delivery=policy(2))
    await at.trigger("refusing", refusing, filter=_for_type(at, _REPLY), delivery=policy(dead=dead))
    await at.trigger("unwanted", unwanted, filter=_for_type(at, _REPLY, subject="other"))
    await at.trigger(
        "asks", at.sink("asks", reply(_attributes(at, reply_id, subject="s"), b"r"), OK), filter=_for_type(at)
    )
    await at.take(at.event())
    await at.arrived(failing, reply_id, 2)
    letter = (await at.arrived(dead, reply_id))[0]
    at.need(letter.body == b"r", "the dead letter is not the reply")
    await at.settle()
    at.times(unwanted, reply_id, 0)


@check("CP-26")
async def a_reply_goes_to_all_triggers_also_to_the_one_it_came_from(at: Place) -> None:
    """The originating one is evaluated too."""
    reply_id = f"{at.key}-reply"
    there, other = at.sink(), at.sink("other")
    event = at.event()
    there.script = _to(event["id"], reply(_attributes(at, reply_id)))
    await at.trigger("t", there)
    await at.trigger("other", other)
    await at.take(event)
    await at.arrived(there, reply_id)
    await at.arrived(other, reply_id)


@check("KE-8")
async def a_malformed_reply_is_a_failed_delivery(at: Place) -> None:
    """It is tried again, and then the event is a dead letter."""
    dead = at.sink("dead")
    bad = answer(200, b"{", {"Content-Type": "application/cloudevents+json"})
    there = at.sink("sink", bad)
    await at.trigger("t", there, delivery=policy(1, dead=dead))
    event_id = await at.take(at.event(), b"data")
    letter = (await at.arrived(dead, event_id))[0]
    at.need(letter.body == b"data", "the dead letter is not the event")
    at.times(there, event_id, 2)


@check("KE-25")
async def headers_of_an_answer_travel_with_its_reply(at: Place) -> None:
    """Those that travel with an event, and no others."""
    reply_id = f"{at.key}-reply"
    headers = {f"ce-{name}": value for name, value in _attributes(at, reply_id).items()}
    more = {"X-Request-Id": "r-2", "Knative-Foo": "k", "Set-Cookie": "c=secret"}
    other, _ = await _replied(at, answer(200, b"", headers | more), reply_id)
    found = (await at.arrived(other, reply_id))[0]
    for name in ("X-Request-Id", "Knative-Foo"):
        at.need(found.header(name) == more[name], f"{name} comes with the reply as {found.header(name)!r}")
    at.need(found.header("set-cookie") is None, "a cookie of the answer comes with the reply")
