"""What holds of every CESQL expression: only the promised errors, sound guards, types as told, one canonical form."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.filters.cesql import Expression, compile_cesql
from scaup.core.filters.cesql.values import INT_MAX, INT_MIN, Value, type_of
from scaup.core.filters.guards import Atom
from scaup.core.filters.subject import EvaluationError, FilterSyntaxError, Subject

KINDS = {"math", "cast", "missingAttribute", "missingFunction", "functionEvaluation"}
NAMES = ("type", "source", "id", "subject", "ext", "n")
TEXTS = ("a", "ab", "b", "", "true", "FALSE", "5", "05", "-1", "a%")

_literals = st.sampled_from(
    [
        "'a'",
        '"ab"',
        "'b'",
        "''",
        "'true'",
        "'FALSE'",
        "'5'",
        "5",
        "0",
        "-1",
        "2147483647",
        "-2147483648",
        "true",
        "False",
    ]
)
_patterns = st.sampled_from(["'a%'", "'%b'", "'a'", "'_b'", r"'a\%'", "'%'", "''", "'%a_b%'"])
_atoms = st.one_of(st.sampled_from(NAMES), _literals, st.sampled_from(["EXISTS ext", "EXISTS type", "CONCAT()", "F()"]))


_signs = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"])
_of_one = st.sampled_from(["LENGTH", "lower", "UPPER", "TRIM", "ABS", "INT", "BOOL", "STRING"])
_of_two = st.sampled_from(["LEFT", "RIGHT", "SUBSTRING", "CONCAT", "CONCAT_WS", "ABS"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    part = inner.map(lambda text: f"({text})")
    negated = st.sampled_from(["", "NOT "])
    attribute = st.sampled_from(NAMES)
    tested = st.one_of(part, attribute)
    logic = st.sampled_from([" AND ", " OR ", " XOR "])
    return st.one_of(
        st.builds("{} {} {}".format, part, _signs, part),
        st.builds("{} {} {}".format, attribute, st.sampled_from(["=", "!="]), _literals),
        st.builds("{} = {}".format, _literals, attribute),
        st.builds("{} {}LIKE {}".format, tested, negated, _patterns),
        st.builds("{} {}IN ({}, {})".format, tested, negated, _literals, st.one_of(_literals, part)),
        st.builds(str.join, logic, st.lists(part, min_size=2, max_size=4)),
        st.builds("{}{}".format, st.sampled_from(["NOT ", "-"]), part),
        st.builds("{}({})".format, _of_one, inner),
        st.builds("{}({}, {})".format, _of_two, inner, inner),
    )


def _conditions() -> st.SearchStrategy[str]:
    """What people write: attributes compared with literals, joined by logic. Dense in guards, and in matches."""
    attribute = st.sampled_from(["type", "n"])
    literal = st.sampled_from(["'a'", "'ab'", "'5'", "'true'", "5", "true", "false"])
    negated = st.sampled_from(["", "", "NOT "])
    condition = st.one_of(
        st.builds("{} {} {}".format, attribute, st.sampled_from(["=", "=", "!="]), literal),
        st.builds("{} = {}".format, literal, attribute),
        st.builds("{} {}LIKE {}".format, attribute, negated, _patterns),
        st.builds("{} {}IN ({}, {})".format, attribute, negated, literal, literal),
        st.sampled_from(["true", "false", "0", "EXISTS n", "'true'"]),
    )
    logic = st.sampled_from([" AND ", " OR ", " XOR "])
    part = st.builds("{}({})".format, negated, condition)
    pair = st.builds(str.join, logic, st.lists(part, min_size=2, max_size=3))
    return st.one_of(
        condition, pair, st.builds(str.join, logic, st.lists(pair.map("({})".format), min_size=2, max_size=2))
    )


EXPRESSIONS = st.recursive(_atoms, _grown, max_leaves=8)
EVENTS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(TEXTS))
WHOLE_EVENTS = st.fixed_dictionaries({"type": st.sampled_from(TEXTS), "n": st.sampled_from(TEXTS)})
TOKENS = st.sampled_from(
    [
        *(*NAMES, "AND", "or", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "LENGTH(", "5", "'a'", "99999999999"),
        *("(", ")", ",", "'", '"', "\\", "-", "+", "=", "<", "<>", "!", "%", "*", "_", "é", "\n"),
    ]
)


def _matches(expression: Expression, subject: Subject) -> bool:
    try:
        return expression.matches(subject)
    except EvaluationError:
        return False


def _holds(atom: Atom, event: dict[str, str]) -> bool:
    value = event.get(atom.attribute)
    return value is not None and (value == atom.text if atom.kind == "eq" else value.startswith(atom.text))


@given(text=st.one_of(st.text(max_size=40), st.lists(TOKENS, max_size=25).map(" ".join), st.lists(TOKENS).map("".join)))
@settings(max_examples=1_000, deadline=None)
def test_any_text_compiles_or_is_refused_with_a_place_in_it(text: str) -> None:
    column = None
    try:
        expression = compile_cesql(text)
        with contextlib.suppress(EvaluationError):
            expression.evaluate(Subject({}))
    except FilterSyntaxError as error:
        column = error.column
    assert column is None or 1 <= column <= len(text) + 1


@given(text=EXPRESSIONS, event=EVENTS)
@settings(max_examples=1_000, deadline=None)
def test_an_evaluation_gives_a_value_of_the_told_type_or_an_error_of_a_known_kind(
    text: str, event: dict[str, str]
) -> None:
    expression = compile_cesql(text)
    before = dict(event)

    kind, value = _outcome(expression, event)

    assert kind is None or kind in KINDS
    missing = kind == "missingAttribute" and expression.canonical in NAMES
    assert type_of(value) == ("bool" if missing or expression.result_type == "any" else expression.result_type)
    if type(value) is int:
        assert INT_MIN <= value <= INT_MAX
    assert event == before


@given(text=st.one_of(_conditions(), EXPRESSIONS), event=WHOLE_EVENTS)
@settings(max_examples=1_500, deadline=None)
def test_a_match_fulfils_the_guard(text: str, event: dict[str, str]) -> None:
    expression = compile_cesql(text)

    if _matches(expression, Subject(event)) and expression.guard is not None:
        assert any(_holds(atom, event) for atom in expression.guard)


@given(one=EXPRESSIONS, event=EVENTS)
@settings(max_examples=500, deadline=None)
def test_the_canonical_form_is_an_expression_of_the_same_meaning(one: str, event: dict[str, str]) -> None:
    expression = compile_cesql(one)
    if "\\" in expression.canonical:
        return

    again = compile_cesql(expression.canonical)

    assert again.canonical == expression.canonical
    assert repr(_outcome(again, event)) == repr(_outcome(expression, event))


def _outcome(expression: Expression, event: dict[str, str]) -> tuple[str | None, Value]:
    try:
        return None, expression.evaluate(Subject(event))
    except EvaluationError as error:
        return error.kind, error.value
