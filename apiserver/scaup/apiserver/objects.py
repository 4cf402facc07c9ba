"""What a write makes of an object: system metadata, generation, status, finalizers.

Pure: no clock, no randomness, no store.

Follows Kubernetes' registry (``rest.BeforeCreate``, ``BeforeUpdate``, ``BeforeDelete``) in what is taken from the
request, what is kept from the present object and what makes a new generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from scaup.apiserver import answers, schemas
from scaup.apiserver.kinds import CRDS, NAMESPACES, Kind
from scaup.core.bus.kv import dumps

Object = dict[str, Any]

_OURS: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
FOREGROUND: Final = "foregroundDeletion"
"""The finalizer of an object that goes after its dependents."""
ORPHAN: Final = "orphan"
"""The finalizer of an object whose dependents stay."""
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer of a CRD that goes after its objects."""
_BY_POLICY: Final = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_WHOLES: Final = (NAMESPACES.resource, CRDS.resource)
"""What goes with all that is in it, in ways of its own."""
_PENDING: Final = {
    "type": "Terminating",
    "status": "True",
    "reason": "InstanceDeletionPending",
    "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
}
_NOT_KEPT: Final = ("resourceVersion", "selfLink", "managedFields")


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
    """What a deletion asks (``DeleteOptions``): of the object to be deleted, and ``policy`` what of its dependents.

    Without a policy the finalizers of the object say it (``foregroundDeletion``, ``orphan``), else they go after it.
    """

    uid: str | None = None
    resource_version: str | None = None
    policy: str = ""


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
    """The object in the version that was asked for: versions differ in name only (conversion strategy None).

    It has the defaults that its schema got since it was stored.
    """
    whole = stored if stored["apiVersion"] == kind.api_version else {**stored, "apiVersion": kind.api_version}
    return schemas.with_defaults(kind, whole)


def checked_shape(kind: Kind, body: Any, *, namespace: str, name: str = "") -> Object:
    """The body of a write to this path, with apiVersion, kind, namespace and (where the path has it) name in place.

    Raises ApiError 400 where it is of another kind, version, namespace or name than the path says.
    """
    if not isinstance(body, dict):
        raise answers.bad_request("the body of the request is not an object")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise answers.bad_request("metadata is not an object")
    _require_kind(kind, body, str(metadata.get("name") or ""))
    if (metadata.get("namespace") or namespace) != namespace:
        why = "the namespace of the provided object does not match the namespace sent on the request"
        raise answers.bad_request(why)
    given_name = metadata.get("name")
    if name and not given_name:
        raise answers.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if name and given_name != name:
        raise answers.bad_request(f"the name of the object ({given_name}) does not match the name on the URL ({name})")
    metadata = {k: v for k, v in metadata.items() if k not in {"name", "namespace"}}
    metadata |= {"name": given_name} if given_name else {}
    metadata |= {"namespace": namespace} if namespace else {}
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _require_kind(kind: Kind, body: Object, name: str) -> None:
    """Raise where a body says that it is of another kind or version; custom kinds have to say what they are."""
    version, called = body.get("apiVersion"), body.get("kind")
    for field, given in (("Kind", called), ("apiVersion", version)):
        if not given and kind.is_custom:
            why = f"Object '{field}' is missing in the body of the request"
            raise answers.bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {why}")
    if version and version != kind.api_version:
        why = f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        raise answers.bad_request(why)
    if called and called != kind.kind:
        if not kind.is_custom:
            why = f'{called} in version "{kind.version}" cannot be handled as a {kind.kind}'
            raise answers.bad_request(f"{why}: it is of another kind")
        raise answers.other_kind(kind, name, str(called))


def _kept(given: Object) -> Object:
    """What a client may say in metadata; an owner is named once."""
    kept = {k: v for k, v in given.items() if k not in _OURS and k not in _NOT_KEPT and v not in (None, "")}
    owners = kept.get("ownerReferences")
    if isinstance(owners, list):
        first: dict[bytes, Any] = {}
        for one in owners:
            first.setdefault(dumps(one), one)
        kept["ownerReferences"] = list(first.values())
    return kept


def created(kind: Kind, body: Object, moment: Moment) -> Object:
    """The object that a request to create makes, before defaults: system metadata new, status only where it is kept."""
    given = body["metadata"]
    if given.get("resourceVersion"):
        raise answers.bad_request("resourceVersion should not be set on objects to be created")
    metadata = _kept(given)
    metadata |= {"uid": moment.uid, "creationTimestamp": moment.now}
    if kind.has_generation:
        metadata["generation"] = 1
    made = {**body, "metadata": metadata}
    if kind.has_status:
        made.pop("status", None)
    return made


def replaced(kind: Kind, present: Object, body: Object) -> Object:
    """The object that a request to change makes, before defaults and generation.

    Raises ApiError 409 where the request is about another resourceVersion or uid, 422 where one is needed and missing.
    """
    _require_same(kind, present, body)
    before = present["metadata"]
    if (given := body["metadata"].get("deletionTimestamp")) and "deletionTimestamp" not in before:
        problem = answers.wrong("metadata.deletionTimestamp", given, "field is immutable")
        raise answers.invalid(kind, before["name"], [problem])
    metadata = _kept(body["metadata"])
    metadata |= {k: before[k] for k in _OURS if k in before}
    made = {**body, "metadata": metadata}
    if kind.has_status:
        made.pop("status", None)
        if "status" in present:
            made["status"] = present["status"]
    return made


def with_own_uid(kind: Kind, present: Object, patched: Any) -> Any:
    """What a patch made of an object; raises ApiError 422 where it is another's by its uid now."""
    about = patched.get("metadata") if isinstance(patched, dict) else None
    uid = about.get("uid") if isinstance(about, dict) else None
    if uid and uid != present["metadata"]["uid"]:
        problem = answers.wrong("metadata.uid", uid, "field is immutable")
        raise answers.invalid(kind, present["metadata"]["name"], [problem])
    return patched


def with_status(kind: Kind, present: Object, body: Object) -> Object:
    """The present object with nothing but the status of the request."""
    _require_same(kind, present, body)
    status = body.get("status")
    if status is not None and not isinstance(status, dict):
        raise answers.invalid(kind, present["metadata"]["name"], [answers.wrong("status", status, "must be an object")])
    made = {k: v for k, v in without_revision(present).items() if k != "status"}
    if kind.resource == NAMESPACES.resource and not (status or {}).get("phase"):  # it is one or the other
        status = {**(status or {}), "phase": phase_of(made)}
    return made | ({"status": status} if status is not None else {})


def phase_of(namespace: Object) -> str:
    """What the status of a Namespace has to say."""
    return "Terminating" if "deletionTimestamp" in namespace["metadata"] else "Active"


def settled(kind: Kind, present: Object, made: Object) -> Decision:
    """The end of a change: the new generation, and removal where the last finalizer of a deleted object went."""
    metadata = made["metadata"]
    if kind.has_generation and _content(kind, present) != _content(kind, made):
        metadata["generation"] = int(present["metadata"].get("generation", 0)) + 1
    if "deletionTimestamp" in metadata:
        before = set(present["metadata"].get("finalizers") or ())
        if added := sorted(set(metadata.get("finalizers") or ()) - before):
            listed = "{" + ", ".join(f'"{one}"' for one in added) + "}"
            detail = (
                f"no new finalizers can be added if the object is being deleted, found new finalizers []string{listed}"
            )
            raise answers.invalid(kind, metadata["name"], [answers.forbidden_field("metadata.finalizers", detail)])
        is_held = kind.resource == NAMESPACES.resource and (made.get("spec") or {}).get("finalizers")
        if not metadata.get("finalizers") and not is_held:
            return Remove(made)
    return Put(made)


def deleted(kind: Kind, present: Object, asked: Preconditions, moment: Moment) -> Decision:
    """What a deletion makes of an object: removed, or marked so where finalizers are to run first.

    A later deletion may still change what becomes of the dependents. Raises ApiError 409 where the object is not the
    one that was meant.
    """
    metadata = present["metadata"]
    is_going = "deletionTimestamp" in metadata
    _require_meant(kind, present, asked)
    finalizers = list(metadata.get("finalizers") or ())
    if asked.policy:
        finalizers = [f for f in finalizers if f not in _BY_POLICY.values()]
        finalizers += [_BY_POLICY[asked.policy]] if asked.policy in _BY_POLICY else []
    marked = without_revision(present)
    if kind.resource == CRDS.resource and not is_going:
        finalizers += [] if CLEANUP in finalizers else [CLEANUP]
        status = present.get("status") or {}
        marked["status"] = {
            **status,
            "conditions": [*(status.get("conditions") or ()), _PENDING | {"lastTransitionTime": moment.now}],
        }
    if kind.resource == NAMESPACES.resource:  # held by its own ``spec.finalizers``
        marked["status"] = {**(present.get("status") or {}), "phase": "Terminating"}
    elif not finalizers:
        return Remove(present)
    marked["metadata"].pop("finalizers", None)
    if finalizers:
        marked["metadata"]["finalizers"] = finalizers
    if is_going:
        return Put(marked)
    marked["metadata"]["deletionTimestamp"] = moment.now
    if kind.resource not in _WHOLES:
        marked["metadata"]["deletionGracePeriodSeconds"] = 0
        if kind.has_generation:
            marked["metadata"]["generation"] = int(metadata.get("generation", 0)) + 1
    return Put(marked)


def _require_meant(kind: Kind, present: Object, asked: Preconditions) -> None:
    name, uid, revision = present["metadata"]["name"], present["metadata"].get("uid"), revision_of(present)
    for what, wanted, is_, why in (
        ("UID", asked.uid, uid, "deleted and then recreated"),
        ("ResourceVersion", asked.resource_version, revision, "modified"),
    ):
        if wanted is None or wanted == is_:
            continue
        if kind.resource in _WHOLES:
            text = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is_}"
            raise answers.conflict(kind, name, text)
        text = f"the {what} in the precondition ({wanted}) does not match the {what} in record ({is_})"
        raise answers.conflict(kind, name, f"{text}. The object might have been {why}", of_kind=True)


def _require_same(kind: Kind, present: Object, body: Object) -> None:
    before, given = present["metadata"], body["metadata"]
    name = before["name"]
    if (uid := given.get("uid")) and uid != before["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        raise answers.conflict(kind, name, why)
    if (wanted := given.get("resourceVersion")) in (None, "", "0"):
        if kind.is_custom:
            problem = answers.wrong("metadata.resourceVersion", 0, "must be specified for an update")
            raise answers.invalid_update(kind, name, [problem])
    elif wanted != before["resourceVersion"]:
        raise answers.conflict(kind, name)


def _content(kind: Kind, whole: Object) -> bytes:
    apart = {"metadata", "status", "apiVersion"} if kind.has_status else {"metadata", "apiVersion"}
    return dumps({k: v for k, v in whole.items() if k not in apart})
