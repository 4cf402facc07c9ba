"""The last words of a child, from its log, as lines for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from scaup.cli.lines import clean

_BYTES: Final = 16 << 10
_LINES: Final = 4
_WIDTH: Final = 240
_SAID_ELSEWHERE: Final = frozenset({"event", "level", "timestamp", "service", "trace"})


def last_lines(log: Path, since: int = 0, count: int = _LINES) -> list[str]:
    """The last ``count`` lines written after byte ``since``; JSON lines are put into words."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(since, size - _BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.strip()]
    return [clean(_in_words(line), _WIDTH) for line in lines[-count:]]


def _in_words(line: str) -> str:
    if not line.startswith("{"):
        return line.rstrip().replace("\t", " ")
    try:
        said: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    rest = " ".join(f"{name}={value}" for name, value in said.items() if name not in _SAID_ELSEWHERE and value != "")
    return f"{said.get('event', '')} {rest}".strip()
