"""What goes by itself: dependents whose owners went, and what is in a Namespace or of a CRD that is being deleted.

Follows Kubernetes' garbage collector (background, foreground, orphan) and namespace controller. Level-triggered: all
state is in the objects, and every object that could have something to do is looked at after each change and after a
restart. Must not decide what a single deletion does (``objects`` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from scaup.apiserver.answers import ApiError, not_found
from scaup.apiserver.kinds import CRDS, NAMESPACES, Kind
from scaup.apiserver.objects import (
    CLEANUP,
    FOREGROUND,
    ORPHAN,
    Decision,
    Object,
    Preconditions,
    settled,
    without_revision,
)
from scaup.apiserver.store import Place, Store
from scaup.apiserver.writes import Writer
from scaup.core.model.errors import ScaupError

log = structlog.get_logger()

_RETRY_S: Final = 0.5
_AT_ONCE: Final = 50
_WITH_ALL: Final = Preconditions(policy="Background")


class Collector:
    """Collects in one store. It knows by uid who depends on whom: about 200 bytes for each owner reference."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer
        self._dependents: dict[str, set[Place]] = {}
        self._queue: dict[Place, None] = {}  # in the order of arrival
        self._news = asyncio.Event()
        store.observe(self._noticed, self._start_over)

    def _start_over(self) -> None:
        self._dependents.clear()
        self._queue.clear()

    def _noticed(self, place: Place, old: Object | None, new: Object | None) -> None:
        for uid in _owners(old) - _owners(new):
            self._dependents.get(uid, set()).discard(place)
            if not self._dependents.get(uid):
                self._dependents.pop(uid, None)
        for uid in _owners(new):
            self._dependents.setdefault(uid, set()).add(place)
        if new is not None and (_owners(new) or "deletionTimestamp" in new["metadata"]):
            self._want(place)
        if old is None and place.namespace and self._writer.is_going(place.namespace):  # too late to be overlooked
            self._want(Place(NAMESPACES.resource, "", place.namespace))
        if new is None and old is not None:
            for dependent in self._dependents.get(old["metadata"].get("uid", ""), ()):
                self._want(dependent)
            self._want(Place(NAMESPACES.resource, "", place.namespace))
            self._want(Place(CRDS.resource, "", f"{place.resource.plural}.{place.resource.group}"))
        for uid in _owners(old):  # its owner may have waited for it
            if (owner := self._owner_place(uid, old)) is not None:
                self._want(owner)

    def _want(self, place: Place) -> None:
        self._queue[place] = None
        self._news.set()

    async def run(self) -> None:
        """Collect, whenever there is something. Never ends."""
        while True:
            self._news.clear()
            due = list(self._queue)[:_AT_ONCE] if self._store.is_loaded else []
            for place in due:
                del self._queue[place]
            if not due:
                await self._news.wait()
                continue
            failed = await asyncio.gather(*map(self._collect, due))
            again = [place for place, has_failed in zip(due, failed, strict=True) if has_failed]
            if again:
                await asyncio.sleep(_RETRY_S)
                for place in again:
                    self._want(place)

    async def _collect(self, place: Place) -> bool:
        """Look at one object; True where it has to be looked at again."""
        whole, kind = self._store.get(place), self._store.kinds.of_resource(place.resource)
        if whole is None or kind is None:
            return False
        try:
            if "deletionTimestamp" in whole["metadata"]:
                await self._finish(place, kind, whole)
            else:
                await self._judge(place, kind, whole)
        except ApiError as error:
            return error.reason not in {"NotFound", "Conflict"}  # then there is news of it, which comes by itself
        except ScaupError:
            return True
        return False

    # --- dependents -------------------------------------------------------------------------------------------------

    async def _judge(self, place: Place, kind: Kind, whole: Object) -> None:
        """Delete what has lost all its owners; take out owners that are gone where there are others."""
        references = whole["metadata"].get("ownerReferences") or []
        kept, waiting = [], False
        for reference in references:
            state = self._state(reference, place)
            if state in {"there", "unknown"}:
                kept.append(reference)
            waiting = waiting or state == "waits"
        if len(kept) == len(references):
            return
        if kept:
            await self._change(place, kind, lambda present: _with_owners(present, kept))
            return
        dependents = self._dependents.get(whole["metadata"]["uid"], ())
        policy = "Foreground" if waiting and dependents else ""  # then what the object's own finalizers say
        if waiting and any(map(self._waits, dependents)):  # owners in a circle: each would wait for the other
            await self._change(place, kind, _unblocking)
        log.info("collector.deleted", kind=kind.kind, namespace=place.namespace, name=place.name, policy=policy)
        asked = Preconditions(whole["metadata"]["uid"], None, policy)
        await self._writer.remove(kind, place, asked)

    def _state(self, reference: Object, dependent: Place) -> str:
        """Whether an owner is there, gone, or waits for its dependents; unknown where its kind is."""
        group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
        kind = self._store.kinds.called(group, str(reference.get("kind")))
        if kind is None or not version or (kind.is_namespaced and not dependent.namespace):
            return "unknown"
        place = Place(kind.resource, dependent.namespace if kind.is_namespaced else "", str(reference.get("name")))
        owner = self._store.get(place)
        if owner is None or owner["metadata"].get("uid") != reference.get("uid"):
            return "gone"
        return "waits" if self._waits(place) else "there"

    def _waits(self, place: Place) -> bool:
        """Whether an object is there only until its dependents are gone."""
        found = self._store.get(place)
        return found is not None and "deletionTimestamp" in found["metadata"] and FOREGROUND in _finalizers(found)

    def _owner_place(self, uid: str, dependent: Object | None) -> Place | None:
        for reference in ((dependent or {}).get("metadata") or {}).get("ownerReferences") or ():
            group = str(reference.get("apiVersion", "")).rpartition("/")[0]
            kind = self._store.kinds.called(group, str(reference.get("kind")))
            if reference.get("uid") == uid and kind is not None and dependent is not None:
                namespace = dependent["metadata"].get("namespace", "") if kind.is_namespaced else ""
                return Place(kind.resource, namespace, str(reference.get("name")))
        return None

    # --- what is being deleted ----------------------------------------------------------------------------------------

    async def _finish(self, place: Place, kind: Kind, whole: Object) -> None:
        """Do what an object that is being deleted waits for."""
        uid, finalizers = whole["metadata"]["uid"], _finalizers(whole)
        dependents = list(self._dependents.get(uid, ()))
        if ORPHAN in finalizers:
            for dependent in dependents:
                await self._orphan(dependent, uid)
            await self._change(place, kind, lambda present: _without_finalizer(present, ORPHAN))
        elif FOREGROUND in finalizers:
            for dependent in dependents:
                if not self._waits(dependent):  # else it is on its way, and in a circle we would never rest
                    self._want(dependent)
            if not any(_blocks(self._store.get(dependent), uid) for dependent in dependents):
                await self._change(place, kind, lambda present: _without_finalizer(present, FOREGROUND))
        elif kind.resource == NAMESPACES.resource:
            await self._empty(place, kind, list(self._in_namespace(place.name)))
        elif kind.resource == CRDS.resource and CLEANUP in finalizers:
            own = self._store.kinds.of_crd(place.name)
            names = self._store.shelf(own.resource).objects if own else ()
            await self._empty(place, kind, [(own, Place(own.resource, *one)) for one in names] if own else [])

    async def _empty(self, place: Place, kind: Kind, contents: list[tuple[Kind, Place]]) -> None:
        """Delete what is inside; where nothing is left, let go of the whole."""
        for start in range(0, len(contents), _AT_ONCE):
            part = contents[start : start + _AT_ONCE]
            await asyncio.gather(*(self._writer.remove_if_there(k, one, _WITH_ALL) for k, one in part))
        if any(self._store.get(one) is not None for _, one in contents):
            return  # held by finalizers: the last that goes brings us here again
        await self._change(place, kind, lambda present: _without_finalizer(_without_kubernetes(present), CLEANUP))

    def _in_namespace(self, name: str) -> Iterator[tuple[Kind, Place]]:
        for resource, shelf in self._store.shelves():
            if (kind := self._store.kinds.of_resource(resource)) is not None and kind.is_namespaced:
                for one in [one for one in shelf.objects if one[0] == name]:
                    yield kind, Place(resource, *one)

    async def _orphan(self, dependent: Place, uid: str) -> None:
        kind = self._store.kinds.of_resource(dependent.resource)
        if kind is not None and self._store.get(dependent) is not None:
            await self._change(dependent, kind, lambda present: _with_owners(present, _others(present, uid)))

    async def _change(self, place: Place, kind: Kind, changed: Callable[[Object], Object]) -> None:
        def decide(present: Object | None) -> Decision:
            if present is None:
                raise not_found(kind, place.name)
            return settled(kind, present, changed(present))

        await self._store.change(place, decide)


def _owners(whole: Object | None) -> set[str]:
    references = whole["metadata"].get("ownerReferences") if whole is not None else None
    return {str(one.get("uid")) for one in references or () if isinstance(one, dict)}


def _finalizers(whole: Object) -> list[str]:
    return list(whole["metadata"].get("finalizers") or ())


def _blocks(dependent: Object | None, uid: str) -> bool:
    references = dependent["metadata"].get("ownerReferences") if dependent is not None else None
    return any(one.get("uid") == uid and one.get("blockOwnerDeletion") for one in references or ())


def _others(whole: Object, uid: str) -> list[Object]:
    return [one for one in whole["metadata"].get("ownerReferences") or () if one.get("uid") != uid]


def _with_owners(present: Object, kept: list[Object]) -> Object:
    made = without_revision(present)
    made["metadata"].pop("ownerReferences", None)
    if kept:
        made["metadata"]["ownerReferences"] = kept
    return made


def _unblocking(present: Object) -> Object:
    """A dependent that no owner waits for."""
    made = without_revision(present)
    owners = made["metadata"].get("ownerReferences") or ()
    made["metadata"]["ownerReferences"] = [
        {**one, "blockOwnerDeletion": False} if one.get("blockOwnerDeletion") else one for one in owners
    ]
    return made


def _without_finalizer(present: Object, finalizer: str) -> Object:
    made = without_revision(present)
    left = [one for one in made["metadata"].pop("finalizers", None) or () if one != finalizer]
    if left:
        made["metadata"]["finalizers"] = left
    return made


def _without_kubernetes(present: Object) -> Object:
    """A Namespace that nothing in it holds any more."""
    return {**present, "spec": {}} if present.get("kind") == NAMESPACES.kind else present
