"""The arithmetic of a Lease: whose it is, since when, by whose clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.controller.lease import Record, Sight, Terms, is_free, read, released, seen, taken

TERMS = Terms()
NOW = "2026-01-02T03:04:05.000006Z"


def record(holder: str = "other", version: str = "1", duration_s: float = 15.0) -> Record:
    return Record(version, holder, duration_s, "2026-01-01T00:00:00.000000Z", 3)


def lease(spec: Any, version: str = "7") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "spec": spec}


def test_a_lease_of_another_is_free_only_when_it_has_not_changed_for_as_long_as_it_stands() -> None:
    sight = Sight(record(duration_s=20.0), since=100.0)
    assert not is_free(sight, "me", 119.9)
    assert is_free(sight, "me", 120.0)


def test_a_lease_that_was_given_back_or_is_our_own_is_free_at_once() -> None:
    assert is_free(Sight(record(""), 100.0), "me", 100.0)
    assert is_free(Sight(record("me"), 100.0), "me", 100.0)


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_times_written_in_a_lease_decide_nothing(renewed: str, acquired: str) -> None:
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": renewed, "acquireTime": acquired}
    sight = seen(None, read(lease(spec), TERMS), 100.0)
    assert not is_free(sight, "me", 114.9)
    assert is_free(sight, "me", 115.0)


def test_every_change_begins_the_time_anew_and_reading_the_same_again_does_not() -> None:
    first = seen(None, record(version="1"), 100.0)
    assert seen(first, record(version="1"), 110.0).since == 100.0
    assert seen(first, record(version="2"), 110.0).since == 110.0


def test_taking_over_counts_and_renewing_keeps_since_when() -> None:
    new = taken(None, "me", TERMS, NOW)
    assert new == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": NOW,
        "renewTime": NOW,
        "leaseTransitions": 0,
    }
    assert taken(record("other"), "me", TERMS, NOW)["leaseTransitions"] == 4
    mine = taken(record("me"), "me", TERMS, NOW)
    assert (mine["leaseTransitions"], mine["acquireTime"]) == (3, "2026-01-01T00:00:00.000000Z")


def test_what_is_given_back_is_nobodys_and_remembers_the_count() -> None:
    spec = released(record("me"), NOW)
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("", 1, 3)
    assert is_free(seen(None, read(lease(spec), TERMS), 5.0), "other", 5.0)


@pytest.mark.parametrize("strange", [None, {}, [], "x", {"leaseDurationSeconds": -1, "leaseTransitions": "many"}])
def test_a_lease_somebody_else_has_made_strange_is_read_all_the_same(strange: Any) -> None:
    found = read(lease(strange), TERMS)
    assert (found.holder, found.duration_s, found.transitions) == ("", 15.0, 0)


def test_the_holder_stops_relying_on_it_before_another_may_take_it() -> None:
    assert TERMS.renew_s + 5.0 <= TERMS.duration_s  # 5 s: the longest that a request on its way can take
