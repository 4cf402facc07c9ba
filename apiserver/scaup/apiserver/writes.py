"""Writes: from a body to what is stored. Checks come from the pure modules; the store says what is there.

Each write is one function that decides, given the present object, what it becomes; the store may ask it again when
somebody else was faster.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from scaup.apiserver import (
    answers,
    corekinds,
    crds,
    managers,
    metadata,
    objects,
    patches,
    policies,
    schemas,
    shapes,
    validation,
)
from scaup.apiserver.answers import ApiError, Problem
from scaup.apiserver.coreschemas import MERGE_KEYS
from scaup.apiserver.guard import JSON_PATCH, MERGE_PATCH
from scaup.apiserver.kinds import NAMESPACES, Kind
from scaup.apiserver.managers import Who
from scaup.apiserver.objects import Decision, Moment, Object, Preconditions, Put
from scaup.apiserver.paths import Target
from scaup.apiserver.query import Query, deletion
from scaup.apiserver.selectors import Test
from scaup.apiserver.store import Place, Store
from scaup.apiserver.window import name_of
from scaup.core.model.errors import ScaupError

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, no accidental words
_LONGEST_PREFIX: Final = 63 - 5
_NAME_TRIES: Final = 8
_AT_ONCE: Final = 100
_LASTING: Final = ("default", "kube-system", "kube-public")
_POLICIES: Final = ("Foreground", "Background", "Orphan")
_RETRY_S: Final = 0.5
_OURSELVES: Final = "scaup"


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes objects of all kinds."""

    store: Store

    async def create(
        self, kind: Kind, target: Target, body: Any, *, manager: str = _OURSELVES, is_dry_run: bool = False
    ) -> Object:
        """A new object; raises ApiError 409 AlreadyExists, and what the checks find."""
        now = _moment()
        whole = objects.checked_shape(kind, body, namespace=target.namespace)
        about = whole["metadata"]
        prefix = "" if about.get("name") else about.get("generateName")
        for attempt in range(_NAME_TRIES):
            if prefix and isinstance(prefix, str):
                about["name"] = prefix[:_LONGEST_PREFIX] + "".join(random.choices(_LETTERS, k=5))  # noqa: S311
            made = admitted(kind, objects.created(kind, whole, now), None, now.now, self.store.kinds)
            made = managers.updated(kind, None, made, about.get("managedFields"), Who(manager, now.now))
            try:
                return await self._store_new(kind, made, is_dry_run=is_dry_run)
            except ApiError as error:
                if not prefix or error.reason != "AlreadyExists" or attempt == _NAME_TRIES - 1:
                    raise
        raise AssertionError  # the last try returns or raises

    async def _store_new(self, kind: Kind, made: Object, *, is_dry_run: bool) -> Object:
        namespace, name = name_of(made)

        def decide(present: Object | None) -> Decision:
            if present is not None:
                raise answers.already_exists(kind, name)
            return Put(made)

        return await self._in_namespace(kind, Place(kind.resource, namespace, name), decide, is_dry_run=is_dry_run)

    async def replace(
        self, kind: Kind, target: Target, body: Any, *, manager: str = _OURSELVES, is_dry_run: bool = False
    ) -> Object:
        """The object, or its status, as the body has it."""
        return await self._change(kind, target, lambda _present: body, manager, is_dry_run=is_dry_run)

    async def patch(
        self,
        kind: Kind,
        target: Target,
        change: tuple[str, Any],
        *,
        manager: str = _OURSELVES,
        is_dry_run: bool = False,
    ) -> Object:
        """The object, or its status, with a patch: ``(content type, patch)``."""
        form, patch = change

        def patched(present: Object) -> Any:
            try:
                if form == JSON_PATCH:
                    return patches.json_patch(present, patch)
                if form == MERGE_PATCH:
                    return patches.merge(present, patch)
                return patches.strategic(present, patch, MERGE_KEYS)
            except patches.PatchError as error:
                message = f"the server rejected our request due to an error in our request: {error}"
                raise ApiError(422, "Invalid", message) from error

        if not isinstance(patch, list if form == JSON_PATCH else dict):
            wanted = "an array of operations" if form == JSON_PATCH else "an object"
            raise answers.bad_request(f"error decoding patch: it is not {wanted}")
        return await self._change(kind, target, patched, manager, is_dry_run=is_dry_run)

    async def apply(
        self, kind: Kind, target: Target, stated: Any, manager: str, *, force: bool, is_dry_run: bool = False
    ) -> tuple[Object, bool]:
        """The object, or its status, with what is applied (server-side apply), and whether it was made by it."""
        now = _moment()
        stated = _applicable(kind, target, stated)
        who = Who(manager, now.now, target.subresource)
        is_new = False

        def decide(present: Object | None) -> Decision:
            nonlocal is_new
            is_new = present is None
            if present is None:
                if target.subresource:
                    raise answers.not_found(kind, target.name)
                whole = managers.applied(kind, None, stated, who, force=force)
                made = admitted(kind, objects.created(kind, whole, now), None, now.now, self.store.kinds)
                return Put(_managed_as(made, whole))
            present = objects.in_version(present, kind)
            whole = managers.applied(kind, present, stated, who, force=force)
            if not stated["metadata"].get("resourceVersion"):
                whole["metadata"]["resourceVersion"] = objects.revision_of(present)
            if target.subresource:
                made = status_admitted(kind, present, whole)
            else:
                made = admitted(kind, objects.replaced(kind, present, whole), present, now.now, self.store.kinds)
            return objects.settled(kind, present, _managed_as(made, whole))

        place = Place(kind.resource, target.namespace, target.name)
        done = await self._in_namespace(kind, place, decide, is_dry_run=is_dry_run)
        return objects.in_version(done, kind), is_new

    async def _in_namespace(
        self, kind: Kind, place: Place, decide: Callable[[Object | None], Decision], *, is_dry_run: bool
    ) -> Object:
        """Do a change that may make an object, and see to its Namespace."""
        is_missing = self.store.get(place) is None
        if place.namespace and is_missing:
            self._require_lasting(kind, place.namespace, place.name)
            if not is_dry_run:
                await self.ensure_namespace(place.namespace)
        done = await self.store.change(place, decide, is_dry_run=is_dry_run)
        if place.namespace and is_missing and not is_dry_run:  # it may have gone meanwhile
            await self.ensure_namespace(place.namespace)
        return done.object

    async def _change(
        self, kind: Kind, target: Target, wanted: Callable[[Object], Any], manager: str, *, is_dry_run: bool
    ) -> Object:
        now = _moment()
        who = Who(manager, now.now, target.subresource)

        def decide(present: Object | None) -> Decision:
            if present is None:
                raise answers.not_found(kind, target.name)
            present = objects.in_version(present, kind)
            body = objects.checked_shape(kind, wanted(present), namespace=target.namespace, name=target.name)
            given = body["metadata"].get("managedFields")
            if target.subresource:
                made = status_admitted(kind, present, body)
            else:
                made = admitted(kind, objects.replaced(kind, present, body), present, now.now, self.store.kinds)
            return objects.settled(kind, present, managers.updated(kind, present, made, given, who))

        place = Place(kind.resource, target.namespace, target.name)
        return objects.in_version((await self.store.change(place, decide, is_dry_run=is_dry_run)).object, kind)

    async def delete(
        self, kind: Kind, target: Target, options: Any, query: Query, *, is_dry_run: bool = False
    ) -> dict[str, Any]:
        """Delete one object: ``Status`` where it is gone, the object itself where finalizers are to run first."""
        place = Place(kind.resource, target.namespace, target.name)
        if kind.resource == NAMESPACES.resource and target.name in _LASTING:
            raise answers.forbidden_object(kind, target.name, "this namespace may not be deleted")
        if self.store.get(place) is None:
            raise answers.not_found(kind, target.name)
        done = await self.remove(kind, place, delete_options(options, query), is_dry_run=is_dry_run)
        if isinstance(done, Put):
            return objects.in_version(done.object, kind)
        group = {"group": kind.group} if kind.group else {}
        details = {"name": target.name, **group, "kind": kind.plural, "uid": done.object["metadata"].get("uid", "")}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    async def delete_collection(
        self, kind: Kind, is_wanted: Test, asked: Preconditions, *, is_dry_run: bool = False
    ) -> list[Object]:
        """Delete every object that matches, each as asked; gives back those there were."""
        found = sorted((one for one in self.store.shelf(kind.resource).objects.values() if is_wanted(one)), key=name_of)
        places = [Place(kind.resource, *name_of(one)) for one in found]
        for start in range(0, len(places), _AT_ONCE):
            part = places[start : start + _AT_ONCE]
            await asyncio.gather(*(self.remove_if_there(kind, one, asked, is_dry_run=is_dry_run) for one in part))
        return found

    async def ensure_namespace(self, name: str) -> None:
        """Make the Namespace where it is used for the first time."""
        if self.store.get(Place(NAMESPACES.resource, "", name)) is not None:
            return
        body = {"metadata": {"name": name}}
        try:
            await self.create(NAMESPACES, Target("", "v1", "namespaces"), body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    def why_not_ready(self) -> str | None:
        """For the readiness check: who asks which cluster this is, asks for ``default``."""
        is_there = self.store.get(Place(NAMESPACES.resource, "", "default")) is not None
        return None if is_there else "the Namespace default is not made yet"

    async def keep_default_namespace(self) -> None:
        """``default`` is always there. Never ends."""
        with self.store.shelf(NAMESPACES.resource).window.listening() as changed:
            while True:
                changed.clear()
                try:
                    if self.store.is_loaded:
                        await self.ensure_namespace("default")
                    await changed.wait()
                except ScaupError:
                    await asyncio.sleep(_RETRY_S)

    async def remove(self, kind: Kind, place: Place, asked: Preconditions, *, is_dry_run: bool = False) -> Decision:
        """Delete the object at a place, or mark it so where something is to happen first; gives back which it was."""
        now = _moment()

        def decide(present: Object | None) -> Decision:
            if present is None:
                raise answers.not_found(kind, place.name)
            return objects.deleted(kind, present, asked, now)

        return await self.store.change(place, decide, is_dry_run=is_dry_run)

    async def remove_if_there(
        self, kind: Kind, place: Place, asked: Preconditions, *, is_dry_run: bool = False
    ) -> None:
        """Delete the object at a place, if there is one."""
        try:
            await self.remove(kind, place, asked, is_dry_run=is_dry_run)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def is_going(self, namespace: str) -> bool:
        """Whether a Namespace is being deleted."""
        found = self.store.get(Place(NAMESPACES.resource, "", namespace))
        return found is not None and "deletionTimestamp" in found["metadata"]

    def _require_lasting(self, kind: Kind, namespace: str, name: str) -> None:
        """Raise ApiError 403 where the Namespace is being deleted: what is made in it could be overlooked."""
        if self.is_going(namespace):
            cause = Problem("metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated")
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise answers.forbidden_object(kind, name, why, [cause])


def admitted(kind: Kind, made: Object, present: Object | None, now: str, kinds: Iterable[Kind] = ()) -> Object:
    """The object with its defaults, if nothing is wrong with it; raises ApiError 422 with everything that is."""
    made = shapes.taken(kind, made)
    name = str(made["metadata"].get("name", ""))
    found = metadata.problems(kind, made)
    made = corekinds.with_defaults(kind, validation.with_defaults(kind, crds.with_defaults(kind, made)), present)
    if found := [*found, *schemas.problems(kind, made, present, found)]:
        raise answers.invalid(kind, name, found)
    if (refused := policies.refusal(kind, made, present)) is not None:
        raise refused
    checks = (crds.problems, validation.problems, corekinds.problems)
    if found := [problem for check in checks for problem in check(kind, made, present)]:
        raise answers.invalid(kind, name, found)
    return crds.with_conditions(kind, made, now, kinds)


def status_admitted(kind: Kind, present: Object, body: Object) -> Object:
    """The object with the status of the body, if nothing is wrong with that; raises ApiError 422 with what is."""
    status = body.get("status")
    if not isinstance(status, dict | None) and (found := schemas.status_problems(kind, body, present)):
        raise answers.invalid(kind, present["metadata"]["name"], found)
    made = shapes.taken(kind, objects.with_status(kind, present, body))
    if found := schemas.status_problems(kind, made, present):
        raise answers.invalid(kind, made["metadata"]["name"], found)
    return made


def _applicable(kind: Kind, target: Target, stated: Any) -> Object:
    """What is applied, in its place; raises ApiError 400 where it cannot be applied there."""
    if not isinstance(stated, dict):
        raise answers.bad_request("error decoding YAML: what is applied is not an object")
    if not stated.get("kind") or not stated.get("apiVersion"):
        group, _, version = str(stated.get("apiVersion") or "").rpartition("/")
        raise answers.bad_request(f"invalid object type: {group}/{version}, Kind={stated.get('kind') or ''}")
    whole = objects.checked_shape(kind, stated, namespace=target.namespace, name=target.name)
    if whole["metadata"].get("managedFields"):
        raise answers.bad_request("metadata.managedFields must be nil")
    return whole


def _managed_as(made: Object, whole: Object) -> Object:
    """The object with the ``managedFields`` of another."""
    managed = whole["metadata"].get("managedFields")
    metadata = {k: v for k, v in made["metadata"].items() if k != "managedFields"}
    return {**made, "metadata": metadata | ({"managedFields": managed} if managed else {})}


def delete_options(options: Any, query: Query) -> Preconditions:
    """Those of a DeleteOptions body, if there is one, else all of the query.

    Raises ApiError 400 where the body is none, 422 for a policy that there is not.
    """
    options = deletion(query) if options is None else options
    if not isinstance(options, dict) or not isinstance(asked := options.get("preconditions") or {}, dict):
        raise answers.bad_request("the body of a deletion must be DeleteOptions")
    if (called := options.get("kind") or "DeleteOptions") != "DeleteOptions":
        why = f'no kind "{called}" is registered for version "{options.get("apiVersion") or ""}"'
        raise answers.bad_request(f"{why}: the body of a deletion must be DeleteOptions")
    policy, orphans = options.get("propagationPolicy"), options.get("orphanDependents")
    if policy is not None and policy not in _POLICIES:
        raise answers.invalid_options(
            [answers.unsupported("propagationPolicy", policy, (*_POLICIES, "nil"))], "DeleteOptions"
        )
    if policy is not None and orphans is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        raise answers.invalid_options([answers.wrong("propagationPolicy", policy, why)], "DeleteOptions")
    if orphans is not None:
        policy = "Orphan" if orphans else "Background"
    return Preconditions(asked.get("uid"), asked.get("resourceVersion"), policy or "")


def _moment() -> Moment:
    return Moment(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), str(uuid.uuid4()))
