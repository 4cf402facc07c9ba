"""Google's CEL engine, ``cel-expr-python``: the one place that knows its Python interface, its errors and its faults.

The engine is loaded when the first expression is compiled. It bounds recursion (32 levels) and loop iterations (10,000
an evaluation, nested ones included); neither can be set from Python, and both do not count what one step costs:
``work.py`` does. A result is never asked for a null value: version 0.1.3 then drops a reference to ``None`` too much,
which ends the process on Python 3.11.
"""

from __future__ import annotations

import base64
import math
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from scaup.core.filters.subject import ABSENT, EvaluationError, FilterSyntaxError, Subject

FAILURES: Final = (RuntimeError, ValueError, LookupError, TypeError, MemoryError)
"""What the engine raises. Its own errors are RuntimeError; TypeError and ValueError come from passing values to it."""

_MOST_TEXT: Final = 300
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): ([^\n]+)")
_STATUS: Final = re.compile(r"\s*\[[A-Z_]+\]$")
_NO_DATA: Final = 'No value with name "data"'

_KINDS: Final = (
    ("Key not found", "missingAttribute"),
    (_NO_DATA, "missingAttribute"),
    ("No matching overloads", "missingFunction"),
    ("divide by zero", "math"),
    ("modulus by zero", "math"),
    ("overflow", "math"),
    ("out of range", "math"),
    ("cannot convert", "cast"),
    ("conversion", "cast"),
    ("regular expression", "functionEvaluation"),
    ("timezone", "functionEvaluation"),
)
"""What the engine says of an error value, and what that is in the words of CESQL's error kinds."""


class CelUnavailableError(Exception):
    """There is no engine for this platform, or the grammar is missing: CEL filters cannot be checked nor evaluated."""


def is_available() -> bool:
    """Whether CEL expressions can be compiled here."""
    try:
        _engine()
    except CelUnavailableError:
        return False
    return True


def compile_text(text: str) -> Any:
    """The engine's checked expression. Raises FilterSyntaxError with the engine's words, CelUnavailableError."""
    _, environment = _engine()
    try:
        return environment.compile(text)
    except FAILURES as error:
        raise _syntax_error(str(error)) from error


def stored(compiled: Any) -> bytes:
    """A checked expression as bytes: a tenth of the memory, and read again four times as fast as compiled."""
    return bytes(compiled.serialize())


def evaluation(program: bytes) -> Any:
    """The function from an activation to a result. Raises what is in FAILURES."""
    return _engine()[1].deserialize(program).eval


def constant_error(text: str) -> str | None:
    """What is wrong with an expression that needs no event; None when it has a value."""
    module, environment = _engine()
    try:
        result = environment.compile(text).eval(environment.Activation({}))
        return _sentence(result.value()) if result.type() == module.Type.ERROR else None
    except FAILURES as error:
        return _sentence(str(error))


def activation(subject: Subject, *, with_data: bool) -> Any:
    """What expressions see of an event. Values are converted once, when the first expression asks for them.

    ``data`` is left out where there is none: an expression that needs it then ends in an error.
    """
    _, environment = _engine()
    values: dict[str, Any] = {"ce": dict(subject.attributes)}
    if with_data and (data := subject.json()) is not ABSENT:
        values["data"] = data
    return environment.Activation(values)


def is_error(result: Any) -> bool:
    """Whether a result is the engine's error value."""
    return bool(result.type() == _engine()[0].Type.ERROR)


def is_boolean(result: Any) -> bool:
    """Whether a result is true or false, and may so be asked for its value."""
    return bool(result.type() == _engine()[0].Type.BOOL)


def error_of(said: str) -> EvaluationError:
    """The engine's words about an error as ours."""
    if "Iteration budget" in said:
        return EvaluationError("generic", "the expression takes more than 10000 steps over lists or maps")
    if _NO_DATA in said:
        return EvaluationError("missingAttribute", "the event has no JSON data")
    kind = next((kind for words, kind in _KINDS if words in said), "generic")
    return EvaluationError(kind, _sentence(said))


def native(result: Any) -> Any:
    """A result in JSON types: bytes in base64, timestamps as RFC 3339, durations in seconds ("1.5s"), types by name."""
    kind = result.type().name()
    if kind == "NULL":
        return None  # asking for the value would drop a reference to None
    value = result.value()
    if kind.startswith("LIST"):
        return [native(item) for item in value]
    if kind.startswith("MAP"):
        return {_key(key): native(item) for key, item in value.items()}
    if kind == "TYPE":
        return value.name()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


@cache
def _engine() -> tuple[Any, Any]:
    """The engine's module and the one environment all expressions share."""
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]
    except ImportError as error:
        raise CelUnavailableError("cel-expr-python, which evaluates CEL, has no wheel for this platform") from error
    kinds = cel.Type
    variables = {"ce": kinds.Map(kinds.STRING, kinds.STRING), "data": kinds.DYN}
    return cel, cel.NewEnv(variables=variables)


def _syntax_error(said: str) -> FilterSyntaxError:
    """The first of the engine's complaints, which are many lines with a picture of the text each."""
    found = _PLACE.search(said)
    if found is None or not found[1].isdigit():
        if "recursion" in said:
            return FilterSyntaxError("nested too deeply: the engine takes about 30 levels")
        return FilterSyntaxError(_sentence(said))
    line, column, complaint = int(found[1]), int(found[2]), found[3].strip()
    where = f" in line {line}" if line > 1 else ""
    return FilterSyntaxError(_sentence(complaint) + where, column)


def _sentence(said: str) -> str:
    """Without the status codes around it, and not longer than a status condition should be."""
    said = _STATUS.sub("", said)
    status, separator, rest = said.partition(": ")
    if separator and status.isupper():
        said = rest
    said = " ".join(said.split())
    return said if len(said) <= _MOST_TEXT else said[:_MOST_TEXT] + "…"
