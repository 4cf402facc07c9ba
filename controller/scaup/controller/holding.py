"""Checks the annotations by which a Trigger is paused, limited or ordered. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from scaup.controller.annotations import mistake
from scaup.core.model.annotations import MAX_IN_FLIGHT, ORDER, PAUSED, RATE

_MOST_IN_FLIGHT: Final = 10_000
_LEAST_RATE, _MOST_RATE = 0.001, 1_000_000.0
_NUMBER = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")
_WHOLE = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether a Trigger gets anything now, how much at most (attempts at a time, events a second), and if in order."""

    paused: bool = False
    max_in_flight: int | None = None
    rate: float | None = None
    ordered: bool = False


def check_holding(annotations: dict[str, Any]) -> Holding:
    """What a Trigger's annotations ask for; raises DefinitionError naming the one that is wrong."""
    return Holding(
        _paused(annotations.get(PAUSED.name)),
        _max_in_flight(annotations.get(MAX_IN_FLIGHT.name)),
        _rate(annotations.get(RATE.name)),
        _ordered(annotations.get(ORDER.name)),
    )


def _paused(text: Any) -> bool:
    if text not in {None, "true", "false"}:
        raise mistake(PAUSED, text)
    return bool(text == "true")


def _ordered(text: Any) -> bool:
    if text not in {None, "ordered", "unordered"}:
        raise mistake(ORDER, text)
    return bool(text == "ordered")


def _max_in_flight(text: Any) -> int | None:
    if text is None:
        return None
    number = int(text) if isinstance(text, str) and _WHOLE.fullmatch(text) else 0
    if not 1 <= number <= _MOST_IN_FLIGHT:
        raise mistake(MAX_IN_FLIGHT, text)
    return number


def _rate(text: Any) -> float | None:
    if text is None:
        return None
    number = float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else 0.0
    if not _LEAST_RATE <= number <= _MOST_RATE:
        raise mistake(RATE, text)
    return number
