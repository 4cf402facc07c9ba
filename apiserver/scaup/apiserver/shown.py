"""Values as Kubernetes writes them: in messages text in quotes, everything else as JSON. Pure."""

from __future__ import annotations

from typing import Any, Final

import orjson

_IN_PAGES: Final = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def shown(value: Any) -> str:
    """``"text"``, ``3``, ``{"a":1}``."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        value = int(value) if abs(value) < 1 << 53 else value
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        value = float(value)
    if isinstance(value, float) and abs(value) >= 1e16:
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa}e{exponent}" if exponent else repr(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def as_go(value: Any, *, is_sorted: bool = False) -> str:
    """A value as Go's JSON package writes it: what could be HTML is escaped."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if is_sorted else 0).decode().translate(_IN_PAGES)
