"""Times as a trace says them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def spoken_at(moment: datetime) -> str:
    """A moment for people and programs: RFC 3339 in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spoken_s(seconds: float) -> str:
    """A duration for people."""
    if seconds >= 1:
        return f"{seconds:,.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def spoken_span(seconds: float) -> str:
    """A span of time, roughly."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
