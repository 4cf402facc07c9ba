"""Small rules about events, health and shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.core.model.event import is_passed, next_hops
from scaup.core.runtime.health import Health
from scaup.core.runtime.replicas import owner
from tests.support.events import an_event

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


@pytest.mark.parametrize(
    ("given_hops", "left"),
    [(None, 255), ("", 255), ("x", 255), ("1.5", 255), ("1_0", 255), (" 5", 255), ("٣", 255), ("9" * 5000, 255),
     ("255", 254), ("2", 1), ("1", 0), ("0", 0), ("-3", 0), ("+3", 2), ("1000", 999)],
)  # fmt: skip
def test_hops_count_down_to_nothing(given_hops: str | None, left: int) -> None:
    assert next_hops(given_hops) == left


@pytest.mark.parametrize(
    ("header", "passes"),
    [("x-request-id", True), ("retry-after", True), ("knative-foo", True), ("x-b3-traceid", True), ("foo", False),
     ("authorization", False), ("prefer", False), ("traceparent", False), ("x-request-id2", False), ("x-b4-x", False),
     ("nats-msg-id", False), ("ce-id", False), ("knative", False)],
)  # fmt: skip
def test_only_the_listed_headers_travel_with_an_event(header: str, passes: bool) -> None:
    assert is_passed(header) is passes


def test_changing_an_attribute_makes_a_copy() -> None:
    event = an_event(b"x", ext="1")
    assert event.with_attributes(ext=None, id="2") == an_event(b"x", id="2")
    assert event == an_event(b"x", ext="1")


def test_a_process_is_ready_when_no_check_has_anything_to_say_and_it_is_not_stopping() -> None:
    health = Health()
    reasons: list[str | None] = [None]
    health.add("bus", lambda: reasons[-1])
    assert health.problems() == {}
    reasons.append("no connection")
    assert health.problems() == {"bus": "no connection"}
    reasons.append(None)
    health.is_stopping = True
    assert list(health.problems()) == ["stopping"]


@given(NAMES, st.text(max_size=8))
def test_an_owner_is_one_of_the_candidates_in_whatever_order_they_stand(names: list[str], uid: str) -> None:
    found = owner(uid, names)
    assert found in names
    assert owner(uid, reversed(names)) == found


def test_nobody_owns_anything_where_there_is_nobody() -> None:
    assert owner("x", []) is None


@given(NAMES, st.text(min_size=9, max_size=9))
def test_who_comes_takes_only_for_himself_and_who_goes_gives_only_his_own(names: list[str], newcomer: str) -> None:
    for uid in map(str, range(50)):
        before, after = owner(uid, names), owner(uid, [*names, newcomer])
        assert after in {before, newcomer}


def test_shares_are_about_equal() -> None:
    shares = [owner(str(uid), ["a", "b", "c", "d"]) for uid in range(4000)]
    assert all(800 < shares.count(name) < 1200 for name in "abcd")
