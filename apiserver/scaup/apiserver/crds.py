"""CustomResourceDefinitions: defaults, checks, and the status that says that a kind is there. Pure.

A version without a schema is taken, and keeps everything; conversion is by name only. Follows
``apiextensions.k8s.io/v1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from scaup.apiserver import crdschemas
from scaup.apiserver.answers import Problem, required, unsupported, wrong
from scaup.apiserver.crdnames import NO_LABEL, is_label
from scaup.apiserver.kinds import CRDS, Kind
from scaup.apiserver.metadata import is_subdomain
from scaup.apiserver.objects import Object
from scaup.apiserver.shown import shown

_SCOPES: Final = ("Cluster", "Namespaced")


def with_defaults(kind: Kind, made: Object) -> Object:
    """Names that follow from others, and no conversion where none is asked for."""
    spec = made.get("spec")
    if kind.resource != CRDS.resource or not isinstance(spec, dict) or not isinstance(spec.get("names"), dict):
        return made
    name = spec["names"].get("kind")
    if not isinstance(name, str):
        return made
    names = {"singular": name.lower(), "listKind": f"{name}List"} | {k: v for k, v in spec["names"].items() if v}
    return {**made, "spec": {"conversion": {"strategy": "None"}} | spec | {"names": names}}


def problems(kind: Kind, made: Object, present: Object | None) -> list[Problem]:
    """What keeps the definition from being one, in the place of ``present``: names, scope, versions."""
    if kind.resource != CRDS.resource:
        return []
    spec = made.get("spec")
    if not isinstance(spec, dict):
        return [required("spec")]
    group, names = spec.get("group"), spec.get("names")
    found = []
    if not group:
        found.append(required("spec.group"))
    elif not isinstance(group, str) or not is_subdomain(group) or "." not in group:
        found.append(wrong("spec.group", group, "should be a domain with at least one dot"))
    if not spec.get("scope"):
        found.append(required("spec.scope"))
    elif spec["scope"] not in _SCOPES:
        found.append(unsupported("spec.scope", spec.get("scope"), _SCOPES))
    elif present is not None and spec["scope"] != present["spec"]["scope"]:
        found.append(wrong("spec.scope", spec["scope"], "field is immutable"))
    if not isinstance(names, dict):
        return [*found, required("spec.names"), *_versions_problems(spec.get("versions"))]
    found += _names_problems(names)
    wanted = f"{names.get('plural')}.{group}"
    if made["metadata"].get("name") != wanted:
        name = made["metadata"].get("name")
        found.append(wrong("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    return found + _versions_problems(spec.get("versions"))


def _names_problems(names: Object) -> list[Problem]:
    found = []
    for field in ("plural", "kind"):
        value = names.get(field)
        if not value:
            found.append(required(f"spec.names.{field}"))
        elif not isinstance(value, str) or not is_label(value.lower() if field == "kind" else value):
            found.append(wrong(f"spec.names.{field}", value, NO_LABEL))
    for field in ("shortNames", "categories"):
        value = names.get(field)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            found.append(wrong(f"spec.names.{field}", value, "must be an array of strings"))
    wrong_text = [f for f in ("singular", "listKind") if not isinstance(names.get(f), str | None)]
    return found + [wrong(f"spec.names.{field}", names[field], "must be a string") for field in wrong_text]


def _versions_problems(versions: Any) -> list[Problem]:
    if not isinstance(versions, list) or not versions:
        return _no_storage(versions)
    found = []
    for number, version in enumerate(versions):
        path = f"spec.versions[{number}]"
        if not isinstance(version, dict):
            found.append(wrong(path, version, "must be an object"))
            continue
        name, subresources = version.get("name"), version.get("subresources")
        if not name:
            found.append(required(f"{path}.name"))
        elif not isinstance(name, str) or not is_subdomain(name) or "." in name:
            found.append(wrong(f"{path}.name", name, "must be a DNS label"))
        if subresources is not None and not isinstance(subresources, dict):
            found.append(wrong(f"{path}.subresources", subresources, "must be an object"))
    if not found and sum(1 for version in versions if version.get("storage")) != 1:
        return _no_storage(versions)
    if not found and len({version["name"] for version in versions}) != len(versions):
        return [_of_versions(versions, "must contain unique version names")]
    return found or list(crdschemas.problems(versions))


def _no_storage(versions: Any) -> list[Problem]:
    found = [_of_versions(versions, "must have exactly one version marked as storage version")]
    if not isinstance(versions, list) or not any(version.get("storage") for version in versions):
        found.append(wrong("status.storedVersions", None, "must have at least one stored version"))
    return found


def _of_versions(versions: Any, detail: str) -> Problem:
    return Problem("spec.versions", "FieldValueInvalid", f"Invalid value: {shown(versions)}: {detail}")


def with_conditions(kind: Kind, made: Object, now: str, others: Iterable[Kind] = ()) -> Object:
    """The checked definition with the status that it has here at once: names accepted and established, or not.

    ``others`` are the kinds that there are.
    """
    if kind.resource != CRDS.resource:
        return made
    spec, before = made["spec"], made.get("status") or {}
    taken = _taken(spec, others)
    states = _ACCEPTED
    if taken:
        reason, name = list(taken.values())[-1]
        states = (
            ("NamesAccepted", "False", reason, f'"{name}" is already in use'),
            ("Established", "False", "NotAccepted", "not all names are accepted"),
        )
    known = {(c.get("type"), c.get("status")): c for c in before.get("conditions") or ()}
    conditions = [
        known.get((name, value))
        or {"type": name, "status": value, "lastTransitionTime": now, "reason": reason, "message": message}
        for name, value, reason, message in states
    ]
    names = {"kind": ""} if taken else {}
    names |= {key: value for key, value in spec["names"].items() if key not in taken}
    stored = [v["name"] for v in spec["versions"] if v.get("storage")]
    versions = list(dict.fromkeys([*(before.get("storedVersions") or ()), *stored]))
    return made | {"status": {"conditions": conditions, "acceptedNames": names, "storedVersions": versions}}


_ACCEPTED: Final = (
    ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
    ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
)


def _taken(spec: Object, others: Iterable[Kind]) -> dict[str, tuple[str, str]]:
    """The names that other kinds of the group have already: field, reason and name."""
    names = spec["names"]
    near = [one for one in others if one.group == spec["group"] and one.plural != names["plural"]]
    of_resources = {name for one in near for name in (one.plural, one.singular or one.kind.lower(), *one.short_names)}
    of_kinds = {name for one in near for name in (one.kind, one.list_name)}
    found = {}
    if names.get("singular") in of_resources:
        found["singular"] = ("SingularConflict", names["singular"])
    if short := [name for name in names.get("shortNames") or () if name in of_resources]:
        found["shortNames"] = ("ShortNamesConflict", short[0])
    if names["kind"] in of_kinds:
        found["kind"] = ("KindConflict", names["kind"])
    if names.get("listKind") in of_kinds:
        found["listKind"] = ("ListKindConflict", names["listKind"])
    return found
