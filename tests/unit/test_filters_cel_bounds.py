"""What a CEL expression may be and cost: what is at a limit is taken, and one beyond is refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.filters.cel import compile_cel
from scaup.core.filters.cel.patterns import weight_of
from scaup.core.filters.cel.shapes import MAX_PARTS, MAX_WEIGHT
from scaup.core.filters.cel.words import MAX_BYTES, MAX_NESTING, split
from scaup.core.filters.cel.work import BUDGET, MAX_ITERATIONS, cost_of
from scaup.core.filters.subject import EvaluationError, FilterSyntaxError, Subject

LARGEST_DATA = 1 << 20
LARGEST_ATTRIBUTES = 64 << 10
TOO_COSTLY = r"^the expression is too costly for an event of \d+ bytes$"


def refusal(text: str) -> str:
    with pytest.raises(FilterSyntaxError) as caught:
        compile_cel(text)
    return str(caught.value)


def of_bytes(size: int, letter: str = "a") -> str:
    literal = letter * ((size - len('ce.type == ""')) // len(letter.encode()))
    return f'ce.type == "{literal}"'.ljust(size - len(literal.encode()) + len(literal))


def loops(depth: int) -> str:
    return "".join(f"[1].all(v{number}, " for number in range(depth)) + "true" + ")" * depth


@pytest.mark.parametrize("letter", ["a", "é", "🦆"])
def test_a_text_is_measured_in_bytes(letter: str) -> None:
    text = of_bytes(MAX_BYTES, letter)
    assert len(text.encode()) == MAX_BYTES

    assert compile_cel(text).matches(Subject({"type": "a"})) is False
    assert refusal(text + " ") == f"longer than {MAX_BYTES} bytes"


def test_brackets_are_counted_before_any_parser_sees_them() -> None:
    assert split("([" * (MAX_NESTING // 2)).shape
    with pytest.raises(FilterSyntaxError, match=rf"^at column {MAX_NESTING + 1}: nested more than {MAX_NESTING} deep$"):
        split("([" * (MAX_NESTING // 2) + "(")
    assert split("()" * 1_000 + '"' + "(" * 1_000 + '"').shape


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("(", ")"), ("[", "][0]"), ("true ? true : ", ""), ("bool(", ")"), ("true == (", ")"), ("[1].all(v, ", ")")],
)
def test_the_engine_takes_some_levels_and_says_so_of_more(opening: str, closing: str) -> None:
    assert compile_cel(opening * 6 + "true" + closing * 6).matches(Subject({}))

    assert refusal(opening * 60 + "true" + closing * 60) == "nested too deeply: the engine takes about 30 levels"


@pytest.mark.parametrize("sign", ["!", "-"])
def test_signs_in_a_row_are_no_levels(sign: str) -> None:
    text = sign * 1_000 + ("true" if sign == "!" else "(1) == 1")
    assert compile_cel(text).matches(Subject({}))


def test_a_chain_of_conditions_is_one_level_however_long() -> None:
    for word, last in (("&&", True), ("||", False)):
        text = f" {word} ".join(["true" if last else "false"] * 1_500)
        assert compile_cel(text).matches(Subject({})) is last


def test_loops_inside_each_other_are_looked_at_twice_each_and_bounded_so() -> None:
    assert 2**10 < MAX_PARTS < 2**14
    assert compile_cel(loops(10)).matches(Subject({}))
    assert refusal(loops(11)) == "at column 1: too many parts, or too many loops inside each other"


WORDS = [
    ("", "the expression is empty"),
    (" \t\n // nothing", "the expression is empty"),
    ("ce.type == 'a", "at column 12: a string without an end"),
    ('ce.type == "a\n"', "at column 12: a string without an end"),
    ("ce.`type`", 'at column 4: no quoted names: write ce["…"]'),
    ("ce.type # b", "at column 9: unexpected '#'"),
    ("true\0", r"at column 5: unexpected '\x00'"),
    ("'\ud800' == ''", "at column 2: half of a surrogate pair, which is no character"),
    ("true)", "at column 5: Syntax error: extraneous input ')' expecting <EOF>"),
    ("ce.type == 'a' &&\n  nobody == 1", "at column 3: undeclared reference to 'nobody' (in container '') in line 2"),
    ("1 == 'a'", "at column 3: found no matching overload for '_==_' applied to '(int, string)'"),
    ("9223372036854775808 == 1", "at column 1: invalid int literal"),
    ("ce.type", "the expression is worth STRING, not true or false"),
    ("null", "the expression is worth NULL, not true or false"),
]
SHAPES = [
    ("google.protobuf.Int32Value{value: 1} == 1", "at column 17: messages cannot be made in a filter"),
    (".data == 1", "at column 2: a name cannot begin with a dot"),
    ("ce.type.matches(ce.x)", "at column 9: the regular expression has to be a string in the filter itself"),
    ("ce.type.matches('a' + 'b')", "at column 9: the regular expression has to be a string in the filter itself"),
    ("timestamp(ce.time).getHours(ce.x) == 1", "at column 20: the time zone has to be a string in the filter itself"),
    ("timestamp(ce.time).getHours('/etc/x') == 1", "at column 29: not the name of a time zone"),
    ("timestamp(ce.time).getHours('../../x') == 1", "at column 29: not the name of a time zone"),
    ("timestamp(ce.time).getHours('file:x') == 1", "at column 29: not the name of a time zone"),
    (r"timestamp(ce.time).getHours('\x2e./x') == 1", "at column 29: not the name of a time zone"),
    ("timestamp(ce.time).getHours('Mars') == 1", "at column 29: Invalid timezone"),
    ("ce.type.matches('(')", "at column 17: invalid regular expression: missing ): ("),
]


@pytest.mark.parametrize(("text", "said"), WORDS + SHAPES)
def test_what_is_refused_is_said_with_its_place(text: str, said: str) -> None:
    assert refusal(text) == said


WEIGHTS = [
    ("", 0),
    ("abc", 3),
    ("é", 2),
    ("a*b+c?", 6),
    (".", 20),
    (r"\d", 20),
    (r"\pL", 700),
    (r"\p{Greek}", 700),
    ("[a-z]", 40),
    (r"[\pL]", 740),
    ("a{5}", 5),
    ("a{2,7}", 7),
    ("a{3,}", 3),
    ("a{0}", 1),
    ("(ab){10}", 40),
    ("((a{10}){10}){10}", 1220),
    (r"\Qa.b\E", 28),
    ("(?i)abc", 14),
    ("(((", 0),
    (")a{", 4),
]


@pytest.mark.parametrize(("pattern", "weight"), WEIGHTS)
def test_the_weight_of_a_pattern_grows_with_the_program_it_becomes(pattern: str, weight: int) -> None:
    assert weight_of(pattern) == weight


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["*", "+", "??", "{3}", "{0,9}", "{2,}", "{20}", "{0}"])
    return st.one_of(
        st.builds("(?:{}){}".format, inner, times),
        st.builds("({}|{})".format, inner, inner),
        st.builds("{}{}".format, inner, inner),
    )


PARTS = [
    "a",
    "é",
    "🦆",
    ".",
    "^",
    "$",
    r"\b",
    r"\d",
    r"\W",
    r"\pL",
    r"\P{Greek}",
    "[a-z]",
    r"[^\pL]",
    r"[\w.]",
    "(?i)k",
]
PARTS += ["[[:alpha:]]", r"\Qa.b\E", r"[\x{100}-\x{10FFFF}]", r"\x{10FFFF}", "[^a]", "a{5}", "(?s:.)"]
PATTERNS = st.recursive(st.sampled_from(PARTS), _grown, max_leaves=6)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(PATTERNS)
def test_no_program_is_more_than_twice_as_large_as_its_pattern_weighs(pattern: str) -> None:
    weight = weight_of(pattern)
    if weight <= MAX_WEIGHT:
        assert re2.compile(pattern).programsize <= 2 * weight + 10, pattern


@pytest.mark.parametrize("quotes", ["'{}'", '"{}"', "r'{}'"])
def test_a_pattern_may_be_as_heavy_as_the_limit_and_no_heavier(quotes: str) -> None:
    at, beyond = "a" * MAX_WEIGHT, "a" * (MAX_WEIGHT + 1)
    assert weight_of(at) == MAX_WEIGHT

    assert not compile_cel(f"ce.type.matches({quotes.format(at)})").matches(Subject({"type": "a"}))
    assert refusal(f"ce.type.matches({quotes.format(beyond)})") == "at column 17: the regular expression is too large"


@pytest.mark.parametrize("pattern", [r"(\\pL{100}){9}", "(a{100}){101}", "((a{100}){100}){100}", r"\\pL{15}"])
def test_counted_repetition_is_weighed_by_what_it_repeats(pattern: str) -> None:
    assert refusal(f"true || ce.type.matches('{pattern}')").endswith("the regular expression is too large")


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|aa)*b$", "(a*)*(a*)*b", "^[a-z]+([.-][a-z]+)*$", r"^\\d{1,3}$"])
def test_patterns_that_others_choke_on_are_taken(pattern: str) -> None:
    assert compile_cel(f"!ce.type.matches('{pattern}')").matches(Subject({"type": "a" * 2_000 + "!"}))


def test_an_evaluation_has_so_many_steps_and_no_more() -> None:
    """Those of the outer loop count, too: 99 + 99 * 99 are below the limit, 100 + 100 * 100 above."""
    expression = compile_cel("data.all(v, data.all(w, v <= 0 || w <= 0 || true))")
    assert 99 + 99 * 99 < MAX_ITERATIONS < 100 + 100 * 100

    assert expression.matches(Subject({"type": "a"}, json.dumps([1] * 99).encode()))
    with pytest.raises(EvaluationError, match=r"^the expression takes more than 10000 steps over lists or maps$"):
        expression.matches(Subject({"type": "a"}, json.dumps([1] * 100).encode()))


BOUNDED = ["ce.x.contains(ce.x)", "ce.x.matches('^([a-z]+[.])*[a-z]+$')", "(ce.x + ce.x).contains(ce.x + 'a')"]


@pytest.mark.parametrize("text", BOUNDED)
def test_an_event_may_be_as_large_as_the_budget_lets_it_and_no_larger(text: str) -> None:
    def afforded(length: int) -> bool:
        try:
            compile_cel(text).matches(Subject({"type": "a", "x": "b" * length}))
        except EvaluationError as error:
            assert str(error) == f"the expression is too costly for an event of {length + len('typeax')} bytes"  # noqa: PT017 - both ways are fine
            return False
        return True

    least, most = 100, LARGEST_DATA
    assert afforded(least)
    assert not afforded(most)
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if afforded(middle) else (least, middle)

    expression = compile_cel(text)
    at, beyond = (
        cost_of(expression.tree, expression.scale._replace(size=size, measure=lambda node: None))
        for size in (least, most)
    )
    assert at <= BUDGET
    assert beyond > BUDGET * 0.99


def largest(data: Any = None) -> Subject:
    """An event with as many attributes and as much data as there may be."""
    attributes = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a", "x": "b" * (LARGEST_ATTRIBUTES - 100)}
    text = json.dumps(data if data is not None else {"l": ["b" * 9] * (LARGEST_DATA // 14), "s": "b", "o": {"n": 1}})
    return Subject(attributes, text.encode())


CHEAP = [
    'ce.type == "b"',
    'ce.source.startsWith("/t")',
    'ce.type in ["b", "c"] || ce.id == "2"',
    'ce.type.matches("^b+$")',
    'ce.type.contains("bb")',
    'ce.x == "b"',
    'ce.x.endsWith("c")',
    'data.s == "c"',
    'data.s.matches("^c+$")',
    "data.o.n > 1",
    "has(data.o.m)",
    "size(data.l) < 3",
    'data.l[0] == "c"',
    '"c" in data.o',
]
COSTLY = [
    "ce.x.contains(ce.x)",
    'ce.x.matches("^(a|b|[c-z])+$")',
    "data == data",
    'data.l.exists(v, v.contains("c" + v) || v.startsWith(ce.x))',
    'data.l.map(v, v + "c").size() < 3',
    "data.l.exists(v, v in data.l)",
    "data.l.all(v, data.l.all(w, v != w))",
    "size(data.l + data.l + data.l + data.l) < 3",
    "string(ce.x + ce.x + ce.x + ce.x + ce.x + ce.x + ce.x) == ce.x + ce.x + ce.x + ce.x + ce.x + ce.x + ce.x",
    '[ce.x].exists(data, data.contains(data + "c"))',
]


@pytest.mark.parametrize("text", CHEAP)
def test_what_looks_at_little_of_the_largest_event_is_never_too_costly(text: str) -> None:
    assert compile_cel(text).matches(largest()) is False


@pytest.mark.parametrize("text", COSTLY)
def test_what_could_take_long_for_the_largest_event_is_refused_without_being_begun(text: str) -> None:
    expression = compile_cel(text)
    with pytest.raises(EvaluationError, match=TOO_COSTLY) as caught:
        expression.matches(largest())
    assert caught.value.kind == "generic"
    assert expression._evaluate is None
    assert cost_of(expression.tree, expression.scale._replace(size=LARGEST_DATA)) > BUDGET


def test_an_expression_that_was_too_costly_is_not_for_a_smaller_event() -> None:
    expression = compile_cel("data.l.map(v, v).exists(v, v == 'c')")
    with pytest.raises(EvaluationError, match=TOO_COSTLY):
        expression.matches(largest())
    assert expression.matches(Subject({"type": "a"}, b'{"l": ["b", "c"]}'))


@pytest.mark.parametrize(
    "text",
    [
        "data.lines.exists(line, line.sku in data.wanted)",
        "data.lines.exists(line, data.wanted.exists(sku, sku == line.sku))",
        'data.lines.all(line, line.tags.exists(tag, tag == "new") && line.quantity > 0)',
        'data.lines.filter(line, line.quantity > 100).size() > 0 || ce.type == "a"',
        'data.lines.exists(line, line.name.matches("^[a-z]+-99$"))',
        "data.lines.map(line, line.quantity).exists(quantity, quantity == 99)",
    ],
)
def test_loops_over_the_lines_of_an_order_are_affordable(text: str) -> None:
    lines = [
        {"sku": f"sku-{number}", "name": f"name-{number}", "quantity": number + 1, "tags": ["old", "new"]}
        for number in range(100)
    ]
    order = {"lines": lines, "wanted": [f"sku-{number}" for number in range(80, 90)]}
    assert compile_cel(text).matches(Subject({"type": "a"}, json.dumps(order).encode()))


def test_a_loop_variable_that_hides_the_data_is_measured_by_what_it_goes_through() -> None:
    """``data`` is small here, but not the ``data`` inside the loop."""
    expression = compile_cel("[ce.x].exists(data, data.contains(data)) && data.n == 1")
    with pytest.raises(EvaluationError, match=TOO_COSTLY):
        expression.matches(largest({"n": 1}))
