"""Patches by the examples of their specifications."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from scaup.apiserver.patches import PatchError, json_patch, merge, strategic


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_specification_says(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert merge(target, patch) == result
    assert target == before


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        # RFC 6902, appendix A
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
        ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
        ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
        ({"baz": 1}, [{"op": "replace", "path": "/baz", "value": 2}], {"baz": 2}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"foo": [1, 2, 3]}, [{"op": "move", "from": "/foo/0", "path": "/foo/2"}], {"foo": [2, 3, 1]}),
        ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
        ({"foo": [1]}, [{"op": "add", "path": "/foo/-", "value": [2]}], {"foo": [1, [2]]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": 1}, [{"op": "add", "path": "/n", "value": None}], {"a": 1, "n": None}),
    ],
)
def test_a_json_patch_does_what_its_specification_says(target: Any, operations: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert json_patch(target, operations) == result
    assert target == before


@pytest.mark.parametrize(
    "operations",
    [
        {},
        ["add"],
        [{"op": "add", "path": "/a/b/c", "value": 1}],
        [{"op": "add", "path": "/l/3", "value": 1}],
        [{"op": "add", "path": "/l/01", "value": 1}],
        [{"op": "add", "path": "/x"}],
        [{"op": "add", "path": "x", "value": 1}],
        [{"op": "remove", "path": "/missing"}],
        [{"op": "replace", "path": "/missing", "value": 1}],
        [{"op": "move", "from": "/a", "path": "/a/b"}],
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "test", "path": "/a", "value": True}],
        [{"op": "copy", "path": "/b"}],
        [{"op": "mutate", "path": "/a"}],
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operations: Any) -> None:
    with pytest.raises(PatchError):
        json_patch({"a": 1, "l": [1]}, operations)


PORTS = {"spec.ports": "port", "metadata.finalizers": ""}
TWO = {"spec": {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}}


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"data": {"a": "1"}}, {"data": {"a": None, "b": "2"}}, {"data": {"b": "2"}}),
        ({"data": {"a": "1"}}, {"data": {"$patch": "replace", "b": "2"}}, {"data": {"b": "2"}}),
        ({"data": {"a": "1"}}, {"data": {"$patch": "delete"}}, {"data": {}}),
        ({"data": {"a": "1", "b": "2"}}, {"data": {"$retainKeys": ["b"]}}, {"data": {"b": "2"}}),
        (
            TWO,
            {"spec": {"ports": [{"port": 2, "name": "c"}, {"port": 3}]}},
            {"spec": {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "c"}, {"port": 3}]}},
        ),
        (
            TWO,
            {"spec": {"ports": [{"port": 1, "$patch": "delete"}]}},
            {"spec": {"ports": [{"port": 2, "name": "b"}]}},
        ),
        (TWO, {"spec": {"ports": [{"$patch": "replace"}, {"port": 9}]}}, {"spec": {"ports": [{"port": 9}]}}),
        (
            TWO,
            {"spec": {"$setElementOrder/ports": [{"port": 2}, {"port": 1}]}},
            {"spec": {"ports": [{"port": 2, "name": "b"}, {"port": 1, "name": "a"}]}},
        ),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["c", "b"]}},
        ),
        ({"spec": {"other": [1]}}, {"spec": {"other": [2]}}, {"spec": {"other": [2]}}),
    ],
)
def test_a_strategic_patch_merges_lists_by_their_keys(target: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(target)
    assert strategic(target, patch, PORTS) == expected
    assert target == before


@pytest.mark.parametrize(
    "patch", [{"spec": {"ports": [{"name": "x"}]}}, {"spec": {"ports": [1]}}, {"spec": {"$bogus/ports": []}}]
)
def test_a_strategic_patch_that_cannot_be_followed_is_refused(patch: Any) -> None:
    with pytest.raises(PatchError):
        strategic(TWO, patch, PORTS)


def test_a_json_patch_cannot_make_what_is_nested_too_deep() -> None:
    deeper = [{"op": "add", "path": "/a" * depth, "value": {}} for depth in range(1, 2000)]
    with pytest.raises(PatchError, match="cannot be an object"):
        json_patch({}, deeper)


def test_copies_of_copies_are_bounded() -> None:
    doubling = [{"op": "copy", "from": "", "path": f"/{number}"} for number in range(60)]
    with pytest.raises(PatchError, match="exceeding the limit"):
        json_patch({"a": "b"}, doubling)
