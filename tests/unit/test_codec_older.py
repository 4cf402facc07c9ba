"""Events of CloudEvents 0.3 (decision 0019): read by its own rules, and written as what they are."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.codec import http, jsonformat, stored
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import Event, is_json
from tests.support.events import REQUIRED, events

OLDER = REQUIRED | {"specversion": "0.3"}
JSON = "application/cloudevents+json"


def in_binary(body: bytes = b"", content_type: str | None = None, **attributes: str) -> Event:
    """What is read of a request in binary mode."""
    headers = [(f"ce-{name}".encode(), value.encode()) for name, value in (OLDER | attributes).items()]
    [event] = http.decode(content_type, headers, body)
    return event


def in_json(**members: Any) -> Event:
    """What is read of a request in structured mode."""
    [event] = http.decode(JSON, [], json.dumps(OLDER | members).encode())
    return event


def written(event: Event) -> dict[str, Any]:
    """The object that is sent in structured mode."""
    value: dict[str, Any] = json.loads(http.encode_structured(event)[1])
    return value


@pytest.mark.parametrize("schema", ["/relative", "https://example.com/a#b", "urn:a:b"])
def test_a_schemaurl_may_be_relative_and_stays_what_it_is(schema: str) -> None:
    for event in (in_binary(schemaurl=schema), in_json(schemaurl=schema)):
        assert event.attributes == OLDER | {"schemaurl": schema}
        assert http.encode_binary(event)[0]["ce-specversion"] == "0.3"
        assert written(event) == OLDER | {"schemaurl": schema}


def test_a_dataschema_is_an_extension_like_any_other() -> None:
    assert in_binary(dataschema="/relative").attributes["dataschema"] == "/relative"


def test_a_schemaurl_of_a_1_0_event_is_an_extension_like_any_other() -> None:
    assert in_binary(specversion="1.0", schemaurl="x").attributes["schemaurl"] == "x"


@pytest.mark.parametrize(
    ("members", "data", "kind"),
    [
        ({"data": {"a": 1.0}}, b'{"a": 1.0}', "application/json"),
        ({"data": "text"}, b'"text"', "application/json"),
        ({"data": None}, b"null", "application/json"),
        ({"data": [1], "datacontenttype": "x/y+json"}, b"[1]", "x/y+json"),
        ({"data": "<a/>", "datacontenttype": "text/xml"}, b"<a/>", "text/xml"),
        ({"data": "AAEC", "datacontenttype": "image/png"}, b"AAEC", "image/png"),
        ({"data": "AAEC", "datacontenttype": "image/png", "datacontentencoding": "base64"}, b"\0\1\2", "image/png"),
        ({"data": "AA\r\nEC", "datacontenttype": "image/png", "datacontentencoding": "Base64"}, b"\0\1\2", "image/png"),
        ({"data": "e30=", "datacontenttype": "application/json", "datacontentencoding": "base64"}, b"{}", None),
        ({"data": "e30=", "datacontentencoding": "base64"}, b"{}", None),
    ],
)
def test_data_in_json_are_a_json_value_a_text_or_base64(members: dict[str, Any], data: bytes, kind: str | None) -> None:
    event = in_json(**members)
    assert event.data == data
    assert event.attributes.get("datacontenttype") == (kind or members.get("datacontenttype"))
    assert "datacontentencoding" not in event.attributes, "what is kept are the bytes"
    assert http.decode(JSON, [], jsonformat.encode(event)) == [event]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"data_base64": "AAEC"}, "data_base64 is of CloudEvents 1.0"),
        ({"data": {"a": 1}, "datacontentencoding": "base64"}, "data is not base64"),
        ({"data": "A", "datacontentencoding": "base64"}, "data is not base64"),
        ({"data": "=41", "datacontentencoding": "quoted-printable"}, "defines base64 only"),
        ({"data": "AAEC", "datacontentencoding": 64}, "has to be a string"),
        ({"schemaurl": 1}, "has to be a string"),
        ({"data": {}, "datacontenttype": "text/xml"}, "data is not a string"),
        ({"1ext": "a"}, "does not begin with a letter"),
        ({"ext": {"a": 1}}, "an object, which no attribute can be"),
        ({"id": ""}, "'id' is empty"),
        ({"time": "now"}, "no RFC 3339 timestamp"),
    ],
)
def test_what_breaks_its_rules_is_refused(members: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedEventError, match=why):
        in_json(**members)


def test_other_encodings_are_refused_in_binary_mode_too() -> None:
    with pytest.raises(MalformedEventError, match="defines base64 only"):
        in_binary(datacontentencoding="7bit")


@pytest.mark.parametrize("version", ["0.2", "0.1", "0.30", "03", "1.0.1", "0.4-wip"])
def test_a_version_nobody_knows_is_refused_with_those_that_are_known(version: str) -> None:
    with pytest.raises(MalformedEventError, match="is not supported") as found:
        in_binary(specversion=version)
    assert "1.0 or 0.3" in found.value.hint


@pytest.mark.parametrize(
    ("body", "sent"),
    [(b"AAEC", "AAEC"), (b"\0\1\2", "AAEC"), (b"{}", "e30=")],
)
def test_an_encoding_that_came_in_binary_mode_goes_on_with_the_body_as_it_was(body: bytes, sent: str) -> None:
    event = in_binary(body, "application/json", datacontentencoding="base64")
    headers, same = http.encode_binary(event)
    assert (headers["ce-datacontentencoding"], same) == ("base64", body)
    assert written(event)["data"] == sent, "what is no base64 yet is made it"
    assert written(event)["datacontentencoding"] == "base64"


def test_bytes_are_sent_on_in_base64_and_say_so() -> None:
    assert written(in_binary(b"\0\xff", "image/png")) == OLDER | {
        "datacontenttype": "image/png",
        "datacontentencoding": "base64",
        "data": base64.b64encode(b"\0\xff").decode(),
    }


def test_a_batch_is_of_one_version() -> None:
    older, newer = json.dumps(OLDER), json.dumps(REQUIRED)
    assert len(jsonformat.decode_batch(f"[{older},{older}]".encode())) == 2
    with pytest.raises(MalformedEventError, match=r"different versions: 0\.3, 1\.0"):
        jsonformat.decode_batch(f"[{older},{newer}]".encode())


@settings(max_examples=60)
@given(events(), st.none() | st.text("abc:/#?", min_size=1))
def test_every_event_comes_back_from_every_form(event: Event, schema: str | None) -> None:
    event = event.with_attributes(specversion="0.3", schemaurl=schema)
    assert stored.from_headers(stored.to_headers(event), event.data or b"") == event
    headers, body = http.encode_binary(event)
    raw = [(name.encode(), value.strip(" \t").encode("latin-1")) for name, value in headers.items()]
    assert http.decode(headers.get("content-type"), raw, body) == [event]
    [found] = http.decode(JSON, [], jsonformat.encode(event))
    kind = event.attributes.get("datacontenttype")
    if event.data and kind and is_json(kind):  # white space around JSON is no content
        assert (found.data or b"").strip() == event.data.strip()
        event, found = Event(event.attributes), Event(found.attributes)
    assert found == event
