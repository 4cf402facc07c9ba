"""Events over HTTP: which mode a request is in, and binary mode (CloudEvents HTTP binding 3)."""

from __future__ import annotations

import pytest

from scaup.core.codec import http
from scaup.core.model.errors import MalformedEventError
from tests.support.events import an_event

CE = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/tests"), (b"ce-type", b"com.example.test")]
JSON = b'{"specversion":"1.0","id":"from-json","source":"s","type":"t"}'


@pytest.mark.parametrize(
    "kind",
    ["application/cloudevents+json", "Application/CloudEvents+JSON", "application/cloudevents+json; charset=UTF-8"],
)
def test_structured_mode_reads_the_body_and_no_ce_header(kind: str) -> None:
    (event,) = http.decode(kind, CE, JSON)
    assert event.id == "from-json"


@pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "APPLICATION/CLOUDEVENTS-BATCH+JSON;a=b"])
def test_a_batch_is_told_by_its_content_type(kind: str) -> None:
    assert [event.id for event in http.decode(kind, CE, b"[" + JSON + b"," + JSON + b"]")] == ["from-json"] * 2


@pytest.mark.parametrize("kind", [None, "application/json", "text/xml; charset=utf-8", "application/cloudevent+json"])
def test_everything_else_is_binary_and_its_content_type_is_the_datas(kind: str | None) -> None:
    assert http.decode(kind, CE, JSON) == [an_event(JSON, datacontenttype=kind)]


@pytest.mark.parametrize(
    "kind",
    ["application/cloudevents", "application/cloudevents+avro", "application/cloudevents-batch",
     "application/cloudevents-batch+xml", "application/cloudeventsx"],
)  # fmt: skip
def test_a_format_that_is_not_supported_is_refused_with_its_name(kind: str) -> None:
    with pytest.raises(MalformedEventError, match="is not supported") as found:
        http.decode(kind, CE, JSON)
    assert kind in str(found.value)


def test_no_body_is_no_data_and_other_headers_are_no_attributes() -> None:
    headers = [*CE, (b"host", b"x"), (b"x-ce-ext", b"y"), (b"ce-ext", b"a%20b")]
    assert http.decode(None, headers, b"") == [an_event(ext="a b")]


@pytest.mark.parametrize(
    ("header", "value", "why"),
    [
        (b"ce-my-ext", b"x", "cannot carry an attribute"),
        (b"ce-", b"x", "cannot carry an attribute"),
        (b"ce-data", b"x", "cannot carry an attribute"),
        (b"ce-datacontenttype", b"a/b", "cannot carry an attribute"),
        (b"ce-id", b"2", "twice"),
        (b"ce-ext", b"%FF", "not UTF-8"),
        (b"ce-ext", b"\xff", "not UTF-8"),
        (b"ce-ext", b"a%00b", "U\\+0000"),
        (b"ce-time", b"yesterday", "RFC 3339"),
    ],
)
def test_a_bad_header_is_refused_and_named(header: bytes, value: bytes, why: str) -> None:
    with pytest.raises(MalformedEventError, match=why) as found:
        http.decode(None, [*CE, (header, value)], b"")
    assert header[3:].decode() in str(found.value)


@pytest.mark.parametrize("kind", ["json", "a/b c", "\xff/x"])
def test_a_content_type_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(MalformedEventError, match="media type"):
        http.decode(kind, CE, b"")


@pytest.mark.parametrize(
    ("kind", "headers", "is_event"),
    [
        ("application/cloudevents+json", [], True),
        ("Application/CloudEvents-Batch+json", [], True),
        ("text/plain", CE, True),
        (None, [(b"ce-id", b"1")], True),
        ("application/json", [(b"x", b"ce-")], False),
        (None, [], False),
    ],
)
def test_an_answer_claims_to_be_an_event_by_content_type_or_ce_headers(
    kind: str | None, headers: list[tuple[bytes, bytes]], is_event: bool
) -> None:
    assert http.is_event(kind, headers) is is_event
