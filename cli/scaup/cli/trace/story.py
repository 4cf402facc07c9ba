"""The story of ``scaup trace``: find the event, ask everybody who may know of it, say what became of it.

Nothing is changed anywhere, and nothing of it is seen by the services but one question to the dispatchers.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from scaup.cli import plane, showing
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.deadletterselect import DELETED, is_named
from scaup.cli.kinds import TRIGGER
from scaup.cli.kube import open_api
from scaup.cli.longwork import Progress
from scaup.cli.plane import Snapshot
from scaup.cli.problems import FailedError, NotReachableError
from scaup.cli.trace import telling
from scaup.cli.trace.fates import fates
from scaup.cli.trace.sources import Defined, Logged, Sources, Stage
from scaup.cli.trace.words import spoken_at, spoken_span
from scaup.core.bus import deadletters, finding
from scaup.core.bus.connection import Bus
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.bus.finding import LookedUp, Queued, Wanted
from scaup.core.model import names
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.event import Event
from scaup.core.model.names import TriggerUid

_MOST_QUEUED: Final = 200_000
"""Entries of queues that are looked at."""
_MOST_REPLIES: Final = 50_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    id: str
    namespace: str
    source: str | None = None
    broker: str | None = None
    limit: int = 200_000


def run(access: ApiAccess | None, nats: NatsAccess, asked: Asked, output: str) -> str:
    """The text to print. Raises FailedError where nothing is known of the event."""
    traced = asyncio.run(find(access, nats, asked))
    if output == "json":
        return showing.as_json(showing.as_list([telling.as_object(found, fates(found)) for found in traced]))
    return "\n\n".join(telling.description(found, fates(found)) for found in traced)


async def find(access: ApiAccess | None, nats: NatsAccess, asked: Asked) -> list[Sources]:
    """What was found in each Broker that knows the event. Raises FailedError where none does."""
    shown = Progress()
    try:
        async with open_bus(nats) as bus:
            definitions = await plane.snapshot(bus)
            brokers = await _brokers(bus, definitions, asked)
            traced: list[Sources] = []
            misses: list[str] = []
            for broker in brokers:
                found = await _Search(bus, broker, asked, shown).run(definitions)
                if isinstance(found, str):
                    misses.append(found)
                else:
                    traced.append(found)
            if not traced:
                raise _not_found(asked, misses)
            await _ask_api(access, traced)
            return traced
    finally:
        shown.end()


async def _brokers(bus: Bus, definitions: Snapshot, asked: Asked) -> list[BrokerDefinition]:
    """The Brokers that are meant, the deleted ones whose dead letters are kept last."""
    every = sorted(definitions.brokers.values(), key=lambda one: one.name)
    every += [
        BrokerDefinition(one.broker, one.namespace, one.name + DELETED)
        for one in await deadletters.keepings(bus)
        if one.broker not in definitions.brokers
    ]
    chosen = [one for one in every if one.namespace == asked.namespace and is_named(one.name, asked.broker)]
    if not chosen:
        what = f"no Broker {asked.namespace}/{asked.broker}" if asked.broker else f"no Broker in {asked.namespace}"
        msg = f"the data plane knows {what}"
        raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
    return chosen


def _not_found(asked: Asked, misses: list[str]) -> FailedError:
    source = f" and source {asked.source!r}" if asked.source is not None else ""
    msg = f"nothing is known of an event with id {asked.id!r}{source}"
    hint = "it was never accepted (its sender has no 202), or it is no longer kept"
    return FailedError(msg, hint=hint, details=misses)


class _Search:
    """Looking for one event in one Broker."""

    def __init__(self, bus: Bus, broker: BrokerDefinition, asked: Asked, shown: Progress) -> None:
        self._bus = bus
        self._broker = broker
        self._asked = asked
        self._shown = shown

    def _looked(self, where: str) -> finding.Looked:
        name = f"{self._broker.namespace}/{self._broker.name}"
        return lambda number: self._shown.show(f"{name}: {number:,} entries of the {where} looked at")

    async def run(self, definitions: Snapshot) -> Sources | str:
        """What is known; or in a sentence where it was looked for in vain."""
        bus, uid = self._bus, self._broker.uid
        wanted = Wanted(self._asked.id, self._asked.source)
        look = await finding.in_log(bus, uid, wanted, self._asked.limit, self._looked("log"))
        if look.entry is not None:
            accepted = datetime.fromisoformat(look.entry.accepted)
            wanted = Wanted(wanted.id, wanted.source, look.entry.sequence, accepted)
        queued, is_whole = await finding.in_queues(bus, uid, wanted, _MOST_QUEUED, self._looked("queues"))
        letters = await finding.in_dead_letters(bus, uid, wanted, self._looked("dead letters"))
        if look.entry is None:
            if not queued and not letters:
                return _miss(self._broker, look, is_whole)
            queued, letters = _newest(queued, letters)
        logged, event = await self._logged(look, queued, letters)
        now = await plane.server_now(bus)
        found = Sources(self._broker, event, logged, now, definitions, queued=queued, letters=letters)
        found.is_whole_queue = is_whole
        if look.entry is not None:
            found.replies, found.is_whole_replies = await finding.replies(bus, uid, logged.sequence, _MOST_REPLIES)
        found.live = [key for key in await plane.replicas(bus, now) if key.startswith("dispatcher.")]
        found.told = await plane.ask_dispatchers(bus, uid, logged.sequence, len(found.live))
        if logged.stage is Stage.HELD and not any(told.is_held for told in found.told):
            # Settled out of order, or a moment ago: the log's floor says so a little later.
            found.logged = (await self._logged(look, queued, letters))[0]
        return found

    async def _logged(self, look: LookedUp, queued: list[Queued], letters: list[DeadLetter]) -> tuple[Logged, Event]:
        """The event and its entry of the log, which may be trimmed by now."""
        if (entry := look.entry) is None:
            facts, event = (queued[0].facts, queued[0].event) if queued else (letters[0].facts, letters[0].event)
            accepted = datetime.fromisoformat(facts.accepted) if facts.accepted else None
            return Logged(facts.sequence, accepted, Stage.TRIMMED), event
        event = Wanted(self._asked.id).is_it(entry.headers, entry.data) or Event({})
        stream = names.log_stream(self._broker.uid)
        info = await self._bus.api(f"CONSUMER.INFO.{stream}.{names.DISPATCH_CONSUMER}")
        if info["ack_floor"]["stream_seq"] >= entry.sequence:
            stage = Stage.SETTLED
        else:
            stage = Stage.HELD if info["delivered"]["stream_seq"] >= entry.sequence else Stage.WAITS
        answers = names.parse_reply_id(entry.headers.get("Nats-Msg-Id", ""))
        return Logged(entry.sequence, datetime.fromisoformat(entry.accepted), stage, answers), event


def _newest(queued: list[Queued], letters: list[DeadLetter]) -> tuple[list[Queued], list[DeadLetter]]:
    """Of several events with that id, all but the one that was accepted last are passed over."""
    sequence = max([one.facts.sequence for one in queued] + [one.facts.sequence for one in letters])
    return (
        [one for one in queued if one.facts.sequence == sequence],
        [one for one in letters if one.facts.sequence == sequence],
    )


def _miss(broker: BrokerDefinition, look: LookedUp, is_whole_queue: bool) -> str:
    """Where it was looked for in vain, and how far back."""
    history, name = look.history, f"{broker.namespace}/{broker.name}"
    if history.is_empty:
        said = "its log is empty"
    elif not look.is_whole:
        said = "it is not among the newest events of the log that were looked at (--limit looks at more)"
    elif history.first <= 1:
        said = "it is not in the log, which has every event since the Broker was made"
    else:
        said = f"it is not in the log, which begins at {spoken_at(history.first_at)}"
    kept = f"settled events are kept for {spoken_span(broker.history_max_age_s)}, and while there is room"
    queues = "the queues" if is_whole_queue else f"the first {_MOST_QUEUED:,} entries of the queues"
    return f"Broker {name}: {said} ({kept}); nor in {queues}; nor among the dead letters"


async def _ask_api(access: ApiAccess | None, traced: list[Sources]) -> None:
    """When Triggers were made, and which are not Ready. Without an API the trace is what it is."""
    if access is None:
        for found in traced:
            found.has_api = False
        return
    try:
        async with open_api(access) as api:
            items = (await api.get(TRIGGER.path(traced[0].broker.namespace))).get("items") or []
    except NotReachableError as error:
        sys.stderr.write(f"{error}: what it says of Triggers is left out\n")
        items = []
        for found in traced:
            found.has_api = False
    for found in traced:
        found.defined = [defined(item) for item in items if showing.broker_of(item) == found.broker.name]


def defined(item: dict[str, Any]) -> Defined:
    """What the API says of a Trigger, as far as a trace needs it. Pure."""
    metadata = item["metadata"]
    status, reason, message = showing.ready(item)
    try:
        made = datetime.fromisoformat(metadata["creationTimestamp"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        made = None
    unready = "" if status == "True" else ": ".join(filter(None, ("not Ready", reason, message)))
    return Defined(TriggerUid(metadata["uid"]), metadata["name"], made, unready)
