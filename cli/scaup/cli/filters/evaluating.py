"""``scaup filter eval``: the value of an expression as a line of JSON, one or many.

Expressions are evaluated as written, whatever type they have: whether one can be a filter is not asked here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

import orjson

from scaup.cli.filters.event import Given, decode, is_text, read
from scaup.cli.problems import DONE, FAILED, UsageError
from scaup.core.filters.cel import CelUnavailableError, compile_cel
from scaup.core.filters.cesql import compile_cesql
from scaup.core.filters.subject import EvaluationError, FilterSyntaxError, Subject
from scaup.core.model.errors import MalformedEventError


class Dialect(NamedTuple):
    """How expressions are evaluated, and whether attributes have the types of the event's JSON, or are all text."""

    evaluate: Callable[[str, Subject], Any]
    """The value for an event; raises FilterSyntaxError, EvaluationError or CelUnavailableError."""
    typed: bool


CESQL: Final = Dialect(lambda text, subject: compile_cesql(text).evaluate(subject), typed=True)
CEL: Final = Dialect(lambda text, subject: compile_cel(text, boolean=False).evaluate(subject), typed=False)

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_scanner: Final = json.JSONDecoder(parse_int=str, parse_float=str)  # numbers may be too long for Python


def dialect(*, cesql: bool, cel: bool) -> Dialect:
    """The one that is named; UsageError where it is not exactly one."""
    if cesql == cel:
        raise UsageError("say which dialect the expression is in: --cesql or --cel")
    return CESQL if cesql else CEL


def run(spoken: Dialect, expression: str | None, given: Given, lines: bool) -> int:
    """Print the answer, or with ``lines`` one for every line of standard input.

    0: answered without error, or ``lines``; 1: the answer has an error. Raises UsageError.
    """
    if lines and expression is not None:
        raise UsageError("--lines reads the expressions from standard input, so it goes without EXPR")
    if not lines and expression is None:
        raise UsageError("there is no expression", hint="write it in quotes, or use --lines")
    if expression is not None and not is_text(expression):
        raise UsageError("the expression is not UTF-8")
    if lines and not given.is_nothing:
        raise UsageError("with --lines every line brings its own event, so it goes without --event and --attr")
    if expression is None:
        _write(sys.stdout.buffer, answers(spoken, sys.stdin.buffer))
        return DONE
    subject = Subject({}) if given.is_nothing else read(given, typed=spoken.typed)
    answer = answered(spoken, expression, subject)
    _write(sys.stdout.buffer, [answer])
    return FAILED if answer["error"] else DONE


def answers(spoken: Dialect, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """An answer for every line, in order; a line that asks nothing gets an error of the kind ``usage``."""
    for line in lines:
        try:
            expression, subject = question(line, typed=spoken.typed)
        except UsageError as error:
            yield _failed("usage", str(error))
        else:
            yield answered(spoken, expression, subject)


def question(line: bytes, *, typed: bool) -> tuple[str, Subject]:
    """Expression and event of a line; UsageError where it is no JSON object, has no expression or no event."""
    members = _members(line)
    try:
        expression = orjson.loads(members.get("expression", "null"))
    except orjson.JSONDecodeError:  # a lone surrogate, which is no text
        expression = None
    if not isinstance(expression, str):
        raise UsageError('expected {"expression": "…", "event": {…}}, with a text as expression')
    event = members.get("event", "null")
    if event == "null":
        return expression, Subject({})
    try:
        return expression, decode(event.encode(), typed=typed)
    except MalformedEventError as error:
        raise UsageError(f"event: {error}") from error


def answered(spoken: Dialect, expression: str, subject: Subject) -> dict[str, Any]:
    """``{"value": …, "error": null | {"kind", "message"}}``; what the specification gives beside an error is there."""
    try:
        return {"value": spoken.evaluate(expression, subject), "error": None}
    except FilterSyntaxError as error:
        return _failed("parse", str(error))
    except EvaluationError as error:
        return _failed(error.kind, str(error), error.value)
    except CelUnavailableError as error:
        return _failed("unavailable", str(error))


def _failed(kind: str, message: str, value: Any = None) -> dict[str, Any]:
    return {"value": value, "error": {"kind": kind, "message": message}}


def _write(out: BinaryIO, given: Iterable[dict[str, Any]]) -> None:
    """One line each, at once: who asks may wait for an answer before the next question."""
    for answer in given:
        try:
            line = orjson.dumps(answer)
        except orjson.JSONEncodeError as error:  # nested deeper than it can be written
            line = orjson.dumps(_failed("generic", f"the value cannot be written as JSON: {error}"))
        out.write(line + b"\n")
        out.flush()


def _members(line: bytes) -> dict[str, str]:
    """The members of a JSON object, each as its own text: an event's data must not be parsed and written anew."""
    found: dict[str, str] = {}
    try:
        text = line.decode()
        if not isinstance(_scanner.decode(text), dict):
            raise UsageError("expected a JSON object")
        at = _skip(text, _skip(text, 0) + 1)
        while text[at] != "}":
            name, at = _scanner.raw_decode(text, at)
            start = _skip(text, _skip(text, at) + 1)  # past the colon
            at = _scanner.raw_decode(text, start)[1]
            found[name] = text[start:at]
            at = _skip(text, at)
            at = _skip(text, at + 1) if text[at] == "," else at
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the line is no JSON: {error}") from error
    return found


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
