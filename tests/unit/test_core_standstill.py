"""When failures in a row are a reason not to be ready."""

from __future__ import annotations

from scaup.core.runtime.standstill import Standstill


def test_nothing_is_wrong_before_anything_failed() -> None:
    assert Standstill(5.0).why_not(1000.0) is None


def test_failures_are_a_reason_only_when_they_have_gone_on_for_the_patience() -> None:
    work = Standstill(5.0)
    work.failed(100.0, "no answer")
    assert work.why_not(104.9) is None
    assert work.why_not(105.0) == "no answer (for 5 s)"


def test_the_reason_is_the_last_one_and_its_time_counts_from_the_first_failure() -> None:
    work = Standstill(5.0)
    work.failed(100.0, "no answer")
    work.failed(110.0, "refused")
    assert work.why_not(112.0) == "refused (for 12 s)"


def test_one_success_ends_it() -> None:
    work = Standstill(5.0)
    work.failed(100.0, "no answer")
    work.failed(110.0, "no answer")
    work.went_well()
    assert work.why_not(111.0) is None
    work.failed(112.0, "no answer")
    assert work.why_not(113.0) is None


def test_failures_of_long_ago_are_no_reason_and_no_beginning() -> None:
    work = Standstill(5.0, forget_s=30.0)
    work.failed(100.0, "no answer")
    assert work.why_not(130.0)
    assert work.why_not(130.1) is None
    work.failed(140.0, "no answer")
    assert work.why_not(144.0) is None
