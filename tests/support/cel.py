"""CEL expressions by chance, and cel-python's opinion of them."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from scaup.core.filters.cel import compile_cel
from scaup.core.filters.guards import Atom
from scaup.core.filters.subject import ABSENT, EvaluationError, Subject

Choose = Callable[[list[Any]], Any]
Table = dict[str, list[str]]

_SLOT = re.compile(r"<(\w+)(?:/(\w+))?>")
_BARE = re.compile(r"[\w.]+|'[^']*'|\w+\[[^\[\]]*\]|\[[^\[\]]*\]")
_LEAVES: Table = {
    "bool": ["true", "false", "has(ce.x)", "has(data.n)", "data.b"],
    "int": ["0", "1", "-1", "2", "3", "9223372036854775807", "data.n", "data.o.n", "size(ce.type)"],
    "double": ["0.5", "-1.5", "2.0", "1e3", "data.d"],
    "string": ["'a'", "''", "'ab'", "'5'", "'é'", "ce.type", "ce.x", 'ce["n"]', "data.s"],
    "ints": ["[1, 2, 3]", "[0]", "data.l"],
    "strings": ["['a', 'ab']", "[ce.type, 'b']"],
}
_WHOLES: Table = {
    "bool": [
        *("<bool> && <bool>", "<bool> || <bool>", "!<bool>", "<bool> ? <bool> : <bool>"),
        *("<int> < <int>", "<int> <= <int>", "<int> > <int>", "<int> >= <int>", "<int> == <int>", "<int> != <int>"),
        *("<double> < <double>", "<double> >= <double>", "<double> == <double>"),
        *("<string> < <string>", "<string> <= <string>", "<string> == <string>", "<string> != <string>"),
        *("<int> in <ints>", "<string> in <strings>", "<string> in ce", "<string> in data", "<ints> == <ints>"),
        *("<string>.startsWith(<string>)", "<string>.endsWith(<string>)", "ce.type.contains(<string>)"),
        *("<string>.matches('a.')", "<string>.matches('^[a-z]+$')", "<string>.matches('')"),
        *("<ints>.all(V, <bool/int>)", "<ints>.exists(V, <bool/int>)", "<ints>.exists_one(V, <bool/int>)"),
        *("<strings>.all(V, <bool/string>)", "<strings>.exists(V, <bool/string>)"),
    ],
    "int": [
        *("<int> + <int>", "<int> - <int>", "<int> * <int>", "<int> / <int>", "<int> % <int>", "-<int>"),
        *("int(<string>)", "int(<int>)", "size(<string>)", "size(<ints>)", "<string>.size()"),
        *("<bool> ? <int> : <int>", "<ints>[0]", "<ints>[2]"),
    ],
    "double": ["<double> + <double>", "<double> - <double>", "<double> * 2.0", "<double> / 4.0", "double(<int>)"],
    "string": ["<string> + <string>", "string(<int>)", "string(<string>)", "<bool> ? <string> : <string>"],
    "ints": [
        *("[<int>, <int>]", "<ints> + <ints>", "<ints>.map(V, <int/int>)", "<ints>.filter(V, <bool/int>)"),
    ],
    "strings": ["[<string>, <string>]", "<strings> + <strings>", "<ints>.map(V, <string/int>)"],
}
_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
KINDS = list(_LEAVES)


def an_expression(
    choose: Choose,
    kind: str,
    depth: int,
    scope: tuple[tuple[str, str], ...] = (),
    tables: tuple[Table, Table] = (_LEAVES, _WHOLES),
) -> str:
    """An expression of a kind; loop variables of ``scope`` are used where there are any."""
    known = [name for name, of in scope if of == kind]
    leaves, wholes = tables
    text: str = choose(known * 3 + leaves[kind] + (wholes[kind] * 2 if depth > 0 else []))
    variable = "vwxyz"[len(scope)]
    text = re.sub(r"\bV\b", variable, text)

    def filled(slot: re.Match[str]) -> str:
        inside = (*scope, (variable, slot[2])) if slot[2] else scope
        inner = an_expression(choose, slot[1], depth - 1, inside, tables)
        return inner if _BARE.fullmatch(inner) else f"({inner})"

    return _SLOT.sub(filled, text)


def an_event(choose: Choose) -> Subject:
    """An event with JSON data, whose members have the types that ``an_expression`` takes them for, or are missing."""
    attributes = {"type": choose(["a", "ab", "b", "é"])}
    for name, values in {"x": ["", "a", "5", "1.5"], "n": ["1", "-7", "abc", "9223372036854775808"]}.items():
        if (value := choose([None, *values])) is not None:
            attributes[name] = value
    members: dict[str, list[Any]] = {
        "n": [1, 2, -1],
        "s": ["", "a", "ab"],
        "d": [1.5, -2.25],
        "b": [True, False],
        "l": [[], [1, 2], [3]],
    }
    data = {name: value for name, values in members.items() if (value := choose([None, *values])) is not None}
    return Subject(attributes, json.dumps(data | {"o": choose([{}, {"n": 2}])}).encode())


def ours(text: str, subject: Subject) -> str:
    """What an expression is worth as JSON, or "error"."""
    try:
        return json.dumps(compile_cel(text, boolean=False).evaluate(subject), sort_keys=True)
    except EvaluationError:
        return "error"


def theirs(text: str, subject: Subject) -> str:
    """The same by cel-python's interpreter."""
    activation = {"ce": json_to_cel(dict(subject.attributes))}
    if (data := subject.json()) is not ABSENT:
        activation["data"] = json_to_cel(data)
    try:
        return json.dumps(plain(_program(text).evaluate(activation)), sort_keys=True)
    except CELEvalError:
        return "error"
    except (ArithmeticError, TypeError, ValueError, LookupError):
        return "error"  # it lets some of Python's own through


def is_true(text: str, subject: Subject) -> bool:
    """Whether a filter matches; an error is no match."""
    try:
        return compile_cel(text).matches(subject)
    except EvaluationError:
        return False


def holds(atom: Atom, subject: Subject) -> bool:
    """Whether an atom of a guard holds for an event."""
    value = subject.attributes.get(atom.attribute)
    match atom.kind:
        case "eq":
            return value == atom.text
        case "prefix":
            return value is not None and value.startswith(atom.text)
        case "present":
            return value is not None
        case "data":
            data = subject.json()
            return data is not ABSENT and (not atom.attribute or (isinstance(data, dict) and atom.attribute in data))


@cache
def environment() -> Any:
    """cel-python's, of which there is one a process."""
    limit = sys.getrecursionlimit()
    made = celpy.Environment()  # raises the interpreter's limit for everybody
    sys.setrecursionlimit(limit)
    return made


def _program(text: str) -> Any:
    made = environment()
    return made.program(made.compile(text))


def plain(value: Any) -> Any:
    """A value of cel-python's in JSON types, as the engine's results are given."""
    types = celpy.celtypes
    match value:
        case CELEvalError():
            raise value  # it leaves errors inside lists and maps
        case None:
            return None
        case bool() | types.BoolType():
            return bool(value)
        case float():
            return float(value) if math.isfinite(value) else _NO_NUMBERS[str(float(value))]
        case int():
            return int(value)
        case str():
            return str(value)
        case list():
            return [plain(item) for item in value]
        case _:
            return {str(plain(name)): plain(item) for name, item in value.items()}
