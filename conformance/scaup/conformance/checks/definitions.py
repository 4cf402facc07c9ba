"""Definitions: what Brokers and Triggers say of themselves, what may be changed, and what comes before Ready."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urljoin

from scaup.conformance.checks.delivery import policy
from scaup.conformance.checks.registry import check
from scaup.conformance.event import STRUCTURED, received
from scaup.conformance.kube import CLASS, Object, condition, ready
from scaup.conformance.place import KEY, Place
from scaup.conformance.sink import answer

_NOBODY: Final = {"ref": {"apiVersion": "v1", "kind": "Service", "name": "conformance-nobody"}}
_FIELDS: Final = {"type", "status", "reason", "message", "severity", "lastTransitionTime"}


def _address(value: Object) -> str:
    return str(((value.get("status") or {}).get("address") or {}).get("url") or "")


def _status(value: Object, name: str) -> Any:
    return (value.get("status") or {}).get(name)


# -- Brokers --------------------------------------------------------------------------------------------------------


@check("CP-1")
async def a_ready_broker_has_an_address(at: Place) -> None:
    """And takes events there."""
    address = await at.broker()
    await at.take(at.event(), to=address)


@check("CP-2")
async def a_trigger_belongs_to_its_broker(at: Place) -> None:
    """What another Broker takes is nothing to it."""
    one, other = at.sink("one"), at.sink("other")
    address = await at.broker("b")
    await at.trigger("one", one)
    await at.trigger("other", other, broker=at.name("b"))
    here, there = await at.take(at.event()), await at.take(at.event(), to=address)
    await at.arrived(one, here)
    await at.arrived(other, there)
    await at.settle()
    at.times(one, there, 0)
    at.times(other, here, 0)


@check("CP-3")
async def all_valid_events_go_to_every_ready_trigger(at: Place) -> None:
    """Of every kind, to each of three."""
    sinks = [at.sink(f"s{number}") for number in range(3)]
    for number, there in enumerate(sinks):
        await at.trigger(f"t{number}", there)
    ids = [
        await at.take(at.event(datacontenttype="application/x-odd", subject="s", myext="x"), b"\x00\xff"),
        await at.take(at.event(), b""),
        await at.take(at.event(type="t", source="a", time="2026-01-01T00:00:00Z")),
        await at.take(at.event(datacontenttype="application/json"), b'{"a": 1}'),
    ]
    for there in sinks:
        for event_id in ids:
            await at.arrived(there, event_id)


@check("CP-5")
async def a_broker_resolves_its_dead_letter_sink_before_it_is_ready(at: Place) -> None:
    """It is in its status; and one that cannot be resolved keeps it from Ready."""
    dead = at.sink("dead")
    await at.broker("b", delivery={"deadLetterSink": {"uri": dead.url}})
    value = await at.is_ready("Broker", "b")
    found = _status(value, "deadLetterSinkUri")
    at.need(found == dead.url, f"status.deadLetterSinkUri is {found!r}")
    annotations = {CLASS: at.ground.broker_class} if at.ground.broker_class else {}
    await at.create("Broker", "nobody", {"delivery": {"deadLetterSink": _NOBODY}}, annotations)
    await at.becomes("Broker", "nobody", "a status that is current", lambda v: condition(v, "Ready") != {})
    await at.settle()
    value = await at.definitions.get("Broker", at.name("nobody")) or {}
    at.need(not ready(value), "it is Ready without its dead letter sink")


@check("CP-6")
async def a_broker_of_another_class_is_left_alone(at: Place) -> None:
    """Nobody makes it Ready."""
    status = await at.create("Broker", "b", {}, {CLASS: "com-example-nobody"})
    at.need(status < 300, f"a Broker of another class is refused with {status}")
    await at.settle()
    value = await at.definitions.get("Broker", at.name("b")) or {}
    at.need(not condition(value, "Ready"), "somebody has taken it up")


@check("CP-7")
async def a_broker_without_a_class_gets_one(at: Place) -> None:
    """When it is created."""
    await at.create("Broker", "b", {})
    value = await at.definitions.get("Broker", at.name("b")) or {}
    at.need(bool((value.get("metadata", {}).get("annotations") or {}).get(CLASS)), "it has no class")


@check("CP-8")
async def class_and_config_of_a_broker_stay(at: Place) -> None:
    """A change is refused, or not made."""
    await at.broker("b")
    was = await at.definitions.get("Broker", at.name("b")) or {}
    class_was = (was["metadata"].get("annotations") or {}).get(CLASS)
    config_was = (was.get("spec") or {}).get("config")
    changes: list[Object] = [
        {"metadata": {"annotations": {CLASS: "com-example-other"}}},
        {"spec": {"config": {"apiVersion": "v1", "kind": "ConfigMap", "name": "other"}}},
    ]
    for change in changes:
        status, _ = await at.definitions.patch("Broker", at.name("b"), change)
        value = await at.definitions.get("Broker", at.name("b")) or {}
        same = (value["metadata"].get("annotations") or {}).get(CLASS) == class_was
        same = same and (value.get("spec") or {}).get("config") == config_was
        at.need(same, f"the change {change} is answered with {status}, and made")


# -- Triggers -------------------------------------------------------------------------------------------------------


@check("CP-9", "CP-10")
async def a_trigger_may_come_before_its_broker(at: Place) -> None:
    """It is not Ready and says why; it becomes Ready with its Broker."""
    there = at.sink()
    status = await at.create("Trigger", "t", at.trigger_spec(there, broker=at.name("later")))
    at.need(status < 300, f"a Trigger without its Broker is refused with {status}")
    value = await at.is_ready("Trigger", "t", "False")
    at.need(bool(condition(value, "Ready").get("reason")), "Ready is False without a reason")
    address = await at.broker("later")
    await at.is_ready("Trigger", "t")
    await at.arrived(there, await at.take(at.event(), to=address))


@check("CP-11")
async def a_ready_trigger_has_its_subscribers_address(at: Place) -> None:
    """In its status."""
    there = at.sink()
    found = _status(await at.trigger("t", there), "subscriberUri")
    at.need(found == there.url, f"status.subscriberUri is {found!r}")


@check("CP-12", "CP-20", "CP-42")
async def a_subscriber_that_is_not_there_is_named(at: Place) -> None:
    """Ready is False, a condition says why, and there is no address."""
    status = await at.create("Trigger", "t", at.trigger_spec(_NOBODY))
    at.need(status < 300, f"it is refused with {status}")
    value = await at.is_ready("Trigger", "t", "False")
    at.need(not _status(value, "subscriberUri"), f"status.subscriberUri is {_status(value, 'subscriberUri')!r}")
    why = condition(value, "Ready")
    at.need(bool(why.get("reason")), "Ready is False without a reason")
    at.need(bool(why.get("message")), "Ready is False without a message")


@check("CP-13", "CP-20")
async def a_trigger_resolves_its_dead_letter_sink_before_it_is_ready(at: Place) -> None:
    """It is in its status; one that is not there keeps it from Ready."""
    dead = at.sink("dead")
    found = _status(
        await at.trigger("t", at.sink(), delivery={"deadLetterSink": {"uri": dead.url}}), "deadLetterSinkUri"
    )
    at.need(found == dead.url, f"status.deadLetterSinkUri is {found!r}")
    await at.create("Trigger", "nobody", at.trigger_spec(at.sink(), delivery={"deadLetterSink": _NOBODY}))
    await at.is_ready("Trigger", "nobody", "False")


@check("CP-14")
async def the_broker_of_a_trigger_stays(at: Place) -> None:
    """A change is refused, or not made."""
    await at.trigger("t", at.sink())
    status, _ = await at.definitions.patch("Trigger", at.name("t"), {"spec": {"broker": "another"}})
    value = await at.definitions.get("Trigger", at.name("t")) or {}
    at.need(value["spec"]["broker"] == at.ground.broker_name, f"the change is answered with {status}, and made")


@check("CP-15", "CP-38", "CP-30")
async def all_else_of_a_trigger_can_be_changed(at: Place) -> None:
    """Subscriber, filter and delivery; the status speaks of the new generation, and the events follow."""
    one, other, dead = at.sink("one"), at.sink("other", answer(400)), at.sink("dead")
    await at.trigger("t", one)
    change = {
        "subscriber": {"uri": other.url},
        "filter": {"attributes": {KEY: at.key, "kind": "new"}},
        "delivery": policy(dead=dead),
    }
    status, _ = await at.definitions.patch("Trigger", at.name("t"), {"spec": change})
    at.need(status < 300, f"the change is refused with {status}")
    value = await at.becomes(
        "Trigger", "t", "Ready as it is now", lambda v: v["spec"]["subscriber"] == change["subscriber"] and ready(v)
    )
    at.need(value["metadata"].get("generation", 2) > 1, "the generation has not moved")
    at.need(
        _status(value, "subscriberUri") == other.url, f"status.subscriberUri is {_status(value, 'subscriberUri')!r}"
    )
    old, new = await at.take(at.event(kind="old")), await at.take(at.event(kind="new"))
    await at.arrived(dead, new)
    await at.settle()
    at.need(not at.of(one, new) and not at.of(one, old), "events go where the Trigger no longer points")
    at.need(not at.of(other, old), "an event passes that the new filter does not let pass")


@check("CP-16")
async def who_is_ready_gets_every_event_from_then_on(at: Place) -> None:
    """Ten times: as soon as a Trigger is Ready an event is posted, and it arrives."""
    for number in range(10):
        there = at.sink(f"s{number}")
        await at.trigger(f"t{number}", there)
        await at.arrived(there, await at.take(at.event()))


@check("CP-18")
async def a_destination_is_whatever_has_an_address(at: Place) -> None:
    """Here another Broker: what this one takes arrives at its Trigger."""
    there = at.sink()
    await at.broker("b")
    broker = await at.is_ready("Broker", "b")
    await at.trigger("far", there, broker=at.name("b"))
    value = await at.trigger("near", at.reference("Broker", "b"))
    found = _status(value, "subscriberUri")
    at.need(found == _address(broker), f"status.subscriberUri is {found!r}, the address {_address(broker)!r}")
    await at.arrived(there, await at.take(at.event()))


@check("CP-18")
async def a_service_is_its_name(at: Place) -> None:
    """``http://<service>.<namespace>.svc``, the cluster's domain behind it."""
    spec = {"ports": [{"port": 80}]}
    status = await at.create("Service", "s", spec)
    at.need(status < 300, f"a Service cannot be created: {status}")
    found = str(_status(await at.trigger("t", at.reference("Service", "s")), "subscriberUri"))
    wanted = f"http://{at.name('s')}.{at.definitions.namespace}.svc"
    at.need(found.startswith(wanted), f"status.subscriberUri is {found!r}")


@check("CP-19")
async def a_uri_beside_a_ref_is_relative_to_it(at: Place) -> None:
    """By RFC 3986."""
    await at.broker("b")
    base = _address(await at.is_ready("Broker", "b"))
    for number, uri in enumerate(("/in", "in?x=1", "../in")):
        found = _status(await at.trigger(f"t{number}", at.reference("Broker", "b") | {"uri": uri}), "subscriberUri")
        at.need(found == urljoin(base, uri), f"{uri!r} is resolved to {found!r}, not to {urljoin(base, uri)!r}")


@check("CP-30")
async def deliveries_go_where_the_status_says(at: Place) -> None:
    """Path and query as they stand in ``status.subscriberUri``."""
    there = at.sink("deep/path")
    value = await at.trigger("t", {"uri": there.url + "?x=1"})
    event_id = await at.take(at.event())
    request = (await at.arrived(there, event_id))[0]
    found = str(_status(value, "subscriberUri"))
    at.need(found.endswith(request.target), f"status says {found!r}, it is sent to {request.target!r}")


@check("CP-34")
async def the_fields_of_the_document_are_all_there_and_no_other_is_needed(at: Place) -> None:
    """The whole of them, and the least."""
    least, whole, dead = at.sink("least"), at.sink("whole", answer(503)), at.sink("dead")
    delivery = policy(1, "PT0.1S", "exponential", dead)
    await at.broker("least")
    await at.broker("whole", delivery=delivery)
    spec = {"broker": at.name("least"), "subscriber": {"uri": least.url}}
    at.need(await at.create("Trigger", "least", spec) < 300, "the least is refused")
    await at.is_ready("Trigger", "least")
    attributes = {KEY: at.key, "type": "com.example.conformance"}
    await at.trigger("whole", whole, filter={"attributes": attributes}, delivery=delivery)
    kept = (await at.definitions.get("Trigger", at.name("whole")) or {}).get("spec") or {}
    for name in ("retry", "backoffPolicy", "backoffDelay", "deadLetterSink"):
        at.need(name in (kept.get("delivery") or {}), f"spec.delivery.{name} is not kept")
    event_id = await at.take(at.event())
    await at.arrived(dead, event_id)
    at.times(whole, event_id, 2)


@check("CP-35")
async def a_trigger_with_any_delivery_ignores_the_brokers(at: Place) -> None:
    """As a whole: of the Broker's retry, format and dead letter sink nothing is left."""
    dead = at.sink("dead")
    own, inherits = at.sink("own", answer(503)), at.sink("inherits", answer(503))
    address = await at.broker("b", delivery=policy(2, dead=dead))
    await at.trigger("own", own, broker=at.name("b"), delivery={"retry": 0})
    await at.trigger("inherits", inherits, broker=at.name("b"))
    event_id = await at.take(at.event(), to=address)
    letter = received((await at.arrived(dead, event_id))[0])
    await at.settle()
    at.times(inherits, event_id, 3)
    at.times(own, event_id, 1)
    at.times(dead, event_id, 1)
    at.need(letter.attributes.get("id") == event_id, "the dead letter is another event")


# -- what they say of themselves ------------------------------------------------------------------------------------


@check("CP-38", "CP-39", "CP-40", "CP-43")
async def what_is_ready_says_so_in_whole_conditions(at: Place) -> None:
    """A list of unique types, each with its fields; Ready among them, and all of them True."""
    await at.broker("b")
    for value in (await at.is_ready("Broker", "b"), await at.trigger("t", at.sink())):
        _whole(at, value)
        generation, seen = value["metadata"].get("generation"), _status(value, "observedGeneration")
        at.need(generation == seen, f"observedGeneration is {seen}, the generation {generation}")
        off = [
            one["type"] for one in _status(value, "conditions") if one["status"] != "True" and not one.get("severity")
        ]
        at.need(not off, f"it is Ready, and {off} are not True")


@check("CP-39", "CP-40", "CP-41", "CP-42")
async def what_is_not_ready_says_why_in_whole_conditions(at: Place) -> None:
    """A condition that is False makes Ready False, and both have their reason."""
    await at.create("Trigger", "t", at.trigger_spec(_NOBODY))
    value = await at.is_ready("Trigger", "t", "False")
    _whole(at, value)
    off = [one for one in _status(value, "conditions") if one["status"] == "False" and not one.get("severity")]
    at.need(len(off) >= 2, "no condition but Ready is False")
    at.need(all(one.get("reason") for one in off), "a condition is False without a reason")


def _whole(at: Place, value: Object) -> None:
    conditions = _status(value, "conditions") or []
    types = [one.get("type") for one in conditions]
    at.need(len(types) == len(set(types)), f"types of conditions are not unique: {types}")
    at.need("Ready" in types, "there is no Ready")
    at.need(len(types) > 1, "Ready is alone and sums up nothing")
    for one in conditions:
        at.need(
            one.get("status") in {"True", "False", "Unknown"}, f"status of {one.get('type')} is {one.get('status')!r}"
        )
        at.need(set(one) <= _FIELDS, f"a condition has fields of its own: {set(one) - _FIELDS}")
    at.need(not condition(value, "Ready").get("severity"), "Ready has a severity")


@check("KE-15")
async def a_bad_trigger_does_not_affect_a_good_one(at: Place) -> None:
    """One without its subscriber, one whose sink always fails."""
    good = at.sink("good")
    await at.create("Trigger", "lost", at.trigger_spec(_NOBODY))
    await at.trigger("failing", at.sink("failing", answer(500)), delivery=policy(2))
    await at.trigger("good", good)
    ids = [await at.take(at.event()) for _ in range(5)]
    for event_id in ids:
        await at.arrived(good, event_id)


@check("CP-44")
async def malformed_definitions_are_refused(at: Place) -> None:
    """By the API, or by a Trigger that is not Ready."""
    specs: dict[str, Object] = {
        "nowhere": {"broker": at.ground.broker_name},
        "negative": at.trigger_spec(at.sink(), delivery={"retry": -1}),
        "cubic": at.trigger_spec(at.sink(), delivery={"retry": 1, "backoffPolicy": "cubic"}),
        "seconds": at.trigger_spec(at.sink(), delivery={"retry": 1, "backoffDelay": "5 seconds"}),
    }
    made = await asyncio.gather(*(at.create("Trigger", name, spec) for name, spec in specs.items()))
    for name, status in zip(specs, made, strict=True):
        at.need(await at.not_ready(name, status), f"a Trigger that is {name} is taken")


@check("CP-24")
async def metadata_is_added_at_most(at: Place) -> None:
    """Every attribute that was sent arrives as it was, in both modes."""
    sent = at.event(subject="s", time="2026-01-01T00:00:00Z", dataschema="urn:x:y", myext="x")
    event_id = await at.take(sent, b"x")
    for mode in ("binary", "json"):
        request = await at.observed(event_id, mode)
        assert request is not None  # noqa: S101 - with an API there are observers
        at.need(
            (mode == "json") is (request.header("content-type") or "").startswith(STRUCTURED), "the mode is another"
        )
        event = received(request)
        lost = {name for name, value in sent.items() if event.attributes.get(name) != value}
        at.need(not lost, f"in {mode} mode these attributes are changed: {lost}")
