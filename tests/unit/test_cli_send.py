"""The event that ``scaup send`` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaup.cli.problems import UsageError
from scaup.cli.send import Parts, _reason, make
from scaup.core.codec import http
from scaup.core.model.event import Event


def read(headers: dict[str, str], body: bytes) -> Event:
    listed = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    (event,) = http.decode(content_type, listed, body)
    return event


@pytest.mark.parametrize(
    ("data", "content_type"), [('{"a":  1}', "application/json"), ("hi", "text/plain; charset=utf-8"), ("ü", None)]
)
def test_data_is_sent_as_it_was_given(data: str, content_type: str | None) -> None:
    event_id, headers, body = make(Parts("t", data=data))
    event = read(headers, body)
    assert body == data.encode()
    assert event.id == event_id
    assert content_type in {None, event.attributes["datacontenttype"]}


def test_attributes_survive_whatever_they_hold() -> None:
    given = ["subject=Zoë 100%", "ext1=a=b", "time=2026-01-31T12:00:00Z"]
    _, headers, body = make(Parts("t", source="/s", id="i", attributes=given))
    event = read(headers, body)
    assert event.attributes["subject"] == "Zoë 100%"
    assert event.attributes["ext1"] == "a=b"
    assert event.attributes["time"] == "2026-01-31T12:00:00Z"
    assert (event.id, event.source, event.type) == ("i", "/s", "t")
    assert event.data is None


def test_a_files_name_says_its_content_type(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<a/>")
    _, headers, body = make(Parts("t", file=str(path)))
    assert body == b"<a/>"
    assert read(headers, body).attributes["datacontenttype"] in {"text/xml", "application/xml"}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (Parts("t", attributes=["novalue"]), "expected name=value"),
        (Parts("t", attributes=["Upper=1"]), "this is no CloudEvent"),
        (Parts("t", attributes=["time=yesterday"]), "expected an RFC 3339 time"),
        (Parts("", data="x"), "this is no CloudEvent"),
        (Parts("t", data="x", file="y"), "exclude each other"),
        (Parts("t", file="/nothing/there"), "cannot be read"),
    ],
)
def test_what_is_no_event_is_usage(parts: Parts, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make(parts)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", ""),
        (b"plain\n text", ": plain text"),
        (b"[1]", ""),
        (b'{"detail": "full", "hint": "wait"}', ": full; wait"),
    ],
)
def test_the_brokers_reason_is_passed_on(answer: bytes, said: str) -> None:
    assert _reason(answer) == said
