"""What is written beside an event that waits or is a dead letter, and what its dead letter sink gets."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.codec import kept, percent, stored
from scaup.core.codec.kept import MAX_ERROR_DATA, Facts, Replay
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.settle import with_error
from tests.support.events import events

_LINES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), max_size=40)
FACTS = st.builds(
    Facts,
    sequence=st.integers(0, 2**63),
    accepted=_LINES,
    attempts=st.integers(0, 1000),
    not_before=st.integers(0, 2**40).map(lambda milliseconds: milliseconds / 1000),
    first_failure=_LINES,
    last_failure=_LINES,
    reason=_LINES,
    status=st.none() | st.integers(1, 999),
    destination=_LINES,
    error_data=st.binary(max_size=MAX_ERROR_DATA),
    replay=st.none()
    | st.builds(Replay, id=st.text("0123456789abcdef", min_size=1), at=_LINES, dead_letter=st.integers(0)),
)


@given(FACTS)
def test_facts_survive_their_headers(facts: Facts) -> None:
    headers = kept.to_headers(facts)
    assert kept.from_headers(headers) == facts
    assert kept.key_of(headers) == facts.key


@given(st.text(max_size=3000), st.binary(max_size=3000))
def test_facts_are_single_lines_of_bounded_length_whatever_a_sink_says(text: str, data: bytes) -> None:
    facts = Facts(1).failed("now", text, status=500, destination=text, error_data=data)
    for value in kept.to_headers(facts).values():
        assert len(value) <= 1024
        assert "\r" not in value
        assert "\n" not in value


def test_failures_are_counted_and_the_first_is_remembered() -> None:
    first = Facts(1).failed("t1", "a", status=500, destination="u", error_data=b"x")
    second = first.failed("t2", "b", status=None, destination="v", error_data=b"")
    assert (second.attempts, second.first_failure, second.last_failure) == (2, "t1", "t2")
    assert (second.reason, second.status, second.destination, second.error_data) == ("b", None, "v", b"")


@pytest.mark.parametrize("headers", [{}, {"Scaup-Attempts": "1"}, {kept.SEQUENCE: "x"}, {kept.SEQUENCE: ""}])
def test_entry_that_is_none_of_ours_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        kept.from_headers(headers)


def _error_of(facts: Facts) -> dict[str, str]:
    return with_error(Outgoing({"ce-id": "1"}, b"d"), facts, "ns/t").headers


@pytest.mark.parametrize("size", [0, 1, 767, 768, 769, 5000])
def test_error_data_never_exceeds_what_knative_allows(size: int) -> None:
    """The reference's own encoder panics from 769 bytes on."""
    body = b"\xffline\n" * size
    facts = Facts(1).failed("t", "r", status=500, destination="http://a/", error_data=body[:size])
    headers = _error_of(facts)
    assert base64.b64decode(headers.get("ce-knativeerrordata", "")) == body[:size][:768]
    assert len(headers.get("ce-knativeerrordata", "")) <= 1024


def test_error_of_who_gave_no_answer_has_no_code() -> None:
    facts = Facts(1).failed("t", "r", status=None, destination="http://ü/ x", error_data=b"")
    assert _error_of(facts) == {
        "ce-id": "1",
        "ce-knativeerrordest": percent.encode("http://ü/ x"),
        "ce-scauptrigger": "ns/t",
        "ce-scaupattempts": "1",
        "ce-scaupfirstfailure": "t",
        "ce-scauplastfailure": "t",
    }


def test_error_replaces_that_of_an_earlier_death() -> None:
    outgoing = Outgoing({"ce-id": "1", "ce-knativeerrorcode": "400", "ce-knativeerrordest": "http://old/"}, b"")
    facts = Facts(1).failed("t", "r", status=503, destination="http://new/", error_data=b"")
    headers = with_error(outgoing, facts).headers
    assert (headers["ce-knativeerrorcode"], headers["ce-knativeerrordest"]) == ("503", "http://new/")
    assert outgoing.headers["ce-knativeerrorcode"] == "400"


def test_error_of_an_earlier_death_does_not_stay_where_there_is_none_now() -> None:
    outgoing = Outgoing({"ce-id": "1", "ce-knativeerrorcode": "400", "ce-knativeerrordata": "eA=="}, b"")
    facts = Facts(1).failed("t", "r", status=None, destination="http://new/", error_data=b"")
    headers = with_error(outgoing, facts).headers
    assert "ce-knativeerrorcode" not in headers
    assert "ce-knativeerrordata" not in headers


@given(events())
def test_event_in_a_queue_is_the_same_event(event: object) -> None:
    headers = stored.to_headers(event)  # type: ignore[arg-type]
    facts = Facts(1, "t", 2, 3.5, "a", "b", "reason", 500, "http://a/", b"x")
    beside = {**headers, **kept.to_headers(facts)}
    assert kept.from_headers(beside) == facts
    assert stored.from_headers(beside, event.data or b"") == event  # type: ignore[attr-defined]
