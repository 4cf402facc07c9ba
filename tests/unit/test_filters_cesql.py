"""What CESQL expressions mean: casts, errors, functions, guards (CESQL 1.0, 3; decision 0008)."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.core.filters.cesql import compile_cesql
from scaup.core.filters.guards import Atom, Guard
from scaup.core.filters.subject import EvaluationError, Subject

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "com.example.order",
    "subject": "héllo€😀",
    "sequence": "05",
    "flag": "TRUE",
    "empty": "",
}
MIN = "-2147483648"

VALUES: list[tuple[str, Any]] = [
    # Signs: part of a literal after an operator, an operator after an operand.
    ("4-1", 3),
    ("sequence -1", 4),
    ("4 - -1", 5),
    ("(4)+1", 5),
    ("+7", 7),
    ("- 7", -7),
    (MIN, -(2**31)),
    # Truncated division (3.4.2).
    ("-7 / 2", -3),
    ("7 / -2", -3),
    ("-7 % 2", -1),
    ("7 % -2", 1),
    (f"{MIN} % -1", 0),
    # The type on the right decides (3.7).
    ("sequence = 5", True),
    ("sequence = '5'", False),
    ("5 = sequence", False),
    ("'TRUE' = true", True),
    ("flag = true", True),
    ("true = flag", False),
    ("5 = 'x'", False),
    ("1 = true", True),
    ("true = 2", False),
    ("2 = true", True),
    ("sequence != 5", False),
    ("type <> type", False),
    ("LENGTH(type) = sequence", False),
    ("1 = 1 = true", True),
    # IN casts to the type on the left (3.4.5), and looks no further than the first equal one.
    ("sequence IN (5)", False),
    ("5 IN (sequence)", True),
    ("1 IN ('1', 'x', missing)", True),
    ("5 NOT IN (1, 2)", True),
    ("true IN (1)", True),
    ("LOWER(flag) IN (true, 'x')", True),
    ("type IN (id, 'com.example.order', missing)", True),
    # Precedence (3.6).
    ("1 + 2 * 3 = 7", True),
    ("1 < 2 = true", True),
    ("NOT false = true", True),
    ("NOT flag LIKE 'f%'", True),
    ("10 - 4 - 3", 3),
    ("100 / 10 / 5", 2),
    ("-2 * 3", -6),
    ("EXISTS subject IN (true)", True),
    # Logic: short circuit, and as many operands as one likes.
    ("true OR missing", True),
    ("false AND missing", False),
    ("true AND true AND false AND missing", False),
    ("false OR false OR true OR missing", True),
    ("false OR false OR false", False),
    ("true AND true AND true", True),
    ("true XOR true XOR true", True),
    ("true XOR 0", True),
    ("flag AND 2", True),
    # EXISTS never fails, and required attributes always exist (3.4.4).
    ("EXISTS missing", False),
    ("EXISTS empty", True),
    ("EXISTS Subject", True),
    # Characters are code points; strings keep their case.
    ("LENGTH(subject)", 7),
    ("LEFT(subject, 2)", "hé"),
    ("RIGHT(subject, 1)", "😀"),
    ("subject LIKE 'h_llo__'", True),
    ("SUBSTRING(subject, -2, 1)", "€"),
    # Functions (3.5).
    ("concat_ws(',')", ""),
    ("Concat(1, true, 'x')", "1truex"),
    ("SUBSTRING('abc', 0)", ""),
    ("SUBSTRING('abc', 2, 0)", ""),
    ("SUBSTRING('abc', 2, 2147483647)", "bc"),
    ("RIGHT('abc', 0)", ""),
    ("LEFT(12345, '2')", "12"),
    ("ABS('-5')", 5),
    ("INT('+007')", 7),
    ("INT('-0')", 0),
    ("BOOL('tRuE')", True),
    ("STRING(-0)", "0"),
    ("TRIM('\u3000\u00a0 a\u001c ')", "a\u001c"),
    ("UPPER('straße')", "STRASSE"),
    # Literals: the delimiter is escaped, a backslash before anything else stays (2.2).
    (r"'a\'b'", "a'b"),
    (r'"a\"b"', 'a"b'),
    (r"'a\"b\n\\'", r"a\"b\n\\"),
    (r"'\\\''", r"\\'"),
    ("''", ""),
    ("tRuE", True),
]

ERRORS: list[tuple[str, str, Any]] = [
    ("missing", "missingAttribute", False),
    ("LENGTH(missing)", "missingAttribute", 0),
    ("CONCAT('a', missing)", "missingAttribute", ""),
    ("-missing", "missingAttribute", 0),
    ("missing IN ('a')", "missingAttribute", False),
    ("1 IN (missing, 1)", "missingAttribute", False),
    ("missing AND false", "missingAttribute", False),
    ("missing OR true", "missingAttribute", False),
    ("'x' + missing", "missingAttribute", 0),
    ("'x' = 5", "cast", False),
    ("'x' != 5", "cast", False),
    ("'a' < 'b'", "cast", False),
    ("1 IN ('x', 1)", "cast", False),
    ("NOT 'x'", "cast", False),
    ("NOT type LIKE 'x'", "cast", False),
    ("true AND 'x'", "cast", False),
    ("true XOR 'x'", "cast", False),
    ("INT(' 5')", "cast", 0),
    ("INT('1_0')", "cast", 0),
    ("INT('٣')", "cast", 0),
    ("INT('')", "cast", 0),
    ("INT('2147483648')", "cast", 0),
    (f"INT('{'9' * 5000}')", "cast", 0),
    ("BOOL('yes')", "cast", False),
    ("BOOL('falſe')", "cast", False),  # noqa: RUF001
    ("LEFT('abc', 'x')", "cast", ""),
    ("1 / 0", "math", 0),
    ("1 % 0", "math", 0),
    ("LENGTH(STRING(1 / 0))", "math", 0),
    # Overflow is left open by the text: an error here.
    ("2147483647 + 1", "math", 0),
    (f"{MIN} - 1", "math", 0),
    ("65536 * 65536", "math", 0),
    (f"-({MIN})", "math", 0),
    (f"{MIN} / -1", "math", 0),
    (f"{MIN} / -1 = 0", "math", False),
    (f"ABS({MIN})", "math", 2147483647),
    (f"ABS({MIN}) = 1", "math", False),
    (f"1 + ABS({MIN})", "math", 0),
    # An error's own value stands at the root alone; above it everything is worth its zero value.
    ("LEFT('abc', -2)", "functionEvaluation", "abc"),
    ("RIGHT('abc', -2)", "functionEvaluation", "abc"),
    ("LENGTH(LEFT('abc', -2))", "functionEvaluation", 0),
    ("LEFT(LEFT('abc', -2), 1)", "functionEvaluation", ""),
    ("SUBSTRING('abc', 1, -1)", "functionEvaluation", ""),
    ("LENGTH(SUBSTRING('abc', 4))", "functionEvaluation", 0),
    ("SUBSTRING('abc', -4)", "functionEvaluation", ""),
    # A call that cannot be dispatched is false, before its arguments are looked at (3.5).
    ("FOO(missing)", "missingFunction", False),
    ("FOO(1) = 1", "missingFunction", False),
    ("LENGTH()", "missingFunction", False),
    ("CONCAT(LENGTH(1, 2), 'a')", "missingFunction", ""),
    ("CONCAT_WS()", "missingFunction", False),
    ("IS_INT('1')", "missingFunction", False),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_an_expression_has_a_value_of_its_type(text: str, value: Any) -> None:
    found = compile_cesql(text).evaluate(Subject(EVENT))

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("text", "kind", "value"), ERRORS)
def test_the_first_error_ends_the_evaluation_with_the_specified_value(text: str, kind: str, value: Any) -> None:
    expression = compile_cesql(text)

    with pytest.raises(EvaluationError) as caught:
        expression.evaluate(Subject(EVENT))
    assert (caught.value.kind, caught.value.value, type(caught.value.value)) == (kind, value, type(value))
    assert str(caught.value)
    with pytest.raises(EvaluationError) as again:
        expression.matches(Subject(EVENT))
    assert (again.value.kind, again.value.value) == (kind, value)


def test_like_binds_tighter_than_arithmetic() -> None:
    assert compile_cesql("2 * 3 LIKE '3'").evaluate(Subject(EVENT)) == 2


def test_only_the_boolean_true_matches() -> None:
    assert compile_cesql("true").matches(Subject(EVENT))
    for text in ("false", "1", "'true'", "flag", "LENGTH(id)"):
        assert not compile_cesql(text).matches(Subject(EVENT))


def test_typed_attributes_of_an_event_in_json_keep_their_type() -> None:
    subject = Subject({**EVENT, "flag": True, "count": 3})  # type: ignore[dict-item]

    outcomes = {
        "flag": True,
        "count": 3,
        "flag = 'true'": True,
        "flag != 'TRUE'": True,
        "'TRUE' = flag": True,
        "count + 1": 4,
        "count = '3'": True,
        "LENGTH(flag)": 4,
        "count IN ('4', '3')": True,
        "flag IN ('x', true)": None,
        "count LIKE '3'": True,
        "NOT flag": False,
    }
    for text, value in outcomes.items():
        expression = compile_cesql(text)
        if value is None:
            with pytest.raises(EvaluationError, match="neither true nor false"):
                expression.evaluate(subject)
        else:
            assert expression.evaluate(subject) == value
            assert type(expression.evaluate(subject)) is type(value)


def test_a_negated_text_explains_what_not_binds_to() -> None:
    with pytest.raises(EvaluationError, match="NOT binds tighter than LIKE"):
        compile_cesql("NOT type LIKE 'x%'").evaluate(Subject(EVENT))


def test_results_have_a_bound() -> None:
    large = Subject({**EVENT, "large": "ß" * 300_000, "most": "x" * (1 << 20)})

    assert compile_cesql("LENGTH(CONCAT(large, large, large))").evaluate(large) == 900_000
    assert compile_cesql("LENGTH(CONCAT(most, empty))").evaluate(large) == 1 << 20
    for text in (
        "CONCAT(large, large, large, large)",
        "CONCAT_WS(large, 1, 2, 3, 4, 5)",
        "UPPER(CONCAT(large, large))",
        "CONCAT(most, 1)",
    ):
        with pytest.raises(EvaluationError, match="longer than 1048576 characters") as caught:
            compile_cesql(text).evaluate(large)
        assert (caught.value.kind, caught.value.value) == ("functionEvaluation", "")


TYPES = [
    ("type", "str", False),
    ("1 + 1", "int", False),
    ("LENGTH(type)", "int", False),
    ("'true'", "str", False),
    ("-1", "int", False),
    ("CONCAT()", "str", False),
    ("BOOL(type)", "bool", True),
    ("true", "bool", True),
    ("type IN ('a')", "bool", True),
    ("EXISTS type", "bool", True),
    ("FOO()", "any", True),
]


@pytest.mark.parametrize(("text", "kind", "boolean"), TYPES)
def test_the_type_of_a_result_is_known_from_the_text(text: str, kind: str, boolean: bool) -> None:
    expression = compile_cesql(text)

    assert (expression.result_type, expression.is_boolean) == (kind, boolean)
    assert boolean is not any("not true or false" in message for message, _ in expression.problems)


PROBLEMS = [
    ("type = 'x'", []),
    ("true OR LENGHT(type) > 3", [("there is no function 'LENGHT': did you mean LENGTH?", 9)]),
    ("XYZZY() = 1", [("there is no function 'XYZZY': expected one of ABS, BOOL", 1)]),
    ("NOT LEFT(type) = 'x'", [("LEFT takes 2 arguments, not 1", 5)]),
    ("LENGTH() = 1", [("LENGTH takes 1 argument, not 0", 1)]),
    ("SUBSTRING(type) = ''", [("SUBSTRING takes 2 or 3 arguments, not 1", 1)]),
    ("CONCAT_WS() = ''", [("CONCAT_WS takes 1 or more arguments, not 0", 1)]),
    (" 1 + FOO()", [("the expression yields an integer, not true or false", 2), ("there is no function 'FOO'", 6)]),
    ("source", [("the expression yields a string, not true or false: expected a condition such as", 1)]),
]


@pytest.mark.parametrize(("text", "problems"), PROBLEMS)
def test_what_no_filter_should_contain_is_listed_with_its_place(text: str, problems: list[tuple[str, int]]) -> None:
    found = compile_cesql(text).problems

    assert [column for _, column in found] == [column for _, column in problems]
    assert all(message.startswith(start) for (message, _), (start, _) in zip(found, problems, strict=True))


def test_problems_are_not_listed_without_end() -> None:
    assert len(compile_cesql(" AND ".join(["FOO()"] * 100)).problems) == 8


def _eq(*values: str) -> Guard:
    return tuple(Atom("type", "eq", value) for value in values)


def _there(name: str) -> tuple[Atom, ...]:
    return (Atom(name, "present", ""),)


_X = (Atom("type", "eq", "x"),)
GUARDS: list[tuple[str, Guard]] = [
    ("type = 'x'", _eq("x")),
    ("TYPE = 'x'", _eq("x")),
    ("'x' = type", _eq("x")),
    ("type IN ('x', 'y', 'x')", _eq("x", "y")),
    ("type LIKE 'x'", _eq("x")),
    (r"type LIKE 'x\%'", _eq("x%")),
    ("type LIKE 'x_y%'", (Atom("type", "prefix", "x"),)),
    ("type LIKE 'com.%'", (Atom("type", "prefix", "com."),)),
    ("LENGTH(subject) > 3 AND type = 'x'", _eq("x")),
    ("type LIKE 'x%' AND (type = 'x' OR type = 'y')", _eq("x", "y")),
    ("type = 'x' OR source LIKE '/s%'", (Atom("type", "eq", "x"), Atom("source", "prefix", "/s"))),
    ("false", ()),
    ("type = 'x' AND false", ()),
    ("type = 'x' OR false", _eq("x")),
    ("type = 'x' OR EXISTS subject", (*_X, *_there("subject"))),
    ("type = 'x' XOR type = 'y'", _eq("x", "y")),
    ("type = 'x' XOR EXISTS subject", (*_X, *_there("subject"))),
    ("NOT (type = 'x')", None),
    ("type != 'x'", None),
    ("type NOT IN ('x')", None),
    ("type NOT LIKE 'x'", None),
    ("type LIKE '%x'", None),
    ("type IN ('x', 5)", None),
    ("type IN ('x', source)", None),
    ("'x' IN (type)", None),
    ("sequence = 5", _there("sequence")),
    ("flag = true", _there("flag")),
    ("5 = sequence", _there("sequence")),
    ("LOWER(type) = 'x'", None),
    ("LOWER(subject) = 'x'", _there("subject")),
    ("NOT (subject = 'x')", _there("subject")),
    ("subject NOT IN ('x')", _there("subject")),
    ("subject LIKE '%x'", _there("subject")),
    ("LENGTH(subject) > 3 AND LENGTH(longer) > 3", _there("subject")),
    ("(LENGTH(subject) > 3 OR true) = true", _there("subject")),
    ("(true OR LENGTH(subject) > 3) = true", None),
    ("EXISTS subject", _there("subject")),
    ("NOT EXISTS subject", None),
    ("EXISTS type", None),
    ("type IN (5, subject)", None),
    ("type = source", None),
    ("0", None),
    ("type", None),
    (" OR ".join(f"type = '{n}'" for n in range(65)), None),
]


@pytest.mark.parametrize(("text", "guard"), GUARDS)
def test_the_guard_is_what_a_match_implies(text: str, guard: Guard) -> None:
    assert compile_cesql(text).guard == guard


SAME = [
    ("type = 'x'", 'TYPE="x"'),
    ("type <> 'x'", "(type) != ('x')"),
    ("a AND (b = 1)", "A and b=+1"),
    ("left(a, 1) = 'x'", "LEFT( a,1 )='x'"),
    ("a not like 'x%'", "a NOT LIKE 'x%'"),
    ("4-1 = 3", "4 - 1 = 3"),
]
DIFFERENT = [
    ("a = '1'", "a = 1"),
    ("a = true", "a = 'TRUE'"),
    ("a AND b", "b AND a"),
    ("-5 = a", "-(5) = a"),
    ("a = b", "a = 'b'"),
    (r"a = 'x\''", r"a = 'x\\'"),
    ("a IN ('x, y')", "a IN ('x', 'y')"),
    (r"a IN ('x\', \'y')", "a IN ('x', 'y')"),
    ("EXISTS a", "a"),
    ("10 - (4 - 3) = a", "10 - 4 - 3 = a"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_expressions_that_differ_in_writing_only_share_their_canonical_form(one: str, other: str) -> None:
    assert compile_cesql(one).canonical == compile_cesql(other).canonical


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_expressions_that_mean_different_things_have_different_canonical_forms(one: str, other: str) -> None:
    assert compile_cesql(one).canonical != compile_cesql(other).canonical
