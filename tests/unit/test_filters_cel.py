"""CEL: the engine means what cel-python means, guards are sound, and what it sees of an event."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.filters.cel import compile_cel, join_cel
from scaup.core.filters.guards import Atom, Guard
from scaup.core.filters.subject import EvaluationError, FilterSyntaxError, Subject
from tests.support.cel import KINDS, an_event, an_expression, holds, is_true, ours, theirs

_OBJECT = b'{"n": 1, "o": {"n": 2}, "z": null, "d": 1.0, "l": [1, "a"]}'


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_the_engine_and_cel_python_give_the_same(data: st.DataObject) -> None:
    def choose(among: list[Any]) -> Any:
        return data.draw(st.sampled_from(among))

    text = an_expression(choose, choose(KINDS), choose([0, 1, 2]))
    subject = an_event(choose)
    assert ours(text, subject) == theirs(text, subject), text


# What is known to differ, and is kept out of the expressions above. The engine follows the specification in each;
# `has` of what is no map is an error in both by the specification, and false here only for cel-python.
DIFFERENT = [
    ("bool('5')", _OBJECT, "error", "true"),
    ("0.0 / 0.0", _OBJECT, '"NaN"', '"Infinity"'),
    ("string(1e3)", _OBJECT, '"1000"', '"1000.0"'),
    ("string(true)", _OBJECT, '"true"', '"True"'),
    ("has(data.n)", b"[1]", "error", "false"),
    ("has(data.n)", b"5", "error", "false"),
    ("has(data.n)", b"no JSON", "error", "false"),
    ("has(data.n.m)", _OBJECT, "error", "false"),
    ("1 <= data.d", _OBJECT, "true", "error"),
    ("data.n == 'a'", _OBJECT, "false", "error"),
    ("2 in data.l", _OBJECT, "false", "error"),
    ("data.z == 1", _OBJECT, "false", "error"),
    ("[1, 2][-1]", _OBJECT, "error", "2"),
    ("('a' + 'b').contains('a')", _OBJECT, "true", "error"),
]


@pytest.mark.parametrize(("text", "data", "engine", "celpy"), DIFFERENT)
def test_the_known_differences_are_still_there(text: str, data: bytes, engine: str, celpy: str) -> None:
    subject = Subject({"type": "a"}, data)
    assert (ours(text, subject), theirs(text, subject)) == (engine, celpy)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_match_fulfils_the_guard(data: st.DataObject) -> None:
    def choose(among: list[Any]) -> Any:
        return data.draw(st.sampled_from(among))

    text = an_expression(choose, "bool", choose([1, 2, 3]))
    subject = an_event(choose)
    if choose([True, False]):
        subject = Subject(subject.attributes, choose([None, b"", b"[1]", b"5", b"null", b"{"]))
    guard = compile_cel(text).guard
    if is_true(text, subject) and guard is not None:
        assert any(holds(atom, subject) for atom in guard), text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_a_joint_is_surely_false_only_where_every_part_is_false(data: st.DataObject) -> None:
    def choose(among: list[Any]) -> Any:
        return data.draw(st.sampled_from(among))

    texts = [an_expression(choose, "bool", choose([0, 1])) for _ in range(choose([1, 2, 5]))]
    expressions = [one for one in map(compile_cel, texts) if one.is_joinable]
    if not expressions or (joint := join_cel(expressions)) is None:
        return
    subject = an_event(choose)
    results = {ours(one.canonical, subject) for one in expressions}
    assert joint.is_surely_false(subject) == (results == {"false"}), texts


_SUBJECT = (Atom("subject", "present", ""),)
GUARDS: list[tuple[str, Guard]] = [
    ('ce.type == "x"', (Atom("type", "eq", "x"),)),
    ('"x" == ce["type"]', (Atom("type", "eq", "x"),)),
    ('ce.type in ["x", "y"]', (Atom("type", "eq", "x"), Atom("type", "eq", "y"))),
    ('ce.type.startsWith("x")', (Atom("type", "prefix", "x"),)),
    ('ce.type == "x" && size(ce.subject) > 1', (Atom("type", "eq", "x"),)),
    ('ce.type == "x" || ce.source == "y"', (Atom("type", "eq", "x"), Atom("source", "eq", "y"))),
    ('ce.type == "x" || size(ce.subject) > 1', (Atom("type", "eq", "x"), *_SUBJECT)),
    ("size(ce.subject) > 1", _SUBJECT),
    ("has(ce.subject)", _SUBJECT),
    ("!has(ce.subject)", None),
    ('!(ce.subject == "x")', _SUBJECT),
    ('(ce.subject == "x" || ce.type == "y") == false', None),
    (
        'ce.type == "x" ? ce.subject == "a" : ce.subject == "b"',
        (Atom("subject", "eq", "a"), Atom("subject", "eq", "b")),
    ),
    ('[ce.subject].exists(v, v == "x")', _SUBJECT),
    ("[1].exists(ce, ce == 1)", None),
    ("data.n == 1", (Atom("n", "data", ""),)),
    ('data["n"] == 1', (Atom("n", "data", ""),)),
    ("data[0] == 1", (Atom("", "data", ""),)),
    ("data.o.n == 1", (Atom("o", "data", ""),)),
    ("has(data.o.n)", (Atom("o", "data", ""),)),
    ("has(data.o)", (Atom("o", "data", ""),)),
    ("!has(data.o)", (Atom("", "data", ""),)),
    ("false", ()),
    ("size(ce.type) > 1", None),
    ("true", None),
]


@pytest.mark.parametrize(("text", "guard"), GUARDS)
def test_the_guard_is_what_a_match_implies(text: str, guard: Guard) -> None:
    assert compile_cel(text).guard == guard


@pytest.mark.parametrize("data", [None, b"", b"{", b"\xff", b"{'a': 1}"])
def test_data_that_is_no_json_is_absent_and_no_error_of_the_event(data: bytes | None) -> None:
    subject = Subject({"type": "a"}, data)
    assert ours("data.n == 1", subject) == "error"
    assert ours("data.n == 1 || ce.type == 'a'", subject) == "true"
    with pytest.raises(EvaluationError, match="the event has no JSON data") as caught:
        compile_cel("data.n == 1").matches(subject)
    assert caught.value.kind == "missingAttribute"


def test_data_of_another_type_is_absent_even_if_it_looks_like_json() -> None:
    assert ours("data.n == 1", Subject({"type": "a", "datacontenttype": "text/plain"}, b'{"n": 1}')) == "error"
    for kind in ("application/json", "text/json; charset=utf-8", "application/vnd.x+json"):
        assert ours("data.n == 1", Subject({"type": "a", "datacontenttype": kind}, b'{"n": 1}')) == "true"


def test_data_is_parsed_once_an_event_however_many_filters_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    parse = Subject._parse

    def counting(subject: Subject) -> Any:
        parsed.append(1)
        return parse(subject)

    monkeypatch.setattr(Subject, "_parse", counting)
    subject = Subject({"type": "a"}, b'{"n": 1}')
    assert [ours(f"data.n == {number}", subject) for number in range(5)] == ["false", "true", "false", "false", "false"]
    assert parsed == [1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('ce.sequence == "5"', "true"),
        ("int(ce.sequence) > 4", "true"),
        ('ce.flag == "true"', "true"),
        ('timestamp(ce.time) < timestamp("2027-01-01T00:00:00Z")', "true"),
        ('ce["time"].startsWith("2026")', "true"),
    ],
)
def test_attributes_are_their_canonical_strings(text: str, value: str) -> None:
    subject = Subject({"type": "a", "sequence": "5", "flag": "true", "time": "2026-01-02T03:04:05Z"})
    assert ours(text, subject) == value


def test_an_attribute_is_no_number_before_it_is_made_one() -> None:
    with pytest.raises(FilterSyntaxError, match=r"at column 13: .*string, int"):
        compile_cel("ce.sequence + 1")


@pytest.mark.parametrize(
    ("text", "size", "allowed"),
    [
        ("ce.ext.matches('^[a-z]+$')", 16_000, True),
        ("data.l.all(v, v.matches('^[a-z]+$'))", 200, True),
        ("([ce.type, 'b'] + ['a', 'ab']).all(v, v.matches('^[a-z]+$'))", 200, True),
        ("ce.ext.contains(ce.ext)", 100, True),
        ("ce.ext.contains(ce.ext)", 60_000, False),
        ("data.l.all(v, data.l.all(w, data.l.all(x, x == ce.ext)))", 60_000, False),
        ("(ce.ext + ce.ext + ce.ext + ce.ext).contains(ce.ext + ce.ext)", 60_000, False),
    ],
)
def test_what_could_take_too_long_for_an_event_is_not_begun(text: str, size: int, allowed: bool) -> None:
    subject = Subject({"type": "a", "ext": "x" * size}, orjson.dumps({"l": ["a"] * 300}))
    assert compile_cel(text)
    said = ""
    try:
        compile_cel(text).matches(subject)
    except EvaluationError as error:
        said = str(error)
    assert said == "" if allowed else "too costly for an event of" in said


def test_a_null_is_never_taken_for_a_boolean() -> None:
    """Asking the engine for a null value can end the process."""
    for text in ("data.z", "data.z || false", '{"a": true, "b": data.z}["b"]', '!{"a": true, "b": data.z}["b"]'):
        expression = compile_cel(text)
        with pytest.raises(EvaluationError):
            expression.matches(Subject({"type": "a"}, _OBJECT))
        joint = join_cel([expression])
        assert joint is not None
        assert not joint.is_surely_false(Subject({"type": "a"}, _OBJECT))


def test_without_the_engine_an_expression_is_unavailable_and_not_wrong() -> None:
    program = (
        "import sys; sys.modules['cel_expr_python'] = None\n"
        "from scaup.core.filters.cel import CelUnavailableError, compile_cel, is_available\n"
        "assert not is_available()\n"
        "try: compile_cel('true')\n"
        "except CelUnavailableError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=50)
    assert "no wheel for this platform" in done.stdout
