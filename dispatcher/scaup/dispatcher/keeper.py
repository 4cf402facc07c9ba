"""The rounds a dispatcher makes beside the deliveries: whose queues have work, which are without a Trigger, how full
the logs are, and the gauges of all that.

A log keeps settled entries as history as long as its age and size allow; what is not settled is never trimmed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
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
from scaup.core.model.errors import BusError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.standstill import Standstill
from scaup.dispatcher import metrics
from scaup.dispatcher.counts import Counts

log = structlog.get_logger()

_FULL_AT: Final = 0.8
_TRIM_TO: Final = 0.75
_OLDEST_OF: Final = 100
_STORED_AT: Final = "Nats-Time-Stamp"
_PATIENCE_S: Final = 30.0


class Keeper:
    """Looks after the streams of Brokers."""

    def __init__(self, bus: Bus, definitions: Definitions, counts: Counts) -> None:
        self._bus = bus
        self._definitions = definitions
        self._counts = counts
        self._shown: dict[tuple[str, str, str], TriggerUid] = {}
        self._turn: dict[BrokerUid, int] = {}
        self._oldest_at: dict[Lane, float] = {}
        self._progress: dict[BrokerUid, tuple[int, Standstill]] = {}

    def standstills(self) -> list[Standstill]:
        """One for each log that this dispatcher looks after: whether anything of it is settled while events wait."""
        there = self._definitions.brokers
        return [standstill for uid, (_, standstill) in self._progress.items() if uid in there]

    def leave(self, broker: BrokerDefinition) -> None:
        """Another dispatcher looks after this Broker now: what stood here is true no more."""
        if self._progress.pop(broker.uid, None) is not None:
            for shown in (
                metrics.LAG,
                metrics.LOG_OLDEST,
                metrics.LOG_BYTES,
                metrics.LOG_MAX_BYTES,
                metrics.DEAD_LETTERS,
            ):
                shown.remove(broker.namespace, broker.name)

    async def look_after_log(self, broker: BrokerDefinition) -> None:
        """Trim the log up to what all its consumers have settled, by age and by size; show its lag. Raises BusError."""
        stream = names.log_stream(broker.uid)
        info = await self._bus.api(f"STREAM.INFO.{stream}")
        state: dict[str, Any] = info["state"]
        consumers = (await self._bus.api(f"CONSUMER.LIST.{stream}"))["consumers"]
        dispatch = next((c for c in consumers if c["name"] == names.DISPATCH_CONSUMER), None)
        if dispatch is not None:
            lag = dispatch["num_pending"] + dispatch["num_ack_pending"]
            floor = dispatch["ack_floor"]["stream_seq"]
            self._watch_progress(broker, floor, lag)
            labels = (broker.namespace, broker.name)
            metrics.LAG.labels(*labels).set(lag)
            metrics.LOG_BYTES.labels(*labels).set(state["bytes"])
            metrics.LOG_MAX_BYTES.labels(*labels).set(broker.log_max_bytes)
            now = datetime.fromisoformat(info["ts"]).timestamp()
            with suppress(BusError):  # a gauge must not keep the log from being trimmed
                age_s = await self._unsettled_s(stream, max(floor + 1, state["first_seq"]), now) if lag else 0.0
                metrics.LOG_OLDEST.labels(*labels).set(age_s)
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
        metrics.begin(broker.namespace, broker.name)
        lanes = [lane for lane in self._counts.lanes(broker.uid) if lane.trigger in self._definitions.triggers]
        await self._look_at_oldest(broker.uid, lanes)
        totals: dict[tuple[str, str, str], int] = {}
        oldest: dict[tuple[str, str, str], float] = {}
        now = time.time()
        for lane in lanes:
            if (trigger := self._definitions.triggers.get(lane.trigger)) is None:
                continue
            labels = (trigger.namespace, broker.name, trigger.name)
            totals[labels] = totals.get(labels, 0) + self._counts.waiting(lane)
            if (at := self._oldest_at.get(lane)) is not None:
                oldest[labels] = max(oldest.get(labels, 0.0), now - at)
            metrics.PAUSED.labels(*labels).set(trigger.paused)
            self._shown[labels] = lane.trigger
        mine = [labels for labels in self._shown if labels[:2] == (broker.namespace, broker.name)]
        for labels in mine:
            metrics.QUEUE_EVENTS.labels(*labels).set(totals.get(labels, 0))
            if labels in oldest or labels not in totals:
                metrics.QUEUE_OLDEST.labels(*labels).set(oldest.get(labels, 0.0))
            if self._shown[labels] not in self._definitions.triggers:
                del self._shown[labels]  # for the last time: else what is removed with its Trigger would come back

    async def _look_at_oldest(self, broker: BrokerUid, lanes: list[Lane]) -> None:
        """Ask for the heads of some queues; where there are very many, each has its turn."""
        known = set(lanes)
        for lane in [lane for lane in self._oldest_at if lane.broker == broker and lane not in known]:
            del self._oldest_at[lane]
        turn = self._turn.get(broker, 0)
        if turn >= len(lanes):
            turn = 0
        for lane in lanes[turn : turn + _OLDEST_OF]:
            self._oldest_at[lane] = await self._oldest(lane)
        self._turn[broker] = turn + _OLDEST_OF

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

    async def _unsettled_s(self, stream: str, sequence: int, now: float) -> float:
        """Age of an entry of a log, in seconds; 0 where it is not there."""
        msg = await self._bus.request(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps({"seq": sequence}), timeout=5)
        stored = (msg.headers or {}).get(_STORED_AT)
        return max(now - datetime.fromisoformat(stored).timestamp(), 0.0) if stored else 0.0

    async def _oldest(self, lane: Lane) -> float:
        """When the first entry of a lane began to wait: its event's acceptance, or replay. Seconds since the epoch."""
        stream = names.queue_stream(lane.broker)
        moments = [time.time()]
        for subject in (names.queue_subject_filter(lane), names.retry_subject_filter(lane)):
            msg = await self._bus.request(
                f"$JS.API.DIRECT.GET.{stream}", orjson.dumps({"seq": 1, "next_by_subj": subject}), timeout=5
            )
            headers = msg.headers or {}
            if since := headers.get(kept.REPLAYED) or headers.get(kept.ACCEPTED):
                moments.append(datetime.fromisoformat(since).timestamp())
        return min(moments)


async def every(seconds: float, wake: asyncio.Event) -> None:
    """Wait for ``seconds``, or less when ``wake`` is set; clears it."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        pass
    wake.clear()
