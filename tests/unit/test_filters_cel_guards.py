"""Guards of CEL filters as people write them: whenever the expression is true, one of its guard's atoms holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.filters.cel import compile_cel
from scaup.core.filters.guards import Atom, Guard
from scaup.core.filters.subject import Subject
from tests.support.cel import Choose, an_expression, holds, is_true

LEAVES = {
    "bool": [
        *("true", "false", "has(ce.x)", "has(data.n)", "has(data.o.n)", 'has(ce.type) || ce["x"] == "a"'),
        *("ce.type == 'a'", "'ab' == ce['x']", "ce.x in ['a', 'b']", "ce.x.startsWith('a')", "data.n == 1"),
        *("data['n'] == 1", "data.all(v, v > 0)", "data[0] == 1"),
    ],
    "name": ["ce.type", 'ce["type"]', "ce.x", "ce['x']", "ce [ 'x' ]", "(ce.x)", "ce[r'x']"],
    "string": ["'a'", '"ab"', "r'a'", "'\\x61'", "'''a'''", "'b'", "''", "'a\\'b'", "r'\\a'", "ce.type", "ce.x"],
    "data": ["data.n", "data['n']", "data.o.n", "data.l[0]", "data", "data[0]", "data.n.m"],
}
WHOLES = {
    "bool": [
        *("<bool> && <bool>", "<bool> || <bool>", "!<bool>", "<bool> ? <bool> : <bool>", "<bool> == <bool>"),
        *("<name> == <string>", "<string> == <name>", "<name> != <string>", "<string> < <name>"),
        *("<name> in [<string>, <string>]", "<string> in [<name>]", "<name> in []", "<string> in ce", "'n' in data"),
        *("<name>.startsWith(<string>)", "<string>.startsWith(<name>)", "<name>.endsWith(<string>)"),
        *("<name>.matches('^a')", "size(<name>) > 1", "<name> == <name>", "<name> + <string> == 'aa'"),
        *("<data> == 1", "<data> == <data>", "<data> in [1, 'a']", "has(data.n) && <data> == 1", "1 in [<data>]"),
        *("['a', 'b'].exists(V, <bool>)", "[].all(V, <bool>)", "[<name>].exists(V, V == 'a')", "[1].all(V, <bool>)"),
        *("dyn([{'type': 'a', 'x': 'a'}]).exists(ce, <bool>)", "dyn([{'n': 1}]).exists(data, <bool>)", "[<bool>][0]"),
        *("{'a': <name>}.a == 'a'", "{<name>: true}['a']", "dyn(<name>) == dyn(<string>)", "ce == {'type': <name>}"),
    ],
    "name": ["<name>"],
    "string": ["<string>"],
    "data": ["<data>"],
}
DATA = [None, b"", b"{", b"null", b"1", b"[1]", b'["a"]', b"{}", b'{"n": 1, "o": {"n": 1}}', b'{"n": null, "l": [1]}']


def an_event(choose: Choose) -> Subject:
    attributes = {"type": choose(["a", "ab", "b"])}
    if (value := choose([None, "a", "ab", "", "a'b"])) is not None:
        attributes["x"] = value
    return Subject(attributes, choose(DATA + 4 * DATA[-2:]))


@settings(max_examples=1_000, deadline=None, derandomize=True)
@given(st.data())
def test_what_people_write_fulfils_its_guard_where_it_is_true(data: st.DataObject) -> None:
    def choose(among: list[Any]) -> Any:
        return data.draw(st.sampled_from(among))

    text = an_expression(choose, "bool", choose([0, 1, 2, 3]), tables=(LEAVES, WHOLES))
    subject = an_event(choose)
    guard = compile_cel(text).guard

    if guard is not None and is_true(text, subject):
        assert any(holds(atom, subject) for atom in guard), (text, guard)


A = (Atom("type", "eq", "a"),)
X = (Atom("x", "present", ""),)
LITERALS: list[tuple[str, Guard]] = [
    ("ce.type == 'a'", A),
    ('ce.type == "a"', A),
    ("ce.type == r'a'", A),
    ("ce.type == r'\\a'", (Atom("type", "eq", "\\a"),)),
    ("ce.type == 'a//b'", (Atom("type", "eq", "a//b"),)),
    ("ce.type == 'a' // || true", A),
    ("ce.type == 'a'\n|| ce.type == 'b'", (*A, Atom("type", "eq", "b"))),
    ("ce.type == '\\x61'", None),
    ("ce.type == '''a'''", None),
    ("ce.x == '\\x61'", X),
    ("ce['x'] in ['a', '\\x61']", X),
    ("ce.type in []", ()),
    ("ce.x.startsWith('')", X),
    ("ce['\\x78'] == 'a'", None),
    ("[{'type': 'b'}].exists(ce, ce.type == 'b')", None),
    ("ce.type == 'a' && [ce.x].exists(ce, ce == 'b')", A),
]


@pytest.mark.parametrize(("text", "guard"), LITERALS)
def test_literals_are_taken_into_a_guard_only_as_far_as_they_are_read(text: str, guard: Guard) -> None:
    assert compile_cel(text).guard == guard


def test_more_alternatives_than_an_index_is_worth_are_no_guard() -> None:
    def among(count: int) -> Guard:
        return compile_cel(f"ce.type in {[str(number) for number in range(count)]}").guard

    assert len(among(64) or ()) == 64
    assert among(65) is None
