"""Which entries are suspects, and what the end of a process says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.dispatcher.suspicion import NOTHING_SAID, Place, Suspicion, halves, how_it_died

HERE = Place("scaup-log-b", 7, 1_700_000_000_000_000_000)


@pytest.mark.parametrize(("delivered", "is_one"), [(1, False), (2, False), (3, True), (9, True)])
def test_an_entry_is_a_suspect_from_its_third_unexplained_delivery_on(delivered: int, is_one: bool) -> None:
    assert Suspicion().falls_on(HERE, delivered) is is_one


def test_what_this_dispatcher_handed_back_itself_is_no_suspect() -> None:
    suspicion = Suspicion()
    for delivered in range(1, 50):
        assert not suspicion.falls_on(HERE, delivered)
        suspicion.returned(HERE, delivered)


def test_an_entry_that_was_handed_back_once_becomes_a_suspect_by_what_comes_after() -> None:
    suspicion = Suspicion()
    suspicion.returned(HERE, 5)
    assert [suspicion.falls_on(HERE, delivered) for delivered in (6, 7, 8)] == [False, False, True]


def test_an_entry_of_a_stream_that_was_made_anew_is_another() -> None:
    suspicion = Suspicion()
    suspicion.returned(HERE, 5)
    assert suspicion.falls_on(HERE._replace(stored_ns=1), 6)
    assert suspicion.falls_on(HERE._replace(stream="scaup-queue-b"), 6)


def test_the_memory_has_a_bound_and_forgets_the_oldest() -> None:
    suspicion = Suspicion(remembered=2)
    for sequence in (1, 2, 1, 3):
        suspicion.returned(HERE._replace(sequence=sequence), 5)
    assert [suspicion.falls_on(HERE._replace(sequence=number), 6) for number in (1, 2, 3)] == [False, True, False]


@given(st.lists(st.integers(), max_size=64))
def test_halves_are_the_whole_and_get_smaller(group: list[int]) -> None:
    parts = halves(group)
    assert [member for part in parts for member in part] == group
    assert all(parts)
    assert len(group) < 2 or all(len(part) < len(group) for part in parts)


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (NOTHING_SAID, ""),
        (0, "exit status 0"),
        (-15, ""),
        (-2, ""),
        (-1, ""),
        (-11, "signal 11"),
        (-9, "signal 9"),
        (139, "exit status 139"),
        (1, "exit status 1"),
    ],
)
def test_an_end_that_somebody_ordered_says_nothing(status: int, how: str) -> None:
    assert how_it_died(status) == how
