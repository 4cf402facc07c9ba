"""What is seen, as lines: for a person one each, for a program a JSON object each. Pure.

What comes from outside is never printed raw: control characters would reach the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from scaup.cli.lines import clean, data_text
from scaup.cli.tail.ends import Ending
from scaup.cli.trace.words import spoken_at
from scaup.core.codec import jsonformat
from scaup.core.model.event import Event

_WIDTH: Final = 60
_WHY: Final = 300
_NAMED: Final = 10
_TIME: Final = len("12:00:00.000Z")


@dataclass(frozen=True, slots=True)
class Seen:
    """An event of the log. ``fired`` are the names of the Triggers that want it; None where that was not asked.

    ``unknown`` is why it is not known who wants it; ``reply_of`` the Trigger whose sink replied with it.
    """

    position: int
    accepted: datetime
    event: Event
    fired: tuple[str, ...] | None = None
    unknown: str = ""
    reply_of: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the delivery of an event that was seen ended, for the Trigger of that name."""

    trigger: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class LeftOut:
    """So many were not shown."""

    number: int
    what: str
    why: str


Line = Seen | Ended | LeftOut


def as_text(line: Line) -> str:
    """For a person."""
    match line:
        case Seen():
            return _seen(line)
        case Ended(trigger, ending):
            at = " " * _TIME if ending.at is None else _time(ending.at)
            said = f"{clean(trigger, _WIDTH)} {ending.state.word}: {clean(ending.why, _WHY)}"
            return f"{at}    └ #{clean(ending.event_id, _WIDTH)}  {said}"
        case LeftOut(number, what, why):
            return f"… {number:,} {what} left out: {why}"


def _seen(line: Seen) -> str:
    attributes = line.event.attributes
    kind, source, event_id = (clean(attributes.get(name, ""), _WIDTH) for name in ("type", "source", "id"))
    parts = [_time(line.accepted), kind, source, f"#{event_id}"]
    if line.event.data:
        parts.append(data_text(line.event.data))
    if line.reply_of:
        parts.append(f"(a reply of {clean(line.reply_of, _WIDTH)})")
    if line.unknown:
        parts.append(f"→ not known ({clean(line.unknown, _WHY)})")
    elif line.fired is not None:
        parts.append(f"→ {_names(line.fired)}")
    return "  ".join(parts)


def _names(fired: tuple[str, ...]) -> str:
    if not fired:
        return "nobody"
    more = f" and {len(fired) - _NAMED:,} more" if len(fired) > _NAMED else ""
    return ", ".join(clean(name, _WIDTH) for name in fired[:_NAMED]) + more


def _time(moment: datetime) -> str:
    return spoken_at(moment)[11:]


def as_json(line: Line) -> str:
    """For a program: one object in a line, which says its ``kind``."""
    return orjson.dumps(_object(line)).decode()


def _in_a_line(text: bytes) -> bytes:
    """JSON without line breaks: data are as they were sent, and there they stand between its parts only."""
    return text.replace(b"\n", b" ").replace(b"\r", b" ")


def _object(line: Line) -> dict[str, Any]:
    match line:
        case Seen():
            return {
                "kind": "Event",
                "position": line.position,
                "acceptedAt": spoken_at(line.accepted),
                "event": orjson.Fragment(_in_a_line(jsonformat.encode(line.event))),
                "replyOf": line.reply_of or None,
                "fired": None if line.fired is None or line.unknown else list(line.fired),
                "notKnown": line.unknown or None,
            }
        case Ended(trigger, ending):
            return {
                "kind": "End",
                "position": ending.position,
                "id": ending.event_id,
                "trigger": trigger,
                "state": ending.state.value[0],
                "at": None if ending.at is None else spoken_at(ending.at),
                "attemptsMade": ending.attempts,
                "why": ending.why,
            }
        case LeftOut(number, what, why):
            return {"kind": "LeftOut", "number": number, "what": what, "why": why}
