"""CESQL's values and the casts between them (CESQL 1.0, 3.1 and 3.7), one function a target type.

Knows no syntax. Integers are signed and of 32 bits; ``True`` is never taken for 1, although Python calls them equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from scaup.core.filters.subject import EvaluationError

Value = bool | int | str
ResultType = Literal["bool", "int", "str", "any"]
"""``any`` where nothing is known before the evaluation: what an unknown function would return."""

INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1

ZERO: Final[Mapping[ResultType, Value]] = {"bool": False, "int": 0, "str": "", "any": False}
"""What an expression of each type is worth when it fails; Boolean where the type is unknown (3.2)."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DIGITS: Final = 10
"""Of the largest integer, leading zeros aside. More are never given to ``int``, which takes ever longer."""

UNSET: Final = object()


class FailFastError(EvaluationError):
    """An evaluation that ends. Its value is the zero value of the whole expression, unless the root sets another."""

    def __init__(self, kind: str, message: str, value: Any = UNSET) -> None:
        super().__init__(kind, message, value)


class MissingAttributeError(FailFastError):
    """The commonest failure by far, once for every event without some extension: its message is made when asked for."""

    def __init__(self, name: str) -> None:
        self.kind = "missingAttribute"
        self.value = UNSET
        self.name = name

    def __str__(self) -> str:
        return f"the event has no attribute {self.name!r}"


def integer_of(text: str) -> int | None:
    """The 32-bit integer that ``text`` is as a whole, sign allowed; None where it is none."""
    if _INTEGER.fullmatch(text) is None:
        return None
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > _DIGITS:
        return None
    number = -int(digits) if text[0] == "-" else int(digits)
    return number if INT_MIN <= number <= INT_MAX else None


def to_string(value: Value) -> str:
    """Every value has a text: ``true``, ``false``, decimals. Never fails."""
    if value.__class__ is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def to_integer(value: Value) -> int:
    """Booleans are 1 and 0; text has to be an integer as a whole."""
    if value.__class__ is int:
        return value
    if isinstance(value, str):
        number = integer_of(value)
        if number is None:
            raise FailFastError("cast", f"{shown(value)} is no 32-bit integer")
        return number
    return 1 if value else 0


def to_boolean(value: Value) -> bool:
    """Integers other than 0 are true; text has to be ``true`` or ``false``, in any case."""
    if value.__class__ is bool:
        return value
    if isinstance(value, str):
        lowered = value.lower() if len(value) <= 5 else ""
        if lowered == "true":
            return True
        if lowered == "false":
            return False
        raise FailFastError("cast", f"{shown(value)} is neither true nor false")
    return value != 0


CASTS: Final[Mapping[ResultType, Callable[[Any], Any]]] = {"bool": to_boolean, "int": to_integer, "str": to_string}


def type_of(value: Value) -> ResultType:
    """The type of a value at hand."""
    if isinstance(value, bool):
        return "bool"
    return "int" if isinstance(value, int) else "str"


def within_32_bits(number: int) -> int:
    """``number``, or a math error: the text leaves overflow open, and a filter must not match by wrapping around."""
    if INT_MIN <= number <= INT_MAX:
        return number
    raise FailFastError("math", "the result is no 32-bit integer")


def shown(text: str) -> str:
    """A text as messages show it: quoted, and not longer than a person reads."""
    return repr(str(text) if len(text) <= 40 else f"{text[:40]}…")
