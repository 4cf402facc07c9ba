"""The part of a Broker's history that a replay is about: times as a person gives them, as sequences of the log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from scaup.cli.problems import UsageError
from scaup.core.bus import ranges
from scaup.core.bus.connection import Bus
from scaup.core.bus.ranges import History
from scaup.core.model.durations import parse_duration
from scaup.core.model.names import BrokerUid

EXPECTED: Final = "a time such as 2026-05-04T10:00:00Z, or how long ago, such as 90s, 30m, 2h, 1d or PT2H"
_AGO = re.compile(r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


@dataclass(frozen=True, slots=True)
class Span:
    """From the sequence ``first`` to ``upto``, both included. ``note`` says what of what was asked is not kept."""

    first: int
    upto: int
    note: str = ""


def moment(option: str, text: str, now: datetime) -> datetime:
    """The moment that a text means; UsageError where it means none."""
    try:
        if found := _AGO.fullmatch(text):
            days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
            return now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if text.startswith("P"):
            return now - timedelta(seconds=parse_duration(text))
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        at = None
    if at is None or at.tzinfo is None:
        msg = f"{option} {text!a}: expected {EXPECTED}"
        raise UsageError(msg)
    return at


async def span(bus: Bus, broker: BrokerUid, since: str | None, until: str | None) -> Span:
    """What is kept of the log ``since`` (None: of all of it) and before ``until`` (None: now). Raises BusError."""
    history = await ranges.history(bus, broker)
    start = moment("--since", since, history.now) if since is not None else None
    end = moment("--until", until, history.now) if until is not None else None
    if start is not None and end is not None and end <= start:
        msg = f"--until {until} is not after --since {since}"
        raise UsageError(msg)
    first = history.first
    if start is not None and not history.is_empty:
        found = await ranges.first_since(bus, broker, start)
        first = history.last + 1 if found is None else max(found, first)
    upto = history.last
    if end is not None and not history.is_empty:
        found = await ranges.first_since(bus, broker, end)
        upto = history.last if found is None else min(found - 1, upto)
    return Span(first, upto, _note(history, start))


def _note(history: History, start: datetime | None) -> str:
    """Where the history begins later than asked; nothing was trimmed from one that begins with the first event."""
    if history.first <= 1:
        return ""
    if history.is_empty:
        return "the history is empty: older events are no longer kept"
    if start is not None and start >= history.first_at:
        return ""
    return f"history begins at {history.first_at.isoformat(timespec='seconds')}: older events are no longer kept"
