"""The index finds what looking at every Trigger would find."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from scaup.core.filters.attributes import compile_attributes
from scaup.core.filters.subject import Subject
from scaup.core.model.definitions import TriggerDefinition
from scaup.core.model.names import TriggerUid
from scaup.filter.index import BrokerIndex
from tests.support.events import a_trigger, an_event

NAMES = st.sampled_from(["type", "source", "ext", "subject", "schemaurl", "dataschema", "datamediatype", "time"])
VALUES = st.sampled_from(["", "a", "b", "A"])
FILTERS = st.lists(st.dictionaries(NAMES, VALUES, max_size=3).map(lambda wanted: {"attributes": wanted}), max_size=3)
TRIGGERS = st.builds(
    lambda number, filters, generation, matching: a_trigger(
        f"t{number}", filters=tuple(filters), generation=generation, matching=matching
    ),
    st.integers(0, 5), FILTERS, st.integers(1, 3), st.booleans() | st.just(True),
)  # fmt: skip
CHANGES = st.lists(TRIGGERS | st.integers(0, 5), max_size=12)
EVENTS = st.builds(
    lambda kind, source, more, version: an_event(type=kind, source=source, specversion=version, **more).attributes,
    st.sampled_from("abA"), st.sampled_from("abA"),
    st.dictionaries(
        st.sampled_from(["ext", "subject", "dataschema", "schemaurl", "datacontenttype"]),
        st.sampled_from("abA"),
        max_size=4,
    ),
    st.sampled_from(["1.0", "0.3"]),
)  # fmt: skip


def naively(triggers: Mapping[str, TriggerDefinition], attributes: dict[str, str]) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for trigger in triggers.values():
        predicates = [compile_attributes(each["attributes"]) for each in trigger.filters]
        if trigger.matching and all(predicate is None or predicate(attributes) for predicate in predicates):
            found.add((trigger.uid, trigger.generation))
    return found


@settings(max_examples=150)
@given(CHANGES, st.lists(EVENTS, min_size=1, max_size=5))
def test_whatever_comes_and_goes_the_index_agrees_with_naive_matching(
    changes: list[TriggerDefinition | int], events: list[dict[str, str]]
) -> None:
    index = BrokerIndex()
    present: dict[str, TriggerDefinition] = {}
    for change in changes:
        if isinstance(change, int):
            index.remove(TriggerUid(f"t{change}"))
            present.pop(f"t{change}", None)
        else:
            index.put(change)
            present[change.uid] = change
    for attributes in events:
        found = index.match(Subject(attributes))
        assert len(set(found)) == len(found)
        assert set(found) == naively(present, attributes)


def test_what_is_removed_leaves_nothing_behind() -> None:
    index = BrokerIndex()
    for number in range(100):
        index.put(a_trigger(f"t{number}", {"type": f"kind-{number}", "source": "s", "ext": ""}))
    assert len(index) == 100
    for number in range(100):
        index.remove(TriggerUid(f"t{number}"))
    index.remove(TriggerUid("never-there"))
    assert len(index) == 0
    assert (index._groups, index._values, index._prefixes) == ({}, {}, {})
    assert (index._present, index._data, index._unguarded) == ({}, {}, {})


def test_a_trigger_whose_filters_did_not_pass_the_check_matches_nothing() -> None:
    index = BrokerIndex()
    index.put(a_trigger("t"))
    index.put(a_trigger("t", matching=False))
    assert index.match(Subject(an_event().attributes)) == []


def test_ten_thousand_triggers_that_do_not_match_are_not_looked_at() -> None:
    index = BrokerIndex()
    looked_at = []

    class Watched(dict[str, str]):
        def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
            looked_at.append(key)
            return super().get(key, default)

    for number in range(10_000):
        index.put(a_trigger(f"t{number}", {"type": f"kind-{number}", "ext": "x"}))
    assert index.match(Subject(Watched(an_event(type="kind-7", ext="x").attributes))) == [("t7", 1)]
    assert len(looked_at) < 10
