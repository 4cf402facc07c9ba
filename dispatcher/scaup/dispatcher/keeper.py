"""The rounds a dispatcher makes beside the deliveries: whose queues have work, which are without a Trigger, how full
the logs are, and the gauges of all that.

A log keeps settled entries as history as long as its age and size allow; what is not settled is never trimmed.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import structlog

from scaup.core.bus.connection import Bus
from scaup.core.bus.ranges import first_since
from scaup.core.bus.waiting import waiting
from scaup.core.codec import kept
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.names import BrokerUid, Lane
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.standstill import Standstill
from scaup.dispatcher import metrics
from scaup.dispatcher.counts import Counts

log = structlog.get_logger()

_FULL_AT: Final = 0.8
_TRIM_TO: Final = 0.75
_OLDEST_OF: Final = 100
_PATIENCE_S: Final = 30.0


class Keeper:
    """Looks after the streams of Brokers."""

    def __init__(self, bus: Bus, definitions: Definitions, counts: Counts) -> None:
        self._bus = bus
        self._definitions = definitions
        self._counts = counts
        self._shown: set[tuple[str, str, str]] = set()
        self._progress: dict[BrokerUid, tuple[int, Standstill]] = {}

    def standstills(self) -> list[Standstill]:
        """One for each log that this dispatcher looks after: whether anything of it is settled while events wait."""
        return [standstill for _, standstill in self._progress.values()]

    async def look_after_log(self, broker: BrokerDefinition) -> None:
        """Trim the log up to what all its consumers have settled, by age and by size; show its lag. Raises BusError."""
        stream = names.log_stream(broker.uid)
        info = await self._bus.api(f"STREAM.INFO.{stream}")
        state: dict[str, Any] = info["state"]
        consumers = (await self._bus.api(f"CONSUMER.LIST.{stream}"))["consumers"]
        dispatch = next((c for c in consumers if c["name"] == names.DISPATCH_CONSUMER), None)
        if dispatch is not None:
            lag = dispatch["num_pending"] + dispatch["num_ack_pending"]
            metrics.LAG.labels(broker.namespace, broker.name).set(lag)
            self._watch_progress(broker, dispatch["ack_floor"]["stream_seq"], lag)
        if dispatch is None or not state["messages"]:
            return
        floor = min(consumer["ack_floor"]["stream_seq"] for consumer in consumers)
        first: int = state["first_seq"]
        upto = first
        if state["bytes"] > broker.log_max_bytes * _FULL_AT:
            surplus = state["bytes"] - broker.log_max_bytes * _TRIM_TO
            upto = first + int(surplus / (state["bytes"] / state["messages"])) + 1
        # By the server's clock, which stored the entries: a jump of ours costs no history.
        oldest = datetime.fromisoformat(info["ts"]) - timedelta(seconds=broker.history_max_age_s)
        if datetime.fromisoformat(state["first_ts"]) < oldest:
            upto = max(upto, await first_since(self._bus, broker.uid, oldest) or state["last_seq"] + 1)
        upto = min(upto, floor + 1)
        if upto > first:
            await self._bus.api(f"STREAM.PURGE.{stream}", {"seq": upto}, timeout=30)
            log.debug("keeper.trimmed", broker=broker.name, upto=upto)

    def _watch_progress(self, broker: BrokerDefinition, floor: int, lag: int) -> None:
        before, standstill = self._progress.get(broker.uid, (floor, Standstill(_PATIENCE_S)))
        self._progress[broker.uid] = (floor, standstill)
        if floor != before or not lag:
            standstill.went_well()
        else:
            why = f"{lag} events wait in the log of broker {broker.namespace}/{broker.name} and none is settled"
            standstill.failed(asyncio.get_running_loop().time(), f"{why}; do its dispatchers and filters run?")

    async def show_dead_letters(self, broker: BrokerDefinition) -> None:
        """Set the gauge of kept dead letters. Raises BusError."""
        state = (await self._bus.api(f"STREAM.INFO.{names.dead_stream(broker.uid)}"))["state"]
        metrics.DEAD_LETTERS.labels(broker.namespace, broker.name).set(state["messages"])

    async def show_queues(self, broker: BrokerDefinition) -> None:
        """Set the gauges of the Broker's queues, and to zero those of queues that ran empty. Raises BusError."""
        totals: dict[tuple[str, str, str], int] = {}
        oldest: dict[tuple[str, str, str], float] = {}
        for number, lane in enumerate(self._counts.lanes(broker.uid)):
            trigger = self._definitions.triggers.get(lane.trigger)
            if trigger is None:
                continue
            labels = (trigger.namespace, broker.name, trigger.name)
            totals[labels] = totals.get(labels, 0) + self._counts.waiting(lane)
            if number < _OLDEST_OF:
                oldest[labels] = max(oldest.get(labels, 0.0), await self._oldest_s(lane))
        mine = {labels for labels in self._shown if labels[:2] == (broker.namespace, broker.name)}
        for labels in mine | totals.keys():
            metrics.QUEUE_EVENTS.labels(*labels).set(totals.get(labels, 0))
            metrics.QUEUE_OLDEST.labels(*labels).set(oldest.get(labels, 0.0))
        self._shown |= totals.keys()

    async def lanes_with_consumers(self, broker: BrokerUid) -> list[Lane]:
        """The lanes of a Broker that have a consumer, whether or not anything waits. Raises BusError."""
        lanes: list[Lane] = []
        offset, total = 0, 1
        while offset < total:
            page = await self._bus.api(f"CONSUMER.NAMES.{names.queue_stream(broker)}", {"offset": offset})
            found: list[str] = page.get("consumers") or []
            lanes += [lane for name in found if (lane := names.lane_of_consumer(broker, name)) is not None]
            offset, total = offset + max(len(found), 1), page.get("total", 0)
        return lanes

    async def remove_lane(self, lane: Lane) -> int:
        """Remove all that waits for a Trigger that is deleted; how many events that were. Raises BusError."""
        stream = names.queue_stream(lane.broker)
        removed = 0
        for subject in (names.queue_subject_filter(lane), names.retry_subject_filter(lane)):
            removed += (await waiting(self._bus, lane.broker, subject))[lane]
            await self._bus.api(f"STREAM.PURGE.{stream}", {"filter": subject})
        self._counts.forget(lane)
        return removed

    async def _oldest_s(self, lane: Lane) -> float:
        """Age of the first entry of a lane since its event was accepted, in seconds."""
        stream = names.queue_stream(lane.broker)
        ages = [0.0]
        for subject in (names.queue_subject_filter(lane), names.retry_subject_filter(lane)):
            msg = await self._bus.request(
                f"$JS.API.DIRECT.GET.{stream}", orjson.dumps({"seq": 1, "next_by_subj": subject}), timeout=5
            )
            headers = msg.headers or {}
            if accepted := headers.get(kept.ACCEPTED):
                ages.append(time.time() - datetime.fromisoformat(accepted).timestamp())
        return max(ages)


async def every(seconds: float, wake: asyncio.Event) -> None:
    """Wait for ``seconds``, or less when ``wake`` is set; clears it."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        pass
    wake.clear()
