"""The table of rows: whole, well-formed, and each with a check or the reason why there can be none."""

from __future__ import annotations

import re

import pytest

from scaup.conformance.checks import CHECKS
from scaup.conformance.results import CheckResult, Outcome, Verdict, by_row, wanted
from scaup.conformance.rows import CHAPTERS, ROWS

SHOWN = {row for check in CHECKS.values() for row in check.rows}


def test_there_are_at_least_150_rows_and_every_id_is_there_once() -> None:
    ids = [row.id for chapter in CHAPTERS for row in chapter.rows]
    assert len(ids) == len(set(ids)) >= 150


def test_rows_of_a_chapter_are_numbered_in_order() -> None:
    for chapter in CHAPTERS:
        by_prefix: dict[str, list[int]] = {}
        for row in chapter.rows:
            prefix, _, number = row.id.partition("-")
            by_prefix.setdefault(prefix, []).append(int(number))
        for numbers in by_prefix.values():
            assert numbers == list(range(1, len(numbers) + 1))


def test_every_row_says_what_it_asks_and_where_that_stands() -> None:
    for row in ROWS.values():
        assert re.fullmatch(r"[A-Z]{2}-\d+", row.id)
        assert len(row.asks) > 10
        assert row.source


def test_every_must_has_a_check_or_the_reason_why_nobody_outside_can_show_it() -> None:
    assert [row.id for row in ROWS.values() if row.level.binds and row.id not in SHOWN and not row.unseen] == []


def test_every_other_row_has_one_of_them_too() -> None:
    assert [row.id for row in ROWS.values() if row.id not in SHOWN and not row.unseen] == []


def test_what_cannot_be_seen_has_no_check_and_every_check_a_row() -> None:
    assert [row.id for row in ROWS.values() if row.unseen and row.id in SHOWN] == []
    assert ROWS.keys() >= SHOWN
    assert all(check.rows for check in CHECKS.values())


def test_checks_are_told_apart_by_keys_that_can_be_part_of_a_name() -> None:
    keys = {check.key for check in CHECKS.values()}
    assert len(keys) == len(CHECKS)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,34}[a-z0-9]", key) for key in keys)


def test_rows_are_chosen_by_id_or_by_the_beginning_of_it() -> None:
    assert wanted(["cp-31", "dp"])[-1] == "CP-31"
    assert len(wanted(["DP"])) == 24
    assert wanted([]) == list(ROWS)
    with pytest.raises(ValueError, match="no row is called 'XX'; rows begin with DP, CP"):
        wanted(["XX"])


def result(name: str, verdict: Verdict, why: str = "") -> CheckResult:
    return CheckResult(name, ("DP-8",), verdict, why)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((Verdict.PASSED, Verdict.FAILED), Verdict.FAILED),
        ((Verdict.NOT_SHOWN, Verdict.PASSED), Verdict.PASSED),
        ((Verdict.NOT_SHOWN,), Verdict.NOT_SHOWN),
        ((), Verdict.NOT_SHOWN),
    ],
)
def test_a_row_has_failed_when_any_of_its_checks_has(verdicts: tuple[Verdict, ...], expected: Verdict) -> None:
    [row] = by_row([result(f"c{number}", one, "why") for number, one in enumerate(verdicts)], ["DP-8"])
    assert row.verdict is expected
    assert row.why


def test_only_a_row_that_binds_makes_a_broker_fail() -> None:
    should = CheckResult("s", ("DP-11",), Verdict.FAILED, "why")
    fine = result("m", Verdict.PASSED)
    assert Outcome("b", by_row([fine, should], ["DP-8", "DP-11"])).conforms
    assert not Outcome("b", by_row([result("m", Verdict.FAILED, "why")], ["DP-8"])).conforms
    assert not Outcome("b", by_row([], ["DP-8"])).conforms, "where nothing was shown nothing conforms"
