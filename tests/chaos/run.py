"""The story of a run: start everything → load and faults → cure and wait → stop → hold what was sent against what came.

Whatever is wrong becomes a complaint; a run without complaints has shown that nothing was lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import Bucket
from scaup.core.model.errors import BusError
from tests.chaos import sinkclient, streams
from tests.chaos.crowd import Scenario
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet, Suffered
from tests.chaos.ledger import Evidence, balance
from tests.chaos.producer import Producer, load
from tests.chaos.report import Progress, Report
from tests.chaos.settle import delete_leaving, until_settled
from tests.chaos.sinkclient import Sinks
from tests.support.events import a_broker
from tests.support.natsserver import nats_server
from tests.support.services import define

_BACK_S: Final = 40.0
_POLL_S: Final = 0.1
_WATCH_S: Final = 2.0
_NAMED: Final = 20


async def run(
    scenario: Scenario, faults: Iterable[Fault], directory: Path, show: Callable[[Progress], None] = lambda _: None
) -> Report:
    """One run in ``directory``, where logs and data stay."""
    plans = scenario.plans
    with nats_server(directory / "nats") as nats:
        fleet = Fleet(directory / "logs", nats)
        try:
            async with sinkclient.started(plans) as sinks, connect(BusAccess(nats.url), "chaos") as bus:
                triggers = [plan.definition(sinks.url(plan.name), sinks.url(plan.dead_letter_place)) for plan in plans]
                bucket = await define(bus, [a_broker()], triggers)
                await fleet.start_all()
                return await _story(_Parts(scenario, fleet, bus, bucket, sinks), faults, show)
        finally:
            fleet.close()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was started for a run."""

    scenario: Scenario
    fleet: Fleet
    bus: Bus
    bucket: Bucket
    sinks: Sinks


async def _story(parts: _Parts, faults: Iterable[Fault], show: Callable[[Progress], None]) -> Report:
    fleet, scenario = parts.fleet, parts.scenario
    async with asyncio.TaskGroup() as tasks:
        async with load(scenario.rate, lambda: fleet.ingress_port) as producer:
            this = _Run(parts, producer)
            watching = [tasks.create_task(fleet.watch()), tasks.create_task(this.watch(show))]
            await this.torment(faults)
        seconds = this.elapsed_s
        this.progress.phase = "settling"
        await parts.sinks.cure()
        if still_open := await until_settled(parts.bus, scenario.plans):
            this.complaints.append(still_open)
        await delete_leaving(parts.bus, parts.bucket, fleet, scenario.plans)
        dropped = await fleet.dropped()
        settled_after_s = this.elapsed_s - seconds
        for task in watching:
            task.cancel()
    await fleet.stop_dispatchers()
    ledger = balance(scenario, await this.evidence(dropped))
    return Report(
        seed=scenario.seed,
        ledger=ledger,
        faults=this.faults,
        sent=producer.sent,
        accepted=len(producer.accepted),
        answers=dict(producer.answers),
        dropped=dict(dropped),
        seconds=round(seconds, 1),
        settled_after_s=round(settled_after_s, 1),
        deliveries=ledger.deliveries,
        complaints=ledger.complaints + this.complaints + fleet.complaints,
    )


@dataclass
class _Run:
    """A run while its load lasts."""

    parts: _Parts
    producer: Producer
    progress: Progress = field(default_factory=Progress)
    faults: list[Suffered] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self.started

    async def torment(self, faults: Iterable[Fault]) -> None:
        """One fault after another until there are no more, or the time is over."""
        await self._goes_on()
        seconds = self.parts.scenario.seconds
        for fault in faults:
            if seconds and self.elapsed_s + fault.seconds + fault.rest_s > seconds:
                break
            done = Suffered(fault, round(self.elapsed_s, 1))
            self.faults.append(done)
            self.progress.phase = str(fault)
            begun = time.monotonic()
            await self.parts.fleet.suffer(fault)
            try:
                await self._goes_on()
            except TimeoutError as error:
                done.wrong = str(error)
                self.complaints.append(f"after {fault} at {done.at_s:.0f} s: {error}")
            done.back_after_s = round(time.monotonic() - begun - fault.seconds, 2)
            self.progress.phase = "peace"
            await asyncio.sleep(fault.rest_s)
        await asyncio.sleep(seconds - self.elapsed_s)

    async def _goes_on(self) -> None:
        """Wait until every healthy sink has got events that were sent from now on."""
        fresh = self.producer.sent * 2
        well = [plan.name for plan in self.parts.scenario.well]
        end = time.monotonic() + _BACK_S
        while True:
            totals = await self.parts.sinks.totals()
            behind = [name for name in well if totals[name]["latest"] < fresh]
            if not behind:
                return
            if time.monotonic() > end:
                msg = f"no fresh event within {_BACK_S:g} s at {', '.join(behind)}"
                raise TimeoutError(msg)
            await asyncio.sleep(_POLL_S)

    async def watch(self, show: Callable[[Progress], None]) -> None:
        """Show how far it is; until cancelled."""
        now, parts = self.progress, self.parts
        well = [plan.name for plan in parts.scenario.well]
        while True:
            with suppress(BusError, OSError, EOFError, TimeoutError):
                totals = await parts.sinks.totals()
                now.deliveries = sum(totals[plan.name]["distinct"] for plan in parts.scenario.plans)
                now.duplicates = sum(totals[name]["total"] - totals[name]["distinct"] for name in well)
                now.lag, now.queued = await streams.lag(parts.bus), await streams.queued(parts.bus)
            now.elapsed_s, now.faults = self.elapsed_s, len(self.faults)
            now.sent, now.accepted = self.producer.sent, len(self.producer.accepted)
            show(now)
            await asyncio.sleep(_WATCH_S)

    async def evidence(self, dropped: Counter[str]) -> Evidence:
        """Collect what the run left behind; the dispatchers have ended."""
        held = await streams.held(self.parts.bus)
        names = (name for plan in self.parts.scenario.plans for name in (plan.name, plan.dead_letter_place) if name)
        taken = {name: await self.parts.sinks.taken(name) for name in names}
        spoiled = await self.parts.sinks.spoiled() + held.wrong
        self.complaints += [f"changed on its way: {what}" for what in spoiled[:_NAMED]]
        return Evidence(
            sent=self.producer.sent,
            accepted=self.producer.accepted,
            taken=taken,
            waiting=held.waiting,
            kept=held.kept,
            dropped=dropped["trigger_deleted"],
            repeating_faults=sum(done.fault.repeats for done in self.faults),
        )
