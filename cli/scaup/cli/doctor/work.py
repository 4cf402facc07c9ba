"""Whether the work goes on: replicas that report, clocks, and consumers with work that nobody does.

Looks only, and twice at nothing: what is stuck is told by the age of what waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from scaup.cli.doctor.findings import Finding, error, warning
from scaup.cli.doctor.ground import info_of
from scaup.cli.plane import Snapshot
from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import Bus
from scaup.core.bus.topology import CONSUMER_NOT_FOUND
from scaup.core.bus.waiting import waiting
from scaup.core.codec import kept
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition, TriggerDefinition
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import DEAD_LETTER, Lane, TriggerUid
from scaup.core.model.trail import Told

ROLES: Final = ("ingress", "filter", "dispatcher")
_SKEW_S: Final = 2.0
_MOST_LANES: Final = 200
"""Queues that are looked into; the others are counted."""


def replicas(snapshot: Snapshot, live: Mapping[str, Any]) -> list[Finding]:
    """Which services report, and whether they follow the definitions. Pure."""
    found: list[Finding] = []
    if not snapshot.created:
        says = "no definitions: the controller has never run on this NATS"
        found.append(error("plane.no_definitions", "Scaup", says, "start the controller, or name another NATS"))
    missing = [role for role in ROLES if not any(key.startswith(f"{role}.") for key in live)]
    found += [
        error("plane.missing", "Scaup", f"no {role} reports", f"start one: `python -m scaup.{role}`")
        for role in missing
    ]
    for key, report in live.items():
        about = key.replace(".", " ", 1)
        if snapshot.created and report.get("created") not in {"", snapshot.created}:
            says = "it follows definitions that are not there any more: their bucket was made anew"
            found.append(error("plane.astray", about, says, "restart it"))
        elif report.get("revision", 0) < snapshot.revision:
            says = f"it has applied revision {report.get('revision', 0)} of {snapshot.revision}"
            found.append(warning("plane.behind", about, says, "ask again; where it stays so, look at its log"))
    return found


def failing(snapshot: Snapshot, live: Mapping[str, Any]) -> list[Finding]:
    """Filters that cannot be evaluated for some events, as the filter services report. Pure."""
    reported: dict[str, str] = {}
    for report in live.values():
        reported |= report.get("failing") or {}
    return [
        warning(
            "filter.fails",
            about_trigger(snapshot.triggers[TriggerUid(uid)]),
            f"its filter cannot be evaluated for some events, which are no match then: {why}",
            "mend the expression so that it holds for every event; `scaup filter explain` shows it",
        )
        for uid, why in reported.items()
        if uid in snapshot.triggers
    ]


def clocks(told: Iterable[Told], server: tuple[datetime, datetime], here: datetime) -> list[Finding]:
    """Clocks that differ from that of NATS: of dispatchers, and of this machine.

    ``server`` is the time of NATS before and after they were asked, ``here`` that of this machine between. Pure.
    """
    read = [("this machine", here)]
    read += [(f"dispatcher {one.replica}", datetime.fromtimestamp(one.now, UTC)) for one in told]
    found: list[Finding] = []
    for name, moment in read:
        nearest = min(max(moment, server[0]), server[1])
        ahead = (moment - nearest).total_seconds()
        if abs(ahead) > _SKEW_S:
            says = f"its clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} that of NATS"
            do = "let the clocks be set by NTP; what waits is due by the clock of NATS"
            found.append(warning("clock.skew", name, says, do))
    return found


async def log_consumer(bus: Bus, broker: BrokerDefinition, now: datetime, patience_s: float) -> list[Finding]:
    """Whether the events in the log of a Broker are worked."""
    about = f"Broker {broker.namespace}/{broker.name}"
    stream = names.log_stream(broker.uid)
    if await info_of(bus, stream) is None:
        return []
    info = await _consumer(bus, stream, names.DISPATCH_CONSUMER)
    if info is None:
        says = "the consumer of its log is not there: nothing of it is delivered"
        return [error("consumer.missing", about, says, "the controller makes it again when it runs: is it there?")]
    waits = info["num_pending"] + info["num_ack_pending"]
    first = await stream_entries.get(bus, stream, info["ack_floor"]["stream_seq"] + 1, next_of=">") if waits else None
    if first is None or (age_s := _age_s(first.stored_at, now)) < patience_s:
        return []
    says = f"{waits:,} events wait in its log, the first of them (position {first.sequence:,}) for {age_s:,.0f} s"
    if info["num_ack_pending"]:
        do = "dispatchers hold some: look at their logs, and at `scaup trace` of that event"
    else:
        do = "no dispatcher takes them: does one run, and does a filter answer it?"
    return [error("consumer.stuck", about, says, do)]


async def queues(
    bus: Bus, broker: BrokerDefinition, snapshot: Snapshot, told: Iterable[Told], now: datetime, patience_s: float
) -> list[Finding]:
    """Queues with workable events that nobody works, or that are very long behind."""
    resting = {(one.way.trigger, one.way.kind) for answer in told for one in answer.unwell}
    stream = names.queue_stream(broker.uid)
    if await info_of(bus, stream) is None:
        return []
    found: list[Finding] = []
    lanes = [
        lane for lane, number in (await waiting(bus, broker.uid, names.queue_subjects(broker.uid))).items() if number
    ]
    for lane in lanes[:_MOST_LANES]:
        trigger = snapshot.triggers.get(lane.trigger)
        if trigger is None or (trigger.paused and lane.kind != DEAD_LETTER):
            continue
        first = await stream_entries.get(bus, stream, 1, next_of=names.queue_subject_filter(lane))
        if first is None or (age_s := _age_s(first.stored_at, now)) < patience_s:
            continue
        info = await _consumer(bus, stream, names.lane_consumer(lane))
        is_idle = info is None or not info["num_waiting"] + info["num_ack_pending"]
        if is_idle and (lane.trigger, lane.kind) not in resting:
            says = f"events wait in its queue{_to_sink(lane)} for {age_s:,.0f} s, and no dispatcher works it"
            do = "is a dispatcher running? the one that owns the queue may be stuck: look at its log, restart it"
            found.append(error("consumer.stuck", about_trigger(trigger), says, do))
        else:
            accepted = first.headers.get(kept.ACCEPTED, "")
            says = f"it is behind: the first event of its queue{_to_sink(lane)} was accepted at {accepted}"
            do = "its sink is slow or failing: see findings about it, and `scaup trace`"
            found.append(warning("queue.behind", about_trigger(trigger), says, do))
    return found


def _to_sink(lane: Lane) -> str:
    return " for the dead letter sink" if lane.kind == DEAD_LETTER else ""


def about_trigger(trigger: TriggerDefinition) -> str:
    """A Trigger as findings name it."""
    return f"Trigger {trigger.namespace}/{trigger.name}"


async def _consumer(bus: Bus, stream: str, name: str) -> dict[str, Any] | None:
    try:
        return await bus.api(f"CONSUMER.INFO.{stream}.{name}")
    except BusRequestError as refusal:
        if refusal.err_code != CONSUMER_NOT_FOUND:
            raise
        return None


def _age_s(stored_at: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(stored_at)).total_seconds()
