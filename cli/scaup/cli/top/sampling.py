"""One look at everything: the streams, the services' metrics, and the conditions by the API.

Values only; what changed between two looks is for ``figures`` to say. Must not change anything, nor make a consumer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scaup.cli import plane, showing
from scaup.cli.access import ApiAccess
from scaup.cli.kinds import BROKER, TRIGGER
from scaup.cli.kube import open_api
from scaup.cli.plane import Snapshot
from scaup.cli.problems import NotReachableError, RefusedError
from scaup.cli.top.scraping import Scrape, scrape
from scaup.core.bus import waiting
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.bus.topology import CONSUMER_NOT_FOUND
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import BrokerUid, TriggerUid

MOST_SUBJECTS: Final = 20_000
"""Of a stream, that are listed: each retry that waits has one of its own."""

_ASK_API_S: Final = 5.0
"""Between two questions to the API, whose answer is long where there are very many Triggers."""


@dataclass(slots=True)
class Streams:
    """What the streams of one Broker hold. ``queued`` and ``retried`` are None where too much waits to be listed."""

    last: int = 0
    lag: int | None = None
    waiting: int = 0
    dead: int = 0
    queued: Counter[TriggerUid] | None = field(default_factory=Counter)
    """Events by Trigger, in both of its lanes, retries included."""
    retried: Counter[TriggerUid] | None = field(default_factory=Counter)
    """Of those, what waits for its next attempt."""
    dead_of: Counter[TriggerUid] = field(default_factory=Counter)


@dataclass(slots=True)
class Sample:
    """Everything at one moment, ``at`` in seconds. ``ready`` is what the API says by uid; None: it was not asked."""

    at: float
    snapshot: Snapshot
    streams: dict[BrokerUid, Streams] = field(default_factory=dict)
    scrapes: list[Scrape] = field(default_factory=list)
    live: Counter[str] = field(default_factory=Counter)
    """Replicas that report, by role."""
    ready: dict[str, str] | None = None
    asked_at: float = 0.0
    """When the API was asked."""
    not_known: list[str] = field(default_factory=list)


async def sample(
    bus: Bus, access: ApiAccess | None, urls: Sequence[str], namespace: str, earlier: Sample | None = None
) -> Sample:
    """A look at one namespace; what is large and seldom changes is taken from an ``earlier`` one. Raises BusError."""
    snapshot = await _snapshot(bus, earlier)
    loop = asyncio.get_running_loop()
    found = Sample(loop.time(), snapshot)
    brokers = [broker for broker in snapshot.brokers.values() if broker.namespace == namespace]
    states = await asyncio.gather(*(_streams(bus, broker) for broker in brokers))
    found.at = loop.time()
    for broker, state in zip(brokers, states, strict=True):
        if state is None:
            found.not_known.append(f"Broker {broker.name}: its streams are not there (`scaup doctor` says more)")
        else:
            found.streams[broker.uid] = state
    found.scrapes = await scrape(urls)
    live = await plane.replicas(bus, await plane.server_now(bus))
    found.live = Counter(key.partition(".")[0] for key in live)
    if access is None:
        found.not_known.append("conditions: no API is named")
    elif earlier is not None and earlier.ready is not None and found.at - earlier.asked_at < _ASK_API_S:
        found.ready, found.asked_at = earlier.ready, earlier.asked_at
    else:
        found.asked_at = found.at
        await _ask_api(access, namespace, found)
    return found


async def _snapshot(bus: Bus, earlier: Sample | None) -> Snapshot:
    if earlier is not None:
        info = await bus.api(f"STREAM.INFO.KV_{names.DEFINITIONS_BUCKET}")
        known = earlier.snapshot
        if (info["state"]["last_seq"], str(info["created"])) == (known.revision, known.created):
            return known
    return await plane.snapshot(bus)


async def _streams(bus: Bus, broker: BrokerDefinition) -> Streams | None:
    """None where they went with their Broker meanwhile."""
    found = Streams()
    try:
        log = names.log_stream(broker.uid)
        found.last = (await bus.api(f"STREAM.INFO.{log}"))["state"]["last_seq"]
        found.lag = await _lag(bus, log)
        await _look_at_queues(bus, broker, found)
        await _look_at_dead_letters(bus, broker, found)
    except BusRequestError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise
        return None
    return found


async def _lag(bus: Bus, log: str) -> int | None:
    try:
        consumer = await bus.api(f"CONSUMER.INFO.{log}.{names.DISPATCH_CONSUMER}")
    except BusRequestError as error:
        if error.err_code != CONSUMER_NOT_FOUND:
            raise
        return None
    return int(consumer["num_pending"] + consumer["num_ack_pending"])


async def _look_at_queues(bus: Bus, broker: BrokerDefinition, found: Streams) -> None:
    state = (await bus.api(f"STREAM.INFO.{names.queue_stream(broker.uid)}"))["state"]
    found.waiting = state["messages"]
    if state.get("num_subjects", 0) > MOST_SUBJECTS:
        found.queued = found.retried = None
        return
    if not found.waiting:
        return
    retried = await waiting.waiting(bus, broker.uid, names.retry_subjects(broker.uid))
    queued = await waiting.waiting(bus, broker.uid, names.queue_subjects(broker.uid))
    found.retried, found.queued = _by_trigger(retried), _by_trigger(retried + queued)
    found.waiting = found.queued.total()


def _by_trigger(lanes: Counter[names.Lane]) -> Counter[TriggerUid]:
    found: Counter[TriggerUid] = Counter()
    for lane, number in lanes.items():
        found[lane.trigger] += number
    return found


async def _look_at_dead_letters(bus: Bus, broker: BrokerDefinition, found: Streams) -> None:
    stream = names.dead_stream(broker.uid)
    found.dead = (await bus.api(f"STREAM.INFO.{stream}"))["state"]["messages"]
    if found.dead:
        info = await bus.api(f"STREAM.INFO.{stream}", {"subjects_filter": names.dead_subjects(broker.uid)})
        for subject, number in (info["state"].get("subjects") or {}).items():
            if (trigger := names.trigger_of_dead_subject(subject)) is not None:
                found.dead_of[trigger] += number


async def _ask_api(access: ApiAccess, namespace: str, found: Sample) -> None:
    try:
        async with open_api(access) as api:
            items: list[dict[str, Any]] = []
            for kind in (BROKER, TRIGGER):
                items += (await api.get(kind.path(namespace))).get("items") or []
    except (NotReachableError, RefusedError) as error:
        found.not_known.append(f"conditions: {error}")
        return
    found.ready = {}
    for item in items:
        status, reason, _ = showing.ready(item)
        found.ready[item["metadata"]["uid"]] = "Ready" if status == "True" else f"not Ready: {reason or 'it is new'}"
