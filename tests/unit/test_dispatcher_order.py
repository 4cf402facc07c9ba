"""Whose turn it is among the events of an ordered Trigger."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from scaup.dispatcher.order import Order, Turn, key_of


def turns(order: Order[Turn]) -> list[int]:
    """Everything that may go now, taken."""
    found: list[int] = []
    while (turn := order.take()) is not None:
        found.append(turn.sequence)
    return found


def test_nothing_goes_before_it_is_known_that_nothing_comes_before_it() -> None:
    order: Order[Turn] = Order()
    for sequence in (3, 1, 5):
        order.add(Turn(sequence, str(sequence)))
    assert turns(order) == []
    order.pass_mark(3)
    assert turns(order) == [1, 3]
    assert order.first_early is not None
    assert (order.first_early.sequence, order.last_early, order.ahead) == (5, 5, 2)


def test_one_of_a_key_is_under_way_at_a_time_and_the_next_is_the_next_in_the_log() -> None:
    order: Order[Turn] = Order()
    first, second, other = Turn(1, "a"), Turn(3, "a"), Turn(2, "b")
    for turn in (second, other, first):
        order.add(turn)
    order.pass_mark(9)
    assert turns(order) == [1, 2]
    assert order.end(first) is second
    assert turns(order) == [3]
    assert order.end(second) is None
    assert order.end(other) is None
    assert order.ahead == 0


def test_a_key_that_is_blocked_holds_up_no_other_and_goes_on_where_it_was() -> None:
    order: Order[Turn] = Order()
    bad = Turn(1, "a")
    for turn in (bad, Turn(2, "a"), Turn(3, "b")):
        order.add(turn)
    order.pass_mark(9)
    assert turns(order) == [1, 3]
    order.block(bad)
    assert order.ahead == 1
    assert turns(order) == []
    order.put_back(bad)
    assert order.ahead == 3
    assert turns(order) == [1]
    order.end(bad)
    assert turns(order) == [2]


def test_what_is_known_otherwise_to_be_the_first_may_go_without_a_mark() -> None:
    order: Order[Turn] = Order()
    for sequence in (7, 9, 8):
        order.add(Turn(sequence, "a"))
    order.pass_some(lambda turn: turn.sequence > 7)
    assert turns(order) == [8]
    assert order.last_early == 7


def test_events_without_the_attribute_have_one_key_together() -> None:
    assert key_of({"ce-partitionkey": "a"}) == "a"
    assert key_of({"ce-id": "1"}) is key_of({}) is None


@given(st.integers(0, 1 << 32), st.integers(1, 30))
def test_whatever_comes_when_each_key_is_worked_in_the_order_of_the_log(seed: int, count: int) -> None:
    chance = random.Random(seed)
    arriving = [Turn(number, chance.choice("abc")) for number in chance.sample(range(1, count + 1), count)]
    order: Order[Turn] = Order()
    under_way: list[Turn] = []
    blocked: list[Turn] = []
    worked: list[Turn] = []
    while len(worked) < count:
        if arriving and chance.random() < 0.5:
            order.add(arriving.pop())
            missing = {turn.sequence for turn in arriving}
            order.pass_mark(min(missing, default=count + 1) - 1)
        if (turn := order.take()) is not None:
            assert turn.key not in {other.key for other in (*under_way, *blocked)}
            under_way.append(turn)
        if under_way and chance.random() < 0.5:
            turn = under_way.pop(chance.randrange(len(under_way)))
            if chance.random() < 0.3:
                order.block(turn)
                blocked.append(turn)
            else:
                order.end(turn)
                worked.append(turn)
        if blocked and chance.random() < 0.5:
            order.put_back(blocked.pop())
    for key in "abc":
        of_key = [turn.sequence for turn in worked if turn.key == key]
        assert of_key == sorted(of_key)
