"""Deletions: of one object and of many. What one makes of an object, ``objects`` decides.

What goes by itself after it is the ``collector``'s.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from scaup.apiserver import answers, objects, shapes
from scaup.apiserver.answers import ApiError
from scaup.apiserver.kinds import NAMESPACES, Kind
from scaup.apiserver.objects import Decision, Object, Preconditions, Put
from scaup.apiserver.paths import Target
from scaup.apiserver.query import Query, deletion
from scaup.apiserver.selectors import Test
from scaup.apiserver.store import Place, Store
from scaup.apiserver.window import name_of
from scaup.apiserver.writes import moment

_AT_ONCE: Final = 100
_LASTING: Final = ("default", "kube-system", "kube-public")
_POLICIES: Final = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class Deleter:
    """Deletes objects of all kinds."""

    store: Store

    async def delete(
        self, kind: Kind, target: Target, asked: Preconditions, *, is_dry_run: bool = False
    ) -> dict[str, Any]:
        """Delete one object: ``Status`` where it is gone, the object itself where finalizers are to run first."""
        place = Place(kind.resource, target.namespace, target.name)
        if kind.resource == NAMESPACES.resource and target.name in _LASTING:
            raise answers.forbidden_object(kind, target.name, "this namespace may not be deleted")
        done = await self.remove(kind, place, asked, is_dry_run=is_dry_run)
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

    async def remove(self, kind: Kind, place: Place, asked: Preconditions, *, is_dry_run: bool = False) -> Decision:
        """Delete the object at a place, or mark it so where something is to happen first; gives back which it was."""
        now = moment()

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


def asked_for(options: Any, query: Query) -> Preconditions:
    """What a DeleteOptions body says, or the query where there is none; raises ApiError 400 and 422 for nonsense."""
    given = deletion(query) if options is None else _of_body(options)
    policy, orphans = given.get("propagationPolicy"), given.get("orphanDependents")
    found = []
    if policy is not None and orphans is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        found.append(answers.wrong("propagationPolicy", policy, why))
    if policy is not None and policy not in _POLICIES:
        found.append(answers.unsupported("propagationPolicy", policy, (*_POLICIES, "nil")))
    if found:
        raise answers.invalid_options(found, "DeleteOptions")
    if orphans is not None:
        policy = "Orphan" if orphans else "Background"
    meant = shapes.fields_of("Preconditions", given.get("preconditions") or {})
    return Preconditions(meant.get("uid"), meant.get("resourceVersion"), policy or "")


def _of_body(options: Any) -> dict[str, Any]:
    if not isinstance(options, dict):
        raise answers.bad_request("the body of a deletion must be DeleteOptions")
    given = shapes.fields_of("DeleteOptions", options)
    if (called := given.get("kind") or "DeleteOptions") != "DeleteOptions":
        why = f'no kind "{called}" is registered for version "{given.get("apiVersion") or ""}"'
        raise answers.bad_request(f"{why}: the body of a deletion must be DeleteOptions")
    return given
