"""cel-python's interpreter, watched: what it says of an expression, and whether it met what it is known to get wrong.

``FAULTS`` tells its known faults by the function and what that is given, so that a test can excuse exactly these. It is
never mended: what it says is what it says. (Its compiled runner is not used: it fails where an attribute is absent.)
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from celpy import celtypes
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError, base_functions

from scaup.core.filters.subject import ABSENT, Subject
from tests.support.cel import environment, plain

_NUMBERS = ("int", "double")


def asked(text: str, subject: Subject) -> tuple[str, set[str]]:
    """What an expression is worth as JSON, or "error"; and the known faults that were met on the way."""
    met: set[str] = set()
    functions = {name: _watched(name, met) for name in FAULTS if name in base_functions} | {"dyn": lambda value: value}
    made = environment()
    try:
        activation = {"ce": json_to_cel(dict(subject.attributes))}
        if (data := subject.json()) is not ABSENT:
            activation["data"] = json_to_cel(data)
        value = made.program(made.compile(text), functions=functions).evaluate(activation)
        return json.dumps(plain(value), sort_keys=True), met
    except CELEvalError:
        return "error", met
    except (ArithmeticError, TypeError, ValueError, LookupError):
        return "error", met | {"breaks off"}  # Python's own error, which no || or ?: around it can absorb


def _kind(value: Any) -> str:
    kinds = {celtypes.BoolType: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "null")


def _comparable(one: Any, other: Any) -> bool:
    """Whether cel-python can say if two values are equal: of one kind all the way down."""
    kind = _kind(one)
    if kind != _kind(other):
        return False
    if kind == "list":
        return all(_comparable(left, right) for left in one for right in other)
    if kind == "map":
        return all(_comparable(left, right) for left in one.values() for right in other.values())
    return True


def _of_two_kinds(one: Any, other: Any) -> bool:
    return _kind(one) != _kind(other)


def _divides_by_nothing(one: Any, other: Any) -> bool:
    return _of_two_kinds(one, other) or (_kind(one) == "double" and not float(other))


def _no_place(index: Any) -> bool:
    return _kind(index) != "int" or index < 0


def _not_in(value: Any, among: Any) -> bool:
    if _kind(among) not in {"list", "map"} or (_kind(among) == "map" and _kind(value) != "string"):
        return True
    return not all(_comparable(value, one) for one in among)


FAULTS: dict[str, Callable[..., bool]] = {
    "_==_": lambda one, other: not _comparable(one, other),
    "_!=_": lambda one, other: not _comparable(one, other),
    "_in_": _not_in,
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _of_two_kinds),
    **dict.fromkeys(("_+_", "_-_", "_*_", "_%_"), lambda one, other: _of_two_kinds(one, other) or _kind(one) == "bool"),
    "_/_": _divides_by_nothing,
    "-_": lambda value: _kind(value) not in _NUMBERS,
    **dict.fromkeys(("_&&_", "_||_"), lambda one, other: {_kind(one), _kind(other)} != {"bool"}),
    "!_": lambda value: _kind(value) != "bool",
    "_[_]": lambda value, index: _kind(value) != "map" and (_kind(value) != "list" or _no_place(index)),
    "string": lambda value: _kind(value) not in {"int", "string"},
    "bool": lambda value: _kind(value) != "bool",
    **dict.fromkeys(("int", "double"), lambda value: _kind(value) not in {*_NUMBERS, "string"}),
    "contains": lambda value, _part: not isinstance(value, celtypes.StringType),
    "size": lambda value: _kind(value) not in {"string", "list", "map"},
}
"""By function: whether cel-python is known to be wrong about these arguments."""


def _watched(name: str, met: set[str]) -> Callable[..., Any]:
    function: Any = base_functions[name]

    @functools.wraps(function)
    def watched(*arguments: Any) -> Any:
        if not any(isinstance(argument, CELEvalError) for argument in arguments) and FAULTS[name](*arguments):
            met.add(name)
        return function(*arguments)

    return watched
