"""The ledger: accepted events times matching Triggers, each pair with its end, or missing. Pure arithmetic.

A pair ends where the Trigger's sink took the event, or its dead letter sink did, or it is kept as a dead letter; for a
sink that is never cured also where the event waits in the Trigger's queue; for a deleted Trigger where it was dropped,
and counted. Of events that were not answered 202 nobody knows whether they are stored: they may come, or not.

A reply is accepted when its delivery was: then it was stored before the event it answers was settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.chaos import traffic
from tests.chaos.crowd import REPLYING, Plan, Scenario

LONGEST_HELD_S: Final = 1.0
"""How long an entry of the log is held for a slow target (``SCAUP_DISPATCHER_SLOW_SECONDS``)."""
_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the run left behind. Indices as in ``traffic``; ``taken`` by place, the others by Trigger."""

    sent: int
    accepted: set[int]
    taken: Mapping[str, bytes]
    waiting: Mapping[str, set[int]] = field(default_factory=dict)
    kept: Mapping[str, set[int]] = field(default_factory=dict)
    dropped: int = 0
    """Of deleted Triggers."""
    repeating_faults: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One Trigger's side of the ledger."""

    trigger: str
    kind: str
    matched: int
    delivered: int
    """Of the matched ones."""
    duplicates: int
    bound: int | None
    """Most duplicates that the faults explain; None where the sink itself asks for more."""
    dead_lettered: int
    """Taken by the dead letter sink."""
    kept: int
    dropped: int
    waiting: int
    missing: int
    missing_ids: list[str]
    unaccepted: int
    """Taken although their producer was not told that they are accepted."""
    strays: list[str]
    """Taken although they do not match, or were never sent."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All rows, and what is wrong with them in sentences."""

    rows: list[Row]
    complaints: list[str]

    @property
    def deliveries(self) -> int:
        """Pairs of event and Trigger that ended at the Trigger's sink, duplicates not counted."""
        return sum(row.delivered + row.unaccepted for row in self.rows)

    @property
    def missing(self) -> int:
        """Pairs without an end."""
        return sum(row.missing for row in self.rows)


def balance(scenario: Scenario, evidence: Evidence) -> Ledger:
    """Give every pair its end."""
    accepted = evidence.accepted | _accepted_replies(evidence)
    rows = [_row(scenario, plan, accepted, evidence) for plan in scenario.plans]
    complaints = [
        f"{row.trigger}: {row.missing} of {row.matched} events have no end: {', '.join(row.missing_ids)}"
        for row in rows
        if row.missing
    ]
    complaints += [
        f"{row.trigger}: {row.duplicates} duplicates, the faults explain {row.bound}"
        for row in rows
        if row.bound is not None and row.duplicates > row.bound
    ]
    complaints += [f"{row.trigger}: got what it did not ask for: {', '.join(row.strays)}" for row in rows if row.strays]
    return Ledger(rows, complaints)


def most_duplicates(rate: float, repeating_faults: int) -> int:
    """Most duplicates at one healthy sink, with ``rate`` events a second in the log, replies included.

    Entries of the log come again when a dispatcher, or NATS, is killed between their delivery and their
    acknowledgement. An entry is held for a second at the most, for the slowest of its targets; so one fault repeats at
    most the entries of one second, for each sink. A killed filter or ingress, a dispatcher that is stopped, or paused
    for less than the ack wait, repeat nothing.
    """
    return int(repeating_faults * rate * LONGEST_HELD_S)


def _accepted_replies(evidence: Evidence) -> set[int]:
    """Replies to events that ended at the replying sink and nowhere else."""
    place = evidence.taken.get(REPLYING.name, b"")
    elsewhere = evidence.kept.get(REPLYING.name, set()) | evidence.waiting.get(REPLYING.name, set())
    return {index | 1 for index in evidence.accepted if _is_in(place, index) and index not in elsewhere}


def _row(scenario: Scenario, plan: Plan, accepted: set[int], evidence: Evidence) -> Row:
    place, dead_place = evidence.taken.get(plan.name, b""), evidence.taken.get(plan.dead_letter_place, b"")
    matched = {index for index in accepted if plan.wants(index)}
    taken = {index for index, count in enumerate(place) if count}
    dead = {index for index, count in enumerate(dead_place) if count}
    kept, waiting = evidence.kept.get(plan.name, set()), evidence.waiting.get(plan.name, set())
    ends = taken | dead | kept
    if not plan.is_cured:
        ends |= waiting
    missing = sorted(matched - ends)
    dropped = min(evidence.dropped, len(missing)) if plan.is_leaving else 0
    everything = taken | dead | kept | waiting
    strays = sorted(index for index in everything if not (plan.wants(index) and index // 2 < evidence.sent))
    return Row(
        trigger=plan.name,
        kind=plan.kind,
        matched=len(matched),
        delivered=len(taken & matched),
        duplicates=sum(place) - len(taken),
        bound=most_duplicates(scenario.log_rate, evidence.repeating_faults) if plan.kind == "well" else None,
        dead_lettered=len(dead & matched),
        kept=len(kept & matched),
        dropped=dropped,
        waiting=len(waiting & matched),
        missing=len(missing) - dropped,
        missing_ids=[traffic.id_of(index) for index in missing[:_NAMED]] if len(missing) > dropped else [],
        unaccepted=len(taken - matched - set(strays)),
        strays=[traffic.id_of(index) for index in strays[:_NAMED]],
    )


def _is_in(place: bytes, index: int) -> bool:
    return index < len(place) and place[index] > 0
