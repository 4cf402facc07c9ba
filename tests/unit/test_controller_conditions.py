"""Conditions as CP-38 to CP-42 want them."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.controller.conditions import Condition, differ, false, ready, true, unknown, written

NOW, BEFORE = "2026-01-02T03:04:05Z", "2025-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([true("A"), true("B", "x")], ("True", "")),
        ([true("A"), unknown("B", "Soon", "m")], ("Unknown", "Soon")),
        ([unknown("A", "Soon", "m"), false("B", "No", "m")], ("False", "No")),
        ([false("A", "First", "m"), false("B", "Second", "m")], ("False", "First")),
        ([], ("True", "")),
    ],
)
def test_ready_sums_up_and_takes_the_first_reason(conditions: list[Condition], expected: tuple[str, str]) -> None:
    found = ready(conditions)
    assert (found.type, found.status, found.reason) == ("Ready", *expected)


def test_a_time_stays_while_the_status_does() -> None:
    present = [
        {"type": "A", "status": "True", "lastTransitionTime": BEFORE},
        {"type": "B", "status": "False", "reason": "Old", "lastTransitionTime": BEFORE},
        {"type": "Gone", "status": "True", "lastTransitionTime": BEFORE},
    ]
    result = written([false("B", "New", "m"), false("A", "No", "m")], present, NOW)
    assert result == [
        {"type": "A", "status": "False", "reason": "No", "message": "m", "lastTransitionTime": NOW},
        {"type": "B", "status": "False", "reason": "New", "message": "m", "lastTransitionTime": BEFORE},
    ]


@pytest.mark.parametrize("present", [None, "x", [None], [{"type": 1}], [{"type": "A", "status": "True"}], {}])
def test_whatever_stands_there_a_status_can_be_written_over_it(present: Any) -> None:
    assert written([true("A")], present, NOW) == [{"type": "A", "status": "True", "lastTransitionTime": NOW}]


def test_times_alone_are_no_difference() -> None:
    conditions = [true("A"), false("B", "No", "m")]
    assert not differ(conditions, written(conditions, None, BEFORE))
    assert differ(conditions, written([true("A"), false("B", "No", "other")], None, BEFORE))
    assert differ(conditions, written([true("A")], None, BEFORE))
    assert differ(conditions, written([true("A"), true("C")], None, BEFORE))
    assert differ(conditions, None)
