"""Who states which fields of an object: ``metadata.managedFields`` after a write, and conflicts of an apply. Pure.

Follows Kubernetes' field management (server-side apply): who applies owns what is applied, who updates owns what was
changed; a field that its last owner leaves out of an apply goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from scaup.apiserver import answers, fieldsets, merging
from scaup.apiserver.answers import ApiError, Problem
from scaup.apiserver.coreschemas import METADATA, SCHEMAS
from scaup.apiserver.fieldsets import NOTHING, Fields, Path, Schema
from scaup.apiserver.kinds import Kind
from scaup.apiserver.metadata import MAX_ANNOTATIONS, annotations_size
from scaup.apiserver.objects import Object, is_same
from scaup.apiserver.shown import as_go

APPLY: Final = "Apply"
UPDATE: Final = "Update"
FIRST: Final = "before-first-apply"
ANCIENT: Final = "ancient-changes"
MOST_UPDATES: Final = 10
"""Managers of updates that are told apart; of more the oldest become one."""
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_LONGEST_NAME: Final = 128
_OURS: Final = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                *("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields"),
                *("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"),
            )
        ),
    }
)
_STATUS: Final = "f:status"
_NAME: Final = ("f:metadata", "f:name")


@dataclass(frozen=True, slots=True)
class Who:
    """Who writes: the manager's name, and through which subresource ("" for the object itself)."""

    name: str
    now: str
    subresource: str = ""


class _Key(NamedTuple):
    operation: str
    manager: str
    version: str
    subresource: str


@dataclass(slots=True)
class _Entry:
    fields: Fields
    version: str
    time: str = field(default="")


_Managed = dict[_Key, _Entry]


def named(query: Mapping[str, str], agent: str, options: str, *, is_apply: bool) -> str:
    """The manager's name: ``fieldManager``, else the client's name; raises ApiError 422 where it cannot be one."""
    name = query.get("fieldManager", "")
    problems = []
    if is_apply and not name:
        problems.append(answers.required("fieldManager", "is required for apply patch"))
    if len(name.encode()) > _LONGEST_NAME:
        why = f"Too long: may not be more than {_LONGEST_NAME} bytes"
        problems.append(Problem("fieldManager", "FieldValueTooLong", why))
    for place, letter in enumerate(name):
        if not letter.isprintable():
            why = f"invalid character U+{ord(letter):04X} (at position {place})"
            problems.append(answers.wrong("fieldManager", name.replace("\n", "\\n"), why))
            break
    if "force" in query and not is_apply:
        problems.append(answers.forbidden_field("force", "may not be specified for non-apply patch"))
    if problems:
        raise answers.invalid_options(problems, options)
    return name or agent.partition("/")[0][:_LONGEST_NAME] or "unknown"


def schema_of(kind: Kind) -> Schema:
    """What is known of a kind's fields."""
    known = kind.schema or SCHEMAS.get(kind.resource) or {}
    return {**known, "properties": {**(known.get("properties") or {}), "metadata": METADATA}}


def updated(kind: Kind, present: Object | None, made: Object, given: Any, who: Who) -> Object:
    """The object with who manages it after it was made, or changed from ``present``.

    ``given`` are the ``managedFields`` of the request: nothing, or what cannot be read, for those that are there, one
    that is empty for none. An object that nobody manages stays so until something is applied to it.
    """
    managed = _read((present or {"metadata": {}})["metadata"].get("managedFields"))
    if not who.subresource:
        is_reset = given == [{}] or (given == [] and not kind.is_custom)
        managed = {} if is_reset else _read(given) or managed
    if present is not None and not managed:
        return _with_managed(made, {})
    return _with_managed(made, _bounded(_changed(kind, present or {}, made, managed, who)))


def _changed(kind: Kind, old: Object, new: Object, managed: _Managed, who: Who) -> _Managed:
    """Who manages what after an update: who made it owns what is another now, and it alone."""
    change = fieldsets.difference(old, new, schema_of(kind))
    changed, removed = _seen(kind, change.added | change.modified, who), _seen(kind, change.removed, who)
    for entry in managed.values():
        entry.fields -= removed | changed
    if changed:
        own = _Key(UPDATE, who.name, kind.api_version, who.subresource)
        before = managed[own].fields if own in managed else NOTHING
        managed[own] = _Entry(before | changed, kind.api_version, who.now)
    return managed


def applied(kind: Kind, present: Object | None, stated: Object, who: Who, *, force: bool) -> Object:
    """What an apply makes of an object: merged, pruned, with ``managedFields``; raises ApiError 409 for conflicts."""
    schema = schema_of(kind)
    live = present or {}
    managed = _read((live.get("metadata") or {}).get("managedFields"))
    if present is not None and not managed:
        managed = _changed(kind, {}, live, {}, Who(FIRST, who.now, who.subresource))
    fields = _seen(kind, fieldsets.of(stated, schema), who)
    own = _Key(APPLY, who.name, "", who.subresource)
    last = managed.pop(own, _Entry(NOTHING, kind.api_version))
    owned = fields.union([_NAME], *(entry.fields for entry in managed.values()))
    whole = merging.pruned(merging.merged(live, stated, schema), last.fields, owned, schema)
    change = fieldsets.difference(live, whole, schema)
    changed, removed = _seen(kind, change.added | change.modified, who), _seen(kind, change.removed, who)
    conflicts = {key: found for key, entry in managed.items() if (found := entry.fields & changed)}
    if conflicts and not force:
        own_anyway = _applied_on_the_client(live, who, kind, schema)
        if left := {key: found - own_anyway for key, found in conflicts.items() if found - own_anyway}:
            raise _conflict(left)
    for entry in managed.values():
        entry.fields -= removed | changed
    is_known = present is not None and last.time and is_same(whole, live)
    managed[own] = _Entry(fields, kind.api_version, last.time if is_known else who.now)
    return _with_last_applied(_with_managed(whole, managed), stated, who)


def _with_last_applied(whole: Object, stated: Object, who: Who) -> Object:
    """What kubectl applied on the client before is kept up, so that it can go back to that."""
    about, mine = whole["metadata"], dict(stated["metadata"])
    annotations = about.get("annotations")
    if who.name != _KUBECTL or not _are_texts(annotations) or not annotations.get(LAST_APPLIED):
        return whole
    if (own := mine.pop("annotations", None)) is not None:
        mine["annotations"] = {key: text for key, text in own.items() if key != LAST_APPLIED}
    kept = {**annotations, LAST_APPLIED: as_go({**stated, "metadata": mine}, is_sorted=True) + "\n"}
    if annotations_size(kept) > MAX_ANNOTATIONS:
        del kept[LAST_APPLIED]
    return {**whole, "metadata": {**about, "annotations": kept}}


def _are_texts(annotations: Any) -> bool:
    """Whether these can be annotations: what cannot is refused later."""
    return isinstance(annotations, dict) and all(isinstance(text, str) for text in annotations.values())


def _applied_on_the_client(live: Object, who: Who, kind: Kind, schema: Schema) -> Fields:
    """What kubectl may change as it goes over from applying on the client: what it applied so, and is so still."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if who.name != _KUBECTL or not isinstance(text, str):
        return NOTHING
    try:
        last = orjson.loads(text)
        if last["apiVersion"] != kind.api_version:
            return NOTHING
        change = fieldsets.difference(last, live, schema)
        return fieldsets.of(last, schema) - change.added - change.modified - change.removed
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return NOTHING


def _seen(kind: Kind, fields: Fields, who: Who) -> Fields:
    """Those that can be managed through this path: not the server's own, and the status only where it is written."""
    hidden = _OURS if kind.is_custom else _OURS | {("f:spec",), ("f:status",)}
    if who.subresource == "status":
        return frozenset(path for path in fields if path[0] == _STATUS and path not in hidden)
    return frozenset(path for path in fields if path not in hidden and not (kind.has_status and path[0] == _STATUS))


def _bounded(managed: _Managed) -> _Managed:
    """Of too many managers of updates the oldest become one, for each version."""
    updates = sorted((key for key in managed if key.operation == UPDATE), key=lambda key: (managed[key].time, key))
    surplus = len(updates) - MOST_UPDATES
    firsts: dict[str, _Key] = {}
    for key in updates:
        if surplus <= 0:
            break
        if (first := firsts.setdefault(key.version, key)) == key:
            continue
        bucket = _Key(UPDATE, ANCIENT, key.version, "")
        if bucket not in managed:
            managed[bucket] = managed.pop(first)
        entry = managed.pop(key)
        managed[bucket] = _Entry(managed[bucket].fields | entry.fields, entry.version, entry.time)
        surplus -= 1
    return managed


def _read(entries: Any) -> _Managed:
    """``managedFields``; one that cannot be read stands for none, as nobody can own what cannot be named."""
    managed: _Managed = {}
    for one in entries if isinstance(entries, list) else ():
        try:
            operation, version = one["operation"], one["apiVersion"]
            key_version = "" if operation == APPLY else version  # who applies in another version is the same still
            key = _Key(operation, one.get("manager", ""), key_version, one.get("subresource", ""))
            managed[key] = _Entry(fieldsets.from_v1(one.get("fieldsV1") or {}), version, one.get("time", ""))
        except (KeyError, TypeError, AttributeError, ValueError):
            return {}
    return managed


def _with_managed(whole: Object, managed: _Managed) -> Object:
    metadata = {k: v for k, v in whole["metadata"].items() if k != "managedFields"}
    entries = []
    for key, entry in sorted(managed.items(), key=lambda one: (one[0].operation, one[1].time, one[0])):
        if not entry.fields:
            continue
        about: Object = {"manager": key.manager, "operation": key.operation, "apiVersion": entry.version}
        if entry.time:  # a client's own entry may be without
            about["time"] = entry.time
        about |= {"fieldsType": "FieldsV1", "fieldsV1": fieldsets.to_v1(entry.fields)}
        entries.append(about | ({"subresource": key.subresource} if key.subresource else {}))
    return {**whole, "metadata": metadata | ({"managedFields": entries} if entries else {})}


def _conflict(conflicts: Mapping[_Key, Fields]) -> ApiError:
    every = [(_named(key), path) for key, fields in conflicts.items() for path in fields]
    found = [(who, fieldsets.shown(path)) for who, path in sorted(every, key=lambda one: (one[0], _rank(one[1])))]
    by_manager: dict[str, list[str]] = {}
    for who, path in found:
        by_manager.setdefault(who, []).append(path)
    if len(found) == 1:
        text = f"1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        said = [
            f"conflicts with {who}:" + "".join(f"\n- {path}" for path in paths) for who, paths in by_manager.items()
        ]
        text = f"{len(found)} conflicts: " + "\n".join(said)
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {w}", "field": path} for w, path in found]
    return ApiError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def _rank(path: Path) -> list[tuple[bool, str]]:
    """The order of fields: those of an object before those of the objects in it."""
    return [(place < len(path), step) for place, step in enumerate(path, 1)]


def _named(key: _Key) -> str:
    subresource = f' with subresource "{key.subresource}"' if key.subresource else ""
    using = f" using {key.version}" if key.operation == UPDATE else ""
    return f'"{key.manager}"{subresource}{using}'
