"""What goes by itself: dependents whose owners went, and what is in a Namespace or of a CRD that is being deleted.

Follows Kubernetes' garbage collector (background, foreground, orphan) and namespace controller. Level-triggered: all
state is in the objects, and every object that could have something to do is looked at after each change and after a
restart. Must not decide what a single deletion does (``objects`` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

import structlog

from scaup.apiserver.answers import ApiError, not_found
from scaup.apiserver.deletion import Deleter
from scaup.apiserver.kinds import CRDS, NAMESPACES, Kind, Resource, kinds_of
from scaup.apiserver.objects import (
    CLEANUP,
    FOREGROUND,
    ORPHAN,
    Decision,
    Object,
    Preconditions,
    revision_of,
    settled,
    without_revision,
)
from scaup.apiserver.store import Place, Store
from scaup.core.model.errors import ScaupError

log = structlog.get_logger()

_RETRY_S: Final = 0.5
_AT_ONCE: Final = 50
_WITH_ALL: Final = Preconditions(policy="Background")


class Collector:
    """Collects in one store. It knows by uid who depends on whom: about 200 bytes for each owner reference."""

    def __init__(self, store: Store, deleter: Deleter) -> None:
        self._store = store
        self._deleter = deleter
        self._dependents: dict[str, set[Place]] = {}
        self._gone: set[str] = set()  # owners that were seen to go and have dependents yet: their kind may go as well
        self._queue: dict[Place, None] = {}  # in the order of arrival
        self._busy: set[Place] = set()
        self._news = asyncio.Event()
        self._emptying = asyncio.Semaphore(_AT_ONCE)
        store.observe(self._noticed, self._start_over)

    def _start_over(self) -> None:
        self._dependents.clear()
        self._gone.clear()
        self._queue.clear()

    def _noticed(self, place: Place, old: Object | None, new: Object | None) -> None:
        self._index(place, old, new)
        if new is not None and (_owners(new) or "deletionTimestamp" in new["metadata"]):
            self._want(place)
        wholes = (Place(NAMESPACES.resource, "", place.namespace), _definition_of(place.resource))
        has_gone = old is not None and (new is None or _uid(new) != _uid(old))
        if has_gone or (old is None and any(map(self._store.is_going, wholes))):  # too late to be overlooked
            self._want(*wholes)
        if old is not None and has_gone and (dependents := self._dependents.get(_uid(old))):
            self._gone.add(_uid(old))
            self._want(*dependents)
        if place.resource == CRDS.resource and new is not None and "deletionTimestamp" not in new["metadata"]:
            for dependents in self._dependents.values():  # their owners may be of a kind that was not known
                self._want(*dependents)
        for uid in _owners(old):  # its owner may have waited for it
            if (owner := self._owner_place(uid, old)) is not None:
                self._want(owner)

    def _index(self, place: Place, old: Object | None, new: Object | None) -> None:
        """Keep in mind whose dependent an object is."""
        for uid in _owners(old) - _owners(new):
            self._dependents.get(uid, set()).discard(place)
            if not self._dependents.get(uid):
                self._dependents.pop(uid, None)
                self._gone.discard(uid)
        for uid in _owners(new):
            self._dependents.setdefault(uid, set()).add(place)

    def _want(self, *places: Place) -> None:
        self._queue.update(dict.fromkeys(places))
        self._news.set()

    async def run(self) -> None:
        """Collect, whenever there is something: so many objects at a time, each once. Never ends."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                free = _AT_ONCE - len(self._busy) if self._store.is_loaded else 0
                for place in list(islice((one for one in self._queue if one not in self._busy), free)):
                    del self._queue[place]
                    self._busy.add(place)
                    group.create_task(self._look_at(place))
                await self._news.wait()

    async def _look_at(self, place: Place) -> None:
        """Do what there is to do about one object; where that fails it is due again, after a rest."""
        try:
            if await self._collect(place):
                await asyncio.sleep(_RETRY_S)
                self._want(place)
        except Exception:
            log.exception("collector.failed", resource=place.resource, namespace=place.namespace, name=place.name)
        finally:
            self._busy.discard(place)
            self._news.set()

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
        """Delete what has lost all its owners; take out owners that are gone where there are others.

        Nothing is decided while there is an owner of whom nothing can be known. What is decided holds for the object
        as it was seen: of a change that came between, there is news.
        """
        states = [(_uid_of(reference), self._state(reference, place)) for reference in _references(whole)]
        solid = {uid for uid, state in states if state == "there"}
        found, lost = {state for _, state in states}, {uid for uid, _ in states} - solid
        if not lost or "unknown" in found:
            return
        if solid:
            await self._change(place, kind, lambda present: _without_owners(present, lost))
            return
        dependents = self._dependents.get(_uid(whole), ())
        policy = "Foreground" if "waits" in found and dependents else ""  # else what its own finalizers say
        if policy and any(map(self._waits, dependents)):  # owners in a circle: each would wait for the other
            whole = await self._change(place, kind, _unblocking)
        log.info("collector.deleted", kind=kind.kind, namespace=place.namespace, name=place.name, policy=policy)
        await self._deleter.remove(kind, place, Preconditions(_uid(whole), revision_of(whole), policy))

    def _state(self, reference: Object, dependent: Place) -> str:
        """Whether an owner is there, gone, or waits for its dependents; unknown where its kind is."""
        if _uid_of(reference) in self._gone:
            return "gone"
        group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
        kind = self._store.kinds.called(group, str(reference.get("kind")))
        if kind is None or not version or (kind.is_namespaced and not dependent.namespace):
            return "unknown"
        place = Place(kind.resource, dependent.namespace if kind.is_namespaced else "", str(reference.get("name")))
        owner = self._store.get(place)
        if owner is None or _uid(owner) != _uid_of(reference):
            return "gone"
        return "waits" if self._waits(place) else "there"

    def _waits(self, place: Place) -> bool:
        """Whether an object is there only until its dependents are gone."""
        found = self._store.get(place)
        return found is not None and "deletionTimestamp" in found["metadata"] and FOREGROUND in _finalizers(found)

    def _owner_place(self, uid: str, dependent: Object | None) -> Place | None:
        for reference in _references(dependent):
            group = str(reference.get("apiVersion", "")).rpartition("/")[0]
            kind = self._store.kinds.called(group, str(reference.get("kind")))
            if _uid_of(reference) == uid and kind is not None and dependent is not None:
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
            await self._empty(place, kind, lambda: self._in_namespace(place.name))
        elif kind.resource == CRDS.resource and CLEANUP in finalizers:
            await self._empty(place, kind, lambda: self._of_definition(whole))

    async def _empty(self, place: Place, kind: Kind, contents: Callable[[], list[tuple[Kind, Place]]]) -> None:
        """Delete what is inside; where nothing is left, let go of the whole."""
        inside = contents()
        for start in range(0, len(inside), _AT_ONCE):
            await asyncio.gather(*(self._remove(k, one) for k, one in inside[start : start + _AT_ONCE]))
        if contents():
            return  # held by finalizers: the last that goes brings us here again
        await self._change(place, kind, lambda present: _without_finalizer(_without_kubernetes(present), CLEANUP))

    async def _remove(self, kind: Kind, place: Place) -> None:
        """Delete what is in something that goes, unless that was done and others' finalizers hold it."""
        found = self._store.get(place)
        if found is None or (
            "deletionTimestamp" in found["metadata"] and not {FOREGROUND, ORPHAN} & {*_finalizers(found)}
        ):
            return
        async with self._emptying:
            await self._deleter.remove_if_there(kind, place, _WITH_ALL)

    def _in_namespace(self, name: str) -> list[tuple[Kind, Place]]:
        return [
            (kind, Place(resource, *one))
            for resource, shelf in self._store.shelves()
            if (kind := self._store.kinds.of_resource(resource)) is not None and kind.is_namespaced
            for one in shelf.objects
            if one[0] == name
        ]

    def _of_definition(self, crd: Object) -> list[tuple[Kind, Place]]:
        """All objects of a definition, also those of versions that are not served; none of a kind that is built in."""
        kinds = kinds_of(crd, only_served=False)
        if not kinds or self._store.kinds.is_built_in(kinds[0].resource):
            return []
        return [(kinds[0], Place(kinds[0].resource, *one)) for one in self._store.shelf(kinds[0].resource).objects]

    async def _orphan(self, dependent: Place, uid: str) -> None:
        kind = self._store.kinds.of_resource(dependent.resource)
        if kind is not None and self._store.get(dependent) is not None:
            await self._change(dependent, kind, lambda present: _without_owners(present, {uid}))

    async def _change(self, place: Place, kind: Kind, changed: Callable[[Object], Object]) -> Object:
        def decide(present: Object | None) -> Decision:
            if present is None:
                raise not_found(kind, place.name)
            return settled(kind, present, changed(present))

        return (await self._store.change(place, decide)).object


def _uid(whole: Object) -> str:
    return str(whole["metadata"].get("uid", ""))


def _uid_of(reference: Object) -> str:
    return str(reference.get("uid"))


def _references(whole: Object | None) -> list[Object]:
    """The owners that an object names; what others wrote into the bucket may be anything."""
    found = whole["metadata"].get("ownerReferences") if whole is not None else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _owners(whole: Object | None) -> set[str]:
    return {_uid_of(one) for one in _references(whole)}


def _definition_of(resource: Resource) -> Place:
    return Place(CRDS.resource, "", f"{resource.plural}.{resource.group}")


def _finalizers(whole: Object) -> list[str]:
    return list(whole["metadata"].get("finalizers") or ())


def _blocks(dependent: Object | None, uid: str) -> bool:
    return any(_uid_of(one) == uid and one.get("blockOwnerDeletion") for one in _references(dependent))


def _without_owners(present: Object, lost: set[str]) -> Object:
    made = without_revision(present)
    made["metadata"].pop("ownerReferences", None)
    if kept := [one for one in _references(present) if _uid_of(one) not in lost]:
        made["metadata"]["ownerReferences"] = kept
    return made


def _unblocking(present: Object) -> Object:
    """A dependent that no owner waits for."""
    made = without_revision(present)
    made["metadata"]["ownerReferences"] = [
        {**one, "blockOwnerDeletion": False} if one.get("blockOwnerDeletion") else one for one in _references(present)
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
