"""What the dispatcher holds in its hands: entries of logs and queues, and the deliveries that each of them asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scaup.core.codec.kept import Facts
from scaup.core.model.names import Lane, TriggerUid
from scaup.dispatcher.attempt import Outgoing
from scaup.dispatcher.suspicion import Place

if TYPE_CHECKING:
    from scaup.dispatcher.traces import AttemptTrace

_UNKNOWN: Final = Facts(0)


@dataclass(slots=True, eq=False)
class Delivery:
    """One event on its way to one target, from wherever it came.

    ``release`` is called once, when the consequence is stored (or known to be nothing); ``abandon`` instead, when it
    could not be stored. ``parked`` is the sequence in the queue under which the event waits already, while its attempt
    is still running.
    """

    lane: Lane
    outgoing: Outgoing
    facts: Facts
    release: Callable[[Delivery], None]
    abandon: Callable[[Delivery], None]
    lease_until: float
    """Loop time until which the entry is surely ours; infinite where another owner would do no harm."""
    is_queued: bool = False
    """The event came from the lane's queue, and not from the log."""
    again: Callable[[Delivery, Facts, float], None] | None = None
    """Called, instead of storing the event once more, when it is to be tried again after so many seconds."""
    started_at: float = 0.0
    """Loop time at which the running attempt began; 0 while waiting."""
    deadline: float = 0.0
    parked: int | None = None
    parking: asyncio.Task[None] | None = None
    is_offered: bool = False
    """Counted among what targets have in hand (Capacity)."""
    is_withdrawn: bool = False
    """Taken from the waiting room: its worker must pass it over."""
    is_judged: bool = False
    """Its attempt is over and its consequence is being stored."""
    is_over: bool = False
    """Released or abandoned."""
    trace: AttemptTrace | None = None
    """Of the attempt under way, or the last one, where it is sampled."""

    def done(self) -> None:
        """The consequence is stored: let go of where the event came from."""
        if not self.is_over:
            self.is_over = True
            self.release(self)

    def try_again(self, facts: Facts, delay_s: float) -> bool:
        """Whether the event keeps its place until it is tried again; else it is to be stored."""
        if self.again is None:
            return False
        if not self.is_over:
            self.is_over = True
            self.again(self, facts, delay_s)
        return True

    def failed(self) -> None:
        """The consequence could not be stored: hand the event back."""
        if not self.is_over:
            self.is_over = True
            self.abandon(self)


@dataclass(slots=True, eq=False)
class LogEntry:
    """An entry of the event log, from its arrival here until it is acknowledged or handed back."""

    sequence: int
    reply: str
    outgoing: Outgoing
    accepted_ns: int
    arrived_at: float
    delivered: int = 1
    """How often JetStream has given it to a dispatcher, this time included."""
    offered_at: float = 0.0
    """Loop time at which its deliveries began; 0 before."""
    facts: Facts = _UNKNOWN
    """Of its delivery to any Trigger, before the first attempt; set when it is known that one wants it."""
    remaining: int = 0
    is_abandoned: bool = False
    deliveries: list[Delivery] = field(default_factory=list)
    settled: set[TriggerUid] = field(default_factory=set)
    """Triggers whose share is settled, for when the entry comes again."""


Untried = Delivery | LogEntry
"""An event of a log before its first attempt: a delivery, or the whole entry where nothing was begun."""


@dataclass(slots=True, eq=False)
class QueueEntry:
    """An entry of a lane's queue, from its arrival here until it is acknowledged or handed back.

    It holds the events in ``events`` (headers and data), of which those at the places in ``settled`` are settled.
    """

    place: Place
    reply: str
    delivered: int
    events: list[tuple[dict[str, str], bytes]]
    settled: set[int] = field(default_factory=set)
    open: dict[Delivery, int] = field(default_factory=dict)
    """Deliveries that are neither settled nor abandoned yet, and the places of their events."""

    @property
    def is_settled(self) -> bool:
        """Nothing of it is left to be delivered."""
        return len(self.settled) == len(self.events)

    @property
    def left(self) -> list[tuple[dict[str, str], bytes]]:
        """What is not settled."""
        return [event for place, event in enumerate(self.events) if place not in self.settled]
