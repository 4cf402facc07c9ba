"""Events of CloudEvents 0.3, where they are taken: what becomes of them. A broker need not take them."""

from __future__ import annotations

import json
from typing import Any, Final

from scaup.conformance.checks.delivery import policy
from scaup.conformance.checks.registry import check
from scaup.conformance.event import BATCH, STRUCTURED, id_of, received
from scaup.conformance.place import KEY, Place, UnshownError
from scaup.conformance.sink import OK, answer, reply
from scaup.conformance.wire import Answer, Request

_VERSION: Final = "0.3"
_SCHEMA: Final = "/relative/schema#a"


def _taken(at: Place, found: Answer) -> None:
    if not found.accepted:
        at.need(400 <= found.status < 500, f"an event of CloudEvents 0.3 is answered with {found.status}")
        raise UnshownError("this broker takes no events of CloudEvents 0.3")


def _event(at: Place, **more: str) -> dict[str, str]:
    return at.event(specversion=_VERSION, **more)


async def _structured(at: Place, **more: Any) -> str:
    """Post one in structured mode; its id."""
    event = _event(at)
    _taken(at, await at.send([("Content-Type", STRUCTURED)], json.dumps({**event, **more}).encode()))
    return event["id"]


async def _seen(at: Place, event_id: str, mode: str = "binary") -> Request:
    """The event as it is sent on, which has to be of 0.3 still."""
    request = await at.observed(event_id, mode)
    assert request is not None  # noqa: S101 - with an API there are observers
    version = received(request).attributes.get("specversion")
    at.need(version == _VERSION, f"in {mode} mode it is sent on as {version!r}")
    return request


@check("KE-18")
async def an_event_of_the_older_version_stays_one(at: Place) -> None:
    """In binary mode, and sent on in either."""
    event = _event(at)
    _taken(at, await at.post(event, b"data"))
    for mode in at.ground.observers:
        request = await _seen(at, event["id"], mode)
        at.need(received(request).data == b"data", f"in {mode} mode its data is {received(request).data!r}")


@check("KE-18", "KE-19")
async def an_older_event_in_json_stays_one(at: Place) -> None:
    """In structured mode, with a schema, and sent on in either."""
    event_id = await _structured(at, schemaurl=_SCHEMA, data={"a": 1})
    for mode in at.ground.observers:
        found = received(await _seen(at, event_id, mode))
        at.need(found.attributes.get("schemaurl") == _SCHEMA, f"schemaurl is {found.attributes.get('schemaurl')!r}")
        at.need("dataschema" not in found.attributes, "it has got a dataschema")
        at.need(json.loads(found.data) == {"a": 1}, f"its data is {found.data!r}")


@check("KE-20")
async def base64_of_an_older_event_is_its_data(at: Place) -> None:
    """The bytes are the body in binary mode, and are base64 again in JSON."""
    event_id = await _structured(at, datacontenttype="image/png", datacontentencoding="base64", data="AAEC")
    for mode in at.ground.observers:
        found = received(await _seen(at, event_id, mode))
        at.need(found.data == b"\x00\x01\x02", f"in {mode} mode its data is {found.data!r}")


@check("KE-21")
async def a_batch_of_older_events_is_taken(at: Place) -> None:
    """Each is an event of its own."""
    events = [_event(at) for _ in range(3)]
    _taken(at, await at.send([("Content-Type", BATCH)], json.dumps(events).encode()))
    for event in events:
        await _seen(at, event["id"])


@check("KE-22")
async def filters_find_the_schema_of_an_older_event(at: Place) -> None:
    """By its own name, and by no name that it does not have."""
    sinks = {name: at.sink(name) for name in ("filter", "exact", "other")}
    await at.trigger("filter", sinks["filter"], filter={"attributes": {KEY: at.key, "schemaurl": _SCHEMA}})
    await at.trigger("exact", sinks["exact"], filters=[{"exact": {"schemaurl": _SCHEMA}}])
    await at.trigger("other", sinks["other"], filters=[{"exact": {"schemaurl": "/another"}}])
    event = _event(at, schemaurl=_SCHEMA)
    _taken(at, await at.post(event))
    for name in ("filter", "exact"):
        await at.arrived(sinks[name], event["id"])
    await at.settle()
    at.times(sinks["other"], event["id"], 0)


@check("KE-23")
async def what_comes_of_an_older_event_is_older_too(at: Place) -> None:
    """A reply of 0.3 to an event of 1.0, and the dead letter of an event of 0.3."""
    dead, other, reply_id = at.sink("dead"), at.sink("other"), f"{at.key}-reply"
    replying = reply(_event(at, id=reply_id, type="com.example.reply"))
    asks = at.sink("asks")
    asked: list[str] = []
    asks.script = lambda request: replying if id_of(request) in asked else OK
    await at.trigger("other", other, filter={"attributes": {KEY: at.key, "type": "com.example.reply"}})
    await at.trigger("asks", asks, filter={"attributes": {KEY: at.key, "specversion": "1.0"}})
    await at.trigger("fails", at.sink("fails", answer(422)), delivery=policy(0, dead=dead))
    event, question = _event(at), at.event()
    _taken(at, await at.post(event))
    asked.append(question["id"])
    await at.take(question)
    for there, event_id in ((dead, event["id"]), (other, reply_id)):
        found = received((await at.arrived(there, event_id))[0]).attributes
        at.need(found.get("specversion") == _VERSION, f"at {there.url} it is of {found.get('specversion')!r}")
