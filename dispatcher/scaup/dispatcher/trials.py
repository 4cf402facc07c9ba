"""Trials: suspects are worked in a process that runs nothing else, so that one that ends it is known for what it is.

An entry is set aside, as a dead letter, only when it ended two such processes in a row while it was the only entry
there and this dispatcher lived on; or when no filter survives a question about it alone, twice. Everything else (an
outage, an end that somebody ordered) says nothing: the entry is handed back. Nothing of a suspect is decoded here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from scaup.core.bus.connection import Bus
from scaup.core.bus.pull import nak
from scaup.core.codec.kept import Facts
from scaup.core.model.errors import BusError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher import metrics
from scaup.dispatcher.asking import filters_answer
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.child import Child, End, Ending
from scaup.dispatcher.settle import Settler, now_text
from scaup.dispatcher.suspicion import Place, Suspicion, halves

log = structlog.get_logger()

STRIKES: Final = 2
_GROUP: Final = 32
_GROUP_BYTES: Final = 256 << 10
_MAX_HELD: Final = 256
_MAX_BYTES: Final = 32 << 20
_LEASE_EVERY_S: Final = 0.5
_DEADLINE_S: Final = 40.0
_FILTER_S: Final = 3.0
_SOON_S: Final = 1.0
_LATER_S: Final = 5.0
_STUCK_S: Final = 60.0


@dataclass(slots=True, eq=False)
class Suspect:
    """An entry of a log, or (with a ``lane``) of a queue, that may have ended the dispatchers that held it."""

    broker: BrokerUid
    place: Place
    reply: str
    delivered: int
    outgoing: Outgoing
    finished: Callable[[], object]
    """Called when it is acknowledged."""
    lane: Lane | None = None
    is_unanswered: bool = False
    """No filter answered about it, or about what was asked together with it."""
    settled: set[TriggerUid] = field(default_factory=set)
    wanted: set[TriggerUid] | None = None
    """Triggers known to want it; None before anything was matched."""
    is_deadly_to_filters: bool = False
    deaths: list[str] = field(default_factory=list)


class Trials:
    """The suspects that this dispatcher holds, and the one process at a time in which they are worked."""

    def __init__(self, bus: Bus, definitions: Definitions, settler: Settler, environ: dict[str, str]) -> None:
        self.suspicion = Suspicion()
        self._bus = bus
        self._definitions = definitions
        self._settler = settler
        self._environ = environ
        self._held: dict[Place, Suspect] = {}
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._child: Child | None = None
        self._is_over = False
        self.heard_filters: Callable[[BrokerUid], None] = lambda _broker: None
        """Called when a filter answered: who waited for one can stop saying so."""

    def claims(self, place: Place, delivered: int) -> bool:
        """Whether an entry that arrives is to be given to ``take``."""
        return place in self._held or self.suspicion.falls_on(place, delivered)

    def take(self, suspect: Suspect) -> None:
        """Hold a suspect until it is tried. There is a bound: more are handed back, to come again."""
        known = self._held.get(suspect.place)
        if known is not None:
            known.reply, known.delivered = suspect.reply, suspect.delivered  # its lease ran out in our hands
            return
        self._held[suspect.place] = suspect
        self._bytes += suspect.outgoing.size
        metrics.SUSPECTS.inc()
        if self._is_over:
            self._hand_back(suspect, 0.0)
        elif len(self._held) > _MAX_HELD or self._bytes > max(_MAX_BYTES, suspect.outgoing.size):
            self._later(suspect)
        else:
            self._bus.post(suspect.reply, b"+WPI")
            self._arrival.set()

    async def run(self) -> None:
        """Try suspects until cancelled; what is held goes back then."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_leases(), name="leases-of-suspects")
                tasks.create_task(self._try_all(), name="trying-suspects")
        finally:
            self._is_over = True
            for suspect in list(self._held.values()):
                self._hand_back(suspect, 0.0)
            if self._child is not None:
                await self._child.end(at_once=True)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_EVERY_S)
            for suspect in self._held.values():
                self._bus.post(suspect.reply, b"+WPI")

    async def _try_all(self) -> None:
        while True:
            if not self._held:
                await self._end_child()
            while not self._held:
                self._arrival.clear()
                await self._arrival.wait()
            group = self._next_group()
            asks = any(suspect.lane is None for suspect in group)
            broker = group[0].broker
            if asks and not await filters_answer(self._bus, self._definitions, broker, _FILTER_S):
                for suspect in [s for s in self._held.values() if s.broker == broker and s.lane is None]:
                    self._later(suspect)
            else:
                if asks:
                    self.heard_filters(broker)
                await self._try(group)

    def _next_group(self) -> list[Suspect]:
        """The oldest suspects of one log, else of one queue: few enough for one question, and for one deadline.

        Logs go first and lanes take turns, for an attempt from a queue may take as long as its sink likes.
        """
        held = list(self._held.values())
        first = next((suspect for suspect in held if suspect.lane is None), held[0])
        group: list[Suspect] = []
        size = 0
        for suspect in held:
            if (suspect.broker, suspect.lane) != (first.broker, first.lane):
                continue
            size += suspect.outgoing.size
            if len(group) < _GROUP and (not group or size <= _GROUP_BYTES):
                group.append(suspect)
            elif suspect.lane is not None:
                self._held[suspect.place] = self._held.pop(suspect.place)  # behind the other lanes
        return group

    async def _try(self, group: list[Suspect]) -> None:
        """Try a group; where that fails, its halves, down to the single suspect."""
        for suspect in group:
            suspect.is_deadly_to_filters = False
        ending = await self._work(group)
        left = [suspect for suspect in group if suspect.place in self._held]
        if not left:
            return
        if ending.end is End.SILENT or (ending.end is End.TOLD and not left[0].is_deadly_to_filters):
            for suspect in left:
                self._hand_back(suspect, _LATER_S)
        elif len(group) > 1:
            for half in halves(left):
                await self._try(list(half))
        else:
            await self._judge(left[0], ending)

    async def _judge(self, suspect: Suspect, ending: Ending) -> None:
        """The suspect was alone, and the process did not live to tell what became of it."""
        if ending.end is End.STUCK:
            log.error("trials.stuck", broker=suspect.broker, sequence=suspect.place.sequence, lane=suspect.lane)
            self._hand_back(suspect, _STUCK_S)
            return
        suspect.deaths.append(ending.died)
        log.warning("trials.died", broker=suspect.broker, sequence=suspect.place.sequence, how=_how(suspect))
        if len(suspect.deaths) < STRIKES:
            await self._try([suspect])
        else:
            await self._set_aside(suspect)

    async def _set_aside(self, suspect: Suspect) -> None:
        """Keep it as a dead letter wherever it may be wanted, and only then acknowledge it."""
        at = now_text()
        accepted = datetime.fromtimestamp(suspect.place.stored_ns / 1e9, UTC).isoformat(timespec="microseconds")
        facts = Facts(suspect.place.sequence, accepted, first_failure=at, last_failure=at, reason=_how(suspect))
        try:
            for uid in _concerned(suspect):
                await self._settler.set_aside(suspect.outgoing, suspect.broker, uid, facts)
        except BusError as error:
            log.warning("trials.not_set_aside", sequence=suspect.place.sequence, error=str(error))
            self._hand_back(suspect, _LATER_S)
            return
        broker = self._definitions.brokers.get(suspect.broker)
        metrics.SET_ASIDE.labels(broker.namespace if broker else "", broker.name if broker else "").inc()
        log.error(
            "trials.set_aside",
            broker=broker.name if broker else suspect.broker,
            namespace=broker.namespace if broker else "",
            stream=suspect.place.stream,
            sequence=suspect.place.sequence,
            why=_how(suspect),
        )
        self._acknowledge(suspect)

    async def _work(self, group: list[Suspect]) -> Ending:
        """One group in the child: a fresh one for a single suspect, so that nothing else can be to blame."""
        is_single = len(group) == 1
        if is_single:
            await self._end_child()
        if self._child is None or not self._child.is_alive:
            self._child = await Child.start(self._environ)
        if self._child is None:
            return Ending(End.SILENT)
        places = {suspect.place: suspect for suspect in group}
        lines = [{"place": list(s.place), "lane": s.lane and list(s.lane), "settled": sorted(s.settled)} for s in group]
        epoch = self._bus.epoch

        def hear(fact: dict[str, Any]) -> None:
            suspect = places[Place(*fact["place"])]
            if suspect.place in self._held:
                self._hear(suspect, fact["fact"], fact.get("triggers", ()))

        deadline_s = _DEADLINE_S + max(self._timeout_s(suspect.lane) for suspect in group)
        ending = await self._child.work({"broker": group[0].broker, "entries": lines}, hear, deadline_s)
        if ending.end is not End.TOLD:
            self._child = None
        elif is_single:
            await self._end_child()
        is_same_bus = self._bus.is_connected and self._bus.epoch == epoch
        return ending if is_same_bus else Ending(End.SILENT)

    def _hear(self, suspect: Suspect, fact: str, triggers: Iterable[str]) -> None:
        uids = {TriggerUid(uid) for uid in triggers}
        match fact:
            case "wanted":
                suspect.wanted = (suspect.wanted or set()) | uids
            case "settled":
                suspect.settled |= uids
            case "done":
                self._acknowledge(suspect)
            case "returned":
                # From a queue it is a sink that is down: known to be harmless so far. From a log nothing was decided.
                self._hand_back(suspect, _SOON_S, is_explained=suspect.lane is not None)
            case "unanswered":
                suspect.is_deadly_to_filters = True
            case _:
                log.error("trials.unknown_fact", fact=fact)

    def _timeout_s(self, lane: Lane | None) -> float:
        """An attempt from a queue is waited for; one from a log moves to a queue when it is slow."""
        trigger = self._definitions.triggers.get(lane.trigger) if lane else None
        return trigger.delivery.timeout_s if trigger else 0.0

    def _later(self, suspect: Suspect) -> None:
        """No filter, or no room: nothing was learnt. That nobody answered is explained then."""
        if suspect.is_unanswered:
            metrics.HANDED_BACK.labels("no_match_answer").inc()
            self._hand_back(suspect, _SOON_S, is_explained=True)
        else:
            self._hand_back(suspect, _LATER_S)

    def _hand_back(self, suspect: Suspect, delay_s: float, *, is_explained: bool = False) -> None:
        if is_explained:
            self.suspicion.returned(suspect.place, suspect.delivered)
        self._bus.post(suspect.reply, nak(delay_s))
        self._let_go(suspect)

    def _acknowledge(self, suspect: Suspect) -> None:
        self._bus.post(suspect.reply, b"+ACK")
        self._let_go(suspect)
        suspect.finished()

    def _let_go(self, suspect: Suspect) -> None:
        if self._held.pop(suspect.place, None) is not None:
            self._bytes -= suspect.outgoing.size
            metrics.SUSPECTS.dec()

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()


def _concerned(suspect: Suspect) -> list[TriggerUid | None]:
    """For whom a dead letter is kept: who wants it and has not got it; nobody in particular where that is not known."""
    if suspect.lane is not None:
        return [suspect.lane.trigger]
    if suspect.wanted is None:
        return [None]
    return [*sorted(suspect.wanted - suspect.settled)]


def _how(suspect: Suspect) -> str:
    deaths = [death for death in suspect.deaths if death]
    if not deaths:
        return "no filter survives it: asked about it alone, none answered"
    count = "two dispatchers" if len(deaths) == STRIKES else "a dispatcher"
    return f"it ended {count} that ran nothing else ({deaths[-1]})"
