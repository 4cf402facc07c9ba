"""Trace context: what W3C says of the headers, a row each; and what is stored of it beside an event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.codec import traced
from scaup.core.codec.stored import MAX_HEADERS_BYTES
from scaup.core.model.tracecontext import TraceContext, of_headers, read

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (SAMPLED, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # flags that are not known say nothing about the one that is (3.2.2.5)
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"cc-{TRACE}-{SPAN}-01", True),  # a later version (4.3)
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_a_traceparent_is_read(text: str, is_sampled: bool) -> None:
    assert read(text) == TraceContext(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f" {SAMPLED}",
        f"{SAMPLED}\n",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE[:-1]}é-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_is_no_parent(text: str | None) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [("a=1,b=2", "a=1,b=2"), ("", ""), (None, ""), ("x" * 513, ""), ("x" * 512, "x" * 512), ("a=\r\nX: 1", "")],
)
def test_a_tracestate_is_kept_or_left_out_and_never_spoils_the_parent(state: str | None, kept: str) -> None:
    assert read(SAMPLED, state) == TraceContext(TRACE, SPAN, True, kept)


def test_headers_of_a_request_are_joined_and_two_parents_are_none() -> None:
    parent = (b"traceparent", SAMPLED.encode())
    states = [(b"tracestate", b"a=1"), (b"tracestate", b"b=2")]

    assert of_headers([(b"x", b"y"), parent, *states]) == TraceContext(TRACE, SPAN, True, "a=1,b=2")
    assert of_headers([parent, parent]) is None
    assert of_headers(states) is None


@given(st.text(max_size=80), st.text(max_size=20))
def test_whatever_is_sent_is_a_context_or_none(parent: str, state: str) -> None:
    found = read(parent, state)
    assert found is None or read(found.traceparent, found.state) == found


@given(st.from_regex(r"[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_what_is_written_is_read_as_the_same(rest: str) -> None:
    found = read(f"00-{rest}")
    if found is not None:
        assert read(found.traceparent) == found
        assert found.lines() == f"traceparent: {found.traceparent}\r\n".encode()


def test_a_sampled_event_without_the_extension_gets_it() -> None:
    headers = {"ce-id": "1"}
    traced.put(headers, TraceContext(TRACE, SPAN, True, "a=1%"))

    assert headers == {
        "ce-id": "1",
        "traceparent": SAMPLED,
        "tracestate": "a=1%",
        "ce-traceparent": SAMPLED,
        "ce-tracestate": "a=1%25",
    }


def test_the_extension_stays_as_the_producer_sent_it() -> None:
    headers = {"ce-traceparent": "anything"}
    traced.put(headers, TraceContext(TRACE, SPAN, True, "a=1"))

    assert headers == {"ce-traceparent": "anything", "traceparent": SAMPLED, "tracestate": "a=1"}


def test_an_event_that_is_not_sampled_gets_no_extension() -> None:
    headers = {"ce-id": "1"}
    traced.put(headers, TraceContext(TRACE, SPAN, False))

    assert headers == {"ce-id": "1", "traceparent": f"00-{TRACE}-{SPAN}-00"}


def test_an_event_whose_headers_are_full_goes_without_a_trace() -> None:
    headers = {"ce-id": "x" * (MAX_HEADERS_BYTES - 100)}
    traced.put(headers, TraceContext(TRACE, SPAN, True))

    assert list(headers) == ["ce-id"]
