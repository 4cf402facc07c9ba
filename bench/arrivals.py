"""What the sink remembers: for every (path, run, sequence number) when it first came and how often.

Responsible for: counting arrivals in little memory (8 bytes an event), and a path's behaviour.
Must not: know sockets or HTTP; must not judge what is missing (that is the ledger's).
"""

from array import array
from dataclasses import dataclass, field
from enum import Enum

ID_DIGITS = 10
"""An id is `<run>-<sequence number in so many digits>`."""
MOST_EVENTS = 20_000_000
"""Sequence numbers from here on are not recorded: 160 MB a path is enough for a bench."""
_GROWTH = 65_536


class Do(Enum):
    """What a path does with a request once it is all there."""

    ANSWER = "answer"
    STATUS = "status"
    DELAY = "delay"
    HANG = "hang"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a path answers: 202 at once, another status, 202 after a delay, never, or 503 to some events for ever."""

    do: Do = Do.ANSWER
    status: int = 202
    seconds: float = 0.0
    every: int = 1
    """Of a poisoned path: every so-manieth event is refused, chosen by its id."""

    @classmethod
    def parse(cls, text: str) -> "Behaviour":
        """`answer`, `hang`, `status=503`, `delay=0.5` or `poison=100`."""
        name, _, value = text.partition("=")
        do = Do(name)
        if do is Do.STATUS:
            return cls(do, status=int(value))
        if do is Do.DELAY:
            return cls(do, seconds=float(value))
        if do is Do.POISON:
            return cls(do, status=503, every=max(int(value), 1))
        return cls(do)


def is_poison(sequence: int, every: int) -> bool:
    """Whether a path poisoned with `poison=<every>` refuses this event, each time it comes."""
    return sequence % every == 0


def split_id(event_id: bytes) -> tuple[bytes, int]:
    """Run and sequence number of one of our ids; a negative number where it is none."""
    digits = event_id[-ID_DIGITS:]
    if not digits.isdigit() or len(event_id) < ID_DIGITS + 2 or (sequence := int(digits)) >= MOST_EVENTS:
        return b"", -1
    return event_id[: -ID_DIGITS - 1], sequence


class Arrivals:
    """The arrivals of one run at one path."""

    __slots__ = ("again", "distinct", "first")

    def __init__(self) -> None:
        self.first = array("q")
        self.distinct = 0
        self.again: dict[int, int] = {}

    def add(self, sequence: int, now: int) -> None:
        """Note that the event `sequence` came at `now` (monotonic nanoseconds)."""
        first = self.first
        if sequence >= len(first):
            first.frombytes(bytes(8 * (max(sequence, len(first) + _GROWTH) + 1 - len(first))))
        if first[sequence]:
            self.again[sequence] = self.again.get(sequence, 0) + 1
        else:
            first[sequence] = now
            self.distinct += 1


@dataclass(slots=True)
class Place:
    """One path of the sink."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    runs: dict[bytes, Arrivals] = field(default_factory=dict)
    held: int = 0
    """Requests left without an answer."""
    refused: int = 0
    """Requests answered with a status outside 2xx; they are not arrivals."""
    strange: int = 0
    """Answered requests whose ce-id is not one of ours."""

    def note(self, event_id: bytes, now: int) -> None:
        """Record one answered delivery."""
        run, sequence = split_id(event_id)
        if sequence < 0:
            self.strange += 1
            return
        arrivals = self.runs.get(run)
        if arrivals is None:
            arrivals = self.runs[run] = Arrivals()
        arrivals.add(sequence, now)
