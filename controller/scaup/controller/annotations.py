"""Checks our annotations: those by which a Broker's storage is set, and the start of a Trigger. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from scaup.controller.api import shown
from scaup.core.model.definitions import DEFAULT_HISTORY_MAX_AGE_S, DEFAULT_LOG_MAX_BYTES, MIB
from scaup.core.model.durations import EXPECTED, parse_duration
from scaup.core.model.errors import DefinitionError

LOG_MAX_BYTES: Final = "scaup.dev/log-max-bytes"
HISTORY_MAX_AGE: Final = "scaup.dev/history-max-age"
REPLICAS: Final = "scaup.dev/replicas"
START: Final = "scaup.dev/start"

_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)([kMGTPE]|[KMGTPE]i)?")
_FACTORS: Final = {"": 1, "k": 1000} | {
    letter + suffix: base**power
    for power, letter in enumerate("KMGTPE", 1)
    for suffix, base in (("i", 1024), ("", 1000))
    if letter + suffix != "K"
}
_MAX_BYTES: Final = 2**62  # JetStream's limits are int64

_LONGEST_S: Final = 36_525 * 86_400.0


@dataclass(frozen=True, slots=True)
class Storage:
    """How much a Broker keeps, for how long (seconds), and on how many servers."""

    log_max_bytes: int = DEFAULT_LOG_MAX_BYTES
    history_max_age_s: float = DEFAULT_HISTORY_MAX_AGE_S
    replicas: int = 1


def check_storage(annotations: dict[str, Any]) -> Storage:
    """The storage that a Broker's annotations ask for; raises DefinitionError naming the one that is wrong."""
    return Storage(
        _bytes(annotations.get(LOG_MAX_BYTES)),
        _age(annotations.get(HISTORY_MAX_AGE)),
        _replicas(annotations.get(REPLICAS)),
    )


def check_start(annotations: dict[str, Any]) -> str | None:
    """The history that a Trigger asks for: ``all``, that since a time, or None; DefinitionError where it is no such."""
    text = annotations.get(START)
    if text in {None, "new", "all"}:
        return "all" if text == "all" else None
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        expected = "expected new, all, or a time such as 2026-05-04T10:00:00Z"
        raise DefinitionError(_path(START), f"{expected}, found {shown(text)}")
    return str(text)


def parse_quantity(text: str) -> int:
    """The number that a Kubernetes quantity means, such as ``1Gi``, ``500M`` or ``1048576``; else ValueError."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        msg = f"{text!r} is not a quantity"
        raise ValueError(msg)
    return int(Decimal(found[1]) * _FACTORS[found[2] or ""])


def _path(name: str) -> str:
    return f"metadata.annotations[{name}]"


def _bytes(text: Any) -> int:
    if text is None:
        return DEFAULT_LOG_MAX_BYTES
    try:
        size = parse_quantity(text if isinstance(text, str) else "")
    except ValueError:
        size = 0
    if not MIB <= size <= _MAX_BYTES:
        expected = "expected a number of bytes such as 1Gi or 10Mi, not below 1Mi"
        raise DefinitionError(_path(LOG_MAX_BYTES), f"{expected}, found {shown(text)}")
    return size


def _age(text: Any) -> float:
    if text is None:
        return DEFAULT_HISTORY_MAX_AGE_S
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = _LONGEST_S + 1
    if seconds > _LONGEST_S:
        raise DefinitionError(_path(HISTORY_MAX_AGE), f"expected {EXPECTED}, at most P100Y, found {shown(text)}")
    return seconds


def _replicas(text: Any) -> int:
    if text is None:
        return 1
    if text not in {"1", "3", "5"}:
        raise DefinitionError(_path(REPLICAS), f"expected 1, 3 or 5, found {shown(text)}")
    return int(text)
