"""The JSON format and its batches: members, types, and the three ways in which data is written."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from scaup.conformance.checks.cases import Case, Want, in_batch, in_binary, in_json, json_text, register
from scaup.conformance.checks.registry import Needs, check
from scaup.conformance.event import BATCH, id_of, members_of
from scaup.conformance.place import KEY, Place, UnshownError
from scaup.conformance.wire import Answer

TAKEN, REFUSED, EITHER = Want.TAKEN, Want.REFUSED, Want.EITHER
_BYTES: Final = bytes(range(256))
_VALUE: Final = {"a": [1, 2.5, None, True], "b": {"c": "d"}}

CASES: Final[tuple[Case, ...]] = (
    in_json("JF-1 JF-7", "members", TAKEN, {"subject": "s", "ext1": "x"}, sees={"subject": "s", "ext1": "x"}),
    in_json("JF-2", "null_is_not_there", TAKEN, {"subject": None, "ext1": None}, sees={"subject": None, "ext1": None}),
    in_json("JF-2", "a_required_null", REFUSED, {"id": None}),
    in_json("JF-3", "a_boolean", TAKEN, {"ext1": True}, sees={"ext1": "true"}),
    in_json("JF-4", "an_integer", TAKEN, {"ext1": 42}, sees={"ext1": "42"}),
    in_json("JF-4", "an_exponent_beyond", REFUSED, raw='"ext1": 1e400'),
    in_json("JF-5", "a_type_that_is_a_number", REFUSED, {"type": 5}),
    in_json("JF-5", "a_time_that_is_a_number", REFUSED, {"time": 1767225600}),
    in_json("JF-6", "an_object_as_a_value", REFUSED, {"ext1": {"a": "b"}}),
    in_json("JF-6", "an_array_as_a_value", REFUSED, {"ext1": ["a"]}),
    in_json("JF-8", "data_in_both_ways", REFUSED, {"data": 1, "data_base64": "AAE="}),
    in_json(
        "JF-9",
        "data_in_base64",
        TAKEN,
        {"data_base64": base64.b64encode(_BYTES).decode(), "datacontenttype": "application/x-odd"},
        data=_BYTES,
    ),
    in_json("JF-10", "base64_of_another_alphabet", REFUSED, {"data_base64": "a$%b"}),
    in_json("JF-10", "base64_that_is_a_number", REFUSED, {"data_base64": 5}),
    in_json("JF-11", "an_object", TAKEN, {"data": _VALUE}, json_data=_VALUE),
    in_json("JF-11", "an_array", TAKEN, {"data": [1], "datacontenttype": "application/json"}, json_data=[1]),
    in_json("JF-11", "a_number", TAKEN, {"data": -1.5}, json_data=-1.5),
    in_json("JF-11", "a_truth", TAKEN, {"data": False}, json_data=False),
    in_json(
        "JF-12",
        "a_type_with_json_behind_a_plus",
        TAKEN,
        {"data": {"a": 1}, "datacontenttype": "application/vnd.x.y+json; v=1"},
        json_data={"a": 1},
    ),
    in_json("JF-12", "text_json", TAKEN, {"data": {"a": 1}, "datacontenttype": "text/json"}, json_data={"a": 1}),
    in_json("JF-12", "json_in_capitals", TAKEN, {"data": [2], "datacontenttype": "Application/JSON"}, json_data=[2]),
    in_json("JF-13", "a_string_that_looks_like_json", TAKEN, {"data": '{"a":1}'}, json_data='{"a":1}'),
    in_json("JF-13", "a_string", TAKEN, {"data": "x", "datacontenttype": "application/json"}, data=b'"x"'),
    in_json(
        "JF-14", "text_of_another_type", TAKEN, {"data": "<a>1</a>", "datacontenttype": "text/xml"}, data=b"<a>1</a>"
    ),
    in_json("JF-15", "data_that_is_null", TAKEN, {"data": None}, data=b"null"),
    in_json("JF-16", "the_type_that_is_meant", TAKEN, {"data": {}}, sees={"datacontenttype": "application/json"}),
    in_json("JF-17", "no_type_is_made_up", TAKEN, {"data_base64": "AAE="}, sees={"datacontenttype": None}),
    in_json("JF-21", "no_json_at_all", REFUSED, raw="nonsense"),
    in_json("JF-21", "not_a_number_of_json", REFUSED, raw='"data": NaN'),
    in_json("JF-23", "empty_base64", TAKEN, {"data_base64": "", "datacontenttype": "text/css"}, data=b""),
    in_json("JF-23", "empty_text", TAKEN, {"data": "", "datacontenttype": "text/plain"}, data=b""),
    in_batch("BA-2", "a_batch_that_is_no_array", REFUSED, "5"),
    in_batch("BA-5", "a_batch_with_a_bad_event", REFUSED, f"[{json_text()},{json_text({'id': ...})}]"),
    in_binary(
        "JF-21", "text_in_structured_mode", REFUSED, {"datacontenttype": "application/cloudevents+json"}, body=b"x"
    ),
)

register(CASES)


async def _structured(at: Place, event: dict[str, str], data: bytes) -> dict[str, Any]:
    found = await at.observed(await at.take(event, data), "json")
    assert found is not None  # noqa: S101 - with an API there are observers
    return members_of(found)


@check("JF-18")
async def bytes_are_sent_in_base64(at: Place) -> None:
    """What is no text cannot stand in a JSON string."""
    members = await _structured(at, at.event(datacontenttype="application/x-odd"), _BYTES)
    at.need("data" not in members, "data stands beside data_base64")
    at.need(base64.b64decode(members.get("data_base64") or "") == _BYTES, "data_base64 is not what was sent")


@check("JF-19")
async def json_is_sent_as_json(at: Place) -> None:
    """JSON data is a value in the event, not a string with JSON in it."""
    members = await _structured(at, at.event(datacontenttype="application/json"), json.dumps(_VALUE).encode())
    at.need(members.get("data") == _VALUE, f"data is {members.get('data')!r}")


async def _batch(at: Place, *texts: str) -> Answer:
    """Post a batch; UnshownError where batches are not taken at all."""
    probe = await at.send([("Content-Type", BATCH)], f"[{json_text(at.event())}]".encode())
    if not probe.accepted:
        at.need(400 <= probe.status < 500, f"a batch is answered with {probe.status}")
        raise UnshownError("this broker takes no batches")
    return await at.send([("Content-Type", BATCH)], f"[{','.join(texts)}]".encode())


@check("BA-3", needs=Needs.BROKER)
async def a_batch_may_be_empty(at: Place) -> None:
    """No events are a batch too."""
    found = await _batch(at)
    at.need(found.accepted, f"an empty batch is answered with {found.status}")


@check("BA-4", "BA-6", "BA-2", "BA-8")
async def events_of_a_batch_are_events_of_their_own(at: Place) -> None:
    """Each is sent on by itself, in no batch."""
    events = [at.event() for _ in range(5)]
    found = await _batch(at, *(json_text(event) for event in events))
    at.need(found.accepted, f"a batch of valid events is answered with {found.status}")
    for event in events:
        request = await at.observed(event["id"])
        assert request is not None  # noqa: S101 - with an API there are observers
        at.need(not (request.header("content-type") or "").startswith(BATCH), "it is sent on in a batch")


@check("BA-7", "BA-5")
async def a_batch_is_refused_whole(at: Place) -> None:
    """The good event of a batch that is refused is not sent on."""
    good, bad = at.event(), json.dumps({"specversion": "1.0", KEY: at.key})
    found = await _batch(at, json_text(good), bad)
    at.need(400 <= found.status < 500, f"a batch with a bad event is answered with {found.status}")
    await at.settle()
    observer = at.ground.observers["binary"]
    came = any(id_of(request) == good["id"] for request in observer.requests)
    at.need(not came, "an event of a batch that was refused is sent on")
