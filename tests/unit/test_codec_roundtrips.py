"""Every event comes back from every form it is written in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.bus.client import QuickClient
from scaup.core.codec import http, jsonformat, kept, stored
from scaup.core.model.errors import EventTooLargeError
from scaup.core.model.event import Event, is_json
from tests.support.events import an_event, events


def _as_received(headers: dict[str, str]) -> tuple[str | None, list[tuple[bytes, bytes]]]:
    """As a server hands headers on: bytes, without white space at the ends."""
    raw = [(name.encode(), value.strip(" \t").encode("latin-1")) for name, value in headers.items()]
    return headers.get("content-type"), raw


@settings(max_examples=60)
@given(events())
def test_through_binary_mode(event: Event) -> None:
    headers, body = http.encode_binary(event)
    assert http.decode(*_as_received(headers), body) == [event]


@settings(max_examples=60)
@given(events())
def test_through_structured_mode(event: Event) -> None:
    headers, body = http.encode_structured(event)
    (found,) = http.decode(*_as_received(headers), body)
    kind = event.attributes.get("datacontenttype")
    if event.data and kind and is_json(kind):  # white space around JSON is no content
        assert found.data is not None
        assert found.data.strip() == event.data.strip()
        event, found = Event(event.attributes), Event(found.attributes)
    assert found == event


@settings(max_examples=25)
@given(st.lists(events(), max_size=4))
def test_a_batch_keeps_its_events_and_their_order(batch: list[Event]) -> None:
    bare = [Event(event.attributes) for event in batch]
    assert jsonformat.decode_batch(jsonformat.encode_batch(bare)) == bare


@settings(max_examples=60)
@given(events())
def test_through_the_event_log_as_it_stands_on_the_wire(event: Event) -> None:
    headers = stored.to_headers(event, {"knative-foo": "bar"})
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    read = QuickClient._parse_header_lines(lines.encode())
    assert stored.from_headers(read, event.data or b"") == event
    assert stored.passed_headers(read) == {"knative-foo": "bar"}


def test_an_entry_follows_the_nats_binding() -> None:
    """All attributes are ``ce-`` headers, the content type included; values are percent-encoded."""
    event = an_event(b"x", datacontenttype='text/plain; charset="utf-8"', subject="Zoë 1%")
    assert stored.to_headers(event) == {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/tests",
        "ce-type": "com.example.test",
        "ce-subject": "Zo%C3%AB%201%25",
        "ce-datacontenttype": "text/plain;%20charset=%22utf-8%22",
    }


@given(
    st.integers(1),
    st.integers(0, 99),
    st.binary(max_size=2000),
    st.text(max_size=2000),
    st.none() | st.integers(100, 599),
)
def test_the_facts_of_a_delivery_come_back(
    sequence: int, attempts: int, error_data: bytes, reason: str, status: int | None
) -> None:
    facts = kept.Facts(sequence, "2026-11-22T10:00:00Z", attempts, 1.5)
    after = facts.failed("now", reason, status=status, destination="http://x/", error_data=error_data)
    headers = kept.to_headers(after)
    found = kept.from_headers(headers)
    assert found.attempts == attempts + 1
    assert (found.status, found.error_data) == (status, error_data[:768])
    assert found.first_failure == found.last_failure == "now"
    assert found.reason == " ".join(reason.split())[:1024]
    assert all("\n" not in value and "\r" not in value for value in headers.values())
    assert kept.from_headers(kept.to_headers(found)) == found


def test_headers_are_counted_in_bytes() -> None:
    """The server's limit is one of bytes, and beyond it the server cuts its client off."""
    assert stored.size_of(stored.to_headers(an_event(), {"knative-a": "\u20ac" * 1000})) > 3000
    with pytest.raises(EventTooLargeError):
        stored.size_of(stored.to_headers(an_event(), {"knative-a": "\u20ac" * (stored.MAX_HEADERS_BYTES // 3)}))
