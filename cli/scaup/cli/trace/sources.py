"""Everything that is known of one event, as it was found: the log, the queues, the dead letters, what dispatchers say.

Values only. What they mean is for ``fates`` to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from scaup.cli.plane import Snapshot
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.bus.finding import Queued, Reply
from scaup.core.codec.kept import Facts
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.event import Event
from scaup.core.model.names import TriggerUid
from scaup.core.model.trail import Told

HOPS_USED_UP = "the reply's hops"
"""With this begins the reason of a kept reply that was to go no further."""


class Stage(Enum):
    """How far the log is with an entry."""

    WAITS = "no dispatcher has taken it yet"
    HELD = "a dispatcher is at it"
    SETTLED = "settled"
    TRIMMED = "settled, and no longer in the log"
    NEVER = "never in the log"


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry of the log. ``accepted`` by the server's clock; ``answers`` is the delivery that it is the reply to."""

    sequence: int
    accepted: datetime | None
    stage: Stage
    answers: tuple[str, TriggerUid] | None = None


@dataclass(frozen=True, slots=True)
class Defined:
    """What the API says of a Trigger: its uid, when it was made, and why it is not Ready (empty where it is)."""

    uid: TriggerUid
    name: str
    made: datetime | None
    unready: str = ""


@dataclass(slots=True)
class Sources:
    """All that was found. ``live`` are the keys of the dispatchers that report; ``now`` is the server's time.

    What is not ``whole`` was looked at up to a limit.
    """

    broker: BrokerDefinition
    event: Event
    logged: Logged
    now: datetime
    definitions: Snapshot
    told: list[Told] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    queued: list[Queued] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    defined: list[Defined] = field(default_factory=list)
    has_api: bool = True
    is_whole_queue: bool = True
    is_whole_replies: bool = True


def replay_of(facts: Facts) -> str:
    """The replay that a delivery is of, as dispatchers name it; empty for the first one."""
    if facts.replay is None:
        return ""
    return "dead-letter" if facts.replay.dead_letter else facts.replay.id


def is_reply(letter: DeadLetter) -> bool:
    """Whether a dead letter is the reply of its Trigger's sink, and not the event that was sent there."""
    return letter.facts.reason.startswith(HOPS_USED_UP)
