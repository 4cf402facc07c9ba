"""The index answers exactly what evaluating every Trigger one by one answers, whatever comes and goes."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.filters.cel import MOST, compile_cel, join_cel
from scaup.core.filters.compiled import Result, compile_tree, evaluate
from scaup.core.filters.parse import parse_filters
from scaup.core.filters.subject import EvaluationError, Subject
from scaup.core.model.definitions import Destination, TriggerDefinition
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.filter import pools
from scaup.filter.index import BrokerIndex

NAMES = ["type", "source", "subject", "ext"]
VALUES = ["a", "ab", "abc", "b", "ba", "c"]
names = st.sampled_from(NAMES)
values = st.sampled_from(VALUES)
maps = st.dictionaries(names, values, min_size=1, max_size=2)
cesql = st.sampled_from(
    [
        "type = 'a'",
        "'ab' = source",
        "type IN ('a', 'abc')",
        "subject LIKE 'a%'",
        "NOT (type = 'a')",
        "EXISTS ext",
        "type = 'a' AND source = 'b'",
        "type = 'a' OR ext = 'b'",
        "ext = 'a' XOR type = 'a'",
        "LENGTH(source) > 1",
        "LENGTH(subject) > 1 AND LENGTH(ext) > 1",
        "subject < 5 OR EXISTS ext",
        "subject NOT IN ('a', 'b')",
    ]
)
cel = st.sampled_from(
    [
        'ce.type == "a"',
        '"ab" == ce.source',
        'ce.type in ["a", "abc"]',
        'ce.subject.startsWith("a")',
        '!(ce.type == "a")',
        "has(ce.ext)",
        'ce.type == "a" && ce.source == "b"',
        'ce.type == "a" || ce.ext == "b"',
        'ce["type"] == "a" ? true : ce.source == "b"',
        "size(ce.source) > 1",
        "has(data.n) && data.n == 1",
        "data.n == 2",
        'data["n"] > 1 || ce.type == "a"',
        "size(ce.subject) > 1",
        '!(ce.ext == "a")',
        "int(ce.ext) > 1",
        'has(ce.subject) ? ce.subject == "b" : ce.ext == "b"',
        "data",
        "has(data.n)",
        'ce.subject.endsWith("b") && data.n > 0',
    ]
)
leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(["exact", "prefix", "suffix", "attributes"]).flatmap(
        lambda dialect: maps.map(lambda content: {dialect: content})
    ),
    cesql.map(lambda text: {"cesql": text}),
    cel.map(lambda text: {"cel": text}),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=5,
)
lists = st.lists(filters, max_size=2)
events = st.fixed_dictionaries({"type": values, "source": values}, optional={"subject": values, "ext": values})
contents = st.sampled_from([None, b'{"n": 1}', b'{"n": 2}', b'{"m": 2}', b'["n"]', b"true", b"no json"])


def a_trigger(number: int, wanted: list[dict[str, Any]]) -> TriggerDefinition:
    return TriggerDefinition(
        TriggerUid(f"t-{number}"),
        "ns",
        f"t{number}",
        BrokerUid("b"),
        Destination(uri="http://s/"),
        filters=tuple(wanted),
    )


def by_itself(wanted: list[dict[str, Any]], subject: Subject) -> Result:
    return evaluate(compile_tree(parse_filters(wanted)), subject)


def naive(wanted: list[dict[str, Any]], subject: Subject) -> bool:
    return by_itself(wanted, subject) is True


@settings(max_examples=300, deadline=None)
@given(st.lists(lists, min_size=1, max_size=6), events, contents)
def test_the_index_gives_what_evaluating_every_trigger_gives(
    wanted: list[list[dict[str, Any]]], attributes: dict[str, str], data: bytes | None
) -> None:
    index = BrokerIndex()
    for number, one in enumerate(wanted):
        assert index.put(a_trigger(number, one)) is None

    found = {uid for uid, _ in index.match(Subject(attributes, data))}

    assert found == {f"t-{n}" for n, one in enumerate(wanted) if naive(one, Subject(attributes, data))}


cels = st.lists(cel.map(lambda text: [{"cel": text}]), min_size=4, max_size=12, unique_by=str)


@settings(max_examples=150, deadline=None)
@given(cels, st.lists(st.tuples(events, contents), min_size=2, max_size=4))
def test_cel_filters_asked_together_give_what_each_gives_by_itself(
    wanted: list[list[dict[str, Any]]], asked: list[tuple[dict[str, str], bytes | None]]
) -> None:
    index = BrokerIndex()
    for number, one in enumerate(wanted):
        index.put(a_trigger(number, one))

    with mock.patch.object(pools, "_PATIENCE", 0), mock.patch.object(pools, "_FEWEST", 1):
        for attributes, data in asked:
            failed: set[str] = set()
            found = {uid for uid, _ in index.match(Subject(attributes, data), lambda uid, _why: failed.add(uid))}  # noqa: B023
            results = {f"t-{n}": by_itself(one, Subject(attributes, data)) for n, one in enumerate(wanted)}
            assert found == {uid for uid, result in results.items() if result is True}
            assert failed <= {uid for uid, result in results.items() if isinstance(result, EvaluationError)}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.none() | lists), max_size=12), events)
def test_the_index_forgets_nothing_and_keeps_nothing_as_triggers_come_and_go(
    steps: list[tuple[int, list[dict[str, Any]] | None]], attributes: dict[str, str]
) -> None:
    index = BrokerIndex()
    present: dict[int, list[dict[str, Any]]] = {}
    for number, one in steps:
        if one is None:
            present.pop(number, None)
            index.remove(TriggerUid(f"t-{number}"))
        else:
            present[number] = one
            index.put(a_trigger(number, one))

    found = {uid for uid, _ in index.match(Subject(attributes))}

    assert found == {f"t-{n}" for n, one in present.items() if naive(one, Subject(attributes))}
    assert len(index) == len(present)
    for number in list(present):
        index.remove(TriggerUid(f"t-{number}"))
    assert (len(index), index.uses_data) == (0, False)


def test_a_filter_that_cannot_be_compiled_matches_nothing_and_hurts_nobody() -> None:
    index = BrokerIndex()
    index.put(a_trigger(1, [{"exact": {"type": "a"}}]))

    problem = index.put(a_trigger(2, [{"exakt": {"type": "a"}}]))

    assert problem is not None
    assert "exakt" in problem
    assert [uid for uid, _ in index.match(Subject({"type": "a"}))] == ["t-1"]


def test_a_good_version_does_not_go_on_matching_when_the_next_one_is_bad() -> None:
    index = BrokerIndex()
    index.put(a_trigger(1, [{"exact": {"type": "a"}}]))

    index.put(a_trigger(1, [{"exakt": {"type": "a"}}]))

    assert index.match(Subject({"type": "a"})) == []


def test_equal_filters_of_many_triggers_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    index = BrokerIndex()
    for number in range(50):
        index.put(a_trigger(number, [{"suffix": {"type": "a"}}]))
    evaluated: list[str] = []

    class Spying(dict[str, str]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
            evaluated.append(name)
            return super().get(name, default)

    assert len(index.match(Subject(Spying(type="a", source="b")))) == 50
    assert evaluated.count("type") == 1


def test_a_filter_that_ends_in_errors_is_asked_alone_and_the_others_still_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_PATIENCE", 0)
    index = BrokerIndex()
    for number in range(8):
        index.put(a_trigger(number, [{"cel": f"size(ce.type) > {number + 5}"}]))
    index.put(a_trigger(9, [{"cel": "int(ce.type) > 1"}]))
    failed: list[str] = []

    for _ in range(3):
        assert index.match(Subject({"type": "abc"}), lambda uid, _why: failed.append(uid)) == []

    assert failed == ["t-9"] * 3
    together = [batch for batch in index._unguarded[""]._batches if batch._joint is not None]
    assert [len(batch.members) for batch in together] == [8]


def test_a_changed_filter_counts_at_once_although_it_was_asked_together_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_PATIENCE", 0)
    index = BrokerIndex()
    for number in range(8):
        index.put(a_trigger(number, [{"cel": f"size(ce.type) > {number + 5}"}]))
    assert index.match(Subject({"type": "abc"})) == []

    monkeypatch.setattr(pools, "_PATIENCE", 1_000)
    index.put(a_trigger(3, [{"cel": "size(ce.type) == 3"}]))
    assert [uid for uid, _ in index.match(Subject({"type": "abc"}))] == ["t-3"]
    index.remove(TriggerUid("t-3"))
    assert index.match(Subject({"type": "abc"})) == []


def test_no_more_than_four_batches_are_joined_for_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_PATIENCE", 0)
    index = BrokerIndex()
    for number in range(9 * MOST):
        index.put(a_trigger(number, [{"cel": f"size(ce.type) > {number + 5}"}]))

    def joined() -> int:
        return sum(batch._joint is not None for batch in index._unguarded[""]._batches)

    counts = []
    for _ in range(3):
        index.match(Subject({"type": "abc"}))
        counts.append(joined())
    assert counts == [4, 8, 9]


def test_a_joint_too_costly_for_a_large_event_is_not_asked() -> None:
    costly = [f'ce.ext.contains("{"a" * 300}{number}")' for number in range(32)]
    joint = join_cel([compile_cel(text) for text in costly])
    assert joint is not None
    assert joint.is_surely_false(Subject({"type": "a", "ext": "b" * 100}))
    assert not joint.is_surely_false(Subject({"type": "a", "ext": "b" * 60_000}))


def test_what_is_deep_long_or_has_loops_is_not_joined() -> None:
    assert compile_cel("size(ce.type) > 1").is_joinable
    for text in (
        "(" * 9 + "true" + ")" * 9,
        f'ce.type == "{"a" * 400}"',
        "[1, 2].exists(n, n == size(ce.type))",
    ):
        assert not compile_cel(text).is_joinable
