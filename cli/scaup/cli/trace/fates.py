"""From what was found of an event to its fate for every Trigger: what became of it, and why. Pure.

Evidence goes before inference: what is stored, then what dispatchers remember, then what filters say now. Where nothing
is left to tell the fate, that is the fate, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from scaup.cli import plane
from scaup.cli.deadletterselect import name_of
from scaup.cli.filters import verdicts
from scaup.cli.trace.sources import Sources, Stage, is_reply, replay_of
from scaup.cli.trace.words import spoken_at, spoken_s
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.bus.finding import Queued
from scaup.core.codec.kept import NO_ANSWER_YET, Facts
from scaup.core.filters.explain import explain
from scaup.core.filters.parse import parse_filters
from scaup.core.filters.subject import Subject
from scaup.core.model.definitions import TriggerDefinition, UnresolvedError, resolve
from scaup.core.model.errors import DefinitionError
from scaup.core.model.names import DEAD_LETTER, SUBSCRIBER, TriggerUid
from scaup.core.model.trail import End, Ended, Failed, Told

_SLACK: Final = timedelta(seconds=5)
"""By so much clocks may differ before something is taken for older than the event."""


class State(Enum):
    """What became of an event for one Trigger, as programs read it and as people do."""

    DELIVERED = "Delivered", "delivered"
    WAITING = "Waiting", "waits"
    UNDER_WAY = "UnderWay", "under way"
    IN_LOG = "InLog", "in the log"
    DEAD_LETTER = "DeadLetter", "dead letter"
    DEAD_LETTER_SINK = "DeadLetterSink", "dead letter"
    DROPPED = "Dropped", "dropped"
    NOT_WANTED = "NotWanted", "not wanted"
    NOT_KNOWN = "NotKnown", "not known"

    @property
    def word(self) -> str:
        """For people."""
        return str(self.value[1])


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as far as it is remembered. ``kind`` says at which sink."""

    number: int
    at: datetime | None
    status: int | None = None
    seconds: float | None = None
    why: str = ""
    next_at: datetime | None = None
    is_success: bool = False
    kind: str = SUBSCRIBER


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of the event for one Trigger, at first or in a ``replay``, after ``made`` attempts at its sink."""

    trigger: str
    state: State
    why: str
    at: datetime | None = None
    replay: str = ""
    made: int = 0
    attempts: tuple[Attempt, ...] = ()
    next_at: datetime | None = None
    letter: str = ""
    """The name of its dead letter, for ``scaup deadletters``."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What there is of one way: a Trigger and a replay."""

    uid: TriggerUid
    replay: str
    ended: Ended | None
    ended_at_sink: Ended | None
    failed: tuple[Failed, ...]
    queued: Queued | None
    queued_for_sink: Queued | None
    letter: DeadLetter | None


def fates(found: Sources) -> list[Fate]:
    """A fate for every Trigger of the Broker and every replay that there is a trace of, the wanted ones first."""
    mine = [uid for uid, trigger in found.definitions.triggers.items() if trigger.broker == found.broker.uid]
    ways = dict.fromkeys((uid, "") for uid in mine)
    ways |= dict.fromkeys(_ways(found))
    made = [_fate(found, _evidence(found, uid, replay)) for uid, replay in ways]
    made += [
        Fate("-", State.DEAD_LETTER, letter.facts.reason, _time(letter.stored_at), letter=name_of(letter))
        for letter in found.letters
        if letter.trigger is None
    ]
    known = set(mine)
    made += [
        Fate(one.name, State.NOT_WANTED, f"the data plane does not know the Trigger: {one.unready or 'it is new'}")
        for one in found.defined
        if one.uid not in known
    ]
    return sorted(made, key=lambda fate: (fate.state is State.NOT_WANTED, fate.trigger, fate.replay))


def _ways(found: Sources) -> list[tuple[TriggerUid, str]]:
    ways = [(one.lane.trigger, replay_of(one.facts)) for one in found.queued]
    ways += [(one.trigger, replay_of(one.facts)) for one in found.letters if one.trigger and not is_reply(one)]
    for told in found.told:
        remembered: list[Ended | Failed] = [*told.ended, *told.failed]
        ways += [(one.way.trigger, one.way.replay) for one in remembered if _is_of_it(found, told, one)]
    return ways


def _is_of_it(found: Sources, told: Told, one: Ended | Failed) -> bool:
    """Not of an entry at the same place of a log that was lost and made anew."""
    if found.logged.accepted is None:
        return True
    ahead = found.now - _moment(told.now)
    return _moment(one.at) + ahead >= found.logged.accepted - _SLACK


def _evidence(found: Sources, uid: TriggerUid, replay: str) -> _Evidence:
    def last(kind: str) -> Ended | None:
        ends = [
            one
            for told in found.told
            for one in told.ended
            if (one.way.trigger, one.way.kind, one.way.replay) == (uid, kind, replay) and _is_of_it(found, told, one)
        ]
        return max(ends, key=lambda one: one.at, default=None)

    def queued(kind: str) -> Queued | None:
        waiting = [one for one in found.queued if (one.lane.trigger, one.lane.kind) == (uid, kind)]
        return max(
            (one for one in waiting if replay_of(one.facts) == replay), key=lambda one: one.facts.attempts, default=None
        )

    failed = {
        (one.way.kind, one.attempt, one.at): one
        for told in found.told
        for one in told.failed
        if (one.way.trigger, one.way.replay) == (uid, replay) and _is_of_it(found, told, one)
    }
    letters = [one for one in found.letters if one.trigger == uid and replay_of(one.facts) == replay]
    return _Evidence(
        uid,
        replay,
        last(SUBSCRIBER),
        last(DEAD_LETTER),
        tuple(sorted(failed.values(), key=lambda one: one.at)),
        queued(SUBSCRIBER),
        queued(DEAD_LETTER),
        next((one for one in letters if not is_reply(one)), None),
    )


def _fate(found: Sources, seen: _Evidence) -> Fate:
    fate = _stored(found, seen) or _remembered(found, seen) or _inferred(found, seen)
    attempts = _attempts(seen)
    made = max(fate.made, max((one.number for one in attempts if one.kind == SUBSCRIBER), default=0))
    return replace(fate, trigger=_name(found, seen), replay=seen.replay, attempts=attempts, made=made)


def _stored(found: Sources, seen: _Evidence) -> Fate | None:
    """What streams say; an end that a dispatcher remembers goes before an entry that it has not removed yet."""
    if (letter := seen.letter) is not None:
        at = _time(letter.facts.last_failure or letter.stored_at)
        return Fate("", State.DEAD_LETTER, letter.facts.reason, at, made=letter.facts.attempts, letter=name_of(letter))
    if seen.ended is not None and seen.ended.end.is_delivery:
        return _delivered(seen.ended)
    if (waiting := seen.queued) is not None and waiting.facts.reason == NO_ANSWER_YET and not seen.ended:
        due_at = _moment(waiting.facts.not_before)
        why = "its sink takes long to answer; without an answer another attempt is made"
        return Fate("", State.UNDER_WAY, why, made=waiting.facts.attempts, next_at=due_at)
    if (waiting := seen.queued) is not None and not (seen.ended and waiting.is_bundled):
        why, next_at = _why_waiting(found, seen.uid, waiting.facts, SUBSCRIBER)
        return Fate("", State.WAITING, why, made=waiting.facts.attempts, next_at=next_at)
    if (waiting := seen.queued_for_sink) is not None and not (seen.ended_at_sink and waiting.is_bundled):
        why, next_at = _why_waiting(found, seen.uid, waiting.facts, DEAD_LETTER)
        given_up = (
            f"given up ({seen.ended.attempts} attempts), on its way to" if seen.ended else "given up, on its way to"
        )
        return Fate("", State.WAITING, f"{given_up} its dead letter sink; {why}", next_at=next_at)
    return None


def _remembered(found: Sources, seen: _Evidence) -> Fate | None:
    """What dispatchers remember."""
    end = seen.ended_at_sink or seen.ended
    if end is not None:
        return _ended(seen.ended_at_sink, seen.ended or end)
    if not seen.failed:
        return None
    last = seen.failed[-1]
    if seen.uid not in found.definitions.triggers:
        why = f"its Trigger was deleted while it waited for another attempt; {last.reason}"
        return Fate("", State.DROPPED, why, made=last.attempt)
    return Fate("", State.UNDER_WAY, f"an attempt failed a moment ago: {last.reason}", made=last.attempt)


def _ended(at_sink: Ended | None, ended: Ended) -> Fate:
    at = _moment((at_sink or ended).at)
    if at_sink is not None and at_sink.end.is_delivery:
        why = f"given up; its dead letter sink has it ({_spoken(at_sink)})"
        return Fate("", State.DEAD_LETTER_SINK, why, at, made=0 if ended is at_sink else ended.attempts)
    last = at_sink or ended
    if last.end.is_delivery:
        return _delivered(last)
    if last.end is End.TO_SINK:
        why = "given up, and sent on to its dead letter sink; what became of it there is not known any more"
        return Fate("", State.DEAD_LETTER_SINK, why, at, made=last.attempts)
    if last.end is End.KEPT:
        why = "given up, and kept as a dead letter that is gone now: replayed with success, or purged"
        return Fate("", State.DEAD_LETTER, why, at, made=last.attempts)
    policies = {
        End.TRIGGER_DELETED: "its Trigger was deleted",
        End.DEAD_LETTERS_FULL: "it was given up, and no more dead letters are kept for its Trigger: they are full",
        End.TOO_LARGE: "with the facts of its delivery it is larger than the bus takes",
    }
    return Fate("", State.DROPPED, policies[last.end], at, made=last.attempts)


def _delivered(ended: Ended) -> Fate:
    return Fate("", State.DELIVERED, _spoken(ended), _moment(ended.at), made=ended.attempts)


def _spoken(ended: Ended) -> str:
    how = "at the first attempt" if ended.attempts == 1 else f"at attempt {ended.attempts}"
    replied = ", with a reply" if ended.end is End.REPLIED else ""
    return f"{ended.status} after {spoken_s(ended.seconds)} {how}{replied}"


def _inferred(found: Sources, seen: _Evidence) -> Fate:
    """Without any trace: what the filter says now, and how far the log is."""
    trigger = found.definitions.triggers.get(seen.uid)
    if trigger is None:
        return Fate("", State.NOT_KNOWN, "its Trigger is not there any more")
    if not trigger.matching:
        return Fate("", State.NOT_WANTED, "its filters did not pass their check: no event matches it")
    matches, why = _match(found, trigger)
    made = next((one.made for one in found.defined if one.uid == seen.uid), None)
    accepted, stage = found.logged.accepted, found.logged.stage
    if matches and made is not None and accepted is not None and made > accepted:
        return Fate("", State.NOT_WANTED, f"the Trigger was made later, at {spoken_at(made)}")
    if not matches:
        return Fate("", State.NOT_WANTED, why)
    if stage is Stage.NEVER:
        return Fate("", State.NOT_WANTED, "the event was never in the log")
    if stage is Stage.WAITS:
        return Fate("", State.IN_LOG, "its filter matches; no dispatcher has taken the event yet")
    if stage is Stage.HELD:
        return Fate("", State.UNDER_WAY, "its filter matches; a dispatcher has the event in its hands")
    ends = "delivered, or sent on to its dead letter sink" if trigger.delivery.dead_letter_sink else "delivered"
    why = f"the log is done with it, and it neither waits nor is kept as a dead letter: it was {ends}, or dropped by a "
    return Fate("", State.NOT_KNOWN, f"{why}policy, or its dead letter was removed; {_why_not_known(found)}")


def _why_not_known(found: Sources) -> str:
    """Why no dispatcher remembers it."""
    accepted = found.logged.accepted
    if silent := plane.silent(found.live, found.told):
        return f"{', '.join(silent)} did not say which"
    if not found.told:
        return "no dispatcher runs that would know"
    if any(told.since is None for told in found.told):
        return "SCAUP_TRAIL is off, so no dispatcher knows"
    since = max(_moment(told.since or 0.0) for told in found.told)
    if accepted is None or since > accepted:
        return f"dispatchers remember what ended since {spoken_at(since)}"
    return "no dispatcher that runs did it: one that has stopped, or the Trigger did not want the event then"


def _match(found: Sources, trigger: TriggerDefinition) -> tuple[bool, str]:
    try:
        explained = explain(parse_filters(trigger.filters), Subject(found.event.attributes, found.event.data))
    except DefinitionError as error:
        return False, str(error)
    return explained.result is True, verdicts.why(explained)


def _why_waiting(found: Sources, uid: TriggerUid, facts: Facts, kind: str) -> tuple[str, datetime | None]:
    """Why it waits, and when it is tried next where that is known."""
    trigger = found.definitions.triggers.get(uid)
    due = _moment(facts.not_before) if facts.not_before else None
    next_at = due if due is not None and due > found.now else None
    failed = f"{facts.reason}; " if facts.reason else ""
    if trigger is None:
        return f"{failed}its Trigger is deleted: it goes within half a minute", None
    destination = trigger.delivery.dead_letter_sink if kind == DEAD_LETTER else trigger.subscriber
    if trigger.paused and kind == SUBSCRIBER:
        return f"{failed}its Trigger is paused (`scaup trigger resume {trigger.name}` ends that)", None
    if destination is not None:
        try:
            resolve(destination, found.definitions.address_book)
        except UnresolvedError as error:
            return f"{failed}its sink has no address now: {error}", None
    probes = [
        one.probe_s for told in found.told for one in told.unwell if (one.way.trigger, one.way.kind) == (uid, kind)
    ]
    if probes:
        probe_at = found.now + timedelta(seconds=min(probes))
        text = f"{failed}its sink keeps failing (the breaker is open), so one event at a time is tried"
        return text, max(next_at, probe_at) if next_at else None
    if next_at is not None:
        return f"{failed}another attempt is due" if failed else "it is due later", next_at
    if trigger.is_limited:
        return f"{failed}its Trigger is limited (scaup.dev/rate, scaup.dev/max-in-flight)", None
    return failed.removesuffix("; ") or "its sink is behind: it is tried when its turn comes", None


def _attempts(seen: _Evidence) -> tuple[Attempt, ...]:
    """All attempts of which something is known, by what dispatchers remember and by the facts that are stored."""
    known = [
        Attempt(
            one.attempt,
            _moment(one.at),
            one.status,
            one.seconds,
            one.reason,
            None if one.next_at is None else _moment(one.next_at),
            kind=one.way.kind,
        )
        for one in seen.failed
    ]
    facts = seen.letter.facts if seen.letter else seen.queued.facts if seen.queued else None
    numbers = {one.number for one in known if one.kind == SUBSCRIBER}
    if facts is not None and facts.attempts:
        if facts.attempts not in numbers:
            known.append(Attempt(facts.attempts, _time(facts.last_failure), facts.status, why=facts.reason))
        if facts.attempts > 1 and 1 not in numbers:
            known.append(Attempt(1, _time(facts.first_failure)))
    for end in (seen.ended, seen.ended_at_sink):
        if end is not None and end.end.is_delivery:
            at = _moment(end.at)
            known.append(Attempt(end.attempts, at, end.status, end.seconds, is_success=True, kind=end.way.kind))
    return tuple(sorted(known, key=lambda one: (one.kind == DEAD_LETTER, one.number)))


def _name(found: Sources, seen: _Evidence) -> str:
    """The Trigger's name, with its namespace where that is not the Broker's."""
    trigger = found.definitions.triggers.get(seen.uid)
    if trigger is not None:
        whole = f"{trigger.namespace}/{trigger.name}"
    else:
        told = next((told.names[seen.uid] for told in found.told if told.names.get(seen.uid)), "")
        whole = f"{told or (seen.letter.trigger_name if seen.letter else '') or seen.uid} (deleted)"
    return whole.removeprefix(f"{found.broker.namespace}/")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None
