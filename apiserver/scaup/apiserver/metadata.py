"""What metadata may be: names, labels, annotations, finalizers, owners. Pure.

Follows Kubernetes' ``ValidateObjectMeta`` and its name rules (RFC 1123).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from scaup.apiserver import answers
from scaup.apiserver.answers import Problem
from scaup.apiserver.kinds import NAMESPACES, Kind, Resource

Metadata = dict[str, Any]

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_QUALIFIED: Final = re.compile(r"(?:([^/]+)/)?([A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)")
_CALLED_BY_LABELS: Final = (NAMESPACES.resource, Resource("", "services"))
_STANDARD: Final = ("kubernetes", "orphan", "foregroundDeletion")
MAX_ANNOTATIONS: Final = 256 * 1024
"""Bytes of all keys and values together."""
_ENDS: Final = "and must start and end with an alphanumeric character (e.g."
_USED: Final = "regex used for validation is"
_A_LABEL: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    f"{_ENDS} 'my-name',  or '123-abc', {_USED} '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
A_SUBDOMAIN: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    f"{_ENDS} 'example.com', {_USED} '{_SUBDOMAIN.pattern}')"
)
_A_NAME: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', "
    f"{_ENDS} 'MyName',  or 'my.name',  or '123-abc', {_USED} '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_A_VALUE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    f"{_ENDS} 'MyValue',  or 'my_value',  or '12345', {_USED} '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_OF_OWNERS: Final = (
    ("apiVersion", "version must not be empty"),
    ("kind", "must not be empty"),
    ("name", "must not be empty"),
    ("uid", "must not be empty"),
)


def problems(kind: Kind, whole: Metadata) -> list[Problem]:
    """What Kubernetes' ``ValidateObjectMeta`` finds: name, namespace, labels, annotations, finalizers, owners."""
    metadata = whole["metadata"]
    return [
        *_name_problems(kind, metadata),
        *_content_problems(metadata),
        *([] if kind.is_custom else _unqualified(metadata.get("finalizers"))),
    ]


def embedded_problems(metadata: Metadata) -> list[Problem]:
    """What is wrong with the metadata of an object in a field of another; it may be without a name."""
    name, namespace = metadata.get("name", ""), metadata.get("namespace")
    unfit = [f"may not be '{name}'"] if name in {".", ".."} else [f"may not contain '{c}'" for c in "/%" if c in name]
    found = [answers.wrong("metadata.name", name, why) for why in unfit]
    return [*found, *_namespace_problems(namespace), *_content_problems(metadata)]


def _content_problems(metadata: Metadata) -> list[Problem]:
    """What is wrong besides names."""
    maps = (*_map_problems(metadata, "labels"), *_map_problems(metadata, "annotations"))
    return [*maps, *_list_problems(metadata)]


def _namespace_problems(namespace: Any) -> list[Problem]:
    return [answers.wrong("metadata.namespace", namespace, _A_LABEL)] if namespace and label_problem(namespace) else []


def _name_problems(kind: Kind, metadata: Metadata) -> list[Problem]:
    found = []
    name, prefix, namespace = metadata.get("name"), metadata.get("generateName"), metadata.get("namespace", "")
    is_label = kind.resource in _CALLED_BY_LABELS
    if prefix:
        masked = f"{prefix[:-1]}a" if isinstance(prefix, str) and prefix.endswith("-") else prefix
        found += [answers.wrong("metadata.generateName", prefix, why) for why in _unfit(masked, is_label=is_label)]
    if not name:
        found.append(answers.required("metadata.name", "name or generateName is required"))
    found += [answers.wrong("metadata.name", name, why) for why in _unfit(name or "a", is_label=is_label)]
    return [*found, *_namespace_problems(namespace)]


def _unfit(name: Any, *, is_label: bool) -> list[str]:
    """Why this is no name of an object."""
    if not isinstance(name, str) or not _SUBDOMAIN.fullmatch(name):
        return [_A_LABEL if is_label else A_SUBDOMAIN]
    if is_label and "." in name:
        return ["must not contain dots"]
    limit = 63 if is_label else 253
    return [f"must be no more than {limit} characters"] if len(name) > limit else []


def label_problem(name: Any) -> str:
    """Why this is no label of RFC 1123; nothing where it is one."""
    return next(iter(_unfit(name, is_label=True)), "")


def _map_problems(metadata: Metadata, field: str) -> list[Problem]:
    values, path = metadata.get(field), f"metadata.{field}"
    if values is None:
        return []
    if not isinstance(values, dict):
        return [answers.wrong(path, values, "must be an object of strings")]
    found = []
    for key, value in values.items():
        if not is_qualified_name(key.lower() if field == "annotations" else key):
            found.append(answers.wrong(path, key, _A_NAME))
        if not isinstance(value, str):
            found.append(answers.wrong(path, value, f"the value of {key} must be a string"))
        elif field == "labels" and not is_label_value(value):
            found.append(answers.wrong(path, value, _A_VALUE))
    if field == "annotations" and not found and annotations_size(values) > MAX_ANNOTATIONS:
        found.append(Problem(path, "FieldValueTooLong", f"Too long: may not be more than {MAX_ANNOTATIONS} bytes"))
    return found


def annotations_size(values: dict[str, str]) -> int:
    """Bytes of all keys and values."""
    return sum(len(part.encode("utf-8", "surrogatepass")) for pair in values.items() for part in pair)


def _list_problems(metadata: Metadata) -> list[Problem]:
    found = []
    finalizers, owners = metadata.get("finalizers"), metadata.get("ownerReferences")
    if finalizers is not None and not (isinstance(finalizers, list) and all(isinstance(f, str) for f in finalizers)):
        found.append(answers.wrong("metadata.finalizers", finalizers, "must be an array of strings"))
    else:
        unfit = [f for f in finalizers or () if not is_qualified_name(f)]
        found += [answers.wrong("metadata.finalizers", finalizer, _A_NAME) for finalizer in unfit]
        if {"orphan", "foregroundDeletion"} <= set(finalizers or ()):
            said = json.dumps(finalizers, separators=(",", ":"))
            why = f"Invalid value: {said}: finalizer orphan and foregroundDeletion cannot be both set"
            found.append(Problem("metadata.finalizers", "FieldValueInvalid", why))
    if owners is not None and not (isinstance(owners, list) and all(isinstance(o, dict) for o in owners)):
        return [*found, answers.wrong("metadata.ownerReferences", owners, "must be an array of objects")]
    for owner in owners or ():
        for field, detail in _OF_OWNERS:
            if not owner.get(field) or (field == "apiVersion" and str(owner[field]).count("/") > 1):
                found.append(answers.wrong(f"metadata.ownerReferences.{field}", "", detail))
    first, *others = [f"{o.get('kind')}/{o.get('name')}" for o in owners or () if o.get("controller") is True] or [""]
    for other in others:
        why = f'Only one reference can have Controller set to true. Found "true" in references for {first} and {other}'
        text = f"Invalid value: {_shown(owners)}: {why}"
        found.append(Problem("metadata.ownerReferences", "FieldValueInvalid", text))
    return found


def _unqualified(finalizers: Any) -> list[Problem]:
    """Finalizers that are nobody's; custom kinds, and CRDs, are not asked for it."""
    why = "name is neither a standard finalizer name nor is it fully qualified"
    named = enumerate(finalizers if isinstance(finalizers, list) else ())
    unfit = [(n, f) for n, f in named if isinstance(f, str) and "/" not in f and f not in _STANDARD]
    return [answers.wrong(f"metadata.finalizers[{n}]", f, why) for n, f in unfit if is_qualified_name(f)]


def _shown(owners: Any) -> str:
    """Owners as Kubernetes writes them, in the order of its fields."""
    fields = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    ordered = [{field: owner[field] for field in fields if field in owner} for owner in owners]
    return json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)


def is_qualified_name(text: str) -> bool:
    """``name`` or ``prefix/name``, as keys of labels and annotations are."""
    found = _QUALIFIED.fullmatch(text)
    if not found or len(found[2]) > 63:
        return False
    return found[1] is None or is_subdomain(found[1])


def is_label_value(text: str) -> bool:
    """Up to 63 characters, or none."""
    return len(text) <= 63 and _LABEL_VALUE.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """RFC 1123, up to 253 characters."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None
