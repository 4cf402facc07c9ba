"""The story of the controller: observe, plan, provision, publish the snapshot, report.

Level-triggered: whatever happens only wakes ``Controller``, which then looks at everything there is and does what is
missing. So nothing that was missed, done twice or done by others matters for long. Must not judge: see ``plan``,
``readiness`` and ``truth``.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any, Final

import structlog

from scaup.controller.defaultsmap import DefaultsMap
from scaup.controller.election import Election
from scaup.controller.farewell import Farewell
from scaup.controller.histories import Histories
from scaup.controller.kube import Api
from scaup.controller.leading import LeadersApi, LeadersBus, of_another_cluster, usurped
from scaup.controller.lease import Terms
from scaup.controller.metrics import DEFINITIONS, NOT_READY, RECONCILE, show_fleet
from scaup.controller.observe import Observed
from scaup.controller.plan import BrokerPlan, Plan, Planner, TriggerPlan
from scaup.controller.provision import RETRY_S, Provisioner
from scaup.controller.readiness import ROLES, Applied, Fleet, Role, is_waiting
from scaup.controller.reports import is_said_by_another
from scaup.controller.snapshot import Snapshot, SupersededError
from scaup.controller.status import StatusWriter
from scaup.controller.truth import Stored, Truth
from scaup.controller.wanted import Wanted
from scaup.core.bus.connection import Bus
from scaup.core.bus.topology import now_text
from scaup.core.model.errors import BusError
from scaup.core.model.names import COMPLETE_KEY
from scaup.core.runtime.replicas import LIVE_S, Roster
from scaup.core.runtime.settings import ServiceSettings
from scaup.core.runtime.standstill import Standstill

log = structlog.get_logger()

_GATHER_S: Final = 0.02
"""A burst of changes is looked at once."""
_REST_S: Final = 1.0
_AGAIN_S: Final = 0.5
_TICK_S: Final = 1.0
_FAREWELL_EVERY_S: Final = 60.0
PATIENCE_S: Final = 0.5
"""A report that only waits for the data plane is held back so long: mostly its answer comes first."""
_PATIENCE_S: Final = 10.0
"""Passes that fail for so long make the controller not ready."""
_NOTHING: Final = ("", None, None)


@dataclass(frozen=True, slots=True)
class Mandate:
    """What a controller is told when it begins."""

    public_url: str
    """Where producers reach the ingress."""
    keep_dead_letters_s: float = 7 * 86_400.0
    name: str = ""
    """Of this process among its like; host name and process id where it has none."""
    defaults: str = ""
    """The ConfigMap with the defaults of Brokers, ``namespace/name``; empty: none."""
    replicas: int = 1
    """On so many servers is a Broker kept that does not say on how many."""
    take_over: str = ""
    """Follow the Kubernetes API of that identity, though the definitions were made from another."""
    lease: str = ""
    """Lead only while holding this Lease, ``namespace/name``; empty: there is no election."""
    terms: Terms | None = None
    """Of that Lease, where they are not the usual ones."""


class Controller:
    """One controller. Of several on a bus one leads; the others observe and plan, and write nothing."""

    def __init__(self, bus: Bus, api: Api, mandate: Mandate) -> None:
        self._bus = bus
        self._api = api
        self._mandate = mandate
        self._wake = asyncio.Event()
        self._planner = Planner(mandate.replicas)
        self._truth = Truth(mandate.public_url)
        self._snapshot = Snapshot(bus, self._wake.set)
        self._defaults = DefaultsMap(mandate.defaults, self._wake.set)
        leaders_bus = LeadersBus(bus, self._leads)
        self._provisioner = Provisioner(leaders_bus)
        self._farewell = Farewell(leaders_bus, mandate.keep_dead_letters_s)
        self._roster = Roster()
        self._histories = Histories()
        self._statuses = StatusWriter(LeadersApi(api, self._leads))
        self._fleet = Fleet()
        self._seen_at: dict[str, float] = {}
        self._began = 0.0
        self._refused: dict[str, str] = {}
        self._waiting_since: dict[str, float] = {}
        self._wanted = Wanted()
        self._unusable: set[str] = set()
        self._observed: Observed | None = None
        self._passing = Standstill(_PATIENCE_S)
        self._name = mandate.name or ServiceSettings().replica_name
        self._election: Election | None = None
        if mandate.lease:
            self._name += f"_{uuid.uuid4()}"  # another life of a process is another holder
            self._election = Election(api, mandate.lease, self._name, self._wake.set, mandate.terms)
        self._term = 0
        self._refusal: str | None = None
        self._is_usurped = False
        self.published = False

    def standing_by(self) -> str | None:
        """For the readiness check, which is fine with it: that another leads, and who. None where this one does."""
        return self._election.standing_by() if self._election is not None else None

    def why_not_ready(self) -> str | None:
        """For the readiness check."""
        if self._observed is None:
            return "not started yet"
        if why := self._observed.why_not_ready() or self._refusal:
            return why
        if self._election is not None and not self._election.leads():
            return self._election.why_not() or (None if self._observed.is_complete else "the objects are being listed")
        return (
            (usurped(self._snapshot.writer) if self._is_usurped else None)
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
            if self._election is not None:
                tasks.create_task(self._election.run(), name="election")
            tasks.create_task(self._see_off(self._observed), name="farewell")
            await self._reconcile(self._observed)

    async def _reconcile(self, observed: Observed) -> None:
        loop = asyncio.get_running_loop()
        rested = 0.0
        while True:
            await self._wake.wait()
            # Under many changes at most half of the time goes into looking; a single one is looked at at once.
            await asyncio.sleep(max(_GATHER_S, rested - loop.time()))
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
            except SupersededError as error:
                log.warning("controller.superseded", why=str(error))
                self._wake_in(_AGAIN_S)
            except BusError as error:
                self._passing.failed(loop.time(), f"the snapshot cannot be published: {error}")
                log.warning("controller.bus_away", why=str(error))
                self._wake_in(_AGAIN_S)
            ended = loop.time()
            rested = ended + min(ended - began, _REST_S)
            RECONCILE.observe(ended - began)

    def _leads(self) -> bool:
        return self._election is None or self._election.leads()

    async def _pass(self, observed: Observed) -> None:
        """From what is there to what shall be, once. Raises BusError where the bus is away: then all of it again."""
        brokers, triggers = observed.brokers.objects.values(), observed.triggers.objects.values()
        plan = self._planner.plan(brokers, triggers, observed.look, self._defaults.now())
        self._say_unusable(plan)
        observed.follow(plan.collections)
        if not self._leads():
            self._statuses.keep_only(())  # what it still had to say is another's to say
            for kind in ("broker", "trigger"):
                NOT_READY.labels(kind).set(0)
            return
        if self._begins_anew(observed) or not await self._may_write(observed):
            return
        await self._provision(plan)
        await self._publish(plan)
        present = {broker.identity.uid for broker in plan.brokers.values()}
        gone = (key.removeprefix("broker.") for key in self._snapshot.deleted("broker."))
        await self._provisioner.remove(uid for uid in gone if uid not in present)
        if self._provisioner.is_left_over:
            self._wake_in(RETRY_S)
        self._report(plan, observed)

    def _begins_anew(self, observed: Observed) -> bool:
        """Whether this process has just been elected: then what others have done meanwhile is looked at first."""
        if self._election is None or self._election.term == self._term:
            return False
        self._term = self._election.term
        self._truth, self._wanted = Truth(self._mandate.public_url), Wanted()
        self._refused, self._waiting_since = {}, {}
        self._statuses.keep_only(())
        self._snapshot.let_go()
        observed.relist()
        return True

    async def _may_write(self, observed: Observed) -> bool:
        """Be the snapshot's writer; whether that may be and is so."""
        writer = self._snapshot.writer
        refusal = of_another_cluster(writer, observed.cluster, self._mandate.take_over, self._api.host)
        if refusal != self._refusal:
            if refusal is not None:
                log.error("controller.another_cluster", why=refusal)
            self._refusal = refusal
        if refusal is not None:
            return False
        is_named = writer is not None and (writer.cluster == observed.cluster or not observed.cluster)
        if self._snapshot.is_ours and is_named:
            return True
        if self._election is None and self._snapshot.has_claimed and not self._snapshot.is_ours:
            if not self._is_usurped:
                log.error("controller.usurped", why=usurped(writer))
            self._is_usurped = True
            return False
        if not observed.cluster:
            log.warning("controller.cluster_not_known", why="it may not get the namespace kube-system")
        await self._snapshot.claim(self._name, observed.cluster)
        self._is_usurped = False
        return True

    async def _provision(self, plan: Plan) -> None:
        self._provisioner.enter((self._bus.epoch, self._snapshot.created, self._term))
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
        for kind, plans in (("broker", plan.brokers.values()), ("trigger", plan.triggers.values())):
            NOT_READY.labels(kind).set(sum(not reports[one.identity.uid].is_ready for one in plans))
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
        show_fleet(fleet, self._snapshot.revision(COMPLETE_KEY) or 0)
        if fleet != self._fleet:
            self._fleet = fleet
            self._wake.set()

    async def _see_off(self, observed: Observed) -> None:
        """Remove the dead letters of what was deleted long enough ago; now and then, for there is no hurry."""
        while True:
            if observed.is_complete and self.published and self._leads() and self._snapshot.is_ours:
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
