"""The built-in functions (CESQL 1.0, 3.5), one row a function. Arguments arrive cast to the types of the row.

INT, BOOL and STRING are used by the specification's prose and tested by its kit, though its tables leave them out.
Characters are Unicode code points, not bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from scaup.core.filters.cesql.values import (
    INT_MAX,
    INT_MIN,
    FailFastError,
    ResultType,
    Value,
    to_boolean,
    to_integer,
    to_string,
)

MAX_RESULT: Final = 1 << 20
"""Characters of a function's result. More is an error: filters are evaluated for every event, by one thread."""

# The property White_Space of Unicode. str.strip() also takes U+001C to U+001F, which TRIM has to leave (3.5.1).
_WHITE_SPACE: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


class Function(NamedTuple):
    """One overload: the types of its arguments, of its result, and of any further arguments where it takes them."""

    run: Callable[..., Value]
    parameters: tuple[ResultType, ...]
    result: ResultType
    rest: ResultType | None = None

    def takes(self, count: int) -> bool:
        """Whether it can be called with this many arguments."""
        return count == len(self.parameters) or (self.rest is not None and count > len(self.parameters))


def resolve(name: str, count: int) -> Function | None:
    """The function of that upper-case name for so many arguments."""
    return next((function for function in FUNCTIONS.get(name, ()) if function.takes(count)), None)


def takes(name: str) -> str:
    """How many arguments a known function wants, in words."""
    counts = [f"{len(f.parameters)}{' or more' if f.rest else ''}" for f in FUNCTIONS[name]]
    return f"{' or '.join(counts)} argument{'' if counts == ['1'] else 's'}"


def _bounded(text: str) -> str:
    if len(text) > MAX_RESULT:
        raise FailFastError("functionEvaluation", f"the result is longer than {MAX_RESULT} characters")
    return text


def _concat(*texts: str) -> str:
    return _join("", *texts)


def _join(delimiter: str, *texts: str) -> str:
    # Counted before anything is built.
    if sum(map(len, texts)) + len(delimiter) * max(len(texts) - 1, 0) > MAX_RESULT:
        raise FailFastError("functionEvaluation", f"the result is longer than {MAX_RESULT} characters")
    return delimiter.join(texts)


def _lower(text: str) -> str:
    return _bounded(text.lower())


def _upper(text: str) -> str:
    return _bounded(text.upper())


def _trim(text: str) -> str:
    return text.strip(_WHITE_SPACE)


def _left(text: str, count: int) -> str:
    if count < 0:
        raise FailFastError("functionEvaluation", f"LEFT is asked for {count} characters", text)
    return text[:count]


def _right(text: str, count: int) -> str:
    if count < 0:
        raise FailFastError("functionEvaluation", f"RIGHT is asked for {count} characters", text)
    return text[max(len(text) - count, 0) :]


def _substring(text: str, position: int, length: int = INT_MAX) -> str:
    if abs(position) > len(text):
        raise FailFastError("functionEvaluation", f"SUBSTRING begins at {position}, outside of {len(text)} characters")
    if length < 0:
        raise FailFastError("functionEvaluation", f"SUBSTRING is asked for {length} characters")
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    return text[start : start + length]


def _absolute(number: int) -> int:
    if number == INT_MIN:
        raise FailFastError("math", f"the absolute value of {number} is no 32-bit integer", INT_MAX)
    return abs(number)


FUNCTIONS: Final[Mapping[str, tuple[Function, ...]]] = {
    "LENGTH": (Function(len, ("str",), "int"),),
    "CONCAT": (Function(_concat, (), "str", rest="str"),),
    "CONCAT_WS": (Function(_join, ("str",), "str", rest="str"),),
    "LOWER": (Function(_lower, ("str",), "str"),),
    "UPPER": (Function(_upper, ("str",), "str"),),
    "TRIM": (Function(_trim, ("str",), "str"),),
    "LEFT": (Function(_left, ("str", "int"), "str"),),
    "RIGHT": (Function(_right, ("str", "int"), "str"),),
    "SUBSTRING": (
        Function(_substring, ("str", "int"), "str"),
        Function(_substring, ("str", "int", "int"), "str"),
    ),
    "ABS": (Function(_absolute, ("int",), "int"),),
    "INT": (Function(to_integer, ("any",), "int"),),
    "BOOL": (Function(to_boolean, ("any",), "bool"),),
    "STRING": (Function(to_string, ("any",), "str"),),
}
