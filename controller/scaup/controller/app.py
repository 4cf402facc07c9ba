"""The story of the controller: observe, plan, provision, publish the snapshot, report.

Level-triggered: whatever happens only wakes ``Controller``, which then looks at everything there is and does what is
missing. So nothing that was missed, done twice or done by others matters for long. Must not judge: see ``plan``,
``readiness`` and ``truth``.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

from scaup.controller.defaultsmap import DefaultsMap
from scaup.controller.farewell import Farewell
from scaup.controller.histories import Histories
from scaup.controller.kube import Api
from scaup.controller.metrics import DEFINITIONS, RECONCILE
from scaup.controller.observe import Observed
from scaup.controller.plan import BrokerPlan, Plan, Planner, TriggerPlan
from scaup.controller.provision import RETRY_S, Provisioner
from scaup.controller.readiness import ROLES, Applied, Fleet, Role, is_waiting
from scaup.controller.reports import is_said_by_another
from scaup.controller.snapshot import Snapshot
from scaup.controller.status import StatusWriter
from scaup.controller.truth import Stored, Truth
from scaup.controller.wanted import Wanted
from scaup.core.bus.connection import Bus
from scaup.core.bus.topology import now_text
from scaup.core.model.errors import BusError
from scaup.core.runtime.replicas import LIVE_S, Roster
from scaup.core.runtime.standstill import Standstill

log = structlog.get_logger()

_GATHER_S: Final = 0.02
"""A burst of changes is looked at once."""
_AGAIN_S: Final = 0.5
_TICK_S: Final = 1.0
_FAREWELL_EVERY_S: Final = 60.0
PATIENCE_S: Final = 0.5
"""A report that only waits for the data plane is held back so long: mostly its answer comes first."""
_PATIENCE_S: Final = 10.0
"""Passes that fail for so long make the controller not ready."""
_NOTHING: Final = ("", None, None)


class Controller:
    """One controller. Only one at a time may run on a bus."""

    def __init__(self, bus: Bus, api: Api, public_url: str, keep_dead_letters_s: float = 7 * 86_400.0) -> None:
        self._bus = bus
        self._api = api
        self._wake = asyncio.Event()
        self._planner = Planner()
        self._truth = Truth(public_url)
        self._snapshot = Snapshot(bus, self._wake.set)
        self._provisioner = Provisioner(bus)
        self._farewell = Farewell(bus, keep_dead_letters_s)
        self._roster = Roster()
        self._histories = Histories()
        self._statuses = StatusWriter(api)
        self._fleet = Fleet()
        self._seen_at: dict[str, float] = {}
        self._began = 0.0
        self._refused: dict[str, str] = {}
        self._waiting_since: dict[str, float] = {}
        self._wanted = Wanted()
        self._unusable: set[str] = set()
        self._observed: Observed | None = None
        self._passing = Standstill(_PATIENCE_S)
        self.published = False
        self._defaults = DefaultsMap("", self._wake.set)

    def default_by(self, config_map: str) -> None:
        """Before it runs: Brokers have the defaults of this ConfigMap, ``namespace/name``; empty: none."""
        self._defaults = DefaultsMap(config_map, self._wake.set)

    def why_not_ready(self) -> str | None:
        """For the readiness check."""
        if self._observed is None:
            return "not started yet"
        return (
            self._observed.why_not_ready()
            or (None if self.published else "no snapshot published yet")
            or self._passing.why_not(asyncio.get_running_loop().time())
        )

    async def run(self) -> None:
        """Everything at once. Never ends; cancelled to stop."""
        self._began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            self._observed = Observed(self._api, tasks, self._wake.set)
            if self._defaults.is_named:
                tasks.create_task(self._defaults.follow(self._api), name="defaults")
            tasks.create_task(self._snapshot.follow(), name="snapshot")
            tasks.create_task(self._roster.follow(self._bus, self._look_at_fleet), name="replicas")
            tasks.create_task(self._histories.follow(self._bus, self._look_at_fleet), name="histories")
            tasks.create_task(self._statuses.run(), name="statuses")
            tasks.create_task(self._tick(), name="tick")
            tasks.create_task(self._see_off(self._observed), name="farewell")
            await self._reconcile(self._observed)

    async def _reconcile(self, observed: Observed) -> None:
        loop = asyncio.get_running_loop()
        took = 0.0
        while True:
            await self._wake.wait()
            await asyncio.sleep(max(_GATHER_S, took))  # under many changes at most half of the time goes into looking
            self._wake.clear()
            if not (
                observed.is_complete
                and self._defaults.is_settled
                and self._snapshot.is_loaded
                and self._roster.is_loaded
            ):
                continue
            began = loop.time()
            try:
                await self._pass(observed)
                self._passing.went_well()
            except BusError as error:
                self._passing.failed(loop.time(), f"the snapshot cannot be published: {error}")
                log.warning("controller.bus_away", why=str(error))
                self._wake_in(_AGAIN_S)
            took = min(loop.time() - began, _AGAIN_S)
            RECONCILE.observe(loop.time() - began)

    async def _pass(self, observed: Observed) -> None:
        """From what is there to what shall be, once. Raises BusError where the bus is away: then all of it again."""
        brokers, triggers = observed.brokers.objects.values(), observed.triggers.objects.values()
        plan = self._planner.plan(brokers, triggers, observed.look, self._defaults.now())
        self._say_unusable(plan)
        observed.follow(plan.collections)
        await self._provision(plan)
        await self._publish(plan)
        present = {broker.identity.uid for broker in plan.brokers.values()}
        gone = (key.removeprefix("broker.") for key in self._snapshot.deleted("broker."))
        await self._provisioner.remove(uid for uid in gone if uid not in present)
        if self._provisioner.is_left_over:
            self._wake_in(RETRY_S)
        self._report(plan, observed)

    async def _provision(self, plan: Plan) -> None:
        self._provisioner.enter((self._bus.epoch, self._snapshot.created))
        await self._provisioner.ensure(b.definition for b in plan.brokers.values() if b.definition is not None)
        if self._provisioner.problems:
            self._wake_in(RETRY_S)

    async def _publish(self, plan: Plan) -> None:
        wanted, keep = self._wanted.of(plan, self._is_provisioned, self._snapshot.value, now_text())
        refused = await self._snapshot.publish(wanted, keep)
        for key in refused.keys() - self._refused.keys():
            log.warning("controller.definition_refused", key=key, why=refused[key])
        self._refused = refused
        if refused:
            self._wake_in(RETRY_S)
        self.published = True
        for kind, prefix in (("broker", "broker."), ("trigger", "trigger."), ("address", "address/")):
            DEFINITIONS.labels(kind).set(len(self._snapshot.keys(prefix)))

    def _report(self, plan: Plan, observed: Observed) -> None:
        """Say of every object what is true of it. What only waits for the data plane's word is said a little later."""
        now = asyncio.get_running_loop().time()
        objects: dict[str, tuple[str, BrokerPlan | TriggerPlan, Any]] = {}
        for plural, collection, plans in (
            ("brokers", observed.brokers, plan.brokers.values()),
            ("triggers", observed.triggers, plan.triggers.values()),
        ):
            for one in plans:
                value = collection.objects.get((one.identity.namespace, one.identity.name), {})
                if value.get("metadata", {}).get("uid") == one.identity.uid:
                    objects[one.identity.uid] = (plural, one, value.get("status"))
        self._fleet = self._measure()
        reports = self._truth.reports(plan, self._stored(), self._fleet, lambda uid: objects.get(uid, _NOTHING)[2])
        waiting: dict[str, float] = {}
        for uid, (plural, one, status) in objects.items():
            report = reports[uid]
            if is_waiting(report.conditions):
                waiting[uid] = self._waiting_since.get(uid, now)
                if now - waiting[uid] < PATIENCE_S:
                    continue
            if not is_said_by_another(report, status):
                self._statuses.want(plural, one.identity, report, status)
        self._waiting_since = waiting
        self._statuses.keep_only(objects)
        if held := [since for since in waiting.values() if now - since < PATIENCE_S]:
            self._wake_in(min(held) + PATIENCE_S - now)

    def _stored(self) -> Stored:
        return Stored(
            revision=self._snapshot.revision,
            is_provisioned=self._is_provisioned,
            problems=self._provisioner.problems | self._refused,
            created=self._snapshot.created,
            written_since=self._snapshot.found_at,
        )

    def _is_provisioned(self, broker: BrokerPlan) -> bool:
        return broker.definition is not None and self._provisioner.is_done(broker.definition)

    def _measure(self) -> Fleet:
        """The data plane as it is now."""
        now = asyncio.get_running_loop().time()
        created = self._snapshot.created
        roles = []
        for name in ROLES:
            live = self._roster.live(name)
            if live:
                self._seen_at[name] = now
            roles.append(
                Role(
                    name,
                    tuple(Applied(r.key, r.revision if r.created == created else 0) for r in live),
                    is_lost=not live and now - self._seen_at.get(name, self._began) > LIVE_S,
                    was_seen=name in self._seen_at,
                )
            )
        failing = {uid: why for replica in self._roster.live("filter") for uid, why in replica.failing.items()}
        return Fleet(tuple(roles), tuple(sorted(failing.items())), self._histories.said())

    def _look_at_fleet(self) -> None:
        """Wake up if the replicas say anything new; that they are still alive is nothing new."""
        fleet = self._measure()
        if fleet != self._fleet:
            self._fleet = fleet
            self._wake.set()

    async def _see_off(self, observed: Observed) -> None:
        """Remove the dead letters of what was deleted long enough ago; now and then, for there is no hurry."""
        while True:
            if observed.is_complete and self.published:
                brokers, triggers = observed.brokers.uids(), observed.triggers.uids()
                try:
                    await self._farewell.look(brokers, triggers)
                except BusError as error:
                    log.debug("controller.farewell_waits", why=str(error))
            await asyncio.sleep(_FAREWELL_EVERY_S)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._look_at_fleet()

    def _wake_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(max(seconds, 0.0), self._wake.set)

    def _say_unusable(self, plan: Plan) -> None:
        for text in set(plan.unusable) - self._unusable:
            log.warning("controller.unusable_object", why=text)
        self._unusable = set(plan.unusable)
