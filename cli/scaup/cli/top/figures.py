"""What happened between two looks: rates, latency, and how things stand. Pure.

A counter that is lower than before belongs to a process that was started anew: it counts from zero.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from scaup.cli.plane import Snapshot
from scaup.cli.top.sampling import Sample, Streams
from scaup.cli.top.scraping import Key
from scaup.core.model.definitions import TriggerDefinition
from scaup.core.model.names import BrokerUid

Grown = defaultdict[Key, float]
_ACCEPTING: Final = "scaup_ingress_accept_seconds_bucket"
_DELIVERING: Final = "scaup_delivery_seconds_bucket"
_DELIVERED: Final = frozenset({"accepted", "replied"})


@dataclass(frozen=True, slots=True)
class Latency:
    """In seconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class BrokerRow:
    """A Broker. What is None is not known. ``accepted`` a second, replies included."""

    name: str
    state: str
    accepted: float | None
    delivered: float | None
    lag: int | None
    queue: int
    retries: int | None
    dead: int
    accepting: Latency | None = None
    delivering: Latency | None = None


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """A Trigger. ``delivered`` and ``failed`` are attempts a second."""

    name: str
    broker: str
    state: str
    delivered: float | None
    failed: float | None
    queue: int | None
    retries: int | None
    dead: int


@dataclass(slots=True)
class Figures:
    """Everything there is to show, of ``seconds``."""

    namespace: str
    seconds: float
    brokers: list[BrokerRow] = field(default_factory=list)
    triggers: list[TriggerRow] = field(default_factory=list)
    accepting: Latency | None = None
    delivering: Latency | None = None
    not_known: list[str] = field(default_factory=list)


def figures(before: Sample, after: Sample, namespace: str) -> Figures:
    """What to show of one namespace."""
    seconds = max(after.at - before.at, 1e-6)
    grown = _grown(before, after)
    found = Figures(namespace, seconds, not_known=[*after.not_known, *_unread(after)])
    found.accepting = latency(grown, _ACCEPTING, namespace=namespace)
    found.delivering = latency(grown, _DELIVERING, namespace=namespace)
    attempts = _attempts(grown) if any("dispatcher" in one.roles for one in after.scrapes) else None
    for uid, streams in after.streams.items():
        mine = sorted(
            (one for one in after.snapshot.triggers.values() if one.broker == uid),
            key=lambda one: (one.namespace, one.name),
        )
        rows = [_trigger(one, after, streams, attempts, seconds) for one in mine]
        row = _broker(uid, before, after, attempts, seconds)
        of = {"namespace": after.snapshot.brokers[uid].namespace, "broker": row.name}
        accepting, delivering = latency(grown, _ACCEPTING, **of), latency(grown, _DELIVERING, **of)
        found.brokers.append(replace(row, accepting=accepting, delivering=delivering))
        found.triggers += rows
        if streams.queued is None:
            name = after.snapshot.brokers[uid].name
            found.not_known.append(f"retries of {name}, and queues exactly: too many events wait to list them all")
    found.brokers.sort(key=lambda one: one.name)
    found.triggers.sort(key=lambda one: (one.broker, one.name))
    return found


def _unread(after: Sample) -> Iterator[str]:
    """Which processes have figures that are missing here."""
    for one in after.scrapes:
        if one.problem:
            yield f"metrics: {one.problem}"
    what = {"dispatcher": "deliveries, failures and their latency", "ingress": "the latency of accepting"}
    for role, missing in what.items():
        read = sum(role in one.roles for one in after.scrapes)
        live = after.live[role]
        if not read:
            yield f"{missing}: no metrics of {_one(role)} are read (--metrics URL names them)"
        elif read < live:
            yield f"{missing} of {live - read} of {live} {_plural(role)}: name their metrics too (--metrics URL)"


def _one(role: str) -> str:
    return "an ingress" if role == "ingress" else f"a {role}"


def _plural(role: str) -> str:
    return "ingresses" if role == "ingress" else f"{role}s"


def _grown(before: Sample, after: Sample) -> Grown:
    """By how much each series has grown, in all processes that were read both times."""
    earlier = {one.url: one.series for one in before.scrapes if not one.problem}
    grown: Grown = defaultdict(float)
    for one in after.scrapes:
        if one.problem or one.url not in earlier:
            continue
        was = earlier[one.url]
        for key, value in one.series.items():
            since = value - was.get(key, 0.0)
            grown[key] += since if since >= 0 else value
    return grown


def _attempts(grown: Grown) -> dict[tuple[str, str, str, bool], float]:
    """Attempts by namespace, broker, trigger, and whether the sink took the event."""
    found: dict[tuple[str, str, str, bool], float] = {}
    for (name, labels), value in grown.items():
        if name == "scaup_delivery_attempts_total":
            of = dict(labels)
            key = (of["namespace"], of["broker"], of["trigger"], of["outcome"] in _DELIVERED)
            found[key] = found.get(key, 0.0) + value
    return found


def latency(grown: Mapping[Key, float], name: str, **of: str) -> Latency | None:
    """The median and the 99th percentile of a histogram, of its series with these labels; None where none counted."""
    buckets: defaultdict[float, float] = defaultdict(float)
    for (series, labels), value in grown.items():
        if series == name and of.items() <= (found_of := dict(labels)).items():
            buckets[float(found_of["le"])] += value
    found = sorted(buckets.items())
    if not found or found[-1][1] <= 0:
        return None
    return Latency(_quantile(found, 0.5), _quantile(found, 0.99))


def _quantile(buckets: list[tuple[float, float]], quantile: float) -> float:
    """As Prometheus has it: within a bucket evenly; in the last, which has no end, where it begins."""
    rank = quantile * buckets[-1][1]
    low, below = 0.0, 0.0
    for high, count in buckets:
        if count >= rank and count > below:
            return low if math.isinf(high) else low + (high - low) * (rank - below) / (count - below)
        low, below = high, count
    return low


def _broker(
    uid: BrokerUid,
    before: Sample,
    after: Sample,
    attempts: dict[tuple[str, str, str, bool], float] | None,
    seconds: float,
) -> BrokerRow:
    broker, streams, was = after.snapshot.brokers[uid], after.streams[uid], before.streams.get(uid)
    accepted = None if was is None else _since(was.last, streams.last) / seconds
    delivered = None
    if attempts is not None:
        where = (broker.namespace, broker.name)
        delivered = sum(value for key, value in attempts.items() if key[:2] == where and key[3]) / seconds
    retries = None if streams.retried is None else streams.retried.total()
    state = _state(after, uid, "")
    return BrokerRow(broker.name, state, accepted, delivered, streams.lag, streams.waiting, retries, streams.dead)


def _since(before: int, after: int) -> int:
    return after - before if after >= before else after


def _trigger(
    trigger: TriggerDefinition,
    after: Sample,
    streams: Streams,
    attempts: dict[tuple[str, str, str, bool], float] | None,
    seconds: float,
) -> TriggerRow:
    broker = after.snapshot.brokers[trigger.broker]
    labels = (trigger.namespace, broker.name, trigger.name)
    delivered = failed = None
    if attempts is not None:
        delivered, failed = (attempts.get((*labels, taken), 0.0) / seconds for taken in (True, False))
    queue = _gauged(after, labels) if streams.queued is None else streams.queued[trigger.uid]
    retries = None if streams.retried is None else streams.retried[trigger.uid]
    name = f"{trigger.namespace}/{trigger.name}".removeprefix(f"{broker.namespace}/")
    refused = "" if trigger.matching else "filter refused"
    state = _state(after, trigger.uid, refused) + (", paused" if trigger.paused else "")
    return TriggerRow(
        name, broker.name, state.removeprefix("-, "), delivered, failed, queue, retries, streams.dead_of[trigger.uid]
    )


def _gauged(after: Sample, labels: tuple[str, str, str]) -> int | None:
    """What waits by the dispatchers' gauges: whoever does not look after that Broker has none, or an old one."""
    key = ("scaup_trigger_queue_events", tuple(zip(("broker", "namespace", "trigger"), _in_order(labels), strict=True)))
    known = [one.series[key] for one in after.scrapes if key in one.series]
    return int(max(known)) if known else None


def _in_order(labels: tuple[str, str, str]) -> tuple[str, str, str]:
    namespace, broker, trigger = labels
    return broker, namespace, trigger


def _state(after: Sample, uid: str, otherwise: str) -> str:
    if after.ready is None:
        return otherwise or "-"
    return after.ready.get(uid, otherwise or "not in the API")


def known(snapshot: Snapshot, namespace: str) -> bool:
    """Whether there is a Broker to show."""
    return any(broker.namespace == namespace for broker in snapshot.brokers.values())
