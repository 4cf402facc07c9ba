"""Structural schemas: what is dropped, filled in and refused, case by case; the words are Kubernetes'."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.apiserver import celrules, checks, crdschemas, formats, structural
from scaup.apiserver.duplicates import in_json
from scaup.apiserver.kinds import TRIGGERS, Kind
from scaup.apiserver.policies import refusal
from scaup.apiserver.schemas import problems, taken
from scaup.apiserver.shown import shown

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
MAP = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["id"],
    "items": {"type": "object", "properties": {"id": TEXT, "size": NUMBER | {"minimum": 1}}},
}


def mistyped(path: str, kind: str, given: str) -> str:
    """What is said of a value of the wrong type or format."""
    return f'{path}: Invalid value: "{given}": {path} in body must be of type {kind}: "{given}"'


def an(schema: Any) -> dict[str, Any]:
    """A schema of an object with one field."""
    return {"type": "object", "properties": {"a": schema}}


def found(schema: Any, value: Any, old: Any = None) -> list[str]:
    """What is wrong with the field ``a``."""
    was = None if old is None else {"a": old}
    return [str(problem) for problem in checks.problems(structural.read(an(schema)), {"a": value}, "", was)]


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        (TEXT, 1, 'a: Invalid value: "integer": a in body must be of type string: "integer"'),
        (TEXT, None, 'a: Invalid value: "null": a in body must be of type string: "null"'),
        (NUMBER, True, 'a: Invalid value: "boolean": a in body must be of type integer: "boolean"'),
        (TEXT | {"maxLength": 1}, "ab", "a: Too long: may not be more than 1 byte"),
        (TEXT | {"pattern": "^a$"}, "a\n", 'a: Invalid value: "a\\n": a in body should match \'^a$\''),
        (TEXT | {"enum": ["x", "y"]}, "z", 'a: Unsupported value: "z": supported values: "x", "y"'),
        (NUMBER | {"minimum": 2}, 1, "a: Invalid value: 1: a in body should be greater than or equal to 2"),
        (NUMBER | {"maximum": 2, "exclusiveMaximum": True}, 2, "a: Invalid value: 2: a in body should be less than 2"),
        (NUMBER | {"multipleOf": 3}, 4, "a: Invalid value: 4: a in body should be a multiple of 3"),
        ({"type": "array", "maxItems": 1, "items": TEXT}, ["x", "y"], "a: Too many: 2: must have at most 1 item"),
        ({"type": "object", "required": ["b"]}, {}, "a.b: Required value"),
        ({"type": "object", "additionalProperties": TEXT}, {"b": 1}, mistyped("a.b", "string", "integer")),
        (TEXT | {"format": "date-time"}, "soon", mistyped("a", "date-time", "soon")),
        (NUMBER | {"not": {"enum": [1]}}, 1, '<nil>: Invalid value: "": "a" must not validate the schema (not)'),
    ],
)  # fmt: skip
def test_a_value_that_its_schema_does_not_take_is_said_so(schema: Any, value: Any, said: str) -> None:
    assert found(schema, value) == [said]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (NUMBER, 2.0),
        ({"type": "number"}, 1),
        (TEXT | {"nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "http"),
        ({"x-kubernetes-int-or-string": True}, 80),
        (TEXT | {"format": "nobody-knows"}, "x"),
        ({"x-kubernetes-preserve-unknown-fields": True}, [1, {"x": None}]),
    ],
)
def test_a_value_that_its_schema_takes_is_right(schema: Any, value: Any) -> None:
    assert found(schema, value) == []


def test_what_an_update_leaves_as_it_was_is_not_refused() -> None:
    assert found(TEXT | {"maxLength": 1}, "ab", "ab") == []
    entries = [{"id": "x", "size": 0}, {"id": "y", "size": 0}]
    assert found(MAP, entries, [{"id": "y", "size": 0}]) == [
        "a[0].size: Invalid value: 0: a[0].size in body should be greater than or equal to 1"
    ]


def test_entries_that_stand_twice_are_found_by_their_keys() -> None:
    node = structural.read(an(MAP))
    value = {"a": [{"id": "x", "size": 1}, {"id": "x", "size": 2}, {"id": "x"}]}
    assert [str(one) for one in checks.duplicates(node, value)] == ['a[1]: Duplicate value: {"id":"x"}']


def test_unknown_fields_are_dropped_and_said_and_metadata_is_left_alone() -> None:
    node = structural.read({"type": "object", "properties": {"spec": an(TEXT)}})
    unknown: list[str] = []
    made = {"kind": "A", "metadata": {"name": "n"}, "spec": {"a": "x", "b": [{"c": 1}]}, "more": 1}
    kept = structural.pruned(node, made, unknown)
    assert kept == {"kind": "A", "metadata": {"name": "n"}, "spec": {"a": "x"}}
    assert unknown == ["spec.b", "more"]


def test_defaults_are_copies_and_fill_in_what_is_there_only() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "array", "items": TEXT, "default": ["x"]}}}
    node = structural.read(an(inner))
    assert structural.defaulted(node, {}) == {}
    one, other = structural.defaulted(node, {"a": {}}), structural.defaulted(node, {"a": {}})
    one["a"]["b"].append("y")
    assert other == {"a": {"b": ["x"]}}


@pytest.mark.parametrize(
    ("rule", "value", "old", "said"),
    [
        ({"rule": "self > 1"}, 1, None, "Invalid value: 1: failed rule: self > 1"),
        ({"rule": "self > 1", "message": "more"}, 1, None, "Invalid value: 1: more"),
        ({"rule": "self == oldSelf", "message": "stays"}, 2, 1, "Invalid value: 2: stays"),
        ({"rule": "oldSelf.hasValue()", "optionalOldSelf": True, "message": "old"}, 2, None, "Invalid value: 2: old"),
        ({"rule": "self > 1", "messageExpression": "'is ' + string(self)"}, 1, None, "Invalid value: 1: is 1"),
        ({"rule": "self > 1", "reason": "FieldValueForbidden", "message": "no"}, 1, None, "Forbidden: no"),
        ({"rule": "1 / self > 0"}, 0, None, 'Invalid value: "integer": divide by zero evaluating rule: 1 / self > 0'),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_hold_is_said_so(rule: Any, value: Any, old: Any, said: str) -> None:
    ruled = celrules.rules_of(structural.read(an(NUMBER | {"x-kubernetes-validations": [rule]})), [])
    was = None if old is None else {"a": old}
    assert [one.message for one in celrules.broken(ruled, {"a": value}, was)] == [said]


def test_rules_about_the_old_value_wait_for_one_and_others_for_a_change() -> None:
    rules = [{"rule": "self == oldSelf"}, {"rule": "self > 1"}]
    ruled = celrules.rules_of(structural.read(an(NUMBER | {"x-kubernetes-validations": rules})), [])
    assert list(celrules.broken(ruled, {"a": 2}, None)) == []
    assert list(celrules.broken(ruled, {"a": 1}, {"a": 1})) == []


def test_names_that_a_rule_could_not_write_are_escaped() -> None:
    names = ["namespace", "a-b", "a.b", "a__b", "plain"]
    escaped = ["__namespace__", "a__dash__b", "a__dot__b", "a__underscores__b", "plain"]
    assert [celrules.escaped(name) for name in names] == escaped


def test_a_rule_that_only_a_cluster_can_ask_is_accepted_and_left_out() -> None:
    schema = an(TEXT | {"x-kubernetes-validations": [{"rule": "quantity(self).isGreaterThan(quantity('1'))"}]})
    assert list(crdschemas.problems([{"schema": {"openAPIV3Schema": schema}}])) == []
    left_out: list[str] = []
    assert celrules.rules_of(structural.read(schema), left_out) is None
    assert len(left_out) == 1


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("date-time", "2026-01-02T03:04:05.123+01:00"),
        ("date", "2026-02-28"),
        ("duration", "1h30m"),
        ("uri", "urn:x"),
        ("email", "A B <a@b.test>"),
        ("ipv6", "fe80::1"),
        ("mac", "01:23:45:67:89:ab"),
    ],
)
def test_a_text_of_a_format_is_taken(form: str, text: str) -> None:
    assert formats.is_of_format(form, text)
    assert not formats.is_of_format(form, "!")


def test_values_are_shown_as_in_a_cluster() -> None:
    assert [shown(one) for one in ("a\n", 1.0, 0.5, None, {"b": 1, "a": []}, 2.0**63)] == [
        '"a\\n"',
        "1",
        "0.5",
        "null",
        '{"a":[],"b":1}',
        "9.223372036854776e+18",
    ]


def test_fields_that_stand_twice_in_json_are_found_where_they_are() -> None:
    assert in_json(b'{"a":1,"b":[{"c":1},{"c":1,"c":2}],"a":2}') == [
        'duplicate field "a"',
        'duplicate field "b[1].c"',
    ]


def test_the_policies_of_a_cluster_are_asked_of_what_changed_only() -> None:
    made = {"metadata": {"name": "t"}, "spec": {"broker": "b", "subscriber": {"uri": "http://x/"}, "new": 1}}
    denied = refusal(TRIGGERS, made, None)
    assert denied is not None
    assert denied.status == 422
    assert "spec.new: unknown field" in str(denied)
    assert refusal(TRIGGERS, made, made) is None


def test_kinds_without_a_schema_keep_everything() -> None:
    kind = Kind("pond.test", "v1", "ponds", "Pond")
    made = {"metadata": {"name": "one"}, "depth": 3}
    assert taken(kind, made, []) == made
    assert problems(kind, made, None) == []
