"""Server-side apply in itself: sets of fields, merging, who manages what; with properties that hold for any objects."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.apiserver import fieldsets, managers, merging
from scaup.apiserver.answers import ApiError
from scaup.apiserver.kinds import Kind
from scaup.apiserver.managers import APPLY, MOST_UPDATES, UPDATE, Who

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "height": {"type": "integer"},
                "tags": {"type": "array", "x-kubernetes-list-type": "set"},
                "stalks": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {"name": {}, "length": {}}},
                },
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic"},
                "more": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }
    },
}
REEDS = Kind("pond.test", "v1", "reeds", "Reed", has_status=True, schema=SCHEMA)
NAMES = st.sampled_from("abc")
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "height": st.integers(0, 3),
        "tags": st.lists(NAMES, unique=True, max_size=3, min_size=1),
        "stalks": st.lists(
            st.fixed_dictionaries({"name": NAMES}, optional={"length": st.integers(0, 2)}),
            unique_by=lambda stalk: stalk["name"],
            max_size=3,
            min_size=1,
        ),
        "whole": st.dictionaries(NAMES, st.integers(0, 2), max_size=2),
        "more": st.dictionaries(NAMES, NAMES, max_size=2, min_size=1),
        "list": st.lists(st.integers(0, 2), max_size=2, min_size=1),
    },
)


def reed(spec: Any) -> dict[str, Any]:
    return {"apiVersion": "pond.test/v1", "kind": "Reed", "metadata": {"name": "r"}, "spec": spec}


def apply(present: Any, spec: Any, manager: str = "a", *, force: bool = False, now: str = "t1") -> Any:
    return managers.applied(REEDS, present, reed(spec), Who(manager, now), force=force)


def owners(whole: Any) -> dict[tuple[str, str], Any]:
    return {(one["manager"], one["operation"]): one["fieldsV1"] for one in whole["metadata"].get("managedFields", ())}


@given(SPECS)
def test_a_set_of_fields_survives_its_form_in_managed_fields(spec: Any) -> None:
    fields = fieldsets.of(reed(spec), SCHEMA)
    assert fieldsets.from_v1(fieldsets.to_v1(fields)) == fields


@given(SPECS)
def test_applying_the_same_again_changes_nothing(spec: Any) -> None:
    once = apply(None, spec)
    assert apply(copy.deepcopy(once), spec, now="t2") == once


@given(SPECS, SPECS)
def test_what_is_applied_is_there_and_what_its_only_owner_leaves_out_goes(first: Any, second: Any) -> None:
    whole = apply(apply(None, first), second, now="t2")
    assert fieldsets.difference(whole["spec"], second, SCHEMA["properties"]["spec"]).added == frozenset()
    known = managers.schema_of(REEDS)
    stated = [fieldsets.of(reed(spec), known) - {("f:spec",)} for spec in (first, second)]
    left = fieldsets.difference({}, whole, known).added
    assert left >= stated[1]
    gone = stated[0] - stated[1]
    assert not {path for path in gone if path[-1][0] != "k"} & left


@given(SPECS, SPECS)
def test_managers_of_different_fields_never_conflict(first: Any, second: Any) -> None:
    theirs = {name: value for name, value in second.items() if name not in first}
    whole = apply(apply(None, first), theirs, "b")
    for name, value in (first | theirs).items():
        assert whole["spec"][name] == value


@given(SPECS, SPECS)
def test_with_force_what_is_applied_wins(first: Any, second: Any) -> None:
    whole = apply(apply(None, first), second, "b", force=True)
    change = fieldsets.difference(whole, merging.merged(whole, reed(second), SCHEMA), SCHEMA)
    assert not (change.added | change.modified | change.removed)


@given(SPECS, SPECS)
def test_an_update_owns_what_it_changed_and_takes_it_from_others(first: Any, second: Any) -> None:
    present = apply(None, first)
    made = {**copy.deepcopy(present), "spec": second}
    whole = managers.updated(REEDS, present, made, None, Who("u", "t2"))
    change = fieldsets.difference(present, made, managers.schema_of(REEDS))
    changed = change.added | change.modified
    own = fieldsets.from_v1(owners(whole).get(("u", UPDATE), {}))
    assert own == changed
    theirs = fieldsets.from_v1(owners(whole).get(("a", APPLY), {}))
    assert not theirs & (changed | change.removed)


def test_a_conflict_says_whose_field_it_is_and_nothing_is_changed() -> None:
    present = apply(None, {"height": 1, "tags": ["a"]})
    before = copy.deepcopy(present)
    with pytest.raises(ApiError, match=r'conflict with "a": \.spec\.height') as error:
        apply(present, {"height": 2}, "b")
    assert (error.value.status, present) == (409, before)


def test_a_change_of_the_same_value_is_no_conflict() -> None:
    shared = apply(apply(None, {"height": 1}), {"height": 1}, "b")
    assert set(owners(shared)) == {("a", APPLY), ("b", APPLY)}


def test_managers_of_updates_do_not_become_ever_more() -> None:
    whole = managers.updated(REEDS, None, reed({"more": {"n": "0"}}), None, Who("m0", "t00"))
    for number in range(1, 3 * MOST_UPDATES):
        made = copy.deepcopy(whole)
        made["spec"]["more"][f"n{number}"] = "x"
        whole = managers.updated(REEDS, whole, made, None, Who(f"m{number}", f"t{number:02}"))
    found = [one for one in whole["metadata"]["managedFields"] if one["operation"] == UPDATE]
    assert len(found) == MOST_UPDATES
    assert managers.ANCIENT in {one["manager"] for one in found}


def times(whole: Any) -> dict[tuple[str, str], str]:
    return {(one["manager"], one["operation"]): one["time"] for one in whole["metadata"]["managedFields"]}


def test_a_manager_is_as_old_as_what_it_changed_last() -> None:
    once = apply(None, {"height": 1})
    assert times(apply(once, {"height": 1}, now="t2")) == {("a", APPLY): "t1"}
    assert times(apply(once, {"height": 2}, now="t2")) == {("a", APPLY): "t2"}
    made = managers.updated(REEDS, once, {**once, "spec": {"height": 3}}, None, Who("u", "t3"))
    again = managers.updated(REEDS, made, {**made, "spec": {"height": 4}}, None, Who("u", "t4"))
    assert times(again) == {("u", UPDATE): "t4"}


def test_who_applies_in_another_version_is_the_same_manager() -> None:
    once = apply(None, {"height": 1, "list": [1]})
    once["metadata"]["managedFields"][0]["apiVersion"] = "pond.test/v1old"
    whole = apply(once, {"height": 1}, now="t2")
    assert (whole["spec"], list(owners(whole))) == ({"height": 1}, [("a", APPLY)])
    assert whole["metadata"]["managedFields"][0]["apiVersion"] == "pond.test/v1"


def test_managers_of_the_status_do_not_become_ever_more_either() -> None:
    whole = managers.updated(REEDS, None, reed({"height": 1}), None, Who("m", "t00"))
    for number in range(1, 3 * MOST_UPDATES):
        made = {**whole, "status": {**whole.get("status", {}), f"n{number}": "x"}}
        whole = managers.updated(REEDS, whole, made, None, Who(f"m{number}", f"t{number:02}", "status"))
    assert len(whole["metadata"]["managedFields"]) == MOST_UPDATES


def test_the_status_is_managed_only_where_it_is_written() -> None:
    present = managers.updated(REEDS, None, reed({"height": 1}), None, Who("a", "t1"))
    made = {**present, "status": {"cut": "x"}}
    whole = managers.updated(REEDS, present, made, None, Who("c", "t2", "status"))
    (entry,) = [one for one in whole["metadata"]["managedFields"] if one.get("subresource")]
    assert entry["fieldsV1"] == {"f:status": {".": {}, "f:cut": {}}}


@pytest.mark.parametrize(
    "broken", [[{"manager": "x"}], [3], 3, "x", [{"operation": "Apply", "apiVersion": "v1", "fieldsV1": 3}]]
)
def test_managed_fields_that_cannot_be_read_stand_for_none(broken: Any) -> None:
    made = managers.updated(REEDS, None, reed({"height": 1}), broken, Who("a", "t1"))
    assert list(owners(made)) == [("a", UPDATE)]


@pytest.mark.parametrize("tree", [3, {"x": {}}, {"f:a": 3}, {"f:a": {"nothing": {}}}])
def test_what_is_no_set_of_fields_is_refused(tree: Any) -> None:
    with pytest.raises(ValueError, match="there is no"):
        fieldsets.from_v1(tree)
