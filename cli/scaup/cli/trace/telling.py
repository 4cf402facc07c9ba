"""A trace for a person, and the same for a program. Pure.

What comes from outside is never printed raw: control characters would reach the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from scaup.cli import plane, showing
from scaup.cli.lines import clean
from scaup.cli.trace.fates import Attempt, Fate, State
from scaup.cli.trace.sources import Sources, Stage, is_reply
from scaup.cli.trace.words import spoken_at, spoken_s, spoken_span
from scaup.core.model.names import DEAD_LETTER, TriggerUid

_WIDTH: Final = 400
_TITLE: Final = 11
_MOST_OTHERS: Final = 20
"""Triggers that did not want the event, of which each has a line."""


def description(found: Sources, fates: list[Fate]) -> str:
    """Everything, what is not known included."""
    attributes = found.event.attributes
    event = [clean(attributes.get(name, ""), _WIDTH) for name in ("id", "source", "type")]
    lines = [
        _titled("Event", f"{event[0]} of {event[1]}, {event[2]}"),
        _titled("Broker", f"{found.broker.namespace}/{found.broker.name}"),
        _titled("Accepted", _accepted(found)),
        _titled("Log", _log(found)),
    ]
    if found.logged.answers is not None:
        key, trigger = found.logged.answers
        answered = f"the event at position {key.partition('-')[0]}"
        lines.append(
            _titled("Reply", f"it is what the sink of Trigger {_trigger(found, trigger)} replied to {answered}")
        )
    if not fates:
        lines.append(_titled("Triggers", "the Broker has none"))
    else:
        lines += ["Triggers:", *_fates(found, fates)]
    for reply in found.replies:
        what = f"{clean(reply.id, 80)}, {clean(reply.type, 80)}, at position {reply.sequence:,}"
        lines.append(_titled("Replied", f"{_trigger(found, reply.trigger)}: {what} of the log"))
    for letter in found.letters:
        if is_reply(letter) and letter.trigger is not None:
            lines.append(_titled("Replied", f"{_trigger(found, letter.trigger)}: {clean(letter.facts.reason, _WIDTH)}"))
    lines += [_titled("Not known", text) for text in not_known(found, fates)]
    return "\n".join(lines)


def _titled(title: str, text: str) -> str:
    return f"{title + ':':{_TITLE}} {text}"


def _accepted(found: Sources) -> str:
    accepted = found.logged.accepted
    if accepted is None:
        return "not known"
    ago = spoken_span((found.now - accepted).total_seconds())
    return f"{spoken_at(accepted)} ({ago} ago), position {found.logged.sequence:,} of the log"


def _log(found: Sources) -> str:
    logged = found.logged
    if logged.stage is Stage.SETTLED and logged.accepted is not None:
        until = logged.accepted + timedelta(seconds=found.broker.history_max_age_s)
        return f"done with it; kept as history until {spoken_at(until)}, or until the log needs the room"
    holders = [told.replica for told in found.told if told.is_held]
    if logged.stage is Stage.HELD and holders:
        return f"in the hands of {', '.join(holders)}"
    return logged.stage.value


def _trigger(found: Sources, uid: TriggerUid) -> str:
    trigger = found.definitions.triggers.get(uid)
    return trigger.name if trigger else f"{uid} (deleted)"


def _fates(found: Sources, every: list[Fate]) -> Iterator[str]:
    wanted = [fate for fate in every if fate.state is not State.NOT_WANTED]
    others = [fate for fate in every if fate.state is State.NOT_WANTED]
    fates = wanted + others[:_MOST_OTHERS]
    heads = [[clean(f"{fate.trigger}{_replay(fate)}", 80), fate.state.word, _why(found, fate)] for fate in fates]
    table = showing.rows(["TRIGGER", "STATE", "WHY"], heads).splitlines()
    yield "  " + table[0]
    for fate, line in zip(fates, table[1:], strict=True):
        yield "  " + line
        if not (fate.state is State.DELIVERED and fate.made == 1):
            yield from ("      " + line for line in _attempts(fate))
    if len(others) > _MOST_OTHERS:
        yield f"  and {len(others) - _MOST_OTHERS:,} more Triggers that did not want it: `-o json` has them all"


def _replay(fate: Fate) -> str:
    if not fate.replay:
        return ""
    return " (dead letter replayed)" if fate.replay == "dead-letter" else f" (replay {fate.replay})"


def _why(found: Sources, fate: Fate) -> str:
    parts = [spoken_at(fate.at)] if fate.at else []
    parts.append(clean(fate.why, _WIDTH))
    if fate.next_at is not None:
        seconds = max((fate.next_at - found.now).total_seconds(), 0.0)
        parts.append(f"next at {spoken_at(fate.next_at)}, in {spoken_s(seconds)}")
    if fate.letter:
        parts.append(f"see `scaup deadletters show {fate.letter}{_namespace(found)}`")
    return "; ".join(parts)


def _namespace(found: Sources) -> str:
    return "" if found.broker.namespace == "default" else f" -n {found.broker.namespace}"


def _attempts(fate: Fate) -> list[str]:
    """A line for each attempt, and for each gap between those of which something is known."""
    lines: list[list[str]] = []
    expected = 1
    for one in fate.attempts:
        if one.kind == DEAD_LETTER:
            expected = one.number
        if one.number > expected:
            gap = f"{expected}-{one.number - 1}" if one.number - 1 > expected else str(expected)
            lines.append([gap, "not remembered", "", "", ""])
        expected = one.number + 1
        number = f"dead letter sink, {one.number}" if one.kind == DEAD_LETTER else str(one.number)
        lines.append([number, *_attempt(one)])
    return showing.rows(["ATTEMPT", "AT", "STATUS", "TOOK", "THEN"], lines).splitlines() if lines else []


def _attempt(one: Attempt) -> list[str]:
    took = "" if one.seconds is None else spoken_s(one.seconds)
    then = "delivered" if one.is_success else clean(one.why, _WIDTH)
    if one.next_at is not None and one.at is not None:
        then += f"; again after {spoken_s((one.next_at - one.at).total_seconds())}"
    return [spoken_at(one.at) if one.at else "not remembered", str(one.status or "-"), took, then]


def not_known(found: Sources, fates: list[Fate]) -> list[str]:
    """What this trace cannot say, and why: each a sentence."""
    said = [f"what {name} remembers: it did not answer" for name in plane.silent(found.live, found.told)]
    accepted = found.logged.accepted
    for told in found.told:
        if told.since is None:
            said.append(f"what {told.replica} did: its setting SCAUP_TRAIL is off")
        elif accepted is not None and told.since > accepted.timestamp():
            moment = spoken_at(datetime.fromtimestamp(told.since, UTC))
            why = "it was started then" if told.since <= told.started else "it remembers no more than that"
            said.append(f"what {told.replica} did before {moment}: {why}")
        elif told.failed_since is not None and accepted is not None and told.failed_since > accepted.timestamp():
            moment = spoken_at(datetime.fromtimestamp(told.failed_since, UTC))
            said.append(f"attempts of {told.replica} that failed before {moment}: it remembers no more of those")
    if any(fate.state is State.NOT_WANTED for fate in fates):
        said.append("how filters were when the event was accepted: what is said of them is by the filters of now")
    if not found.is_whole_queue:
        said.append("all that waits: the queues are too long, and only their first entries were looked at")
    if not found.is_whole_replies:
        said.append("all replies: only the first ones after the event were looked at")
    if not found.has_api:
        said.append("when Triggers were made, and which are not Ready: the API was not asked")
    return said


def as_object(found: Sources, fates: list[Fate]) -> dict[str, Any]:
    """The same as a Kubernetes-like object."""
    attributes, logged = found.event.attributes, found.logged
    return {
        "apiVersion": "scaup.dev/v1",
        "kind": "Trace",
        "metadata": {"name": attributes.get("id", ""), "namespace": found.broker.namespace},
        "broker": found.broker.name,
        "event": {name: attributes.get(name, "") for name in ("id", "source", "type")},
        "log": {
            "position": logged.sequence,
            "acceptedAt": _at(logged.accepted),
            "stage": logged.stage.name.capitalize(),
            "heldBy": [told.replica for told in found.told if told.is_held],
            "historySeconds": found.broker.history_max_age_s,
        },
        "replyTo": _reply_to(found),
        "triggers": [_fate(fate) for fate in fates],
        "replies": [
            {"trigger": _trigger(found, reply.trigger), "position": reply.sequence, "id": reply.id, "type": reply.type}
            for reply in found.replies
        ],
        "dispatchers": [
            {
                "name": told.replica,
                "startedAt": _at(datetime.fromtimestamp(told.started, UTC)),
                "remembersSince": None if told.since is None else _at(datetime.fromtimestamp(told.since, UTC)),
            }
            for told in found.told
        ],
        "notKnown": not_known(found, fates),
    }


def _reply_to(found: Sources) -> dict[str, Any] | None:
    if found.logged.answers is None:
        return None
    key, trigger = found.logged.answers
    return {"position": int(key.partition("-")[0]), "trigger": _trigger(found, trigger)}


def _fate(fate: Fate) -> dict[str, Any]:
    return {
        "trigger": fate.trigger,
        "state": fate.state.value[0],
        "why": fate.why,
        "at": _at(fate.at),
        "replay": fate.replay or None,
        "attemptsMade": fate.made,
        "nextAttemptAt": _at(fate.next_at),
        "deadLetter": fate.letter or None,
        "attempts": [
            {
                "number": one.number,
                "sink": "deadLetterSink" if one.kind == DEAD_LETTER else "subscriber",
                "at": _at(one.at),
                "status": one.status,
                "seconds": None if one.seconds is None else round(one.seconds, 6),
                "delivered": one.is_success,
                "why": one.why,
                "nextAt": _at(one.next_at),
            }
            for one in fate.attempts
        ],
    }


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else spoken_at(moment)
