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
    fieldsets,
    managers,
    metadata,
    objects,
    patches,
    policies,
    schemas,
    shapes,
    structural,
    validation,
)
from scaup.apiserver.answers import ApiError, Problem
from scaup.apiserver.coreschemas import MERGE_KEYS
from scaup.apiserver.guard import JSON_PATCH, MERGE_PATCH
from scaup.apiserver.kinds import CRDS, NAMESPACES, Kind
from scaup.apiserver.managers import Who
from scaup.apiserver.objects import Decision, Moment, Object, Put
from scaup.apiserver.paths import Target
from scaup.apiserver.store import Place, Store
from scaup.apiserver.window import name_of
from scaup.core.model.errors import ScaupError

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, no accidental words
_LONGEST_PREFIX: Final = 63 - 5
_NAME_TRIES: Final = 8
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
        now = moment()
        shapes.require_fit(kind, body)
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
                raise answers.already_exists(kind, name, is_going="deletionTimestamp" in present["metadata"])
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
                    made = patches.json_patch(present, patch)
                elif form == MERGE_PATCH:
                    made = patches.merge(present, patch)
                else:
                    made = patches.strategic(present, patch, MERGE_KEYS)
            except patches.PatchError as error:
                message = f"the server rejected our request due to an error in our request: {error}"
                raise ApiError(422, "Invalid", message) from error
            return objects.with_own_uid(kind, present, made)

        if not isinstance(patch, list if form == JSON_PATCH else dict):
            wanted = "an array of operations" if form == JSON_PATCH else "an object"
            raise answers.bad_request(f"error decoding patch: it is not {wanted}")
        if form == JSON_PATCH and len(patch) > patches.MOST_OPERATIONS:
            why = f"{patches.TOO_MANY}, got {len(patch)}"
            raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {why}")
        return await self._change(kind, target, patched, manager, is_dry_run=is_dry_run)

    async def apply(
        self, kind: Kind, target: Target, stated: Any, manager: str, *, force: bool, is_dry_run: bool = False
    ) -> tuple[Object, bool]:
        """The object, or its status, with what is applied (server-side apply), and whether it was made by it."""
        now = moment()
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
        if is_missing:
            self._require_lasting(kind, place)
            if place.namespace and not is_dry_run:
                await self.ensure_namespace(place.namespace)
        done = await self.store.change(place, decide, is_dry_run=is_dry_run)
        if place.namespace and is_missing and not is_dry_run:  # it may have gone meanwhile
            await self.ensure_namespace(place.namespace)
        return done.object

    async def _change(
        self, kind: Kind, target: Target, wanted: Callable[[Object], Any], manager: str, *, is_dry_run: bool
    ) -> Object:
        now = moment()
        who = Who(manager, now.now, target.subresource)

        def decide(present: Object | None) -> Decision:
            if present is None:
                raise answers.not_found(kind, target.name)
            present = objects.in_version(present, kind)
            shapes.require_fit(kind, body := wanted(present))
            body = objects.checked_shape(kind, body, namespace=target.namespace, name=target.name)
            given = body["metadata"].get("managedFields")
            if target.subresource:
                made = status_admitted(kind, present, body)
            else:
                made = admitted(kind, objects.replaced(kind, present, body), present, now.now, self.store.kinds)
            return objects.settled(kind, present, managers.updated(kind, present, made, given, who))

        place = Place(kind.resource, target.namespace, target.name)
        return objects.in_version((await self.store.change(place, decide, is_dry_run=is_dry_run)).object, kind)

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

    def _require_lasting(self, kind: Kind, place: Place) -> None:
        """Raise ApiError 403 where what an object is made in is being deleted: it could be overlooked."""
        if kind.is_custom and self.store.is_going(Place(CRDS.resource, "", kind.resource_name)):
            why = "create not allowed while custom resource definition is terminating"
            raise answers.forbidden_object(kind, place.name, why)
        namespace = place.namespace
        if namespace and self.store.is_going(Place(NAMESPACES.resource, "", namespace)):
            cause = Problem("metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated")
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise answers.forbidden_object(kind, place.name, why, [cause])


def admitted(kind: Kind, made: Object, present: Object | None, now: str, kinds: Iterable[Kind] = ()) -> Object:
    """The object with its defaults, if nothing is wrong with it; raises ApiError 422 with everything that is."""
    made = shapes.taken(kind, made)
    name = str(made["metadata"].get("name", ""))
    found = metadata.problems(kind, made)
    made = corekinds.with_defaults(kind, validation.with_defaults(kind, crds.with_defaults(kind, made)), present)
    found += schemas.problems(kind, made, present, found)
    if found and kind.is_custom:
        raise answers.invalid(kind, name, found)
    if (refused := policies.refusal(kind, made, present)) is not None:
        raise refused
    for check in (crds.problems, validation.problems, corekinds.problems):
        found += check(kind, made, present)
    if found:
        raise answers.invalid(kind, name, found)
    whole: Object = structural.with_whole_numbers(crds.with_conditions(kind, made, now, kinds))
    return whole


def status_admitted(kind: Kind, present: Object, body: Object) -> Object:
    """The object with the status of the body, if nothing is wrong with that; raises ApiError 422 with what is."""
    status = body.get("status")
    if not isinstance(status, dict | None) and (found := schemas.status_problems(kind, body, present)):
        raise answers.invalid(kind, present["metadata"]["name"], found)
    made = shapes.taken(kind, objects.with_status(kind, present, body))
    if found := [*schemas.status_problems(kind, made, present), *corekinds.status_problems(kind, made)]:
        raise answers.invalid(kind, made["metadata"]["name"], found)
    whole: Object = structural.with_whole_numbers(made)
    return whole


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
    said = [f".{path}: field not declared in schema" for path in shapes.undeclared(kind, whole)]
    for path, step in fieldsets.twice(whole, managers.schema_of(kind)):
        said.append(f"{fieldsets.shown(path)}: duplicate entries for key {fieldsets.shown(step)}")
    if said:  # a cluster says that it is its own fault
        why = said[0] if len(said) == 1 else "\n  ".join(["errors:", *said])
        group = f"{kind.group}/{kind.version}, Kind={kind.kind}"
        place = f"{(stated.get('metadata') or {}).get('namespace') or ''}/{target.name}"
        raise ApiError(500, "", f"failed to create typed patch object ({place}; {group}): {why}")
    return whole


def _managed_as(made: Object, whole: Object) -> Object:
    """The object with the ``managedFields`` of another."""
    managed = whole["metadata"].get("managedFields")
    metadata = {k: v for k, v in made["metadata"].items() if k != "managedFields"}
    return {**made, "metadata": metadata | ({"managedFields": managed} if managed else {})}


def moment() -> Moment:
    """What is new about a write of now."""
    return Moment(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), str(uuid.uuid4()))
