"""What an expression is worth, and the event it sees: JSON values, errors by kind, one event for all expressions."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import pytest

from scaup.core.codec import http
from scaup.core.filters.cel import compile_cel, engine, join_cel
from scaup.core.filters.subject import EvaluationError, Subject

DATA = b'{"n": 1, "d": 1.5, "z": null, "l": [1, null], "b": true, "u": 18446744073709551615}'
EVENT = {"type": "a", "time": "2026-01-02T03:04:05.678Z"}

VALUES = [
    ("true", True),
    ("data.n", 1),
    ("data.d", 1.5),
    ("data.u", 18446744073709551615),
    ("data.z", None),
    ("data.l", [1, None]),
    ("[null, [null]]", [None, [None]]),
    ("{'a': null}", {"a": None}),
    ("{2: 'a', true: 'b'}", {"2": "a", "true": "b"}),
    ("ce", EVENT),
    ("'é' + '\\n'", "é\n"),
    ("b'\\xff\\x00'", "/wA="),
    ("timestamp(ce.time)", "2026-01-02T03:04:05.678000Z"),
    ("timestamp('2026-01-02T03:04:05+01:00')", "2026-01-02T02:04:05Z"),
    ("duration('90.5s')", "90.5s"),
    ("duration('-1m')", "-60s"),
    ("timestamp(ce.time) - timestamp('2026-01-02T03:04:05Z')", "0.678s"),
    ("1.0 / 0.0", "Infinity"),
    ("-1.0 / 0.0", "-Infinity"),
    ("0.0 / 0.0", "NaN"),
    ("type(data.n)", "INT"),
    ("uint(5)", 5),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_every_value_has_a_form_in_json(text: str, value: Any) -> None:
    found = compile_cel(text, boolean=False).evaluate(Subject(EVENT, DATA))
    assert (type(found), found) == (type(value), value)
    assert json.loads(json.dumps(found, allow_nan=False)) == value


ERRORS = [
    ("ce.subject == 'a'", "missingAttribute", 'Key not found in map : "subject"'),
    ("data.m == 1", "missingAttribute", 'Key not found in map : "m"'),
    ("data.n.m == 1", "generic", "Applying SELECT to non-message type"),
    ("data.n.startsWith('a')", "missingFunction", "No matching overloads found"),
    ("data.n + 'a' == 'a'", "missingFunction", "No matching overloads found"),
    ("1 / (data.n - 1) == 1", "math", "divide by zero"),
    ("1 % (data.n - 1) == 1", "math", "modulus by zero"),
    ("9223372036854775807 + data.n == 1", "math", "integer overflow"),
    ("int(ce.type) == 1", "cast", "cannot convert string to int"),
    ("timestamp(ce.type) == timestamp(0)", "cast", "String to Timestamp conversion failed"),
    ("bool(ce.type)", "cast", "Type conversion error"),
    ("data.l[2] == 1", "generic", "Index error"),
    ("data.n", "cast", "the expression is worth INT, not true or false"),
    ("data.z", "cast", "the expression is worth NULL, not true or false"),
    ("{'a': true, 'b': data.z}['b']", "cast", "the expression is worth NULL, not true or false"),
    ("has(ce.x) ? true : data.l", "cast", "the expression is worth LIST"),
]


@pytest.mark.parametrize(("text", "kind", "said"), ERRORS)
def test_every_error_has_a_kind_and_says_what_is_wrong(text: str, kind: str, said: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        compile_cel(text).matches(Subject(EVENT, DATA))
    assert caught.value.kind == kind
    assert str(caught.value).startswith(said)
    assert not {"INVALID_ARGUMENT", "NOT_FOUND"} & set(str(caught.value).replace("[", " ").replace(":", " ").split())


@pytest.mark.parametrize("text", [text for text, *_ in ERRORS])
def test_an_error_is_absorbed_by_what_decides_without_it(text: str) -> None:
    assert compile_cel(f"({text}) || true").matches(Subject(EVENT, DATA)) is True
    assert compile_cel(f"({text}) && false").matches(Subject(EVENT, DATA)) is False


NULLS = [
    "data.z",
    "data.l[1]",
    "data.l[1] || false",
    "{'a': true, 'b': data.z}['b']",
    "{'a': true, 'b': data.z}.b",
    "has(ce.x) ? true : {'a': true, 'b': data.z}['b']",
    "[[true], [data.z]][1][0]",
    "dyn(null)",
]


@pytest.mark.parametrize("text", NULLS)
def test_a_null_is_never_asked_for_its_value(text: str) -> None:
    """The engine drops a reference to None each time, until there are none and the process ends (Python 3.11)."""
    expression = compile_cel(text)
    joint = join_cel([expression])
    subject = Subject(EVENT, DATA)

    def asked() -> None:
        with pytest.raises(EvaluationError):
            expression.matches(subject)
        assert joint is None or not joint.is_surely_false(subject)
        if "||" not in text:
            assert expression.evaluate(subject) is None

    asked()
    gc.collect()
    gc.disable()  # what others left behind knows None too
    try:
        before = sys.getrefcount(None)
        for _ in range(1_000):
            asked()
        assert sys.getrefcount(None) > before - 500
    finally:
        gc.enable()


def test_an_event_is_given_to_the_engine_once_however_many_expressions_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    activation = engine.activation

    def counted(subject: Subject, *, with_data: bool) -> Any:
        given.append(with_data)
        return activation(subject, with_data=with_data)

    monkeypatch.setattr(engine, "activation", counted)
    without, with_data = (
        [compile_cel(text.format(number)) for number in range(5)]
        for text in ("size(ce.type) > {}", "data.n > {} && size(ce.type) > 0")
    )
    joint = join_cel(with_data)
    assert joint is not None
    subject = Subject(EVENT, DATA)

    for _ in range(2):
        assert [one.matches(subject) for one in without] == [True, False, False, False, False]
        assert [one.matches(subject) for one in with_data] == [True, False, False, False, False]
        assert not joint.is_surely_false(subject)
    assert given == [False, True]


def test_data_is_not_looked_at_where_no_expression_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "json", lambda _self: pytest.fail("the data was parsed"))
    expression = compile_cel("ce.type == 'a' && size('data') == 4")
    assert not expression.uses_data
    assert expression.matches(Subject(EVENT, DATA))


def test_null_is_data_and_not_its_absence() -> None:
    assert compile_cel("data == null").matches(Subject(EVENT, b"null"))
    assert compile_cel("data == null", boolean=False).evaluate(Subject(EVENT, b"0")) is False
    with pytest.raises(EvaluationError, match=r"^the event has no JSON data$"):
        compile_cel("data == null").matches(Subject(EVENT, b""))


def in_both_modes(attributes: dict[str, Any], data: bytes, kind: str) -> list[Subject]:
    """One event as a binary request has it, and as a structured one, with the numbers and booleans of JSON."""
    headers = [(f"ce-{name}".encode(), str(value).encode()) for name, value in attributes.items()]
    headers = [(name, {b"True": b"true", b"False": b"false"}.get(value, value)) for name, value in headers]
    body = {**attributes, "datacontenttype": kind, "data": json.loads(data)}
    binary = http.decode(kind, headers, data)
    structured = http.decode("application/cloudevents+json", [], json.dumps(body).encode())
    return [Subject(event.attributes, event.data) for event in (*binary, *structured)]


MEANINGS = [
    ("ce.sequence", "5"),
    ("int(ce.sequence) > 4", True),
    ("ce.sequence == '5'", True),
    ("ce.flag", "true"),
    ("bool(ce.flag) && !bool(ce.off)", True),
    ("ce.negative + ce.sequence", "-75"),
    ("ce.time", "2026-01-02T03:04:05Z"),
    ("timestamp(ce.time).getFullYear()", 2026),
    ("timestamp(ce.time) + duration('1h') > timestamp('2026-01-02T04:00:00Z')", True),
    ("ce.specversion", "1.0"),
    ("ce.datacontenttype.startsWith('application/json')", True),
    ("size(ce)", 10),
    ("data.n + 1", 2),
    ("data.d", 1.5),
    ("data.l.map(v, v)", [1, None]),
    ("has(data.z) && data.z == null", True),
]


@pytest.mark.parametrize(("text", "value"), MEANINGS)
def test_an_expression_means_the_same_for_an_event_in_binary_and_in_structured_mode(text: str, value: Any) -> None:
    attributes = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a", "time": "2026-01-02T03:04:05Z"}
    typed: dict[str, Any] = {"sequence": 5, "negative": -7, "flag": True, "off": False}
    events = in_both_modes({**attributes, **typed}, DATA, "application/json; charset=utf-8")

    assert events[0].attributes == events[1].attributes
    assert [compile_cel(text, boolean=False).evaluate(event) for event in events] == [value, value]
