"""What does not parse is refused with what was expected and where; limits hold before anything can hurt."""

from __future__ import annotations

import pytest

from scaup.core.filters.cesql import MAX_DEPTH, MAX_TEXT, compile_cesql
from scaup.core.filters.subject import FilterSyntaxError, Subject

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}

MISTAKES = [
    ("", 1, "the expression is empty: expected a condition"),
    (" \t\r\n ", 1, "the expression is empty"),
    ("type =", 7, "expected a value (an attribute, a literal, a function), but the expression ends here"),
    ("type = ", 7, "expected a value"),
    ("a AND", 6, "expected a value"),
    ("NOT", 4, "expected a value"),
    ("ABC(", 5, "expected a value (an attribute, a literal, a function) or ')'"),
    ("(a", 3, "expected ')', but the expression ends here"),
    ("f(a b)", 5, "expected an operator such as =, LIKE or AND, ')' or ',', but found 'b'"),
    ("a)", 2, "expected the end, but found ')'"),
    ("a, b", 2, "expected the end, but found ','"),
    ("a b", 3, "expected an operator such as =, LIKE or AND or the end, but found 'b'"),
    ("type\n= 'x'\n'y'", 12, "expected an operator"),
    ("a = = b", 5, "expected a value (an attribute, a literal, a function), but found '='"),
    ("a IN ()", 7, "expected a value"),
    ("a IN 'x'", 6, "expected a list of values in parentheses, but found \"'x'\""),
    ("a LIKE b", 8, "expected a pattern in quotes, but found 'b'"),
    ("a LIKE CONCAT('x')", 8, "expected a pattern in quotes"),
    ("a NOT = 3", 7, "expected LIKE or IN, but found '='"),
    ("EXISTS 3", 8, "expected the name of an attribute"),
    ("EXISTS (a)", 8, "expected the name of an attribute"),
    ("EXISTS a_b", 8, "'a_b' names no attribute: expected letters and digits"),
    ("my_ext = 'x'", 1, "'my_ext' names no attribute: expected letters and digits"),
    ("f1(a)", 1, "'f1' names no function: expected letters and underscores"),
    ("_f(a)", 1, "'_f' names no function"),
    ("AND", 1, "expected a value"),
    ("true true", 6, "expected an operator"),
    ("+ 5", 1, "expected a value"),
    ("+a", 1, "expected a value"),
    ("2147483648", 1, "'2147483648' is no 32-bit integer"),
    ("- 2147483648", 3, "'2147483648' is no 32-bit integer"),
    ("a = -2147483649", 5, "'-2147483649' is no 32-bit integer"),
    ("a = " + "9" * 5000, 5, "is no 32-bit integer"),
    ("1.5 < a", 2, "'.' means nothing here: attributes are named alone (type, not ce.type), and numbers are integers"),
    ("ce.type = 'x'", 3, "attributes are named alone"),
    ("a == 'x'", 3, "'==' means nothing here: equality is written with one ="),
    ("a => 1", 3, "'greater or equal' is written >="),
    ("a =< 1", 3, "'less or equal' is written <="),
    ("a && b", 3, "'and' is written AND"),
    ("a || b", 3, "'or' is written OR"),
    ("!a", 1, "negation is written NOT"),
    ("a = 1;", 6, "an expression ends without a semicolon"),
    ("@a", 1, "'@' means nothing here"),
    ("a = \N{LEFT SINGLE QUOTATION MARK}x", 5, "strings stand in straight quotes"),
    ("tÿpe = 'x'", 2, "'ÿ' means nothing here"),
    ("a\u00a0= 1", 2, "the character U+00A0 means nothing here"),
    ("a\x00", 2, "the character U+0000 means nothing here"),
    ("\ud800", 1, "the character U+D800 means nothing here"),
    ("'abc", 1, "the string has no end: expected a closing '"),
    (r"a = 'abc\'", 5, "the string has no end: expected a closing '"),
    ('a = "', 5, 'the string has no end: expected a closing "'),
    ("a = 'it''s'", 8, r"expected \' for a quote within a string, not two quotes"),
    ('a = """"', 6, r"expected \" for a quote within a string, not two quotes"),
    ("a AND b OR c", 9, "expected parentheses where AND and OR are mixed: write (x AND y) OR z or x AND (y OR z)"),
    ("a OR b OR c XOR d", 13, "expected parentheses where OR and XOR are mixed"),
    ("f(a, b XOR c AND d) OR e", 14, "expected parentheses where XOR and AND are mixed"),
    ("x = '" + "y" * 100 + "' 'z" + "z" * 60 + "'", 108, "found \"'z"),
]


@pytest.mark.parametrize(("text", "column", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_what_was_expected(text: str, column: int, message: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        compile_cesql(text)

    assert message in str(caught.value)
    assert caught.value.column == column
    assert str(caught.value).startswith(f"at column {column}: ")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("text", ["(a AND b) OR c", "a AND (b OR c)", "a AND b AND c", "a XOR b XOR c", "NOT (a OR b)"])
def test_parentheses_or_equal_operators_need_no_advice(text: str) -> None:
    assert compile_cesql(text).is_boolean


LEVELS = [
    ("parentheses", lambda n: "(" * n + "true" + ")" * n),
    ("open parentheses only", lambda n: "(" * n),
    ("NOT", lambda n: "NOT " * (n - 1) + "true"),
    ("minus", lambda n: "- " * (n - 1) + "x"),
    ("calls", lambda n: "F(" * (n - 1) + "1" + ")" * (n - 1)),
    ("sums", lambda n: "1" + " + 1" * (n - 1)),
    ("products", lambda n: "1" + " * 1" * (n - 1)),
    ("comparisons", lambda n: "1" + " = 1" * (n - 1)),
    ("LIKE", lambda n: "a" + " LIKE 'x'" * (n - 1)),
    ("IN", lambda n: "a IN (" * (n - 1) + "1" + ")" * (n - 1)),
    ("IN upon IN", lambda n: "a" + " IN (1)" * (n - 1)),
    ("logic within logic", lambda n: "a AND (" * (n - 1) + "b" + ")" * (n - 1)),
]


@pytest.mark.parametrize(("what", "text"), LEVELS)
def test_nesting_has_a_limit_that_is_told(what: str, text: object) -> None:
    assert callable(text)
    for levels in (MAX_DEPTH + 1, MAX_DEPTH + 10, 1_000):
        with pytest.raises(FilterSyntaxError, match=r"nested deeper than 64 levels|longer than 16 KiB"):
            compile_cesql(text(levels))
    if what != "open parentheses only":
        compile_cesql(text(MAX_DEPTH))


def test_an_expression_of_the_greatest_depth_still_runs() -> None:
    assert compile_cesql("NOT " * 62 + "true").matches(Subject(EVENT))
    assert compile_cesql("LENGTH(" * 62 + "type" + ")" * 62).evaluate(Subject(EVENT)) == 1


def test_long_chains_of_one_logic_operator_are_no_nesting() -> None:
    chain = " AND ".join(["type = 't'"] * 1_000)

    assert compile_cesql(chain).matches(Subject(EVENT))
    assert not compile_cesql(chain + " AND id = 'x'").matches(Subject(EVENT))


def test_the_length_of_a_text_is_limited_in_bytes() -> None:
    fill = MAX_TEXT - len("type = ''")

    assert not compile_cesql(f"type = '{'x' * fill}'").matches(Subject(EVENT))
    for text in (f"type = '{'x' * (fill + 1)}'", f"type = '{'é' * (fill // 2 + 1)}'", "(" * 10**6, "\ud800" * MAX_TEXT):
        with pytest.raises(FilterSyntaxError, match="the expression is longer than 16 KiB") as caught:
            compile_cesql(text)
        assert caught.value.column == 0
