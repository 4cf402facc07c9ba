"""How much a sink gets at a time, and when it is asked no more."""

from __future__ import annotations

from scaup.dispatcher.limits import Breaker, InFlightLimit


def _opened(now: float = 100.0) -> Breaker:
    breaker = Breaker()
    for _ in range(8):
        breaker.failed(now)
    return breaker


def test_limit_grows_by_one_for_each_round_of_successes_while_it_is_what_holds_back() -> None:
    limit = InFlightLimit(256)
    start = limit.current
    for _ in range(start + 1):
        limit.succeeded(was_full=True)
    assert limit.current == start + 1


def test_limit_does_not_grow_while_it_holds_nothing_back() -> None:
    limit = InFlightLimit(256)
    start = limit.current
    for _ in range(10_000):
        limit.succeeded(was_full=False)
    assert limit.current == start


def test_limit_never_exceeds_its_maximum_nor_falls_below_one() -> None:
    limit = InFlightLimit(10)
    assert limit.current == 10
    for _ in range(100):
        limit.succeeded(was_full=True)
    assert limit.current == 10
    for second in range(100):
        limit.hurt(float(second))
    assert limit.current == 1


def test_failures_of_the_same_moment_hurt_once() -> None:
    limit = InFlightLimit(100)
    start = limit.current
    for _ in range(50):
        limit.hurt(10.0)
    assert limit.current == int(start * 0.7)
    limit.hurt(10.5)
    assert limit.current == int(start * 0.7 * 0.7)


def test_breaker_opens_after_eight_failures_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(7):
        breaker.failed(1.0)
    assert breaker.allows(1.0)
    assert not breaker.is_open
    breaker.failed(1.0)
    assert breaker.is_open


def test_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(5):
        for _ in range(7):
            breaker.failed(1.0)
        breaker.succeeded()
    assert not breaker.is_open


def test_open_breaker_lets_one_probe_through_when_its_pause_is_over() -> None:
    breaker = _opened(100.0)
    assert breaker.next_probe_at() == 100.5
    assert not breaker.may_probe(100.4)
    assert not breaker.allows(100.4)
    assert breaker.may_probe(100.5)
    assert breaker.allows(100.5)
    assert not breaker.may_probe(100.5)
    assert not breaker.allows(101.0)


def test_probe_that_goes_well_closes_the_breaker() -> None:
    breaker = _opened(100.0)
    assert breaker.allows(101.0)
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.next_probe_at() is None
    assert breaker.allows(101.0)


def test_pauses_grow_with_each_failed_probe_up_to_the_longest() -> None:
    breaker = _opened(0.0)
    pauses = []
    now = 0.0
    for _ in range(9):
        at = breaker.next_probe_at()
        assert at is not None
        pauses.append(at - now)
        now = at
        assert breaker.allows(now)
        breaker.failed(now)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_failures_that_were_under_way_when_it_opened_change_nothing() -> None:
    breaker = _opened(100.0)
    for _ in range(50):
        breaker.failed(100.2)
    assert breaker.next_probe_at() == 100.5


def test_pauses_are_short_again_after_a_recovery() -> None:
    breaker = _opened(0.0)
    for now in (1.0, 3.0, 8.0):
        assert breaker.allows(now)
        breaker.failed(now)
    breaker.succeeded()
    for _ in range(8):
        breaker.failed(50.0)
    assert breaker.next_probe_at() == 50.5


def test_failure_that_needs_no_second_opens_at_once() -> None:
    breaker = Breaker()
    breaker.failed(10.0, at_once=True)
    assert breaker.is_open
    assert breaker.next_probe_at() == 10.5


def test_one_refusal_in_a_hundred_hardly_lowers_the_limit() -> None:
    limit = InFlightLimit(256)
    before = limit.current
    for number in range(1, 1001):
        if number % 100:
            limit.succeeded(was_full=False)
        else:
            limit.hurt(number / 100)
    assert before * 0.95 <= limit.current <= before


def test_a_sink_that_only_refuses_is_lowered_by_three_tenths_each_time() -> None:
    limit = InFlightLimit(100)
    start = limit.current
    for number in range(1, 4):
        limit.hurt(float(number))
    assert limit.current == int(start * 0.7**3)


def test_a_trigger_may_allow_less_than_its_sink_would_take_and_take_that_back() -> None:
    limit = InFlightLimit(256)
    limit.allow(3)
    assert limit.current == 3
    limit.allow(None)
    assert limit.current == 64
    limit.allow(1000)
    assert limit.current == 64
