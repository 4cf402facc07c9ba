"""The ledger itself: what it takes for an end, and that it sees what is missing, repeated, changed or not asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from tests.chaos import traffic
from tests.chaos.crowd import HOSTILE, Plan, Scenario, healthy
from tests.chaos.faults import SERVICES, schedule
from tests.chaos.ledger import Evidence, Ledger, balance
from tests.chaos.moods import INCURABLE, KINDS, turn

WELL = Plan("well")
HANGING = Plan("hanging", "hanging")
SENT = {0, 2, 4, 6}


def _taken(*indices: int) -> bytes:
    counts = bytearray(20)
    for index in indices:
        counts[index] += 1
    return bytes(counts)


def _balance(plan: Plan, *taken: int, accepted: set[int] | None = None, **evidence: Any) -> Ledger:
    all_taken = {plan.name: _taken(*taken)} | evidence.pop("more_taken", {})
    scenario = Scenario(rate=10, plans=(plan,))
    return balance(scenario, Evidence(10, SENT if accepted is None else accepted, all_taken, **evidence))


def test_a_pair_without_an_end_is_missing() -> None:
    ledger = _balance(WELL, 0, 2, 6)

    assert ledger.missing == 1
    assert ledger.complaints == ["well: 1 of 4 events have no end: e-2"]


def test_taken_dead_lettered_and_kept_are_ends() -> None:
    plan = Plan("final", "final", dead_letters="well")

    ledger = _balance(plan, 0, 2, kept={"final": {4}}, more_taken={"final-dead": _taken(6)})

    assert ledger.complaints == []
    assert (ledger.rows[0].delivered, ledger.rows[0].dead_lettered, ledger.rows[0].kept) == (2, 1, 1)


def test_waiting_is_an_end_for_a_sink_that_is_never_cured_and_for_no_other() -> None:
    assert _balance(HANGING, waiting={"hanging": SENT}).missing == 0
    assert _balance(WELL, waiting={"well": SENT}).missing == 4


def test_dropped_is_an_end_for_a_deleted_trigger_as_far_as_it_was_counted() -> None:
    leaving = replace(HANGING, is_leaving=True)

    assert _balance(leaving, dropped=4).missing == 0
    assert _balance(leaving, dropped=3).missing == 1
    assert _balance(WELL, dropped=4).missing == 4


def test_what_was_not_accepted_may_come_and_may_stay_away() -> None:
    ledger = _balance(WELL, 0, 2, accepted={0})

    assert ledger.complaints == []
    assert (ledger.rows[0].matched, ledger.rows[0].unaccepted) == (1, 1)


def test_more_duplicates_than_the_faults_explain_are_wrong() -> None:
    twice = [index for index in SENT for _ in range(4)]

    assert _balance(WELL, *twice, repeating_faults=2).complaints == []
    assert _balance(WELL, *twice, repeating_faults=1).complaints == ["well: 12 duplicates, the faults explain 10"]


def test_what_was_never_sent_or_does_not_match_is_wrong() -> None:
    assert _balance(Plan("well", types=("chaos.order",)), 0, 2, 4, 6, accepted={0}).rows[0].strays == ["e-1", "e-3"]
    assert balance(Scenario(plans=(WELL,)), Evidence(1, {0}, {"well": _taken(0, 2)})).rows[0].strays == ["e-1"]


def test_a_reply_is_owed_once_the_event_it_answers_is_delivered() -> None:
    replying = next(plan for plan in HOSTILE if plan.kind == "replying")
    answered = next(index for index in range(0, 20, 2) if replying.wants(index))
    scenario = Scenario(plans=(replying, Plan("replies", types=(traffic.REPLY_TYPE,))))
    taken = {"replying": _taken(answered)}

    owed = balance(scenario, Evidence(10, {answered}, taken))
    not_owed = balance(scenario, Evidence(10, {answered}, taken, kept={"replying": {answered}}))

    assert owed.complaints == [f"replies: 1 of 1 events have no end: {traffic.id_of(answered | 1)}"]
    assert not_owed.missing == 0


@pytest.mark.parametrize("number", range(60))
def test_an_event_is_recognised_in_both_modes(number: int) -> None:
    head, body = traffic.request_of(number)
    headers = {
        name.lower(): value.strip() for name, _, value in (x.partition(":") for x in head.decode().split("\r\n"))
    }

    attributes, data = traffic.received(headers, body)

    assert traffic.difference(attributes | {traffic.ADDED: "now"}, data) == ""


@pytest.mark.parametrize(
    ("changes", "data", "what"),
    [
        ({}, b"{}", "e-8 has other data: 2 bytes, b'{}'"),
        ({"note": "a note"}, None, "e-8: note is 'a note'"),
        ({"extra": "1"}, None, "e-8: extra is '1', not None"),
        ({traffic.TTL: "254"}, None, f"e-8 carries {traffic.TTL}"),
    ],
)
def test_a_changed_event_is_seen(changes: dict[str, str], data: bytes | None, what: str) -> None:
    attributes = traffic.attributes_of(16) | {traffic.ADDED: "now"} | changes

    assert traffic.difference(attributes, traffic.data_of(16) if data is None else data).startswith(what)


def test_a_schedule_is_made_by_its_seed_and_has_every_fault_in_every_round() -> None:
    first, same, other = (list(islice(schedule(seed), 16)) for seed in (1, 1, 2))

    assert first == same != other
    assert {str(fault).split(" for ")[0] for fault in first} == {
        "kill nats",
        *(f"{kind} {name}" for kind in ("kill", "pause", "restart") for name in SERVICES),
    }
    assert max(fault.seconds for fault in first) <= 10.0
    assert all(1.0 <= fault.rest_s <= 5.0 for fault in first)


def test_every_kind_of_sink_takes_part() -> None:
    plans = (*healthy(4), *HOSTILE)

    assert {plan.kind for plan in plans} | {plan.dead_letters for plan in plans} - {""} == KINDS


@pytest.mark.parametrize("kind", sorted(KINDS - INCURABLE))
def test_every_sink_that_is_not_incurable_takes_most_events_in_the_end(kind: str) -> None:
    ends = [any(turn(kind, index, tries).takes for tries in range(1, 6)) for index in range(0, 400, 2)]

    assert sum(ends) >= (80 if kind == "fickle" else 150)
