"""How deliveries to one Trigger end, by what dispatchers remember. Asked about few at a time, and not for ever.

A question costs each dispatcher a search of its memory, so what is asked has a bound, and what is not is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from scaup.cli import plane
from scaup.cli.trace.fates import State
from scaup.cli.trace.words import spoken_at, spoken_s
from scaup.core.bus.connection import Bus
from scaup.core.model.names import DEAD_LETTER, SUBSCRIBER, BrokerUid, TriggerUid
from scaup.core.model.trail import End, Ended, Failed, Told

PATIENCE_S: Final = 10.0
"""For so long a delivery is followed."""
MOST_FOLLOWED: Final = 100
_AT_ONCE: Final = 2
_EVERY_S: Final = 0.2
"""Between two looks: each question takes a dispatcher up to 5 ms, so that watching costs it 5 % at most."""
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_LIVE_S: Final = 2.0
_SLACK: Final = timedelta(seconds=5)
"""By so much clocks may differ before something is taken for older than the event."""
_DROPS: Final = {
    End.TRIGGER_DELETED: "its Trigger was deleted",
    End.DEAD_LETTERS_FULL: "it was given up, and the dead letters of its Trigger are full",
    End.TOO_LARGE: "with the facts of its delivery it is larger than the bus takes",
}


@dataclass(slots=True)
class Followed:
    """An event whose delivery is followed."""

    position: int
    accepted: datetime
    event_id: str
    trigger: TriggerUid
    until: float
    ask_at: float
    pause_s: float = _FIRST_PAUSE_S


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a delivery; ``UNDER_WAY`` where it has not ended while it was followed."""

    position: int
    event_id: str
    trigger: TriggerUid
    state: State
    why: str
    at: datetime | None = None
    attempts: int = 0


class Ends:
    """The deliveries that are followed now."""

    def __init__(self, bus: Bus, broker: BrokerUid, patience_s: float = PATIENCE_S) -> None:
        self._bus = bus
        self._broker = broker
        self._patience_s = patience_s
        self._followed: deque[Followed] = deque()
        self._expected = 0
        self._expected_until = 0.0
        self._ahead = timedelta()
        self._looked_at = 0.0
        self.left_out = 0
        """Deliveries that were not followed, for there were too many."""

    def __bool__(self) -> bool:
        return bool(self._followed)

    def follow(self, position: int, accepted: datetime, event_id: str, trigger: TriggerUid) -> None:
        """Look how this one ends."""
        if len(self._followed) >= MOST_FOLLOWED:
            self.left_out += 1
            return
        now = asyncio.get_running_loop().time()
        self._followed.append(Followed(position, accepted, event_id, trigger, now + self._patience_s, now))

    async def look(self) -> list[Ending]:
        """Those that have ended, of the few that are looked at now. Raises BusError."""
        now = asyncio.get_running_loop().time()
        due = [one for one in self._followed if one.ask_at <= now][:_AT_ONCE]
        if not due or now < self._looked_at + _EVERY_S:
            return []
        self._looked_at = now
        expected = await self._dispatchers(now)
        asked = [plane.ask_dispatchers(self._bus, self._broker, one.position, expected) for one in due]
        found: list[Ending] = []
        for one, answers in zip(due, await asyncio.gather(*asked), strict=True):
            self._followed.remove(one)
            told = [_since_accepted(one, answer, datetime.now(UTC) + self._ahead) for answer in answers]
            ending = ended(one, told)
            if ending is None and now < one.until:
                one.ask_at, one.pause_s = now + one.pause_s, min(one.pause_s * 2, _LONGEST_PAUSE_S)
                self._followed.append(one)
            else:
                found.append(ending or under_way(one, told, self._patience_s))
        return found

    def give_up(self) -> list[Ending]:
        """What is followed still, and is followed no more."""
        left = [
            Ending(one.position, one.event_id, one.trigger, State.UNDER_WAY, f"no end yet; {_more(one)}")
            for one in sorted(self._followed, key=lambda one: one.position)
        ]
        self._followed.clear()
        return left

    async def _dispatchers(self, now: float) -> int:
        if now >= self._expected_until:
            server_now = await plane.server_now(self._bus)
            self._ahead = server_now - datetime.now(UTC)
            live = await plane.replicas(self._bus, server_now)
            self._expected = sum(key.startswith("dispatcher.") for key in live)
            self._expected_until = now + _LIVE_S
        return self._expected


def ended(one: Followed, told: Iterable[Told]) -> Ending | None:
    """How a delivery ended; None where nobody remembers an end. Pure."""
    ends = [end for some in told for end in some.ended if _is_of(one, end)]
    first = max((end for end in ends if end.way.kind == SUBSCRIBER), key=lambda end: end.at, default=None)
    if first is None:
        return None
    last = first
    if first.end is End.TO_SINK:
        at_sink = max((end for end in ends if end.way.kind == DEAD_LETTER), key=lambda end: end.at, default=None)
        if at_sink is None:
            return None
        last = at_sink
    state, why = _spoken(first, last, _last_failure(one, told))
    at = datetime.fromtimestamp(last.at, UTC)
    return Ending(one.position, one.event_id, one.trigger, state, why, at, first.attempts)


def _spoken(first: Ended, last: Ended, failed: Failed | None) -> tuple[State, str]:
    why = failed.reason if failed else "a final answer"
    if last.end in _DROPS:
        return State.DROPPED, _DROPS[last.end]
    if last.end is End.KEPT:
        return State.DEAD_LETTER, f"given up after {_counted(first.attempts)}: {why}; it is kept"
    how = "at the first attempt" if last.attempts == 1 else f"at attempt {last.attempts}"
    took = f"{last.status} after {spoken_s(last.seconds)} {how}"
    if last is not first:
        given_up = f"given up after {_counted(first.attempts)}: {why}"
        return State.DEAD_LETTER_SINK, f"{given_up}; its dead letter sink has it ({took})"
    return State.DELIVERED, took + (", with a reply" if last.end is End.REPLIED else "")


def under_way(one: Followed, told: Iterable[Told], patience_s: float) -> Ending:
    """What is known of a delivery that has not ended. Pure."""
    told = list(told)
    said = f"no end within {spoken_s(patience_s)}"
    failed = _last_failure(one, told)
    if not told:
        said = "not known: no dispatcher answers"
    elif all(some.since is None for some in told):
        said = "not known: dispatchers remember nothing (SCAUP_TRAIL is off)"
    elif failed is not None:
        said += f": attempt {failed.attempt} failed, {failed.reason}"
        if failed.next_at is not None:
            said += f"; again at {spoken_at(datetime.fromtimestamp(failed.next_at, UTC))}"
    said += f"; {_more(one)}"
    attempts = failed.attempt if failed else 0
    return Ending(one.position, one.event_id, one.trigger, State.UNDER_WAY, said, None, attempts)


def _last_failure(one: Followed, told: Iterable[Told]) -> Failed | None:
    failures = [
        failed for some in told for failed in some.failed if _is_of(one, failed) and failed.way.kind == SUBSCRIBER
    ]
    return max(failures, key=lambda failed: failed.at, default=None)


def _is_of(one: Followed, remembered: Ended | Failed) -> bool:
    """Of the first delivery to that Trigger; replays have ends of their own."""
    return remembered.way.trigger == one.trigger and not remembered.way.replay


def _since_accepted(one: Followed, told: Told, now: datetime) -> Told:
    """Without what is of an entry at the same place of a log that was lost. ``now`` is the server's time."""
    earliest = (one.accepted - _SLACK).timestamp() - (now.timestamp() - told.now)
    ended = [some for some in told.ended if some.at >= earliest]
    return replace(told, ended=ended, failed=[some for some in told.failed if some.at >= earliest])


def _more(one: Followed) -> str:
    return f"`scaup trace {one.event_id}` says more"


def _counted(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"
