"""All Brokers of one dispatcher: a worker for each log, a queue for each lane it owns, the rounds of the keeper.

Brokers, Triggers and dispatchers come and go; this keeps the right workers running.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from scaup.core.bus.connection import Msg
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.core.runtime.plane import Plane
from scaup.core.runtime.replicas import Roster, owner
from scaup.dispatcher.attempt import Attempts
from scaup.dispatcher.background import Background
from scaup.dispatcher.capacity import Capacity
from scaup.dispatcher.child import environ_of
from scaup.dispatcher.counts import Counts
from scaup.dispatcher.gauges import TargetGauges
from scaup.dispatcher.keeper import Keeper, every
from scaup.dispatcher.lanework import LaneWork
from scaup.dispatcher.marks import Marks
from scaup.dispatcher.ordered import OrderedQueue
from scaup.dispatcher.overdue import Overdue
from scaup.dispatcher.parking import Parking
from scaup.dispatcher.queues import LaneQueue
from scaup.dispatcher.settings import DispatcherSettings
from scaup.dispatcher.settle import Settler
from scaup.dispatcher.starts import Starts
from scaup.dispatcher.target import Target, Tools, target_of
from scaup.dispatcher.telling import Telling
from scaup.dispatcher.trail import Trail
from scaup.dispatcher.trials import Trials
from scaup.dispatcher.worker import BrokerWorker

if TYPE_CHECKING:
    from scaup.dispatcher.traces import AttemptTraces

log = structlog.get_logger()

_ROUND_S: Final = 2.0
_CONSUMERS_EVERY: Final = 15
"""Rounds after which consumers without a Trigger are looked for: of those deleted while no dispatcher ran."""
_UNKNOWN_FOR_S: Final = 30.0


class Dispatcher:
    """Everything one dispatcher process does."""

    def __init__(
        self, plane: Plane, attempts: Attempts, settings: DispatcherSettings, traces: AttemptTraces | None = None
    ) -> None:
        self._plane = plane
        self._background = Background()
        self.start = self._background.start
        self._counts = Counts(plane.bus, settings.queue_quota)
        trail = Trail(plane.definitions if settings.trail else None)
        settler = Settler(plane.bus, plane.definitions, self._counts, Marks(plane.bus, self.start), trail)
        self._settler = settler
        self._capacity = Capacity(settings.max_events, settings.max_bytes)
        self._tools = Tools(
            plane.bus,
            plane.definitions,
            attempts,
            settler,
            settings,
            self._capacity,
            Parking(settler, self.start),
            self.start,
            self._owns,
            traces,
        )
        self._trials = Trials(plane.bus, plane.definitions, settler, environ_of(settings))
        self._trials.heard_filters = self._heard_filters
        self._overdue = Overdue(plane.bus)
        self._keeper = Keeper(plane.bus, plane.definitions, self._counts)
        self._targets: dict[Lane, Target] = {}
        self._gauges = TargetGauges(plane.definitions, self._owns)
        self._workers: dict[BrokerUid, tuple[BrokerWorker, asyncio.Task[None]]] = {}
        self._queues: dict[Lane, tuple[LaneWork, asyncio.Task[None]]] = {}
        self._telling = Telling(plane, trail, self._targets, self._holds, settings)
        self._roster = Roster()
        self._me = names.replica_key("dispatcher", plane.replica)
        self._starts = Starts(plane, self._roster, self._owns, settings.queue_quota)
        self._round = asyncio.Event()
        self._unknown_since: dict[TriggerUid, float] = {}
        self._rounds_made: Counter[BrokerUid] = Counter()

    def why_not_ready(self) -> str | None:
        """For the readiness check: there is work, and nothing comes of it."""
        now = asyncio.get_running_loop().time()
        standstills = [worker.asking for worker, _ in self._workers.values()] + self._keeper.standstills()
        return next((why for standstill in standstills if (why := standstill.why_not(now))), None)

    def _heard_filters(self, broker: BrokerUid) -> None:
        if (found := self._workers.get(broker)) is not None:
            found[0].asking.went_well()

    async def run(self) -> None:
        """Work until cancelled."""
        definitions = self._plane.definitions
        await definitions.loaded.wait()
        definitions.on_change(self._on_change)
        end_parked = await self._plane.bus.subscribe(names.PARKED_HINTS, self._on_parked)
        end_trim = await self._plane.bus.subscribe(names.TRIM_HINTS, self._on_trim)
        end_telling = await self._plane.bus.subscribe(names.TRAIL_SUBJECTS, self._telling.answer)
        try:
            self._start_workers()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._roster.follow(self._plane.bus, self._round.set), name="roster")
                tasks.create_task(self._rounds(), name="rounds")
                tasks.create_task(self._capacity.watch(), name="capacity")
                tasks.create_task(self._trials.run(), name="trials")
        finally:
            await end_parked()
            await end_trim()
            await end_telling()

    async def drain(self, deadline_s: float) -> None:
        """Stop pulling, let what is under way finish, hand the rest back."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        pulling = [task for _, task in (*self._workers.values(), *self._queues.values())]
        for task in pulling:
            task.cancel()
        if pulling:
            await asyncio.wait(pulling, timeout=deadline_s)
        while loop.time() < end and self._is_busy:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for worker, _ in self._workers.values():
            worker.hand_back()
        await self._background.end()

    @property
    def _is_busy(self) -> bool:
        return any(not worker.is_idle for worker, _ in self._workers.values()) or any(
            not queue.is_empty for queue, _ in self._queues.values()
        )

    def _holds(self, broker: BrokerUid, sequence: int) -> bool:
        return broker in self._workers and self._workers[broker][0].holds(sequence)

    def _owns(self, uid: str) -> bool:
        candidates = {replica.key for replica in self._roster.live("dispatcher")} | {self._me}
        return owner(uid, candidates) == self._me

    def _on_change(self, keys: set[str]) -> None:
        if any(key.startswith("broker.") for key in keys):
            self._start_workers()
        for key in keys:
            if key.startswith("trigger."):
                self._on_trigger(TriggerUid(key.removeprefix("trigger.")))
        if any(key.startswith("address/") for key in keys):
            for target in self._targets.values():
                target.look_again()

    def _on_trigger(self, uid: TriggerUid) -> None:
        definitions = self._plane.definitions
        is_deleted = uid not in definitions.triggers
        for broker in definitions.brokers:
            for kind in (names.SUBSCRIBER, names.DEAD_LETTER):
                lane = Lane(broker, uid, kind)
                if (target := self._targets.get(lane)) is None:
                    continue
                if is_deleted:
                    del self._targets[lane]
                else:
                    target.look_again()
        if is_deleted:
            self._round.set()

    def _start_workers(self) -> None:
        brokers = self._plane.definitions.brokers
        for uid in [uid for uid in self._workers if uid not in brokers]:
            self._workers.pop(uid)[1].cancel()
            for lane in [lane for lane in self._targets if lane.broker == uid]:
                del self._targets[lane]
        for uid in brokers:
            if uid not in self._workers:
                worker = BrokerWorker(uid, self._tools, self._targets, self._trials)
                self._workers[uid] = (worker, self.start(worker.run(), f"worker-{uid}"))

    async def _on_parked(self, msg: Msg) -> None:
        broker, trigger, kind = names.hinted(msg.subject)
        self._work_lane(Lane(BrokerUid(broker), TriggerUid(trigger), kind))

    async def _on_trim(self, msg: Msg) -> None:
        broker = self._plane.definitions.brokers.get(BrokerUid(names.hinted(msg.subject)[0]))
        if broker is not None and self._owns(broker.uid):
            with suppress(BusError):
                await self._keeper.look_after_log(broker)

    def _work_lane(self, lane: Lane) -> None:
        """Work a lane that has something waiting, if it is ours."""
        if lane in self._queues or not self._owns(lane.trigger) or lane.trigger not in self._plane.definitions.triggers:
            return
        target = target_of(lane, self._targets, self._tools)
        queue: LaneWork
        if self._plane.definitions.is_ordered(lane):
            queue = OrderedQueue(lane, target, self._tools, self._trials, lambda: self._starts.is_due(lane.trigger))
        else:
            queue = LaneQueue(lane, target, self._tools, self._trials)
        self._queues[lane] = (queue, self.start(queue.run(), "queue"))

    async def _rounds(self) -> None:
        while True:
            if any(task.done() for _, task in self._workers.values()):
                msg = "the worker of a broker broke down; its entries go to other dispatchers"
                raise RuntimeError(msg)
            for broker in list(self._plane.definitions.brokers.values()):
                try:
                    await self._round_of(broker)
                except BusError as error:
                    log.debug("dispatcher.round_failed", broker=broker.name, error=str(error))
            await self._release_lanes()
            self._gauges.show(self._targets)
            self._starts.look(self.start)
            await every(_ROUND_S, self._round)

    async def _round_of(self, broker: BrokerDefinition) -> None:
        queues = await self._counts.sweep(broker.uid)
        for lane in self._counts.lanes(broker.uid):
            if self._is_deleted(lane.trigger):
                if self._owns(lane.trigger):
                    await self._remove(lane)
            else:
                self._work_lane(lane)
        self._rounds_made[broker.uid] += 1
        if self._rounds_made[broker.uid] % _CONSUMERS_EVERY == 1:
            for lane in await self._keeper.lanes_with_consumers(broker.uid):
                if self._is_deleted(lane.trigger) and self._owns(lane.trigger):
                    await self._remove(lane)
        if self._owns(broker.uid):
            await self._keeper.look_after_log(broker)
            await self._keeper.show_dead_letters(broker)
            await self._overdue.look_after(broker.uid, queues)
        else:
            self._keeper.leave(broker)
        await self._keeper.show_queues(broker)

    def _is_deleted(self, uid: TriggerUid) -> bool:
        """Whether a Trigger is surely gone: its deletion was seen, or nobody has known it for half a minute."""
        definitions = self._plane.definitions
        if uid in definitions.triggers:
            self._unknown_since.pop(uid, None)
            return False
        if uid in definitions.deleted_triggers:
            return True
        now = asyncio.get_running_loop().time()
        return now - self._unknown_since.setdefault(uid, now) > _UNKNOWN_FOR_S

    async def _remove(self, lane: Lane) -> None:
        if (working := self._queues.pop(lane, None)) is not None:
            working[1].cancel()
        removed = await self._keeper.remove_lane(lane)
        if removed:
            self._settler.drop(lane, "trigger_deleted", removed)
        await LaneQueue(lane, Target(lane, self._tools), self._tools, self._trials).remove()

    async def _release_lanes(self) -> None:
        """Stop working lanes that are empty, or somebody else's now."""
        for lane, (queue, task) in list(self._queues.items()):
            is_ours = self._owns(lane.trigger) and lane.broker in self._plane.definitions.brokers
            is_right = isinstance(queue, OrderedQueue) == self._plane.definitions.is_ordered(lane)
            is_over = queue.is_idle and not self._counts.waiting(lane)
            if is_ours and is_right and not task.done() and not is_over:
                continue
            del self._queues[lane]
            task.cancel()
            if is_ours and is_right and is_over:
                with suppress(BusError):
                    await queue.remove()
