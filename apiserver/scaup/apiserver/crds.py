"""CustomResourceDefinitions: defaults, checks, and the status that says that a kind is there. Pure.

A version without a schema is taken, and keeps everything; conversion is by name only. Follows
``apiextensions.k8s.io/v1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from scaup.apiserver import crdschemas, crdversions
from scaup.apiserver.answers import Problem, forbidden_field, required, unsupported, wrong
from scaup.apiserver.crdnames import label_problem
from scaup.apiserver.kinds import CRDS, Kind
from scaup.apiserver.metadata import A_SUBDOMAIN, is_subdomain
from scaup.apiserver.objects import Object

_SCOPES: Final = ("Cluster", "Namespaced")
_STRATEGIES: Final = ("None", "Webhook")
_NAMES: Final = {"plural": False, "singular": False, "kind": True, "listKind": True}
"""The names that there have to be, and whether they may have mixed case."""
_APPROVED: Final = "api-approved.kubernetes.io"
_PROTECTED: Final = (".k8s.io", ".kubernetes.io")


def with_defaults(kind: Kind, made: Object) -> Object:
    """Names that follow from others, no conversion where none is asked for, and versions that say what they are for."""
    spec = made.get("spec")
    if kind.resource != CRDS.resource or not isinstance(spec, dict):
        return made
    given = spec.get("names") or {}
    called = {"singular": given["kind"].lower(), "listKind": f"{given['kind']}List"} if given.get("kind") else {}
    names = called | {k: v for k, v in given.items() if v}
    versions = [{"served": False, "storage": False} | (version or {}) for version in spec.get("versions") or ()]
    more = {"names": names} | ({"versions": versions} if versions else {})
    return {**made, "spec": {"conversion": {"strategy": "None"}} | spec | more}


def problems(kind: Kind, made: Object, present: Object | None) -> list[Problem]:
    """What keeps the definition from being one, in the place of ``present``: names, scope, versions.

    That its fields are of the right types was seen to before (``shapes``).
    """
    if kind.resource != CRDS.resource:
        return []
    spec = made.get("spec") or {}
    group, names, versions = spec.get("group") or "", spec.get("names") or {}, spec.get("versions") or []
    found = []
    name = made["metadata"].get("name")
    if present is None and name and name != f"{names.get('plural', '')}.{group}":
        found.append(wrong("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if not group:
        found.append(required("spec.group"))
    elif not is_subdomain(group) or "." not in group:
        detail = "should be a domain with at least one dot" if is_subdomain(group) else A_SUBDOMAIN
        found.append(wrong("spec.group", group, detail))
    if not spec.get("scope"):
        found.append(required("spec.scope"))
    elif spec["scope"] not in _SCOPES:
        found.append(unsupported("spec.scope", spec["scope"], _SCOPES))
    found += crdversions.problems(versions)
    found += _names_problems(names)
    found += crdschemas.problems(versions)
    found += _conversion_problems(spec.get("conversion", {"strategy": "None"}) or {})
    if spec.get("preserveUnknownFields"):
        detail = "set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        found.append(wrong("spec.preserveUnknownFields", True, f"cannot set to true, {detail}"))
    if present is None:
        found += _approval_problems(group, made["metadata"].get("annotations") or {})
    return [*found, *_stored_problems(versions, present), *(_changes(spec, present["spec"]) if present else ())]


def _names_problems(names: Object) -> list[Problem]:
    found = [required(f"spec.names.{field}") for field in _NAMES if not names.get(field)]
    for field, is_mixed in _NAMES.items():
        value = names.get(field) or ""
        if value and (why := label_problem(value.lower() if is_mixed else value)):
            more = "may have mixed case, but should otherwise match: " if is_mixed else ""
            found.append(wrong(f"spec.names.{field}", value, f"{more}{why}"))
    if names.get("kind") and names["kind"] == names.get("listKind"):
        found.append(wrong("spec.names.listKind", names["kind"], "kind and listKind may not be the same"))
    for field in ("shortNames", "categories"):
        for number, value in enumerate(names.get(field) or ()):
            if why := label_problem(value):
                found.append(wrong(f"spec.names.{field}[{number}]", value, why))
    return found


def _conversion_problems(conversion: Object) -> list[Problem]:
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook") or {}
    config, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions")
    path = "spec.conversion"
    if not strategy:
        return [required(f"{path}.strategy")]
    found = [] if strategy in _STRATEGIES else [unsupported(f"{path}.strategy", strategy, _STRATEGIES)]
    fields = (
        ("webhookClientConfig", config, "required when strategy is set to Webhook"),
        ("conversionReviewVersions", versions, ""),
    )
    if strategy == "Webhook":
        return [required(f"{path}.{field}", why) for field, given, why in fields if not given]
    why = "should not be set when strategy is not set to Webhook"
    return found + [forbidden_field(f"{path}.{field}", why) for field, given, _ in fields if given]


def _approval_problems(group: str, annotations: Object) -> list[Problem]:
    """Groups of Kubernetes' own are not for everybody."""
    said = annotations.get(_APPROVED)
    if not f".{group}".endswith(_PROTECTED) or (said or "").startswith(("unapproved", "http://", "https://")):
        return []
    path, detail = f"metadata.annotations[{_APPROVED}]", f'protected groups must have approval annotation "{_APPROVED}"'
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not said:
        return [required(path, f"{detail}, {see}")]
    return [wrong(path, said, f'{detail} with either a URL or a reason starting with "unapproved", {see}')]


def _stored_problems(versions: list[Object], present: Object | None) -> list[Problem]:
    """Versions that objects are, or were, stored in stay."""
    path, stored = "status.storedVersions", [v.get("name") for v in versions if v.get("storage")]
    before = ((present or {}).get("status") or {}).get("storedVersions") or stored[:1]
    if not before:
        return [wrong(path, None, "must have at least one stored version")]
    if present is None:
        return [crdversions.wrong(path, before, f"must have the storage version {name}") for name in stored[1:]]
    gone = [(n, name) for n, name in enumerate(before) if name not in {v.get("name") for v in versions}]
    return [
        wrong(
            f"{path}[{number}]",
            name,
            f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions "
            f"until a storage migration ensures no data remains persisted in {name} and removes {name} from {path}",
        )
        for number, name in gone
    ]


def _changes(spec: Object, before: Object) -> list[Problem]:
    """What stays as it is: objects are stored by it."""
    found = []
    for field, value, was in (
        ("scope", spec, before),
        ("names.kind", spec.get("names") or {}, before["names"]),
        ("group", spec, before),
        ("names.plural", spec.get("names") or {}, before["names"]),
    ):
        name = field.rpartition(".")[2]
        if value.get(name) != was.get(name):
            found.append(wrong(f"spec.{field}", value.get(name), "field is immutable"))
    return found


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
    conditions += [one for one in before.get("conditions") or () if one.get("type") == "Terminating"]
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
