"""The three-way merge of ``scaup apply``."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.cli.merging import LAST_APPLIED, patch, wanted


def made(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    content = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a", **metadata}, "spec": spec}
    return wanted(content, "default", keep_status=True)


def stored(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "metadata": {**value["metadata"], "uid": "u", "resourceVersion": "7"}}


def test_what_is_there_already_needs_no_change() -> None:
    assert patch(made({"a": 1, "b": None}), stored(made({"a": 1}))) == {}


def test_a_field_that_went_from_the_file_is_removed_and_one_of_somebody_else_stays() -> None:
    present = stored(made({"mine": {"a": 1, "b": 2}}))
    present["spec"]["theirs"] = True
    change = patch(made({"mine": {"a": 3}}), present)
    assert change["spec"] == {"mine": {"a": 3, "b": None}}


def test_a_list_is_written_whole() -> None:
    assert patch(made({"a": [1, 2]}), stored(made({"a": [1]})))["spec"] == {"a": [1, 2]}


@pytest.mark.parametrize("note", ["{}", "not json", None])
def test_an_object_that_was_made_otherwise_gets_the_note_of_what_was_applied(note: str | None) -> None:
    present = stored(made({"a": 1}))
    present["metadata"]["annotations"] = {LAST_APPLIED: note} if note else None
    change = patch(made({"a": 1}), present)
    assert change == {"metadata": {"annotations": made({"a": 1})["metadata"]["annotations"]}}


def test_the_same_note_in_another_formatting_is_no_change() -> None:
    present = stored(made({"a": 1}))
    note = present["metadata"]["annotations"][LAST_APPLIED]
    present["metadata"]["annotations"] = {LAST_APPLIED: note.replace(":", ": ")}
    assert patch(made({"a": 1}), present) == {}


def test_what_only_the_server_sets_is_not_sent_to_it() -> None:
    value = made({}, uid="x", resourceVersion="1", managedFields=[], creationTimestamp=None, namespace="other")
    assert set(value["metadata"]) == {"name", "namespace", "annotations"}
    assert value["metadata"]["namespace"] == "default"


def test_a_status_is_written_only_where_it_is_no_subresource() -> None:
    content = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "status": {"address": {"url": "http://a"}}}
    assert "status" in wanted(content, None, keep_status=True)
    assert "status" not in wanted(content, None, keep_status=False)
