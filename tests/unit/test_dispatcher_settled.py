"""Which entries of a log were settled here lately."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaup.dispatcher.settled import Settled


def test_nothing_is_settled_before_it_is_said() -> None:
    assert (0, 0) not in Settled() or (1, 0) not in Settled()
    assert (7, 70) not in Settled()


@given(st.lists(st.integers(1, 4000), max_size=300))
def test_what_is_settled_is_known_with_its_time_and_nothing_else_is(sequences: list[int]) -> None:
    settled = Settled()
    for sequence in sequences:
        settled.add(sequence, sequence * 10)
    for sequence in range(1, 4001):
        assert ((sequence, sequence * 10) in settled) is (sequence in sequences)
        assert (sequence, sequence * 10 + 1) not in settled


def test_an_entry_of_a_log_that_was_made_anew_is_another() -> None:
    settled = Settled()
    settled.add(1, 10)
    settled.add(1, 20)
    assert (1, 20) in settled
    assert (1, 10) not in settled


def test_the_newest_are_known_however_many_there_were_and_the_table_does_not_grow_beyond_its_bound() -> None:
    settled = Settled(most=1 << 12)
    for sequence in range(1, 20_001):
        settled.add(sequence, sequence)
    assert all((sequence, sequence) in settled for sequence in range(20_000 - (1 << 12) + 1, 20_001))
    assert (20_000 - (1 << 12), 20_000 - (1 << 12)) not in settled


def test_entries_far_apart_are_known_as_long_as_there_is_room() -> None:
    settled = Settled()
    far = [1, 1025, 50_000, 1 << 40]
    for sequence in far:
        settled.add(sequence, 5)
    assert all((sequence, 5) in settled for sequence in far)
