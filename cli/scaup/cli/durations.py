"""Spans of time as a person gives them: ``90s``, ``5m``, ``1h30m``, ``PT2H``. Pure."""

from __future__ import annotations

import re

from scaup.cli.problems import UsageError
from scaup.core.model.durations import parse_duration

_UNITS = (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0))
_SPAN = re.compile("(?=.)" + "".join(rf"(?:([0-9]{{1,6}}(?:\.[0-9]{{1,6}})?){unit})?" for unit, _ in _UNITS))


def seconds(option: str, text: str) -> float:
    """The seconds that a text means; UsageError where it means none, or nothing at all."""
    total = 0.0
    if found := _SPAN.fullmatch(text):
        total = sum(float(number or 0) * size for number, (_, size) in zip(found.groups(), _UNITS, strict=True))
    elif text.startswith("P"):
        try:
            total = parse_duration(text)
        except ValueError:
            total = 0.0
    if total <= 0:
        msg = f"{option} {text!a}: expected a time such as 90s, 5m, 1h30m or PT2H"
        raise UsageError(msg)
    return total
