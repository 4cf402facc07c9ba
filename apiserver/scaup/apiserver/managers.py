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
from scaup.apiserver.fieldsets import NOTHING, Fields, Schema
from scaup.apiserver.kinds import Kind
from scaup.apiserver.objects import Object

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

    ``given`` are the ``managedFields`` of the request: None for those that are there, ``[{}]`` for none from now on.
    """
    if isinstance(given, list) and all(one == {} for one in given):
        return _with_managed(made, None)
    managed = _read(given if given is not None else (present or {"metadata": {}})["metadata"].get("managedFields"))
    change = fieldsets.difference(present or {}, made, schema_of(kind))
    changed = _seen(kind, change.added | change.modified, who)
    removed = change.removed
    if not changed and not removed:
        return _with_managed(made, managed)
    own = _Key(UPDATE, who.name, kind.api_version, who.subresource)
    for key, entry in managed.items():
        entry.fields -= removed if key == own else removed | changed
    _set(managed, own, ((managed[own].fields if own in managed else NOTHING) | changed) - removed, who.now)
    return _with_managed(made, _bounded(managed))


def applied(kind: Kind, present: Object | None, stated: Object, who: Who, *, force: bool) -> Object:
    """What an apply makes of an object: merged, pruned, with ``managedFields``; raises ApiError 409 for conflicts."""
    schema = schema_of(kind)
    live = present or {}
    managed = _read((live.get("metadata") or {}).get("managedFields"))
    if present is not None and not managed:
        before = _seen(kind, fieldsets.of(live, schema), Who(FIRST, who.now))
        _set(managed, _Key(UPDATE, FIRST, kind.api_version, ""), before, who.now)
    fields = _seen(kind, fieldsets.of(stated, schema), who)
    own = _Key(APPLY, who.name, kind.api_version, who.subresource)
    last = managed[own].fields if own in managed else NOTHING
    others = [entry.fields for key, entry in managed.items() if key != own]
    whole = merging.merged(live, stated, schema)
    whole = merging.without(whole, last - fields, [*others, fields], schema)
    change = fieldsets.difference(live, whole, schema)
    taken = (change.added | change.modified) & fields
    conflicts = {key: found for key, entry in managed.items() if key != own and (found := entry.fields & taken)}
    if conflicts and not force and not _is_migrating(live, who, conflicts, schema):
        raise _conflict(conflicts)
    for key, entry in managed.items():
        entry.fields -= change.removed if key == own else change.removed | conflicts.get(key, NOTHING)
    _set(managed, own, fields, who.now)
    return _with_managed(whole, managed)


def _is_migrating(live: Object, who: Who, conflicts: Mapping[_Key, Fields], schema: Schema) -> bool:
    """Whether kubectl goes over from applying on the client: what it applied so is its own to change."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if who.name != _KUBECTL or not isinstance(text, str):
        return False
    try:
        last = fieldsets.of(orjson.loads(text), schema)
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return False
    return frozenset().union(*conflicts.values()) <= last


def _seen(kind: Kind, fields: Fields, who: Who) -> Fields:
    """Those that can be managed through this path: not the server's own, and the status only where it is written."""
    hidden = _OURS if kind.is_custom else _OURS | {("f:spec",), ("f:status",)}
    if who.subresource == "status":
        return frozenset(path for path in fields if path[0] == _STATUS and path not in hidden)
    return frozenset(path for path in fields if path not in hidden and not (kind.has_status and path[0] == _STATUS))


def _set(managed: _Managed, key: _Key, fields: Fields, now: str) -> None:
    if key in managed and managed[key].fields == fields:
        return
    managed[key] = _Entry(fields, now)


def _bounded(managed: _Managed) -> _Managed:
    updates = sorted((k for k in managed if k.operation == UPDATE and not k.subresource), key=lambda k: managed[k].time)
    surplus = len(updates) - MOST_UPDATES
    if surplus <= 0:
        return managed
    old = updates[: surplus + 1]
    joined = frozenset().union(*(managed[key].fields for key in old))
    left = {key: entry for key, entry in managed.items() if key not in old}
    left[_Key(UPDATE, ANCIENT, old[-1].version, "")] = _Entry(joined, managed[old[-1]].time)
    return left


def _read(entries: Any) -> _Managed:
    """``managedFields``; one that cannot be read stands for none, as nobody can own what cannot be named."""
    managed: _Managed = {}
    for one in entries if isinstance(entries, list) else ():
        try:
            key = _Key(one["operation"], one.get("manager", ""), one["apiVersion"], one.get("subresource", ""))
            managed[key] = _Entry(fieldsets.from_v1(one.get("fieldsV1") or {}), one.get("time", ""))
        except (KeyError, TypeError, AttributeError, ValueError):
            return {}
    return managed


def _with_managed(whole: Object, managed: _Managed | None) -> Object:
    metadata = {k: v for k, v in whole["metadata"].items() if k != "managedFields"}
    entries = []
    for key, entry in sorted((managed or {}).items(), key=lambda one: (one[0].operation, one[1].time, one[0])):
        if not entry.fields:
            continue
        about: Object = {"manager": key.manager, "operation": key.operation, "apiVersion": key.version}
        about |= {"time": entry.time, "fieldsType": "FieldsV1", "fieldsV1": fieldsets.to_v1(entry.fields)}
        entries.append(about | ({"subresource": key.subresource} if key.subresource else {}))
    return {**whole, "metadata": metadata | ({"managedFields": entries} if entries else {})}


def _conflict(conflicts: Mapping[_Key, Fields]) -> ApiError:
    found = sorted((_named(key), fieldsets.shown(path)) for key, fields in conflicts.items() for path in fields)
    by_manager: dict[str, list[str]] = {}
    for who, path in found:
        by_manager.setdefault(who, []).append(path)
    if len(found) == 1:
        text = f"1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        said = [
            f"conflict{'s' if len(found) > 1 else ''} with {who}:" + "".join(f"\n- {path}" for path in paths)
            for who, paths in by_manager.items()
        ]
        text = f"{len(found)} conflicts: " + "\n".join(said)
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {w}", "field": path} for w, path in found]
    return ApiError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def _named(key: _Key) -> str:
    subresource = f' with subresource "{key.subresource}"' if key.subresource else ""
    using = f" using {key.version}" if key.operation == UPDATE else ""
    return f'"{key.manager}"{subresource}{using}'
