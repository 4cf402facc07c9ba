"""What a write makes of an object: metadata, generation, status, finalizers. Pure: no clock, no randomness, no store.

Follows Kubernetes' registry (``rest.BeforeCreate``, ``BeforeUpdate``, ``BeforeDelete``) in what is taken from the
request, what is kept from the present object and what makes a new generation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from scaup.apiserver import answers
from scaup.apiserver.answers import Problem
from scaup.apiserver.kinds import NAMESPACES, Kind
from scaup.core.bus.kv import dumps

Object = dict[str, Any]

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_QUALIFIED: Final = re.compile(r"(?:([^/]+)/)?([A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)")
_OURS: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NOT_KEPT: Final = ("resourceVersion", "selfLink", "managedFields")
_MAX_ANNOTATIONS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Moment:
    """What is new about a write: ``now`` (RFC 3339, seconds, Z), and a uid for what it may make."""

    now: str
    uid: str


@dataclass(frozen=True, slots=True)
class Put:
    """The object is to be stored so. Where it is the same as what is there, nothing is written."""

    object: Object


@dataclass(frozen=True, slots=True)
class Remove:
    """The object is to be removed; ``object`` is what it was last."""

    object: Object


Decision = Put | Remove


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What a deletion may ask of the object to be deleted (``DeleteOptions.preconditions``)."""

    uid: str | None = None
    resource_version: str | None = None


def revision_of(stored: Object) -> str:
    """The resourceVersion."""
    return str(stored["metadata"].get("resourceVersion", ""))


def with_revision(plain: Object, revision: int) -> Object:
    """The object with its resourceVersion, which is its revision in the bucket; the given one stays as it is."""
    return {**plain, "metadata": {**plain["metadata"], "resourceVersion": str(revision)}}


def without_revision(stored: Object) -> Object:
    """The object as it is stored: its resourceVersion is not part of it."""
    metadata = {k: v for k, v in stored["metadata"].items() if k != "resourceVersion"}
    return {**stored, "metadata": metadata}


def is_same(one: Object, other: Object) -> bool:
    """Whether two objects differ in nothing but their resourceVersion. By bytes: in Python 1 equals True and 1.0."""
    return dumps(without_revision(one)) == dumps(without_revision(other))


def in_version(stored: Object, kind: Kind) -> Object:
    """The object in the version that was asked for: versions differ in name only (conversion strategy None)."""
    return stored if stored["apiVersion"] == kind.api_version else {**stored, "apiVersion": kind.api_version}


def checked_shape(kind: Kind, body: Any, *, namespace: str, name: str = "") -> Object:
    """The body of a write to this path, with apiVersion, kind, namespace and (where the path has it) name in place.

    Raises ApiError 400 where it is of another kind, version, namespace or name than the path says.
    """
    if not isinstance(body, dict):
        raise answers.bad_request("the body of the request is not an object")
    for field, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        given = body.get(field)
        if not given and kind.is_custom:
            raise answers.bad_request(f"Object '{field[0].upper()}{field[1:]}' is missing in the body of the request")
        if given and given != wanted:
            raise answers.bad_request(f"the {field} in the data ({given}) does not match the expected {field} ({wanted})")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise answers.bad_request("metadata is not an object")
    if (metadata.get("namespace") or namespace) != namespace:
        raise answers.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    given_name = metadata.get("name") or name
    if name and given_name != name:
        raise answers.bad_request(f"the name of the object ({given_name}) does not match the name on the URL ({name})")
    metadata = {k: v for k, v in metadata.items() if k not in {"name", "namespace"}}
    metadata |= {"name": given_name} if given_name else {}
    metadata |= {"namespace": namespace} if namespace else {}
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def created(kind: Kind, body: Object, moment: Moment) -> Object:
    """The object that a request to create makes, before defaults: system metadata new, no status where it has its own way."""
    given = body["metadata"]
    if given.get("resourceVersion"):
        raise answers.bad_request("resourceVersion should not be set on objects to be created")
    metadata = {k: v for k, v in given.items() if k not in _OURS and k not in _NOT_KEPT}
    metadata |= {"uid": moment.uid, "creationTimestamp": moment.now, "generation": 1}
    made = {**body, "metadata": metadata}
    if kind.has_status:
        made.pop("status", None)
    return made


def replaced(kind: Kind, present: Object, body: Object) -> Object:
    """The object that a request to change makes, before defaults and generation.

    Raises ApiError 409 where the request is about another resourceVersion or uid, 422 where it lacks one that is needed.
    """
    _require_same(kind, present, body)
    before = present["metadata"]
    metadata = {k: v for k, v in body["metadata"].items() if k not in _OURS and k not in _NOT_KEPT}
    metadata |= {k: before[k] for k in _OURS if k in before}
    made = {**body, "metadata": metadata}
    if kind.has_status:
        made.pop("status", None)
        if "status" in present:
            made["status"] = present["status"]
    return made


def with_status(kind: Kind, present: Object, body: Object) -> Object:
    """The present object with nothing but the status of the request."""
    _require_same(kind, present, body)
    status = body.get("status")
    if status is not None and not isinstance(status, dict):
        raise answers.invalid(kind, present["metadata"]["name"], [answers.wrong("status", status, "must be an object")])
    made = {k: v for k, v in without_revision(present).items() if k != "status"}
    return made | ({"status": status} if status is not None else {})


def settled(kind: Kind, present: Object, made: Object) -> Decision:
    """The end of a change: the new generation, and removal where the last finalizer of a deleted object went."""
    metadata = made["metadata"]
    if _content(kind, present) != _content(kind, made):
        metadata["generation"] = int(present["metadata"].get("generation", 0)) + 1
    if "deletionTimestamp" in metadata:
        before = set(present["metadata"].get("finalizers") or ())
        if added := [f for f in metadata.get("finalizers") or () if f not in before]:
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            raise answers.invalid(kind, metadata["name"], [answers.forbidden_field("metadata.finalizers", detail)])
        if not metadata.get("finalizers"):
            return Remove(made)
    return Put(made)


def deleted(kind: Kind, present: Object, asked: Preconditions, moment: Moment) -> Decision:
    """What a deletion makes of an object: removed, or marked so where finalizers are to run first.

    Raises ApiError 409 where the object is not the one that was meant.
    """
    metadata = present["metadata"]
    for what, wanted, is_ in (
        ("UID", asked.uid, metadata.get("uid")),
        ("ResourceVersion", asked.resource_version, revision_of(present)),
    ):
        if wanted is not None and wanted != is_:
            why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is_}"
            raise answers.conflict(kind, metadata["name"], why)
    if not metadata.get("finalizers"):
        return Remove(present)
    if "deletionTimestamp" in metadata:
        return Put(without_revision(present))
    marked = without_revision(present)
    marked["metadata"] |= {
        "deletionTimestamp": moment.now,
        "deletionGracePeriodSeconds": 0,
        "generation": int(metadata.get("generation", 0)) + 1,
    }
    return Put(marked)


def _require_same(kind: Kind, present: Object, body: Object) -> None:
    before, given = present["metadata"], body["metadata"]
    name = before["name"]
    if not (wanted := given.get("resourceVersion")):
        if kind.is_custom:
            problem = answers.wrong("metadata.resourceVersion", 0, "must be specified for an update")
            raise answers.invalid(kind, name, [problem])
    elif wanted != before["resourceVersion"]:
        raise answers.conflict(kind, name)
    if (uid := given.get("uid")) and uid != before["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        raise answers.conflict(kind, name, why)


def _content(kind: Kind, whole: Object) -> bytes:
    apart = {"metadata", "status", "apiVersion"} if kind.has_status else {"metadata", "apiVersion"}
    return dumps({k: v for k, v in whole.items() if k not in apart})


def metadata_problems(kind: Kind, whole: Object) -> list[Problem]:
    """What Kubernetes' ``ValidateObjectMeta`` finds: name, namespace, labels, annotations, finalizers, owners."""
    metadata = whole["metadata"]
    return [
        *_name_problems(kind, metadata),
        *_map_problems(metadata, "labels"),
        *_map_problems(metadata, "annotations"),
        *_list_problems(metadata),
    ]


def _name_problems(kind: Kind, metadata: Object) -> list[Problem]:
    found = []
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    is_label = kind.resource == NAMESPACES.resource
    if not name:
        found.append(answers.required("metadata.name", "name or generateName is required"))
    elif not isinstance(name, str) or not (
        _LABEL.fullmatch(name) and len(name) <= 63 if is_label else _SUBDOMAIN.fullmatch(name) and len(name) <= 253
    ):
        form = "RFC 1123 label" if is_label else "RFC 1123 subdomain"
        detail = f"a lowercase {form} must consist of lower case alphanumeric characters or '-'"
        detail += ", and must start and end with an alphanumeric character"
        found.append(answers.wrong("metadata.name", name, detail))
    if namespace and not (_LABEL.fullmatch(namespace) and len(namespace) <= 63):
        detail = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
        found.append(answers.wrong("metadata.namespace", namespace, detail))
    return found


def _map_problems(metadata: Object, field: str) -> list[Problem]:
    values, path = metadata.get(field), f"metadata.{field}"
    if values is None:
        return []
    if not isinstance(values, dict):
        return [answers.wrong(path, values, "must be an object of strings")]
    found = []
    for key, value in values.items():
        if not is_qualified_name(key.lower() if field == "annotations" else key):
            found.append(answers.wrong(path, key, "name part must consist of alphanumeric characters, '-', '_' or '.'"))
        if not isinstance(value, str):
            found.append(answers.wrong(path, value, f"the value of {key} must be a string"))
        elif field == "labels" and not is_label_value(value):
            found.append(
                answers.wrong(path, value, "a valid label must be an empty string or consist of alphanumeric characters")
            )
    if field == "annotations" and not found and sum(len(k) + len(v) for k, v in values.items()) > _MAX_ANNOTATIONS:
        found.append(Problem(path, "FieldValueTooLong", f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"))
    return found


def _list_problems(metadata: Object) -> list[Problem]:
    found = []
    finalizers, owners = metadata.get("finalizers"), metadata.get("ownerReferences")
    if finalizers is not None and not (
        isinstance(finalizers, list) and all(isinstance(f, str) and is_qualified_name(f) for f in finalizers)
    ):
        found.append(answers.wrong("metadata.finalizers", finalizers, "must be an array of qualified names"))
    if owners is not None and not (isinstance(owners, list) and all(isinstance(o, dict) for o in owners)):
        return [*found, answers.wrong("metadata.ownerReferences", owners, "must be an array of objects")]
    for number, owner in enumerate(owners or ()):
        found += [
            answers.required(f"metadata.ownerReferences[{number}].{field}")
            for field in ("apiVersion", "kind", "name", "uid")
            if not owner.get(field)
        ]
    return found


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
