"""Reading answers, and the forms in which an event goes out."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.codec import http, stored
from scaup.core.http.outbound import Answer
from scaup.core.model.event import HOPS, Event
from scaup.dispatcher.attempt import Attempts, Outgoing, _retry_after_s
from scaup.dispatcher.judge import Accepted, BadReply, Outcome, Refused, Replied
from tests.support.events import an_event, events

_CE = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/s"), (b"ce-type", b"t")]


def read(answer: Answer) -> Outcome:
    return Attempts(cast("Any", None), 1000)._read(answer)


@given(events())
def test_binary_form_is_the_event_without_its_hops(event: Event) -> None:
    outgoing = Outgoing(stored.to_headers(event.with_attributes(**{HOPS: "7"})), event.data or b"")
    lines = outgoing.binary().decode().removesuffix("\r\n").split("\r\n")
    headers = [(name.encode(), value.encode()) for name, _, value in (line.partition(": ") for line in lines)]
    content_type = next((value.decode() for name, value in headers if name == b"content-type"), None)
    sent = [(name, value) for name, value in headers if name != b"content-type"]
    [again] = http.decode(content_type, sent, outgoing.data)
    assert again == event
    assert outgoing.hops == "7"


@given(events())
def test_structured_form_is_the_event_without_its_hops(event: Event) -> None:
    outgoing = Outgoing(stored.to_headers(event.with_attributes(**{HOPS: "7"})), event.data or b"")
    head, body = outgoing.structured()
    assert head.startswith(b"content-type: application/cloudevents+json")
    [again] = http.decode("application/cloudevents+json", [], body)
    assert again.attributes == event.attributes


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type"])
def test_entry_without_a_required_attribute_is_no_event(missing: str) -> None:
    headers = stored.to_headers(an_event(**{missing: None}))
    with pytest.raises(ValueError, match="missing"):
        _ = Outgoing(headers, b"").event


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("0", 0.0),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("٣", None),
        ("9" * 400, float("inf")),
        ("soon", None),
        ("Mon, 32 Foo 2026", None),
        (formatdate(0, usegmt=True), 0.0),
    ],
)
def test_retry_after_is_read_where_it_can_be(value: str | None, seconds: float | None) -> None:
    assert _retry_after_s(value) == seconds


def test_date_that_no_clock_can_show_asks_for_no_wait() -> None:
    assert not _retry_after_s("Mon, 01 Jan 0001 00:00:00 +2359")


def test_retry_after_may_be_a_date() -> None:
    seconds = _retry_after_s(formatdate(time.time() + 100, usegmt=True))
    assert seconds is not None
    assert 98 < seconds <= 100


@pytest.mark.parametrize("ahead_s", [-86400, 0, 86400])
def test_date_to_retry_after_is_counted_from_the_date_of_the_answer_whatever_our_clock_says(ahead_s: int) -> None:
    sent = time.time() + ahead_s
    dates = [(b"date", formatdate(sent, usegmt=True).encode())]
    dates.append((b"retry-after", formatdate(sent + 100, usegmt=True).encode()))
    assert read(Answer(503, dates, b"")) == Refused(503, b"", 100.0)
    assert _retry_after_s(formatdate(time.time() + 100, usegmt=True), "yesterday") == pytest.approx(99.5, abs=1)


FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


@pytest.mark.parametrize("form", FORMS, ids=["IMF-fixdate", "RFC 850", "asctime"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_every_form_of_an_http_date_is_of_utc_wherever_we_are(
    monkeypatch: pytest.MonkeyPatch, form: str, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        text = time.strftime(form, time.gmtime(time.time() + 100))
        assert _retry_after_s(text) == pytest.approx(99.0, abs=2)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("status", [201, 202, 204, 299])
def test_event_in_any_success_but_200_is_none(status: int) -> None:
    assert read(Answer(status, _CE)) == Accepted(status)


def test_event_in_a_200_is_a_reply() -> None:
    passed = [(b"x-request-id", b"r"), (b"x-other", b"o"), (b"content-type", b"text/plain")]
    outcome = read(Answer(200, [*_CE, *passed], b"hi"))
    assert isinstance(outcome, Replied)
    assert outcome.reply.data == b"hi"
    assert outcome.passed == {"x-request-id": "r"}


def test_refusal_carries_its_body_and_how_long_to_wait() -> None:
    assert read(Answer(503, [(b"retry-after", b"7")], b"no")) == Refused(503, b"no", 7.0)


@given(
    st.sampled_from(
        ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json", "", "x"]
    ),
    st.lists(
        st.tuples(st.sampled_from([b"ce-id", b"ce-x", b"ce-\xff", b"ce-", b"ce-specversion"]), st.binary(max_size=9))
    ),
    st.binary(max_size=60) | st.text('[]{}",:0123abnulltruefalse\\ud', max_size=60).map(str.encode),
)
def test_whatever_a_sink_answers_is_an_outcome(kind: str, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    outcome = read(Answer(200, [(b"content-type", kind.encode()), *headers], body))
    assert isinstance(outcome, Accepted | Replied | BadReply)
