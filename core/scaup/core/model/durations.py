"""ISO 8601 durations, as ``spec.delivery`` and our annotations write them. Exact and strict."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

_NUMBER = r"([0-9]+(?:[.,][0-9]+)?)"
_DURATION = re.compile(
    rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:(T)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_DAY = 86_400
_YEAR = Fraction("365.2425") * _DAY
_DATE_UNITS = (_YEAR, _YEAR / 12, Fraction(7 * _DAY), Fraction(_DAY))
_TIME_UNITS = (Fraction(3600), Fraction(60), Fraction(1))

EXPECTED = "an ISO 8601 duration such as PT0.2S, PT30S, PT5M or P1D"


def parse_duration(text: str) -> float:
    """Seconds of an ISO 8601 duration; ValueError with a sentence where it is none.

    A day has 24 hours, a year 365.2425 days, a month a twelfth of it. Fractions are kept whole, with ``.`` or ``,``.
    """
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found or not any(found.groups()) or text.endswith("T"):
        msg = f"{text!r} is not {EXPECTED}"
        raise ValueError(msg)
    date, time = found.groups()[:4], found.groups()[5:]
    total = Fraction(0)
    for amount, unit in zip((*date, *time), (*_DATE_UNITS, *_TIME_UNITS), strict=True):
        if amount:
            total += Fraction(amount.replace(",", ".")) * unit
    try:
        return float(total)
    except OverflowError:
        msg = f"a duration of {len(text)} characters is too long"
        raise ValueError(msg) from None


def format_duration(seconds: float) -> str:
    """The shortest usual ISO 8601 text for a number of seconds: ``PT0.2S``, ``PT30S``, ``PT24H``."""
    if seconds and seconds % 3600 == 0:
        return f"PT{int(seconds // 3600)}H"
    if seconds and seconds % 60 == 0:
        return f"PT{int(seconds // 60)}M"
    text = f"{Decimal(repr(float(seconds))):f}"  # never 1e-07, which is no ISO 8601
    return f"PT{text.removesuffix('.0')}S"
