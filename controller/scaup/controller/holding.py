"""Checks the annotations by which a Trigger is paused or limited. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from scaup.controller.api import shown
from scaup.core.model.definitions import MAX_IN_FLIGHT_ANNOTATION, PAUSED_ANNOTATION, RATE_ANNOTATION
from scaup.core.model.errors import DefinitionError

_MOST_IN_FLIGHT: Final = 10_000
_LEAST_RATE, _MOST_RATE = 0.001, 1_000_000.0
_NUMBER = re.compile(r"\d{1,7}(\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether a Trigger gets anything now, and at most how much: attempts at a time, and events a second."""

    paused: bool = False
    max_in_flight: int | None = None
    rate: float | None = None


def check_holding(annotations: dict[str, Any]) -> Holding:
    """What a Trigger's annotations ask for; raises DefinitionError naming the one that is wrong."""
    return Holding(
        _paused(annotations.get(PAUSED_ANNOTATION)),
        _max_in_flight(annotations.get(MAX_IN_FLIGHT_ANNOTATION)),
        _rate(annotations.get(RATE_ANNOTATION)),
    )


def _wrong(name: str, expected: str, found: Any) -> DefinitionError:
    return DefinitionError(f"metadata.annotations[{name}]", f"expected {expected}, found {shown(found)}")


def _paused(text: Any) -> bool:
    if text not in {None, "true", "false"}:
        raise _wrong(PAUSED_ANNOTATION, "'true' or 'false'", text)
    return bool(text == "true")


def _max_in_flight(text: Any) -> int | None:
    if text is None:
        return None
    number = int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= number <= _MOST_IN_FLIGHT:
        raise _wrong(MAX_IN_FLIGHT_ANNOTATION, f"a number of attempts at a time, from 1 to {_MOST_IN_FLIGHT:,}", text)
    return number


def _rate(text: Any) -> float | None:
    if text is None:
        return None
    number = float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else 0.0
    if not _LEAST_RATE <= number <= _MOST_RATE:
        raise _wrong(
            RATE_ANNOTATION, f"events a second, such as 100 or 0.5, from {_LEAST_RATE} to {_MOST_RATE:,.0f}", text
        )
    return number
