"""What has to change so that an object becomes what its file says: a three-way merge, as ``kubectl apply`` does it.

What the last apply wrote stands in the annotation that kubectl uses, so both can be used on the same objects: a field
taken out of the file is removed, a field that somebody else set stays. Pure: no API, no files.
"""

from __future__ import annotations

import copy
from typing import Any, Final

import orjson

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_OF_THE_SERVER: Final = (
    "creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid",
)  # fmt: skip


def wanted(content: dict[str, Any], namespace: str | None, *, keep_status: bool) -> dict[str, Any]:
    """The object to write for a document: in its namespace, without what only the server sets, with the annotation."""
    made = copy.deepcopy(content)
    metadata = made["metadata"]
    for name in _OF_THE_SERVER:
        metadata.pop(name, None)
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    if not keep_status:
        made.pop("status", None)
    made = {name: _without_nulls(value) for name, value in made.items() if value is not None}
    annotations = dict(made["metadata"].get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    if annotations or "annotations" in made["metadata"]:
        made["metadata"]["annotations"] = annotations
    said = orjson.dumps(made, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE).decode()
    made["metadata"]["annotations"] = annotations | {LAST_APPLIED: said}
    return made


def patch(made: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that turns ``present`` into ``made``; empty where nothing is to do."""
    said = (present.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = orjson.loads(said) if said else {}
    except orjson.JSONDecodeError:
        last = {}
    last = last if isinstance(last, dict) else {}
    change = _patch(last, made, present)
    if change.keys() == {"metadata"} and _is_note_only(change["metadata"]):
        # The same note in another formatting, kubectl's for one, is no change.
        return {} if last == orjson.loads(made["metadata"]["annotations"][LAST_APPLIED]) else change
    return change


def _is_note_only(metadata: dict[str, Any]) -> bool:
    return metadata.keys() == {"annotations"} and metadata["annotations"].keys() == {LAST_APPLIED}


def _patch(last: dict[str, Any], made: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    change: dict[str, Any] = {name: None for name in last if name not in made and name in present}
    for name, value in made.items():
        there = present.get(name)
        if isinstance(value, dict) and isinstance(there, dict):
            before = last.get(name)
            inner = _patch(before if isinstance(before, dict) else {}, value, there)
            if inner:
                change[name] = inner
        elif name not in present or there != value:
            change[name] = value
    return change


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value
