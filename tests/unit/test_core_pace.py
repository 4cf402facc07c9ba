"""How fast something may be done: evenly, with a little to catch up."""

from __future__ import annotations

import pytest

from scaup.core.model.pace import Pace


def test_a_pace_spreads_attempts_and_lets_a_tenth_of_a_second_catch_up() -> None:
    pace = Pace(100.0)
    first = [pace.take(10.0) for _ in range(20)]
    assert first[:10] == [0.0] * 10
    assert first[10:] == pytest.approx([0.01 * number for number in range(1, 11)])
    assert pace.take(20.0) == 0.0


@pytest.mark.parametrize("rate", [0.01, 1.0, 9.0])
def test_a_slow_pace_never_makes_two_attempts_at_once(rate: float) -> None:
    pace = Pace(rate)
    assert [pace.take(5.0) for _ in range(3)] == pytest.approx([0.0, 1 / rate, 2 / rate])


def test_many_at_once_take_the_places_of_many() -> None:
    pace = Pace(10.0)
    assert [pace.take(1.0, 5), pace.take(1.0, 5), pace.take(1.0)] == pytest.approx([0.0, 0.5, 1.0])
