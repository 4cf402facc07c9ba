"""Checks our annotations: a Broker's storage and a Trigger's start; notes those that mean nothing. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from scaup.controller.api import shown
from scaup.controller.conditions import Condition, note
from scaup.core.model import annotations as known
from scaup.core.model.annotations import Annotation
from scaup.core.model.definitions import DEFAULT_HISTORY_MAX_AGE_S, DEFAULT_LOG_MAX_BYTES, MIB
from scaup.core.model.durations import parse_duration
from scaup.core.model.errors import DefinitionError

LOG_MAX_BYTES: Final = known.LOG_MAX_BYTES.name
HISTORY_MAX_AGE: Final = known.HISTORY_MAX_AGE.name
REPLICAS: Final = known.REPLICAS.name
DEDUPE_WINDOW: Final = known.DEDUPE_WINDOW.name

_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)([kMGTPE]|[KMGTPE]i)?")
_FACTORS: Final = {"": 1, "k": 1000} | {
    letter + suffix: base**power
    for power, letter in enumerate("KMGTPE", 1)
    for suffix, base in (("i", 1024), ("", 1000))
    if letter + suffix != "K"
}
_MAX_BYTES: Final = 2**62  # JetStream's limits are int64

_LONGEST_S: Final = 36_525 * 86_400.0
_SHORTEST_WINDOW_S: Final = 1.0
_LONGEST_WINDOW_S: Final = 86_400.0
"""JetStream keeps the ids of the window in memory (measured: 200 MiB a million), and reads them anew when it starts."""


@dataclass(frozen=True, slots=True)
class Storage:
    """How much a Broker keeps, for how long (seconds), and on how many servers."""

    log_max_bytes: int = DEFAULT_LOG_MAX_BYTES
    history_max_age_s: float = DEFAULT_HISTORY_MAX_AGE_S
    replicas: int = 1
    dedupe_window_s: float = 0.0


def check_storage(annotations: dict[str, Any], replicas: int = 1) -> Storage:
    """The storage that a Broker's annotations ask for; raises DefinitionError naming the one that is wrong.

    ``replicas`` is for a Broker that does not say on how many servers it is kept.
    """
    window = _window(annotations.get(DEDUPE_WINDOW))
    return Storage(
        _bytes(annotations.get(LOG_MAX_BYTES)),
        # When NATS starts anew it knows again what the log still holds, and nothing else.
        max(_age(annotations.get(HISTORY_MAX_AGE)), window),
        _replicas(annotations.get(REPLICAS), replicas),
        window,
    )


def check_names(kind: str, annotations: dict[str, Any]) -> Condition | None:
    """A note on annotations with our prefix that nobody reads; None where there are none. It makes nothing not Ready.

    A mistyped name is no reason to stop what works, and a newer version may know it; but it is to be seen.
    """
    sentences = known.strange(kind, annotations)
    return note("AnnotationsKnown", "UnknownAnnotation", "; ".join(sentences)) if sentences else None


def check_start(annotations: dict[str, Any]) -> str | None:
    """The history that a Trigger asks for: ``all``, that since a time, or None; DefinitionError where it is no such."""
    text = annotations.get(known.START.name)
    if text in {None, "new", "all"}:
        return "all" if text == "all" else None
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise mistake(known.START, text)
    return str(text)


def parse_quantity(text: str) -> int:
    """The number that a Kubernetes quantity means, such as ``1Gi``, ``500M`` or ``1048576``; else ValueError."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        msg = f"{text!r} is not a quantity"
        raise ValueError(msg)
    return int(Decimal(found[1]) * _FACTORS[found[2] or ""])


def mistake(annotation: Annotation, text: Any) -> DefinitionError:
    """What is said of a value that is not what was expected."""
    return DefinitionError(annotation.path, f"expected {annotation.expected}, found {shown(text)}")


def _bytes(text: Any) -> int:
    if text is None:
        return DEFAULT_LOG_MAX_BYTES
    try:
        size = parse_quantity(text if isinstance(text, str) else "")
    except ValueError:
        size = 0
    if not MIB <= size <= _MAX_BYTES:
        raise mistake(known.LOG_MAX_BYTES, text)
    return size


def _age(text: Any) -> float:
    if text is None:
        return DEFAULT_HISTORY_MAX_AGE_S
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = _LONGEST_S + 1
    if seconds > _LONGEST_S:
        raise mistake(known.HISTORY_MAX_AGE, text)
    return seconds


def _window(text: Any) -> float:
    if text is None:
        return 0.0
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_WINDOW_S <= seconds <= _LONGEST_WINDOW_S:
        raise mistake(known.DEDUPE_WINDOW, text)
    return seconds


def _replicas(text: Any, default: int) -> int:
    if text is None:
        return default
    if text not in {"1", "3", "5"}:
        raise mistake(known.REPLICAS, text)
    return int(text)
