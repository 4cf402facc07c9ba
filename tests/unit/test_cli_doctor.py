"""What the doctor concludes without looking anywhere: filters, clocks, waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scaup.cli.doctor.contradictions import of_here, retries_take_s
from scaup.cli.doctor.findings import Finding, Weight, description, in_order
from scaup.cli.doctor.neverfilters import never
from scaup.cli.doctor.work import clocks
from scaup.core.filters.parse import parse_filters
from scaup.core.model.definitions import Delivery
from scaup.core.model.trail import Told

NOW = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ([], ""),
        ([{"exact": {"type": "a"}}, {"prefix": {"type": "a"}}], ""),
        ([{"exact": {"type": "a"}}, {"exact": {"source": "b"}}], ""),
        ([{"exact": {"type": "a"}}, {"exact": {"type": "b"}}], "type cannot be both 'a' and 'b'"),
        ([{"exact": {"type": "ab"}}, {"suffix": {"type": "c"}}], "type cannot be 'ab' and end with 'c'"),
        ([{"exact": {"type": "ab"}}, {"prefix": {"type": "b"}}], "type cannot be 'ab' and begin with 'b'"),
        ([{"prefix": {"type": "ab"}}, {"prefix": {"type": "a"}}], ""),
        ([{"prefix": {"type": "ab"}}, {"prefix": {"type": "ac"}}], "type cannot begin with both 'ab' and 'ac'"),
        ([{"suffix": {"type": "ab"}}, {"suffix": {"type": "b"}}], ""),
        ([{"suffix": {"type": "ab"}}, {"suffix": {"type": "cb"}}], "type cannot end with both 'ab' and 'cb'"),
        ([{"attributes": {"type": ""}}, {"attributes": {"type": "a"}}], ""),
        ([{"any": [{"exact": {"type": "a"}}, {"all": [{"exact": {"id": "x"}}, {"exact": {"id": "y"}}]}]}], ""),
        ([{"any": [{"all": [{"exact": {"id": "x"}}, {"exact": {"id": "y"}}]}]}], "id cannot be both 'x' and 'y'"),
        ([{"not": {"exact": {"type": "a"}}}, {"exact": {"type": "a"}}], ""),  # not looked at so deeply
        ([{"cesql": "FALSE"}], ""),  # only events can tell
    ],
)
def test_a_filter_that_contradicts_itself_matches_nothing(filters: list[dict[str, Any]], why: str) -> None:
    assert never(parse_filters(filters)) == why


def test_clocks_are_compared_with_that_of_nats_as_far_as_the_way_to_it_lets() -> None:
    server = (NOW, NOW + timedelta(seconds=1))
    told = [Told("well", (NOW + timedelta(seconds=2)).timestamp(), 0.0), Told("slow", NOW.timestamp() - 60, 0.0)]
    found = clocks(told, server, NOW + timedelta(hours=1))
    assert [(one.about, one.says) for one in found] == [
        ("this machine", "its clock is 3,599 s ahead of that of NATS"),
        ("dispatcher slow", "its clock is 60 s behind that of NATS"),
    ]


@pytest.mark.parametrize(
    ("policy", "delay_s", "retry", "total_s"),
    [
        ("linear", 2.0, 3, 6.0),
        ("exponential", 1.0, 4, 15.0),
        ("exponential", 0.2, 0, 0.0),
        ("exponential", 1800.0, 4, 1800.0 + 3 * 3600.0),
        ("exponential", 1.0, 1_000_000, 4095.0 + (1_000_000 - 12) * 3600.0),
    ],
)
def test_the_waits_between_all_attempts_are_added_up(policy: str, delay_s: float, retry: int, total_s: float) -> None:
    assert retries_take_s(Delivery(retry=retry, backoff_policy=policy, backoff_delay_s=delay_s)) == total_s


def test_another_nats_in_the_environment_is_a_finding_only_where_it_is_another() -> None:
    assert list(of_here({"SCAUP_NATS_URL": "nats://a/"}, "nats://a")) == []
    assert list(of_here({}, "nats://a")) == list(of_here({"SCAUP_NATS_URL": "nats://a"}, None)) == []
    assert len(list(of_here({"SCAUP_NATS_URL": "nats://b"}, "nats://a"))) == 1


def test_the_worst_comes_first_each_with_what_to_do_and_nothing_is_printed_raw() -> None:
    found = [
        Finding(Weight.NOTE, "n", "x", "a note", "nothing"),
        Finding(Weight.ERROR, "e", "y", "bad\x1b[31m", "mend it"),
        Finding(Weight.WARNING, "w", "y", "may be bad", "look"),
        Finding(Weight.ERROR, "e", "a", "bad", "mend it"),
    ]
    assert description(in_order(found), "NATS").splitlines() == [
        "error:   a: bad",
        "         -> mend it",
        "error:   y: bad\N{REPLACEMENT CHARACTER}[31m",
        "         -> mend it",
        "warning: y: may be bad",
        "         -> look",
        "note:    x: a note",
        "         -> nothing",
        "2 errors, 1 warning, 1 note (NATS)",
    ]
    assert description([], "NATS") == "Nothing is wrong (NATS)"
