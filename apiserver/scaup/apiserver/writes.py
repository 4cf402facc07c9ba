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

from scaup.apiserver import answers, crds, metadata, objects, patches, policies, schemas, shapes, validation
from scaup.apiserver.answers import ApiError
from scaup.apiserver.guard import JSON_PATCH, MERGE_PATCH
from scaup.apiserver.kinds import CRDS, NAMESPACES, Kind
from scaup.apiserver.objects import Decision, Moment, Object, Preconditions, Put
from scaup.apiserver.paths import Target
from scaup.apiserver.selectors import Test
from scaup.apiserver.store import Place, Store
from scaup.apiserver.window import Name, name_of
from scaup.core.model.errors import ScaupError

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, no accidental words
_LONGEST_PREFIX: Final = 63 - 5
_NAME_TRIES: Final = 8
_AT_ONCE: Final = 100
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
            made = admitted(kind, objects.created(kind, whole, now), None, now.now, self.store.kinds)
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

        if namespace and not is_dry_run:
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
                return objects.settled(kind, present, status_admitted(kind, present, body))
            made = admitted(kind, objects.replaced(kind, present, body), present, now.now, self.store.kinds)
            return objects.settled(kind, present, made)

        place = Place(kind.resource, target.namespace, target.name)
        return objects.in_version((await self.store.change(place, decide, is_dry_run=is_dry_run)).object, kind)

    async def delete(self, kind: Kind, target: Target, options: Any, *, is_dry_run: bool = False) -> dict[str, Any]:
        """Delete one object: ``Status`` where it is gone, the object itself where finalizers are to run first."""
        place = Place(kind.resource, target.namespace, target.name)
        if self.store.get(place) is None:
            raise answers.not_found(kind, target.name)
        if not is_dry_run:
            await self._delete_contents(kind, target.name)
        done = await self._delete(kind, place, preconditions(options), is_dry_run=is_dry_run)
        if isinstance(done, Put):
            return objects.in_version(done.object, kind)
        group = {"group": kind.group} if kind.group else {}
        details = {"name": target.name, **group, "kind": kind.plural, "uid": done.object["metadata"].get("uid", "")}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    async def delete_collection(self, kind: Kind, is_wanted: Test, *, is_dry_run: bool = False) -> list[Object]:
        """Delete every object that matches; gives back those there were."""
        found = [one for one in self.store.shelf(kind.resource).objects.values() if is_wanted(one)]
        if not is_dry_run:
            await self._delete_all((kind, name_of(one)) for one in found)
        return sorted(found, key=name_of)

    async def ensure_namespace(self, name: str) -> None:
        """Make the Namespace where it is used for the first time."""
        if self.store.get(Place(NAMESPACES.resource, "", name)) is not None:
            return
        body = {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}}
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

    async def _delete(self, kind: Kind, place: Place, asked: Preconditions, *, is_dry_run: bool = False) -> Decision:
        now = _moment()

        def decide(present: Object | None) -> Decision:
            if present is None:
                raise answers.not_found(kind, place.name)
            return objects.deleted(kind, present, asked, now)

        return await self.store.change(place, decide, is_dry_run=is_dry_run)

    async def _delete_contents(self, kind: Kind, name: str) -> None:
        """What goes with a Namespace or CRD. Objects with finalizers keep it: said, instead of waited for."""
        if kind.resource == NAMESPACES.resource:
            if name == "default":
                raise answers.forbidden(f'namespaces "{name}" is forbidden: this namespace may not be deleted')
            known = [(self.store.kinds.of_resource(resource), shelf) for resource, shelf in self.store.shelves()]
            contents = [(k, one) for k, shelf in known if k for one in shelf.objects if one[0] == name]
        elif kind.resource == CRDS.resource:
            own = self.store.kinds.of_crd(name)
            contents = [(own, one) for one in self.store.shelf(own.resource).objects] if own else []
        else:
            return
        await self._delete_all(contents)
        left = [(k, one) for k, one in contents if self.store.get(Place(k.resource, *one)) is not None]
        if left:
            (first, (namespace, one)), more = left[0], len(left) - 1
            why = (
                f"{first.resource_name} {namespace}/{one} and {more} more wait for their finalizers: delete again then"
            )
            raise answers.conflict(kind, name, why)

    async def _delete_all(self, contents: Iterable[tuple[Kind, Name]]) -> None:
        queue = list(contents)
        for start in range(0, len(queue), _AT_ONCE):
            part = queue[start : start + _AT_ONCE]
            await asyncio.gather(*(self._delete_if_there(k, Place(k.resource, *name)) for k, name in part))

    async def _delete_if_there(self, kind: Kind, place: Place) -> None:
        try:
            await self._delete(kind, place, Preconditions())
        except ApiError as error:
            if error.reason != "NotFound":
                raise


def admitted(kind: Kind, made: Object, present: Object | None, now: str, kinds: Iterable[Kind] = ()) -> Object:
    """The object with its defaults, if nothing is wrong with it; raises ApiError 422 with everything that is."""
    made = shapes.taken(kind, made)
    name = str(made["metadata"].get("name", ""))
    found = metadata.problems(kind, made)
    made = validation.with_defaults(kind, crds.with_defaults(kind, made))
    if found := [*found, *schemas.problems(kind, made, present, found)]:
        raise answers.invalid(kind, name, found)
    if (refused := policies.refusal(kind, made, present)) is not None:
        raise refused
    if found := [*crds.problems(kind, made, present), *validation.problems(kind, made, present)]:
        raise answers.invalid(kind, name, found)
    if kind.resource == NAMESPACES.resource and "status" not in made:
        made = {**made, "spec": made.get("spec") or {}, "status": {"phase": "Active"}}
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


def preconditions(options: Any) -> Preconditions:
    """Those of a DeleteOptions body, if there is one; raises ApiError 400 where it is none."""
    if options is None:
        return Preconditions()
    if not isinstance(options, dict) or not isinstance(asked := options.get("preconditions") or {}, dict):
        raise answers.bad_request("the body of a deletion must be DeleteOptions")
    return Preconditions(asked.get("uid"), asked.get("resourceVersion"))


def _moment() -> Moment:
    return Moment(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), str(uuid.uuid4()))
