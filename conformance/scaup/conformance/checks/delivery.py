"""Delivery: what follows on a sink's answer, how often and how soon it is tried again, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import base64
from itertools import pairwise
from typing import Any, Final

from scaup.conformance.checks.registry import check
from scaup.conformance.event import received
from scaup.conformance.kube import Object
from scaup.conformance.place import Place, UnshownError
from scaup.conformance.sink import HANG, NONSENSE, OK, RESET, Reaction, Sink, answer
from scaup.conformance.wire import Request

DONE: Final = (200, 201, 202, 203, 204, 206)
FINAL: Final = (300, 301, 302, 304, 307, 308, 400, 401, 403, 405, 406, 410, 413, 415, 422, 431, 451)
RETRIED: Final = (404, 408, 409, 429, 500, 502, 503, 504, 599)
_EARLY_S: Final = 0.03
"""So much sooner than it should be a retry may seem to come: clocks and sockets are not exact."""


def policy(retry: int = 0, delay: str = "PT0.2S", kind: str = "linear", dead: Sink | None = None) -> Object:
    """A delivery."""
    made: Object = {"retry": retry, "backoffPolicy": kind, "backoffDelay": delay}
    return made | ({"deadLetterSink": {"uri": dead.url}} if dead else {})


def gaps(requests: list[Request]) -> list[float]:
    """Seconds between attempts."""
    return [later.at - earlier.at for earlier, later in pairwise(requests)]


async def _by_status(at: Place, statuses: tuple[int, ...], dead: Sink) -> tuple[dict[int, Sink], str]:
    """A Trigger for every status, whose sink answers so once and then takes the event; the event."""
    sinks = {status: at.sink(f"s{status}", answer(status), OK) for status in statuses}
    async with asyncio.TaskGroup() as making:
        for status, there in sinks.items():
            making.create_task(at.trigger(f"s{status}", there, delivery=policy(2, dead=dead)))
    return sinks, await at.take(at.event())


@check("DP-10")
async def a_success_completes_the_delivery(at: Place) -> None:
    """Every 2xx."""
    dead = at.sink("dead")
    sinks, event_id = await _by_status(at, DONE, dead)
    for there in sinks.values():
        await at.arrived(there, event_id)
    await at.settle()
    for there in (*sinks.values(),):
        at.times(there, event_id, 1)
    at.times(dead, event_id, 0)


@check("DP-10", "CP-32")
async def a_final_failure_is_not_tried_again(at: Place) -> None:
    """It goes to the dead letter sink at once: 3xx, 400, 401, 403, and every 4xx that is not named."""
    dead = at.sink("dead")
    sinks, event_id = await _by_status(at, FINAL, dead)
    for there in sinks.values():
        await at.arrived(there, event_id)
    await at.arrived(dead, event_id, len(FINAL))
    await at.settle()
    often = {status: len(at.of(there, event_id)) for status, there in sinks.items()}
    at.need(set(often.values()) == {1}, f"so often was it sent, by the first answer: {often}")


@check("DP-10", "DP-15")
async def a_failure_that_may_pass_is_tried_again(at: Place) -> None:
    """404, 408, 409, 429 and every 5xx; and what then succeeds is no dead letter."""
    dead = at.sink("dead")
    sinks, event_id = await _by_status(at, RETRIED, dead)
    for status, there in sinks.items():
        came = await there.until(lambda found: len(found) >= 2, at.ground.within_s)
        at.need(came, f"after a {status} it is not tried again")
    await at.settle()
    often = {status: len(at.of(there, event_id)) for status, there in sinks.items()}
    at.need(set(often.values()) == {2}, f"so often was it sent, by the first answer: {often}")
    at.times(dead, event_id, 0)


@check("DP-11")
async def codes_of_no_row_are_tried_again(at: Place) -> None:
    """Numbers that HTTP does not know."""
    dead = at.sink("dead")
    sinks, event_id = await _by_status(at, (600, 799), dead)
    for there in sinks.values():
        await at.arrived(there, event_id, 2)


@check("DP-7")
async def a_sink_without_options_gets_its_events(at: Place) -> None:
    """Sinks of this suite answer OPTIONS with 405."""
    there = at.sink()
    await at.trigger("t", there)
    await at.arrived(there, await at.take(at.event()))


@check("DP-16", timed=True)
async def the_sender_backs_off(at: Place) -> None:
    """Exponential back-off gives a sink more time after every failure."""
    there = at.sink("sink", answer(503), answer(503), answer(503), OK)
    await at.trigger("t", there, delivery=policy(3, "PT0.3S", "exponential"))
    waits = gaps(await at.arrived(there, await at.take(at.event()), 4))
    at.need(all(wait >= 0.3 * 2**number - _EARLY_S for number, wait in enumerate(waits)), f"the waits are {waits}")


@check("DP-17")
async def a_sink_that_has_too_much_gets_everything_in_the_end(at: Place) -> None:
    """Every event is answered with 429 once; none is lost, and each is tried again."""
    there = at.sink()
    seen: set[str] = set()

    def script(request: Request) -> Reaction:
        event_id = request.header("ce-id") or ""
        first = event_id not in seen
        seen.add(event_id)
        return answer(429, headers={"Retry-After": "1"}) if first else OK

    there.script = script
    await at.trigger("t", there, delivery=policy(5))
    ids = [await at.take(at.event()) for _ in range(10)]
    for event_id in ids:
        await at.arrived(there, event_id, 2)


@check("CP-21")
async def delivery_goes_on_when_the_request_is_over(at: Place) -> None:
    """The producer has its answer while the sink is still failing; the event is delivered all the same."""
    there = at.sink("sink", answer(503), RESET, OK)
    await at.trigger("t", there, delivery=policy(3, "PT1S"))
    event_id = await at.take(at.event())
    answered = asyncio.get_running_loop().time()
    came = await at.arrived(there, event_id, 3)
    at.need(came[-1].at > answered, "the producer's request was open until the event was delivered")


@check("CP-22")
async def each_event_is_evaluated_once_against_each_trigger(at: Place) -> None:
    """Twenty events, two Triggers that match and one that does not: each event once, and nothing else."""
    one, other, none = at.sink("one"), at.sink("other"), at.sink("none")
    await at.trigger("one", one)
    await at.trigger(
        "other", other, filter={"attributes": {"conformancecase": at.key, "type": "com.example.conformance"}}
    )
    await at.trigger("none", none, filter={"attributes": {"conformancecase": at.key, "type": "com.example.other"}})
    ids = [await at.take(at.event()) for _ in range(20)]
    for there in (one, other):
        for event_id in ids:
            await at.arrived(there, event_id)
    await at.settle()
    for event_id in ids:
        at.times(one, event_id, 1)
        at.times(other, event_id, 1)
    at.need(not none.requests, "a Trigger that does not match gets events")


@check("CP-22")
async def what_was_matched_is_not_matched_anew_by_a_retry(at: Place) -> None:
    """While an event is tried again its Trigger's filter changes: the event goes on as it was matched."""
    there = at.sink("sink", answer(503), answer(503), OK)
    await at.trigger("t", there, delivery=policy(3, "PT1S"))
    event_id = await at.take(at.event())
    await at.arrived(there, event_id)
    change = {"spec": {"filter": {"attributes": {"type": "com.example.changed"}}}}
    status, _ = await at.definitions.patch("Trigger", at.name("t"), change)
    at.need(status < 300, f"a filter cannot be changed: {status}")
    await at.arrived(there, event_id, 3)


@check("CP-23")
async def each_matching_trigger_has_a_delivery_of_its_own(at: Place) -> None:
    """Three Triggers with one destination: three deliveries."""
    there = at.sink()
    for name in ("a", "b", "c"):
        await at.trigger(name, there)
    event_id = await at.take(at.event())
    await at.arrived(there, event_id, 3)
    await at.settle()
    at.times(there, event_id, 3)


@check("CP-24")
async def data_is_not_changed(at: Place) -> None:
    """Byte for byte, whatever its type says, also when it is tried again."""
    there = at.sink()
    await at.trigger("t", there, delivery=policy(1))
    for content_type, data in (
        ("application/x-odd", bytes(range(256)) * 3),
        ("application/json", b'{"b": 1.0,  "a": 1e400, "a": "\\u00e9"}\n'),
        ("text/plain; charset=latin-1", b"caf\xe9\r\n"),
        ("text/plain", b"x" * 200_000),
    ):
        there.then(answer(503), OK)
        event_id = await at.take(at.event(datacontenttype=content_type), data)
        for request in await at.arrived(there, event_id, 2):
            at.need(request.body == data, f"data of type {content_type} is changed")
            at.need(
                request.header("content-type") == content_type, f"Content-Type is {request.header('content-type')!r}"
            )


# Not a reset before any answer: on a connection that was kept, a client may take that for its being idle for too long,
# and ask again within the same attempt.
_FAILURES: Final[dict[str, Reaction]] = {
    "a status": answer(500),
    "half an answer": Reaction((b"HTTP/1.1 202 X\r\nContent-Le",), "reset"),
    "nonsense": NONSENSE,
    "silence": HANG,
}


@check("CP-31", timed=True)
async def a_failure_is_retried_as_often_as_retry_says(at: Place) -> None:
    """For every kind of failure, and then never again."""
    dead = at.sink("dead")
    sinks = {kind: at.sink(kind.replace(" ", "-"), reaction) for kind, reaction in _FAILURES.items()}
    retries = {kind: 1 if kind == "silence" else 2 for kind in sinks}
    async with asyncio.TaskGroup() as making:
        for kind, there in sinks.items():
            delivery = policy(retries[kind], dead=dead) | ({"timeout": "PT1.5S"} if kind == "silence" else {})
            making.create_task(at.trigger(kind.replace(" ", "-"), there, delivery=delivery))
        making.create_task(at.trigger("none", at.sink("none", answer(503)), delivery=policy(0, dead=dead)))
    event_id = await at.take(at.event())
    await at.arrived(dead, event_id, len(sinks) + 1)
    await at.settle()
    for kind, there in sinks.items():
        often = len(at.of(there, event_id))
        at.need(often == retries[kind] + 1, f"after {kind}, with retry {retries[kind]}, it was sent {often} times")
    at.times(at.sink("none"), event_id, 1)


@check("CP-31")
async def a_success_ends_the_retries(at: Place) -> None:
    """Up to ``retry`` times, and no more than it takes."""
    there = at.sink("sink", answer(500), OK)
    await at.trigger("t", there, delivery=policy(5))
    event_id = await at.take(at.event())
    await at.arrived(there, event_id, 2)
    await at.settle()
    at.times(there, event_id, 2)


@check("CP-36", "CP-31", timed=True)
async def waits_are_those_of_the_policy(at: Place) -> None:
    """Linear: each time the delay; exponential: twice as long each time. Never sooner; a little later is no harm."""
    linear, exponential = at.sink("linear", answer(503)), at.sink("exponential", answer(503))
    dead = at.sink("dead")
    await at.trigger("linear", linear, delivery=policy(3, "PT0.3S", "linear", dead))
    await at.trigger("exponential", exponential, delivery=policy(3, "PT0.3S", "exponential", dead))
    event_id = await at.take(at.event())
    await at.arrived(dead, event_id, 2)
    same, doubled = gaps(at.of(linear, event_id)), gaps(at.of(exponential, event_id))
    at.note("waits", f"linear {same}, exponential {doubled}")
    at.need(len(same) == len(doubled) == 3, "there are not three retries")
    # One wait may be long for other reasons; twice as long each time, the last would be 1.2 s at least.
    is_steady = 0.3 - _EARLY_S <= min(same) < 0.9 and same[-1] < 1.2 - _EARLY_S
    at.need(is_steady, f"linear waits {same}, and not 0.3 s each time")
    fits = all(doubled[n] >= 0.3 * 2**n - _EARLY_S for n in range(3))
    at.need(fits, f"exponential waits {doubled}")


@check("CP-32", "KE-1", "KE-2", "KE-3")
async def what_cannot_be_delivered_is_a_dead_letter(at: Place) -> None:
    """As it was sent, with what went wrong beside it."""
    dead = at.sink("dead")
    there = at.sink("sink", answer(422, b"no, thank you"))
    await at.trigger("t", there, delivery=policy(1, dead=dead))
    event_id = await at.take(at.event(datacontenttype="text/plain", subject="s"), b"data")
    event = received((await at.arrived(dead, event_id))[0])
    at.need(event.data == b"data", f"the dead letter's data is {event.data!r}")
    found = event.attributes
    at.need(found.get("subject") == "s", "the dead letter lacks an attribute")
    at.need(found.get("knativeerrordest") == there.url, f"knativeerrordest is {found.get('knativeerrordest')!r}")
    at.need(found.get("knativeerrorcode") == "422", f"knativeerrorcode is {found.get('knativeerrorcode')!r}")
    at.need(base64.b64decode(found.get("knativeerrordata") or "") == b"no, thank you", "knativeerrordata is another")


@check("KE-3", "CP-32")
async def a_long_error_makes_no_long_dead_letter(at: Place) -> None:
    """At most 1,024 characters, and a dead letter there is."""
    dead = at.sink("dead")
    await at.trigger("t", at.sink("sink", answer(500, b"e" * 50_000)), delivery=policy(0, dead=dead))
    event = received((await at.arrived(dead, await at.take(at.event())))[0])
    found = event.attributes.get("knativeerrordata", "")
    at.need(0 < len(found) <= 1024, f"knativeerrordata has {len(found)} characters")


@check("CP-32")
async def what_nobody_answers_is_a_dead_letter(at: Place) -> None:
    """Nothing listens there."""
    dead = at.sink("dead")
    await at.trigger("t", {"uri": "http://127.0.0.1:9/"}, delivery=policy(1, dead=dead))
    await at.arrived(dead, await at.take(at.event()))


@check("CP-33")
async def the_dead_letter_sink_is_retried_too(at: Place) -> None:
    """With the same number, back-off and table."""
    dead = at.sink("dead", answer(503), answer(500), OK)
    await at.trigger("t", at.sink("sink", answer(400)), delivery=policy(3, "PT0.3S", dead=dead))
    came = await at.arrived(dead, await at.take(at.event()), 3)
    at.need(min(gaps(came)) >= 0.3 - _EARLY_S, f"the waits are {gaps(came)}")


@check("KE-17", "DP-23")
async def a_dead_letter_sink_is_not_asked_for_replies(at: Place) -> None:
    """And one that it sends all the same counts as its acceptance."""
    reply = answer(200, b"", {"ce-id": "r", "ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s"})
    dead = at.sink("dead", reply)
    await at.trigger("t", at.sink("sink", answer(400)), delivery=policy(2, dead=dead))
    event_id = await at.take(at.event())
    request = (await at.arrived(dead, event_id))[0]
    await at.settle()
    at.times(dead, event_id, 1)
    at.need("reply" not in (request.header("prefer") or ""), "it is asked for a reply")


@check("KE-5", timed=True)
async def a_timeout_is_for_each_attempt(at: Place) -> None:
    """What takes longer has failed, and is tried again."""
    there = at.sink("sink", answer(202, delay_s=3), OK)
    await at.trigger("t", there, delivery=policy(2) | {"timeout": "PT1S"})
    came = await at.arrived(there, await at.take(at.event()), 2)
    at.need(1 <= gaps(came)[0] < 3, f"the second attempt came after {gaps(came)[0]:.2f} s")


@check("KE-6", "WH-11")
async def retry_after_is_waited_for(at: Place) -> None:
    """Two seconds, of a 429 and of a 503."""
    sinks = {status: at.sink(f"s{status}", answer(status, headers={"Retry-After": "2"}), OK) for status in (429, 503)}
    for status, there in sinks.items():
        spec = at.trigger_spec(there, delivery=policy(2) | {"retryAfterMax": "PT10S"})
        if await at.create("Trigger", f"s{status}", spec) >= 400:
            raise UnshownError("this API has no retryAfterMax")
        await at.is_ready("Trigger", f"s{status}")
    event_id = await at.take(at.event())
    for status, there in sinks.items():
        waits = gaps(await at.arrived(there, event_id, 2))
        at.need(waits[0] >= 2 - _EARLY_S, f"after a {status} it is tried again after {waits[0]:.2f} s")


@check("WH-8", "WH-9")
async def redirects_are_not_followed_and_the_gone_is_left_alone(at: Place) -> None:
    """Not by the event, with whatever method, nor by its retries."""
    elsewhere = at.sink("elsewhere")
    sinks = [
        at.sink(f"s{status}", answer(status, headers={"Location": elsewhere.url}))
        for status in (301, 302, 303, 307, 308, 410)
    ]
    async with asyncio.TaskGroup() as making:
        for number, there in enumerate(sinks):
            making.create_task(at.trigger(f"t{number}", there, delivery=policy(2)))
    event_id = await at.take(at.event())
    for there in sinks:
        await at.arrived(there, event_id)
    await at.settle()
    at.need(not elsewhere.requests, "a redirect is followed")
    for there in sinks:
        at.times(there, event_id, 1)


@check("KE-16", timed=True)
async def a_sink_that_does_not_answer_delays_nobody_else(at: Place) -> None:
    """Neither the producer nor the other Trigger's events."""
    silent, well = at.sink("silent", HANG), at.sink("well")
    await at.trigger("silent", silent, delivery=policy(0) | {"timeout": "PT20S"})
    await at.trigger("well", well)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ids = [await at.take(at.event()) for _ in range(10)]
    for event_id in ids:
        await at.arrived(well, event_id, within_s=10)
    at.need(loop.time() - begun < 10, f"ten events took {loop.time() - begun:.1f} s")


@check("KE-4")
async def the_format_is_what_delivery_says(at: Place) -> None:
    """Of a Trigger: json and binary, however the event came."""
    sinks: dict[str, Any] = {kind: at.sink(kind) for kind in ("json", "binary")}
    for kind, there in sinks.items():
        await at.trigger(kind, there, delivery={"format": kind})
    event_id = await at.take(at.event(datacontenttype="application/json"), b'{"a":1}')
    for kind, there in sinks.items():
        request = (await at.arrived(there, event_id))[0]
        structured = (request.header("content-type") or "").startswith("application/cloudevents+json")
        at.need(structured is (kind == "json"), f"{kind} comes as {request.header('content-type')!r}")


@check("KE-24")
async def deliveries_say_the_triggers_namespace(at: Place) -> None:
    """To the subscriber, and to the dead letter sink."""
    dead = at.sink("dead")
    await at.trigger("t", at.sink("sink", answer(422)), delivery=policy(0, dead=dead))
    event_id = await at.take(at.event())
    for there in (at.sink("sink"), dead):
        found = (await at.arrived(there, event_id))[0].header("kn-namespace")
        at.need(found == at.definitions.namespace, f"Kn-Namespace is {found!r}")
