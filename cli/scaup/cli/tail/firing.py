"""What fires: the filter service is asked who wants events, as dispatchers ask it. Once; *not knowing* is said as that.

Nothing is asked where nobody watches, and the answer is that of the filters a moment after the event was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from scaup.cli import plane
from scaup.cli.plane import Snapshot
from scaup.core.bus.asking import ask
from scaup.core.bus.connection import Bus
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusError, BusUnavailableError
from scaup.core.model.event import Event
from scaup.core.model.matching import MatchAnswer, Question
from scaup.core.model.names import TriggerUid

_AT_ONCE: Final = 128
_BYTES: Final = 256 << 10
_OVERHEAD: Final = 4 << 10
"""Of a question, beside attributes and data."""


@dataclass(frozen=True, slots=True)
class Fired:
    """The Triggers that want an event; or in ``unknown`` why that is not known."""

    triggers: tuple[TriggerUid, ...] = ()
    unknown: str = ""


class Firing:
    """Asks about the events of one Broker, and knows its Triggers by name."""

    def __init__(self, bus: Bus, broker: BrokerDefinition, snapshot: Snapshot) -> None:
        self._bus = bus
        self._broker = broker
        self._snapshot = snapshot
        self._sends_data = False
        self._names: dict[TriggerUid, str] = {}
        self._revision = 0
        self._learn(snapshot)

    def name(self, uid: TriggerUid) -> str:
        """The Trigger's name, with its namespace where that is not the Broker's."""
        return self._names.get(uid, uid)

    def uids(self, name: str) -> set[TriggerUid]:
        """The Triggers of that name (``NAME`` or ``NAMESPACE/NAME``): one, or where it was made anew several."""
        return {uid for uid, known in self._names.items() if name in {known, f"{self._broker.namespace}/{known}"}}

    @property
    def names(self) -> list[str]:
        """Of all Triggers of the Broker."""
        return sorted(self._names.values())

    async def ask(self, events: Sequence[Event]) -> list[Fired]:
        """For each event who wants it, or why that is not known."""
        found: list[Fired] = []
        for batch in self._batches(events):
            found += await self._ask(batch)
        return found

    async def _ask(self, events: list[Event]) -> list[Fired]:
        attributes = [event.attributes for event in events]
        try:
            question = Question(attributes, data=_data(events) if self._sends_data else None)
            if len(question.to_bytes()) > self._bus.max_payload:  # the server would cut the connection
                return [Fired(unknown="it is too large to ask the filter about")] * len(events)
            answer = await ask(self._bus, self._broker.uid, question)
            if answer.wants_data and question.data is None:
                self._sends_data = True
                return await self.ask(events)
        except BusUnavailableError as error:
            return [Fired(unknown=f"no filter says so: {error}")] * len(events)
        self._sends_data = answer.wants_data
        if answer.revision > self._revision and any(uid not in self._names for uid, _ in answer.triggers):
            with suppress(BusError):  # then they are shown by their uids
                self._learn(await plane.snapshot(self._bus))
                self._revision = max(self._revision, answer.revision)
        return [_fired(answer, positions) for positions in answer.events]

    def _batches(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        batch: list[Event] = []
        room = min(_BYTES, self._bus.max_payload - _OVERHEAD)
        for event in events:
            size = sum(len(name) + len(value) + 6 for name, value in event.attributes.items())
            size += len(event.data or b"") if self._sends_data else 0
            if batch and (size > room or len(batch) == _AT_ONCE):
                yield batch
                batch, room = [], min(_BYTES, self._bus.max_payload - _OVERHEAD)
            batch.append(event)
            room -= size
        if batch:
            yield batch

    def _learn(self, snapshot: Snapshot) -> None:
        self._revision = snapshot.revision
        prefix = f"{self._broker.namespace}/"
        for trigger in snapshot.triggers.values():
            if trigger.broker == self._broker.uid:
                self._names[trigger.uid] = f"{trigger.namespace}/{trigger.name}".removeprefix(prefix)


def _data(events: list[Event]) -> list[bytes]:
    return [event.data or b"" for event in events]


def _fired(answer: MatchAnswer, positions: list[int]) -> Fired:
    return Fired(tuple(answer.triggers[position][0] for position in positions))
