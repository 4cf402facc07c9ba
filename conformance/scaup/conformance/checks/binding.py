"""The HTTP binding: which mode a request is in, and how attributes are written into headers and read out of them."""

from __future__ import annotations

from typing import Final

from scaup.conformance.checks.cases import ID, Case, Want, in_batch, in_binary, in_json, json_text, register
from scaup.conformance.checks.registry import check
from scaup.conformance.event import STRUCTURED, decoded, encoded, members_of
from scaup.conformance.place import Place
from scaup.conformance.wire import Request, values_of

TAKEN, REFUSED, EITHER = Want.TAKEN, Want.REFUSED, Want.EITHER
_BYTES: Final = bytes(range(256)) * 2
_LIE: Final = [("ce-id", "of-the-header"), ("ce-specversion", "19"), ("ce-type", "of.the.header"), ("ce-source", "/x")]

CASES: Final[tuple[Case, ...]] = (
    in_json(
        "HB-1 HB-21",
        "headers_beside_a_structured_event",
        TAKEN,
        {"subject": "of the body"},
        headers=[("Content-Type", STRUCTURED), *_LIE],
        sees={"subject": "of the body", "type": "com.example.conformance"},
    ),
    in_json("HB-1", "an_event_in_json_of_another_type", REFUSED, headers=[("Content-Type", "application/json")]),
    in_json("HB-1", "an_event_in_json_of_no_type", REFUSED, headers=[]),
    in_json(
        "HB-2", "a_parameter_of_structured_mode", TAKEN, headers=[("Content-Type", STRUCTURED + "; charset=utf-8")]
    ),
    in_json("HB-2", "structured_mode", TAKEN, {"subject": "s"}, sees={"subject": "s"}),
    in_batch("HB-3", "one_event_in_batched_mode", REFUSED, json_text()),
    in_binary("HB-4", "binary_mode_of_no_type", TAKEN, {"subject": "s"}, sees={"subject": "s"}),
    in_binary(
        "HB-4",
        "binary_mode_that_looks_structured",
        TAKEN,
        {"datacontenttype": "application/json"},
        body=b'{"specversion":"1.0","id":"other"}',
        data=b'{"specversion":"1.0","id":"other"}',
    ),
    in_json("HB-5", "structured_mode_in_capitals", TAKEN, headers=[("Content-Type", "Application/CloudEvents+JSON")]),
    in_binary(
        "HB-6", "a_format_nobody_knows", EITHER, {"datacontenttype": "application/cloudevents+x-odd"}, body=b"\0"
    ),
    in_binary(
        "HB-7",
        "a_content_type_with_parameters",
        TAKEN,
        {"datacontenttype": 'text/plain; charset="utf-8"; x=1'},
        body=b"x",
        sees={"datacontenttype": 'text/plain; charset="utf-8"; x=1'},
    ),
    in_binary("HB-10", "names_in_any_case", TAKEN, {}, more=[("CE-SubJect", "s")], sees={"subject": "s"}),
    in_binary("HB-11", "every_byte", TAKEN, {"datacontenttype": "application/x-odd"}, body=_BYTES, data=_BYTES),
    in_binary("HB-12", "encoded_once", TAKEN, {"subject": "a%20b%2520"}, sees={"subject": "a b%20"}),
    in_binary("HB-13", "lower_case_digits", TAKEN, {"subject": "caf%c3%a9"}, sees={"subject": "caf\u00e9"}),
    in_binary("HB-14", "encoded_without_need", TAKEN, {"subject": "%61%2F%62"}, sees={"subject": "a/b"}),
    in_binary("HB-15", "no_utf8", REFUSED, {"subject": "a%FFb"}),
    in_binary("HB-15", "no_utf8_cut_off", REFUSED, {"subject": "a%C3"}),
    in_binary("HB-15", "no_utf8_overlong", REFUSED, {"subject": "%C0%AF"}),
    in_binary("HB-15", "no_utf8_a_surrogate", REFUSED, {"subject": "%ED%A0%80"}),
    in_binary("HB-16", "a_value_in_quotes", TAKEN, {"subject": '"a \\"b\\" c"'}, sees={"subject": 'a "b" c'}),
    in_json("HB-21", "an_id_in_the_header_alone", REFUSED, {"id": ...}, headers=[("Content-Type", STRUCTURED), *_LIE]),
    in_json(
        "HB-22",
        "headers_that_repeat",
        TAKEN,
        headers=[("Content-Type", STRUCTURED), ("ce-id", ID), ("ce-specversion", "1.0")],
        sees={"specversion": "1.0"},
    ),
    in_binary("HB-36", "a_raw_space", TAKEN, {"subject": "a b"}, sees={"subject": "a b"}),
    in_binary("HB-36", "a_stray_percent", TAKEN, {"subject": "100%"}, sees={"subject": "100%"}),
)

register(CASES)

_ATTRIBUTES: Final = {
    "subject": 'a "b" 100%',
    "kind": "Zo\u00eb\u20ac\U0001f600",
    "plain": "!#$&'()*+,-./:;<=>?@[]^_`{|}~",
}


async def _sent_on(at: Place, attributes: dict[str, str], mode: str = "binary") -> Request:
    """An event as the broker sends it on."""
    values = {name: encoded(value) if name != "datacontenttype" else value for name, value in attributes.items()}
    event_id = await at.take(at.event(**values), b"x")
    found = await at.observed(event_id, mode)
    at.need(found is not None, "it is not sent on")
    assert found is not None  # noqa: S101 - it was needed
    return found


@check("HB-8", "HB-9", "DP-5", "WH-1", "WH-3")
async def binary_mode_is_sent_as_the_binding_has_it(at: Place) -> None:
    """Each attribute has its header, the content type is its own, and all of it is a POST."""
    found = await _sent_on(at, {"datacontenttype": "text/css", "myext": "x", "subject": "s"})
    at.need(found.method == "POST", f"the event is sent on with {found.method}")
    names = [name.lower() for name, _ in found.headers]
    at.need("ce-datacontenttype" not in names, "ce-datacontenttype is sent")
    for name in ("ce-id", "ce-source", "ce-specversion", "ce-type", "ce-myext", "ce-subject"):
        at.need(names.count(name) == 1, f"{name} is sent {names.count(name)} times")
    at.need(found.header("content-type") == "text/css", f"Content-Type is {found.header('content-type')!r}")


@check("HB-17", "HB-18")
async def values_are_encoded_when_they_are_sent(at: Place) -> None:
    """What has to be encoded is, and decoded it is what was meant."""
    found = await _sent_on(at, _ATTRIBUTES)
    for name in ("subject", "kind"):
        raw = found.header(f"ce-{name}") or ""
        at.need(all(0x21 <= ord(char) <= 0x7E and char != '"' for char in raw), f"ce-{name} is sent as {raw!r}")
        at.need(decoded(raw) == _ATTRIBUTES[name], f"ce-{name} is sent as {raw!r}, which means {decoded(raw)!r}")


@check("HB-19", "HB-20")
async def nothing_else_is_encoded(at: Place) -> None:
    """Printable characters stay what they are, and digits are upper-case."""
    found = await _sent_on(at, _ATTRIBUTES)
    plain = found.header("ce-plain")
    at.need(plain == _ATTRIBUTES["plain"], f"ce-plain is sent as {plain!r}")
    at.need(found.header("ce-kind") == encoded(_ATTRIBUTES["kind"]), f"ce-kind is sent as {found.header('ce-kind')!r}")


@check("HB-23", "HB-24", "JF-22", "JF-20")
async def structured_mode_is_sent_as_the_binding_has_it(at: Place) -> None:
    """The media type is the format's, and the body is JSON in UTF-8."""
    found = await _sent_on(at, {"subject": "Zo\u00eb"}, "json")
    media_type = (found.header("content-type") or "").split(";")[0].strip().lower()
    at.need(media_type == STRUCTURED, f"Content-Type is {found.header('content-type')!r}")
    found.body.decode("utf-8")
    at.need(members_of(found)["subject"] == "Zo\u00eb", f"subject is {members_of(found).get('subject')!r}")


@check("HB-33")
async def requests_that_are_sent_are_whole(at: Place) -> None:
    """One Host, and either a length or chunks."""
    found = await _sent_on(at, {})
    at.need(len(values_of(found.headers, "host")) == 1, "Host is not there once")
    framed = [name for name in ("content-length", "transfer-encoding") if found.header(name) is not None]
    at.need(len(framed) == 1, f"its length is said by {framed}")


@check("DP-3")
async def events_are_taken_and_sent_in_both_modes(at: Place) -> None:
    """Binary and structured, in and out."""
    for number, taken in enumerate(("binary", "json")):
        event = at.event(subject=f"s{number}")
        if taken == "binary":
            found = await at.post(event, b"1")
        else:
            found = await at.send([("Content-Type", STRUCTURED)], json_text(event, '"data": 1').encode())
        at.need(found.accepted, f"{taken} mode is answered with {found.status}")
        binary = await at.observed(event["id"])
        structured = await at.observed(event["id"], "json")
        assert binary is not None  # noqa: S101 - with an API there are observers
        assert structured is not None  # noqa: S101 - with an API there are observers
        at.need(binary.header("ce-subject") == event["subject"], "binary mode lacks the subject")
        at.need(members_of(structured)["subject"] == event["subject"], "structured mode lacks the subject")
