"""LIKE: wildcards, escapes, and no pattern that takes more than its share of time (CESQL 1.0, 3.4.3)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.filters.cesql import like
from scaup.core.filters.subject import EvaluationError

ROWS = [
    ("", "", True),
    ("", "a", False),
    ("%", "", True),
    ("%%", "anything", True),
    ("_", "€", True),
    ("_", "", False),
    ("__", "ab", True),
    ("__", "abc", False),
    ("%_", "", False),
    ("_%_", "a", False),
    ("_%_", "ab", True),
    ("abc", "abc", True),
    ("abc", "ABC", False),
    ("ab%", "ab", True),
    ("%bc", "abc", True),
    ("%b%", "abc", True),
    ("ab%bc", "abc", False),
    ("ab%bc", "abbc", True),
    ("a%b%c", "acbc", True),
    ("%ab%ab%", "aab", False),
    ("%a_c%", "xxabc", True),
    ("%a_c_e%", "abxabcde", True),
    ("%a_c", "aacbac", False),
    ("%a_c", "acaac", True),
    ("a_%_z", "a12z", True),
    ("a_%_z", "a1z", False),
    (r"\%", "%", True),
    (r"\%", "x", False),
    (r"\_", "_", True),
    (r"a\b", r"a\b", True),
    (r"a\\%", r"a\%", True),
    (r"a\\%", r"a\b", False),
    ("a\\", "a\\", True),
    ("a.c*", "a.c*", True),
    ("a.c*", "abcc", False),
    ("a\n%", "a\nb\nc", True),
]


@pytest.mark.parametrize(("pattern", "value", "matches"), ROWS)
def test_a_pattern_matches_the_whole_value(pattern: str, value: str, matches: bool) -> None:
    assert like.parse(pattern).matcher()(value) is matches


@given(pattern=st.text("ab%_\\", max_size=8), value=st.text("ab%_\\", max_size=10))
@settings(max_examples=1_000, deadline=None)
def test_patterns_match_what_the_equal_regular_expression_matches(pattern: str, value: str) -> None:
    parts = re.findall(r"\\[%_]|.", pattern)
    wild = {"%": ".*", "_": "."}
    expected = re.fullmatch("".join(wild.get(p) or re.escape(p[1:] if len(p) == 2 else p) for p in parts), value)

    compiled = like.parse(pattern)

    assert compiled.matcher()(value) is compiled.matches(value) is (expected is not None)
    if expected:
        assert value.startswith(compiled.prefix)
    assert compiled.exact is None or (expected is not None) == (value == compiled.exact)


def test_a_long_value_is_not_searched_for_a_text_with_a_wildcard_in_it() -> None:
    gapped = like.parse("x%a_b%").matcher()

    assert gapped("x" + "-" * (like.MAX_SEARCHED - 3) + "a-b")
    with pytest.raises(EvaluationError, match="more than 8192 characters") as caught:
        gapped("x" + "-" * (like.MAX_SEARCHED - 2) + "a-b")
    assert caught.value.kind == "functionEvaluation"


@pytest.mark.parametrize("pattern", ["%ab%", "a_b%", "%a_b", "_%ab_%", "%"])
def test_other_patterns_take_values_of_any_length(pattern: str) -> None:
    assert like.parse(pattern).matcher()("a-b" + "-" * 100_000 + "ab-" + "a-b")


HOSTILE = [
    ("%" + "a_" * 4_000 + "b%", "a" * 8_192),
    ("%" + "a_" * 2_000 + "b%", "a" * 8_192),
    ("%" + "a" * 4_000 + "_b%", "a" * 8_192),
    ("%" + "aab_" * 1_000 + "%", "aabb" * 999 + "c" * 4_000),
    ("%a" * 5_000 + "b", "a" * 50_000),
    ("%_a" * 4_000 + "%b", "a" * 50_000),
    ("%" + "a" * 10_000 + "b%", "a" * 50_000),
    ("_%" * 8_000, "a" * 7_999),
]


@pytest.mark.parametrize(("pattern", "value"), HOSTILE)
@pytest.mark.timeout(20)
def test_hostile_patterns_end_soon(pattern: str, value: str) -> None:
    assert not like.parse(pattern).matcher()(value)
