"""One event as one line for a person: time, sink, type, source, id, data shortened. Pure but for the clock given.

What comes from outside is never printed raw: control characters would reach the terminal.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from scaup.core.model.event import Event

_DATA: Final = 80
_ATTRIBUTE: Final = 60


def event_line(event: Event, sink: str, now: datetime) -> str:
    """``12:00:01  everything  com.example.hello  /me  #1  {"hello":"world"}``."""
    parts = [
        now.strftime("%H:%M:%S"),
        clean(sink, _ATTRIBUTE),
        clean(event.type, _ATTRIBUTE),
        clean(event.source, _ATTRIBUTE),
        "#" + clean(event.id, _ATTRIBUTE),
    ]
    if event.data:
        parts.append(data_text(event.data))
    return "  ".join(parts)


def data_text(data: bytes, width: int = _DATA) -> str:
    """Data as far as it can be shown: text shortened, anything else as its size."""
    start = data[: width * 4]
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut at the end is no sign of binary data.
        if len(data) == len(start) or error.start < len(start) - 4:
            return f"({len(data)} bytes)"
        text = start[: error.start].decode("utf-8")
    return clean(" ".join(text.split()), width, longer=len(data) > len(start))


def clean(text: str, width: int, *, longer: bool = False) -> str:
    """``text`` in at most ``width`` characters, without any that would control the terminal."""
    shown = "".join(character if character.isprintable() else "�" for character in text[: width + 1])
    return shown[: width - 1] + "…" if longer or len(shown) > width else shown
