"""The story of ``scaup doctor``: the ground first, then the services, then each Broker and its Triggers.

Nothing is changed. Where NATS cannot be reached that is the one finding.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from scaup.cli import plane, showing
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.doctor import contradictions, ground, neverfilters, sinks, work
from scaup.cli.doctor.findings import Finding, Weight, as_object, description, error, in_order, note
from scaup.cli.kinds import BROKER, TRIGGER
from scaup.cli.kube import open_api
from scaup.cli.plane import Snapshot
from scaup.cli.problems import DONE, FAILED, NOT_REACHABLE, NotReachableError, RefusedError
from scaup.core.bus import check
from scaup.core.bus.check import without_secret
from scaup.core.bus.connection import Bus, BusAccess
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusError
from scaup.core.model.names import BrokerUid
from scaup.core.model.trail import Told

_API: Final = "is `scaup up` running, or the cluster there? deliveries go on without it"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says: ``patience_s`` is how old what waits may be, with ``strict`` warnings count too."""

    patience_s: float = 30.0
    is_strict: bool = False
    connects: bool = True


@dataclass(slots=True)
class Diagnosis:
    """What was found, and of what."""

    findings: list[Finding] = field(default_factory=list)
    looked_at: str = ""
    is_reachable: bool = True


def run(access: ApiAccess | None, nats: NatsAccess, asked: Asked, output: str) -> tuple[str, int]:
    """The text to print, and the exit code."""
    found = asyncio.run(diagnose(access, nats, asked))
    findings = in_order(found.findings)
    shown = showing.as_json(as_object(findings, found.looked_at)) if output == "json" else None
    return shown or description(findings, found.looked_at), exit_code(found, is_strict=asked.is_strict)


def exit_code(found: Diagnosis, *, is_strict: bool) -> int:
    """0 where nothing is wrong, 1 where something is, 3 where NATS could not be looked at. Notes never count."""
    if not found.is_reachable:
        return NOT_REACHABLE
    counting = {Weight.ERROR, Weight.WARNING} if is_strict else {Weight.ERROR}
    return FAILED if any(one.weight in counting for one in found.findings) else DONE


async def diagnose(access: ApiAccess | None, nats: NatsAccess, asked: Asked) -> Diagnosis:
    """Look at everything."""
    found = Diagnosis(looked_at=f"NATS at {without_secret(nats.url)}")
    bus_access = BusAccess(nats.url, nats.creds, nats.ca, nats.token)
    found.findings += contradictions.of_here(os.environ, _noted(access))
    problems = await check.problems(bus_access)
    do = "start it, mend it, or name another with --nats-url"
    found.findings += [error("nats.unfit", "NATS", problem, do) for problem in problems]
    found.is_reachable = not check.is_unreachable(problems)
    if found.is_reachable:
        try:
            async with open_bus(nats) as bus:
                await _look(bus, asked, found)
        except (NotReachableError, BusError) as why:
            found.is_reachable = False
            found.findings.append(error("nats.unreachable", "NATS", str(why), do))
    await _ask_api(access, found)
    return found


async def _look(bus: Bus, asked: Asked, found: Diagnosis) -> None:
    snapshot = await plane.snapshot(bus)
    version = bus.client.connected_server_version
    now = await plane.server_now(bus)
    live = await plane.replicas(bus, now)
    found.looked_at = f"NATS {version.major}.{version.minor}.{version.patch}, {_counted(snapshot, live)}"
    found.findings += await ground.account(bus, snapshot)
    found.findings += await ground.strangers(bus, snapshot)
    found.findings += work.replicas(snapshot, live)
    found.findings += work.failing(snapshot, live)
    by_broker = await _told(bus, snapshot, live, found)
    told = list({one.replica: one for answers in by_broker.values() for one in answers}.values())
    found.findings += contradictions.of_dispatchers(told)
    found.findings += contradictions.of_triggers(snapshot, told)
    every, missing = sinks.sinks(snapshot)
    every, denied = sinks.denied(every, told)
    found.findings += missing + denied
    if asked.connects:
        found.findings += await sinks.reachable(every, [one for answers in by_broker.values() for one in answers])
    for broker in snapshot.brokers.values():
        await _look_at_broker(bus, broker, snapshot, by_broker[broker.uid], now, asked, found)


async def _told(bus: Bus, snapshot: Snapshot, live: dict[str, Any], found: Diagnosis) -> dict[BrokerUid, list[Told]]:
    """What dispatchers say of each Broker; their clocks, and those that say nothing, are findings."""
    expected = sum(key.startswith("dispatcher.") for key in live)
    uids = list(snapshot.brokers)
    before = await plane.server_now(bus)
    here = datetime.now(UTC)
    answers = await asyncio.gather(*(plane.ask_dispatchers(bus, uid, 0, expected) for uid in uids))
    told = [one for some in answers for one in some]
    found.findings += work.clocks(answers[0] if answers else [], (before, await plane.server_now(bus)), here)
    do = "it reports that it lives, but is too busy or too old to answer: look at its log"
    for name in plane.silent(live, told) if uids else ():
        found.findings.append(note("plane.silent", f"dispatcher {name}", "it did not answer within half a second", do))
    return dict(zip(uids, answers, strict=True))


async def _look_at_broker(  # noqa: PLR0913, PLR0917 - what was read once is handed on
    bus: Bus,
    broker: BrokerDefinition,
    snapshot: Snapshot,
    told: Sequence[Told],
    now: datetime,
    asked: Asked,
    found: Diagnosis,
) -> None:
    missing = await ground.streams(bus, broker)
    found.findings += missing
    found.findings += await work.log_consumer(bus, broker, now, asked.patience_s)
    found.findings += await work.queues(bus, broker, snapshot, told, now, asked.patience_s)
    if not any(one.code == "stream.missing" for one in missing):
        mine = [trigger for trigger in snapshot.triggers.values() if trigger.broker == broker.uid]
        found.findings += neverfilters.matches_nothing(mine, await neverfilters.sample(bus, broker))


def _counted(snapshot: Snapshot, live: dict[str, Any]) -> str:
    counts = [(len(snapshot.brokers), "Broker"), (len(snapshot.triggers), "Trigger")]
    counts += [(sum(key.startswith(f"{role}.") for key in live), role) for role in work.ROLES]
    plural = {"ingress": "ingresses"}
    return ", ".join(f"{number} {what if number == 1 else plural.get(what, what + 's')}" for number, what in counts)


async def _ask_api(access: ApiAccess | None, found: Diagnosis) -> None:
    """Which Brokers and Triggers are not Ready, by the API."""
    if access is None:
        return
    try:
        async with open_api(access) as api:
            for kind in (BROKER, TRIGGER):
                for item in (await api.get(kind.path(None))).get("items") or []:
                    status, reason, message = showing.ready(item)
                    if status != "True":
                        found.findings.append(_not_ready(kind.kind, item["metadata"], reason, message))
    except RefusedError as why:
        if why.status in {401, 403}:
            do = "look with an account that may list Brokers and Triggers, such as one bound to the ClusterRole `view`"
            found.findings.append(error("rights.own", "API", str(why), do))
        else:
            found.findings.append(error("api.refused", "API", str(why), _API))
    except NotReachableError as why:
        found.findings.append(error("api.unreachable", "API", str(why), _API))


def _not_ready(kind: str, metadata: dict[str, Any], reason: str, message: str) -> Finding:
    """Where the controller lacks a right the message says which, so that is a finding of its own."""
    about = f"{kind} {metadata.get('namespace', '')}/{metadata['name']}"
    if reason.endswith("Forbidden"):
        do = "let it, by a ClusterRole with the label duck.knative.dev/addressable (deploy/README.md, Rights)"
        return error("rights.controller", about, f"the controller may not look up what it needs: {message}", do)
    why = ": ".join(filter(None, (reason, message))) or "nothing has looked at it yet"
    do = f"`scaup describe {kind.lower()} {metadata['name']}` says more"
    return error("definition.not_ready", about, f"not Ready: {why}", do)


def _noted(access: ApiAccess | None) -> str | None:
    """The NATS that ``scaup up`` noted beside this kubeconfig."""
    if access is None:
        return None
    try:
        noted = orjson.loads((Path(access.data) / "endpoints.json").read_bytes())
        return str(noted["nats"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
