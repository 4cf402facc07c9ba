"""What this dispatcher remembers of deliveries: 28 bytes for each that ended, more for attempts that failed.

In memory alone, and bounded: nothing is stored or sent for it, and nothing waits. The oldest make room for the newest.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from scaup.core.codec.kept import Facts
from scaup.core.model.names import BrokerUid, Lane
from scaup.core.model.trail import DROPS, End, Ended, Failed, Told, Way
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher.judge import Accepted, Outcome, Replied, Retry, Verdict

MOST_ENDED: Final = 1 << 18
"""Deliveries that are remembered: 7 MiB, which are touched as they fill."""
MOST_FAILED: Final = 1 << 13
"""Failed attempts that are remembered: about 4 MiB."""
_MOST_WAYS: Final = 1 << 16
_MOST_TOLD: Final = 2_000
_MOST_ATTEMPTS: Final = 255
_LONGEST_REASON: Final = 200
_FIRST_ROOM: Final = 1 << 10
_SEQUENCE: Final = struct.Struct("<q")
_ENTRY: Final = struct.Struct("<dIfHBB")
"""When, which way (its number), seconds, status, attempts, end."""

_REPLIED: Final = int(End.REPLIED)
_DELIVERED: Final = int(End.DELIVERED)

_Failed = tuple[int, int, int, float, float, int | None, str, float | None]


class Trail:
    """Remembers how deliveries ended, by their entry's place in the log."""

    def __init__(
        self, definitions: Definitions | None = None, most: int = MOST_ENDED, most_failed: int = MOST_FAILED
    ) -> None:
        """Without ``definitions`` nothing is remembered."""
        self._definitions = definitions
        self._most = most
        self.started = time.time()
        self._since = self._failed_since = self.started
        # Places apart from what is known of them: found by a search for eight bytes, which is quick.
        self._sequences = bytearray()
        self._entries = bytearray()
        self._number = 0
        self._failed: deque[_Failed] = deque(maxlen=most_failed)
        self._ways: dict[Lane | tuple[Lane, str], int] = {}
        self._of_number: list[tuple[BrokerUid, Way, str]] = []

    def delivered(self, lane: Lane, facts: Facts, outcome: Outcome, seconds: float) -> None:
        """The sink has the event: it answered so, after ``seconds``; ``facts`` are those before this attempt."""
        if self._definitions is not None:
            status = outcome.status if isinstance(outcome, Accepted) else 200
            end = _REPLIED if isinstance(outcome, Replied) else _DELIVERED
            self._remember(lane, facts, end, facts.attempts + 1, status, seconds)

    def failed(self, lane: Lane, facts: Facts, verdict: Verdict, seconds: float) -> None:
        """An attempt failed after ``seconds``, as ``facts`` say, which count it."""
        if self._definitions is None:
            return
        number = self._number_of(lane, facts)
        if len(self._failed) == self._failed.maxlen:
            self._failed_since = self._failed[0][3]
        now = time.time()
        next_at = now + verdict.delay_s if isinstance(verdict, Retry) else None
        reason = facts.reason[:_LONGEST_REASON]
        self._failed.append((facts.sequence, number, facts.attempts, now, seconds, facts.status, reason, next_at))

    def ended(self, lane: Lane, facts: Facts, end: End) -> None:
        """The delivery came to another end than the sink; ``facts`` count its attempts."""
        if self._definitions is not None:
            self._remember(lane, facts, int(end), facts.attempts, facts.status or 0, 0.0)

    def dropped(self, lane: Lane, facts: Facts, reason: str) -> None:
        """The event was given up by the policy of that name."""
        self.ended(lane, facts, DROPS[reason])

    def tell(self, told: Told, broker: BrokerUid, sequence: int) -> None:
        """Everything that is remembered of an entry of a Broker's log, into ``told``; and since when that is all."""
        if self._definitions is None:
            return
        told.since, told.failed_since = self._since, self._failed_since
        if sequence <= 0:
            return
        for place in self._places(sequence):
            at, number, seconds, status, attempts, end = _ENTRY.unpack_from(self._entries, place * _ENTRY.size)
            of, way, name = self._of_number[number]
            if of == broker and len(told.ended) < _MOST_TOLD:
                told.ended.append(Ended(way, End(end), at, attempts, status or None, seconds))
                told.names[way.trigger] = name
        for one in self._failed:
            if one[0] != sequence or self._of_number[one[1]][0] != broker or len(told.failed) >= _MOST_TOLD:
                continue
            _, number, attempt, at, seconds, code, reason, next_at = one
            _, way, name = self._of_number[number]
            told.failed.append(Failed(way, attempt, at, seconds, reason, code, next_at))
            told.names[way.trigger] = name

    def _remember(self, lane: Lane, facts: Facts, end: int, attempts: int, status: int, seconds: float) -> None:
        number = self._ways.get(lane) if facts.replay is None else None
        if number is None:
            number = self._number_of(lane, facts)
        place = self._number % self._most
        size = place * _SEQUENCE.size
        if size == len(self._sequences):
            room = min(max(place, _FIRST_ROOM), self._most - place)
            self._sequences.extend(bytes(room * _SEQUENCE.size))
            self._entries.extend(bytes(room * _ENTRY.size))
        elif self._number >= self._most:
            self._since = _ENTRY.unpack_from(self._entries, place * _ENTRY.size)[0]
        _SEQUENCE.pack_into(self._sequences, size, facts.sequence)
        attempts = min(attempts, _MOST_ATTEMPTS)
        at = place * _ENTRY.size
        _ENTRY.pack_into(self._entries, at, time.time(), number, seconds, status & 0xFFFF, attempts, end)
        self._number += 1

    def _places(self, sequence: int) -> Iterator[int]:
        """Where in the ring that sequence is, the oldest first."""
        wanted, found = _SEQUENCE.pack(sequence), []
        at = self._sequences.find(wanted)
        while at >= 0:
            if at % _SEQUENCE.size == 0 and at // _SEQUENCE.size < self._number:
                found.append(at // _SEQUENCE.size)
            at = self._sequences.find(wanted, at + 1)
        first = self._number % self._most if self._number > self._most else 0
        yield from sorted(found, key=lambda place: (place - first) % self._most)

    def _number_of(self, lane: Lane, facts: Facts) -> int:
        """Of a lane and replay, by which entries name them."""
        replay = "" if facts.replay is None else "dead-letter" if facts.replay.dead_letter else facts.replay.id
        key = (lane, replay) if replay else lane
        number = self._ways.get(key)
        if number is None:
            if len(self._of_number) >= _MOST_WAYS:
                self._forget()
            number = self._ways[key] = len(self._of_number)
            trigger = self._definitions.triggers.get(lane.trigger) if self._definitions else None
            name = f"{trigger.namespace}/{trigger.name}" if trigger else ""
            self._of_number.append((lane.broker, Way(lane.trigger, lane.kind, replay), name))
        return number

    def _forget(self) -> None:
        """There were more Triggers and replays than have numbers: begin anew."""
        self._ways.clear()
        self._of_number.clear()
        self._failed.clear()
        self._sequences, self._entries, self._number = bytearray(), bytearray(), 0
        self._since = self._failed_since = time.time()
