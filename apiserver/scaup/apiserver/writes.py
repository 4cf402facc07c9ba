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

from scaup.apiserver import answers, corekinds, crds, metadata, objects, patches, validation
from scaup.apiserver.answers import ApiError, Problem
from scaup.apiserver.guard import JSON_PATCH, MERGE_PATCH
from scaup.apiserver.kinds import NAMESPACES, Kind
from scaup.apiserver.objects import Decision, Moment, Object, Preconditions, Put
from scaup.apiserver.paths import Target
from scaup.apiserver.query import Query
from scaup.apiserver.selectors import Test
from scaup.apiserver.store import Place, Store
from scaup.apiserver.window import Name, name_of
from scaup.core.model.errors import ScaupError

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, no accidental words
_LONGEST_PREFIX: Final = 63 - 5
_NAME_TRIES: Final = 8
_AT_ONCE: Final = 100
_LASTING: Final = ("default", "kube-system", "kube-public")
_POLICIES: Final = ("Foreground", "Background", "Orphan")
_RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes objects of all kinds."""

    store: Store

    async def create(self, kind: Kind, target: Target, body: Any, *, is_dry_run: bool = False) -> Object:
        """A new object; raises ApiError 409 AlreadyExists, and what the checks find."""
        now = _moment()
        whole = objects.checked_shape(kind, body, namespace=target.namespace)
        about = whole["metadata"]
        prefix = "" if about.get("name") else about.get("generateName")
        for attempt in range(_NAME_TRIES):
            if prefix and isinstance(prefix, str):
                about["name"] = prefix[:_LONGEST_PREFIX] + "".join(random.choices(_LETTERS, k=5))  # noqa: S311
            made = admitted(kind, objects.created(kind, whole, now), None, now.now)
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

        if namespace:
            self._require_lasting(kind, namespace, name)
            if not is_dry_run:
                await self.ensure_namespace(namespace)
        return (await self.store.change(Place(kind.resource, namespace, name), decide, is_dry_run=is_dry_run)).object

    async def replace(self, kind: Kind, target: Target, body: Any, *, is_dry_run: bool = False) -> Object:
        """The object, or its status, as the body has it."""
        return await self._change(kind, target, lambda _present: body, is_dry_run=is_dry_run)

    async def patch(self, kind: Kind, target: Target, change: tuple[str, Any], *, is_dry_run: bool = False) -> Object:
        """The object, or its status, with a patch: ``(content type, patch)``."""
        form, patch = change

        def patched(present: Object) -> Any:
            try:
                if form == JSON_PATCH:
                    return patches.json_patch(present, patch)
                return patches.merge(present, patch) if form == MERGE_PATCH else patches.strategic(present, patch)
            except patches.PatchError as error:
                message = f"the server rejected our request due to an error in our request: {error}"
                raise ApiError(422, "Invalid", message) from error
            except patches.StrategicPatchError as error:
                message = f"strategic merge patches with lists of objects or directives are not taken yet (at {error})"
                raise ApiError(415, "UnsupportedMediaType", f"{message}: use a merge patch") from error

        if form != JSON_PATCH and not isinstance(patch, dict):
            raise answers.bad_request("the patch is not an object")
        return await self._change(kind, target, patched, is_dry_run=is_dry_run)

    async def _change(self, kind: Kind, target: Target, wanted: Callable[[Object], Any], *, is_dry_run: bool) -> Object:
        now = _moment()

        def decide(present: Object | None) -> Decision:
            if present is None:
                raise answers.not_found(kind, target.name)
            present = objects.in_version(present, kind)
            body = objects.checked_shape(kind, wanted(present), namespace=target.namespace, name=target.name)
            if target.subresource:
                return objects.settled(kind, present, objects.with_status(kind, present, body))
            made = admitted(kind, objects.replaced(kind, present, body), present, now.now)
            return objects.settled(kind, present, made)

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

    async def delete_collection(self, kind: Kind, is_wanted: Test, *, is_dry_run: bool = False) -> list[Object]:
        """Delete every object that matches; gives back those there were."""
        found = [one for one in self.store.shelf(kind.resource).objects.values() if is_wanted(one)]
        if not is_dry_run:
            await self._remove_all((kind, name_of(one)) for one in found)
        return sorted(found, key=name_of)

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

    async def remove_if_there(self, kind: Kind, place: Place) -> None:
        """Delete the object at a place, if there is one."""
        try:
            await self.remove(kind, place, Preconditions())
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    async def _remove_all(self, contents: Iterable[tuple[Kind, Name]]) -> None:
        queue = list(contents)
        for start in range(0, len(queue), _AT_ONCE):
            part = queue[start : start + _AT_ONCE]
            await asyncio.gather(*(self.remove_if_there(k, Place(k.resource, *name)) for k, name in part))

    def _require_lasting(self, kind: Kind, namespace: str, name: str) -> None:
        """Raise ApiError 403 where the Namespace is being deleted: what is made in it could be overlooked."""
        found = self.store.get(Place(NAMESPACES.resource, "", namespace))
        if found is not None and "deletionTimestamp" in found["metadata"]:
            cause = Problem("metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated")
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise answers.forbidden_object(kind, name, why, [cause])


def admitted(kind: Kind, made: Object, present: Object | None, now: str) -> Object:
    """The object with its defaults, if nothing is wrong with it; raises ApiError 422 with everything that is."""
    name = str(made["metadata"].get("name", ""))
    if found := metadata.problems(kind, made):
        raise answers.invalid(kind, name, found)
    made = corekinds.with_defaults(kind, validation.with_defaults(kind, crds.with_defaults(kind, made)))
    if found := [
        *crds.problems(kind, made, present),
        *validation.problems(kind, made, present),
        *corekinds.problems(kind, made, present),
    ]:
        raise answers.invalid(kind, name, found)
    return crds.with_conditions(kind, made, now)


def delete_options(options: Any, query: Query) -> Preconditions:
    """Those of a DeleteOptions body, if there is one, else of the query.

    Raises ApiError 400 where the body is none, 422 for a policy that there is not.
    """
    options = {} if options is None else options
    if not isinstance(options, dict) or not isinstance(asked := options.get("preconditions") or {}, dict):
        raise answers.bad_request("the body of a deletion must be DeleteOptions")
    policy = options.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphans = options.get("orphanDependents", query.get("orphanDependents"))
    if policy and policy not in _POLICIES:
        raise answers.invalid_options(
            [answers.unsupported("propagationPolicy", policy, (*_POLICIES, "nil"))], "DeleteOptions"
        )
    if policy and orphans is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        raise answers.invalid_options([answers.wrong("propagationPolicy", policy, why)], "DeleteOptions")
    if orphans in {True, "true"}:
        policy = "Orphan"
    return Preconditions(asked.get("uid"), asked.get("resourceVersion"), policy or "Background")


def _moment() -> Moment:
    return Moment(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), str(uuid.uuid4()))
