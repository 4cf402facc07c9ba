"""What a dispatcher remembers of an event, as it travels to who asks: how deliveries ended, which attempts failed.

Pure values and their JSON. A dispatcher remembers for as long as it runs and has room; it says since when.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Final

import orjson

from scaup.core.model.names import TriggerUid


class End(IntEnum):
    """How the delivery of an event in one lane ended. The numbers are written into memory and onto the wire."""

    DELIVERED = 1
    REPLIED = 2
    """Delivered; the sink answered with an event, which was stored."""
    TO_SINK = 3
    """Given up, and sent on to the dead letter sink."""
    KEPT = 4
    """Given up, and kept as a dead letter."""
    TRIGGER_DELETED = 5
    DEAD_LETTERS_FULL = 6
    TOO_LARGE = 7

    @property
    def is_delivery(self) -> bool:
        """Whether the sink has the event."""
        return self in {End.DELIVERED, End.REPLIED}

    @property
    def is_drop(self) -> bool:
        """Whether nothing is left of it, by a stated policy."""
        return self >= End.TRIGGER_DELETED


DROPS: Final = {
    "trigger_deleted": End.TRIGGER_DELETED,
    "dead_letters_full": End.DEAD_LETTERS_FULL,
    "too_large": End.TOO_LARGE,
}
"""By the policies' names, as they are counted."""


@dataclass(frozen=True, slots=True)
class Way:
    """Which delivery of an event: of which Trigger, to its subscriber or its dead letter sink, and of which replay.

    ``replay`` is empty for the first delivery, and ``dead-letter`` for all replays of dead letters.
    """

    trigger: TriggerUid
    kind: str
    replay: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A delivery that ended after ``attempts``, ``at`` in seconds since the epoch; the last one took ``seconds``."""

    way: Way
    end: End
    at: float
    attempts: int
    status: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The ``attempt``-th attempt, which failed; ``next_at`` is when the next one is due, None where there is none."""

    way: Way
    attempt: int
    at: float
    seconds: float
    reason: str
    status: int | None = None
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class Unwell:
    """A sink that is asked less than it might be: its breaker is open, and a probe is due in ``probe_s``."""

    way: Way
    probe_s: float


@dataclass(slots=True)
class Told:
    """One dispatcher's answer. Times are its own, in seconds since the epoch.

    ``since`` is when what it remembers of ends begins, ``failed_since`` of failed attempts; both None where it is told
    to remember nothing. ``is_held``: it has the entry of the log in its hands.
    """

    replica: str
    now: float
    started: float
    since: float | None = None
    failed_since: float | None = None
    is_held: bool = False
    ended: list[Ended] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    unwell: list[Unwell] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Of the Triggers in all that, by uid: ``namespace/name``."""
    settings: dict[str, str] = field(default_factory=dict)
    """Its own, by their variables; none that holds a secret."""

    def to_bytes(self) -> bytes:
        """As it travels."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Told:
        """What ``to_bytes`` made. Raises ValueError, KeyError or TypeError where it is none."""
        value = orjson.loads(raw)
        value["ended"] = [Ended(**(one | {"way": Way(**one["way"]), "end": End(one["end"])})) for one in value["ended"]]
        value["failed"] = [Failed(**_with_way(one)) for one in value["failed"]]
        value["unwell"] = [Unwell(**_with_way(one)) for one in value["unwell"]]
        return cls(**value)


def _with_way(value: dict[str, Any]) -> dict[str, Any]:
    return value | {"way": Way(**value["way"])}
