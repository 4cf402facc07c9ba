"""A target with everything around it made up: the moments that a real bus and a real sink seldom hit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from scaup.core.codec.kept import Facts
from scaup.core.model.errors import BusUnavailableError, EventTooLargeError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.capacity import Capacity
from scaup.dispatcher.entries import Delivery, Untried
from scaup.dispatcher.judge import Accepted, NoAnswer, Outcome
from scaup.dispatcher.parking import Parking
from scaup.dispatcher.settings import DispatcherSettings
from scaup.dispatcher.settle import Groups
from scaup.dispatcher.target import Target, Tools
from scaup.dispatcher.trail import Trail
from tests.support.events import a_trigger

LANE = Lane(BrokerUid("broker-1"), TriggerUid("trigger-1"))


class Around:
    """Attempts, settler and definitions in one: what was asked of them is in ``calls``."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[str] = []
        self.refusal: Exception | None = None
        self.triggers = {TriggerUid("trigger-1"): a_trigger()}
        self.brokers: dict[str, Any] = {}
        self.address_book: dict[str, Any] = {}
        self.deleted_triggers: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []
        self.capacity = Capacity(100, 100)
        self.takes_s = 0.0
        self.trail = Trail()

    async def make(self, *_args: Any, **_more: Any) -> Outcome:
        self.calls.append("attempt")
        await asyncio.sleep(self.takes_s)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def park(self, _delivery: Delivery, _facts: Facts, _delay_s: float, reason: str) -> None:
        self.calls.append(f"park {reason}")
        if self.refusal is not None:
            raise self.refusal

    def room(self, _lane: Lane) -> int:
        return 1000

    async def park_all(self, groups: Groups) -> list[tuple[Lane, str, Sequence[Untried], int]]:
        self.calls += [f"park {reason}" for (_, reason), items in groups.items() for _ in items]
        return [(lane, reason, items, 1) for (lane, reason), items in groups.items()]

    def drop(self, _lane: Lane, reason: str, **_more: Any) -> None:
        self.calls.append(f"drop {reason}")

    def start(self, work: Any, _name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    def target(self) -> Target:
        parking = Parking(cast("Any", self), self.start)
        tools = Tools(
            *cast(
                "Any",
                (None, self, self, self, DispatcherSettings(), self.capacity, parking, self.start, lambda _: True),
            )
        )
        return Target(LANE, tools)

    def delivery(self, *, lease_s: float = 10.0) -> Delivery:
        until = asyncio.get_running_loop().time() + lease_s
        end = self.calls.append
        return Delivery(LANE, Outgoing({}, b""), Facts(1), lambda _: end("done"), lambda _: end("back"), until)

    async def settle(self) -> None:
        while pending := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(pending)


async def test_delivery_withdrawn_between_its_offer_and_its_turn_is_not_made() -> None:
    around = Around()
    delivery = around.delivery()
    around.target().offer(delivery)
    delivery.is_withdrawn = True
    await around.settle()
    assert around.calls == []


async def test_delivery_whose_lease_is_over_is_handed_back_and_not_made() -> None:
    around = Around()
    around.target().offer(around.delivery(lease_s=-1.0))
    await around.settle()
    assert around.calls == ["back"]


async def test_error_of_our_own_hands_back_and_does_not_leave_the_breaker_waiting_for_its_probe() -> None:
    around = Around(*[NoAnswer("gone")] * 8, RuntimeError("a bug"), Accepted(202))
    target = around.target()
    for _ in range(8):
        target.offer(around.delivery())
    await around.settle()
    assert target.breaker.is_open
    probe_at = target.breaker.next_probe_at()
    assert probe_at is not None
    target.breaker._open_until = 0.0
    target.offer(around.delivery())
    await around.settle()
    assert around.calls[-1] == "back"
    target.breaker._open_until = 0.0
    target.offer(around.delivery())
    await around.settle()
    assert around.calls[-2:] == ["attempt", "done"]
    assert not target.breaker.is_open


async def test_trigger_that_was_deleted_drops_and_one_that_is_unknown_hands_back() -> None:
    around = Around()
    around.triggers.clear()
    around.target().offer(around.delivery())
    await around.settle()
    assert around.calls == ["back"]
    around.deleted_triggers.add("trigger-1")
    around.target().offer(around.delivery())
    await around.settle()
    assert around.calls[1:] == ["drop trigger_deleted", "done"]


async def test_consequence_that_cannot_be_stored_within_the_lease_hands_back() -> None:
    around = Around(NoAnswer("gone"))
    around.refusal = BusUnavailableError("away")
    around.target().offer(around.delivery(lease_s=0.7))
    await around.settle()
    assert around.calls == ["attempt", "park retry", "park retry", "back"]


async def test_consequence_too_large_to_be_stored_is_dropped_by_a_stated_policy() -> None:
    around = Around(NoAnswer("gone"))
    around.refusal = EventTooLargeError("too large")
    around.target().offer(around.delivery())
    await around.settle()
    assert around.calls == ["attempt", "park retry", "drop too_large", "done"]


async def test_new_address_closes_the_breaker() -> None:
    around = Around(*[NoAnswer("gone")] * 8)
    target = around.target()
    for _ in range(8):
        target.offer(around.delivery())
    await around.settle()
    assert target.is_backed_up
    target.look_again()
    assert not target.is_backed_up


async def test_one_event_goes_straight_as_the_probe_when_the_pause_is_over() -> None:
    around = Around(*[NoAnswer("gone")] * 9)
    target = around.target()
    for _ in range(8):
        target.offer(around.delivery())
    await around.settle()
    assert target.is_backed_up
    target.breaker._open_until = 0.0
    assert not target.is_backed_up
    for _ in range(3):
        target.offer(around.delivery())
    await around.settle()
    since = around.calls[24:]
    assert (since.count("attempt"), since.count("park breaker"), since.count("done")) == (1, 2, 3)


async def test_sink_whose_attempts_take_long_holds_few_entries_of_the_log() -> None:
    around = Around(*[Accepted(202)] * 100)
    target = around.target()
    around.takes_s = 10.0
    target._attempt_s = 0.3
    for _ in range(8):
        assert not target.is_backed_up
        target.offer(around.delivery())
    assert target.is_backed_up
    around.capacity._lag_s = 0.05  # the machine is slow, and with it every attempt
    assert not target.is_backed_up
    for task in around.tasks:
        task.cancel()


async def test_sink_that_answers_nothing_for_a_while_is_backed_up_before_any_attempt_ends() -> None:
    around = Around(*[Accepted(202)] * 100)
    target = around.target()
    around.takes_s = 10.0
    for _ in range(8):
        target.offer(around.delivery())
    assert not target.is_backed_up
    target._progress_at -= 0.3
    assert target.is_backed_up
    for task in around.tasks:
        task.cancel()


async def test_probes_that_fail_say_nothing_of_how_much_the_sink_would_take() -> None:
    around = Around(*[NoAnswer("gone")] * 40)
    target = around.target()
    for _ in range(8):
        target.offer(around.delivery())
    await around.settle()
    limit = target.limit.current
    for _ in range(30):
        target.breaker._open_until = 0.0
        target.limit._decreased_at = 0.0
        target.offer(around.delivery())
        await around.settle()
    assert around.calls.count("attempt") == 38
    assert target.limit.current == limit


async def test_what_is_put_aside_leaves_the_waiting_room_at_once() -> None:
    around = Around(*[Accepted(202)] * 200)
    target = around.target()
    around.takes_s = 0.05
    deliveries = [around.delivery() for _ in range(70)]
    for delivery in deliveries:
        target.offer(delivery)
    assert len(target._waiting) == 6
    for delivery in deliveries[64:]:
        target.put_aside(delivery, "slow")
    assert not target._waiting
    await around.settle()
    assert (around.calls.count("attempt"), around.calls.count("park slow"), around.calls.count("done")) == (64, 6, 70)
