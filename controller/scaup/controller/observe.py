"""What there is in the Kubernetes API: lists and watches of whatever kinds are asked for, kept up for ever.

What was once seen stays until a list or a watch says otherwise: an API that is away, or refuses for a while, takes
nothing away from anybody. Must not judge what it sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal

import structlog

from scaup.controller.api import BROKER_KIND, TRIGGER_KIND
from scaup.controller.kube import Api, ApiError, ApiRefusedError
from scaup.controller.resolve import Absent, Found, NotKnownYet, Ref

log = structlog.get_logger()

State = Literal["unknown", "listed", "absent", "forbidden"]
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = {"unknown": 5.0, "listed": 5.0, "absent": 10.0, "forbidden": 30.0}
"""The longest pause between two attempts. A kind that is absent may be registered at any time."""
_LONGEST_ASKED_S: Final = 60.0
"""An API that asks to be left alone for longer is asked all the same."""
_LIVED_S: Final = 1.0
_PLURALS: Final = {BROKER_KIND: "brokers", TRIGGER_KIND: "triggers"}
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Collection:
    """All objects of one kind, in all namespaces.

    ``cluster`` is the identity of the API that they were listed from; empty where it cannot be told, or need not.
    """

    def uids(self) -> set[str]:
        """Of all of them."""
        return {value["metadata"]["uid"] for value in self.objects.values()}

    def __init__(self, kind: tuple[str, str], changed: Callable[[], None]) -> None:
        self.kind = kind
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.state: State = "unknown"
        self.problem = "not listed yet"
        self.was_listed = False
        self._version = ""
        self._changed = changed
        self.cluster = ""
        self._whole = kind in _PLURALS
        self._path = _path(kind, _PLURALS[kind]) if self._whole else ""
        self._is_namespaced = True

    def look(self, ref: Ref) -> Found | Absent | NotKnownYet:
        """What is known of one object of this kind."""
        found = self.objects.get((ref.namespace if self._is_namespaced else "", ref.name))
        if found is not None:
            return Found(found)
        match self.state:
            case "unknown":
                return NotKnownYet()
            case "listed":
                return Absent("NotFound", "there is no such object")
            case "absent":
                return Absent("KindNotFound", self.problem)
            case "forbidden":
                return Absent("Forbidden", self.problem)

    async def follow(self, api: Api) -> None:
        """List, then watch, and begin again after whatever goes wrong, with growing pauses. Never ends."""
        loop = asyncio.get_running_loop()
        pause = _SHORTEST_S
        while True:
            began, asked = loop.time(), 0.0
            try:
                if not self._version:
                    await self._list(api)
                    pause = _SHORTEST_S
                await self._watch(api)
            except ApiRefusedError as error:
                self._refused(error)
                asked = min(error.retry_after_s, _LONGEST_ASKED_S)
            except ApiError as error:
                self._trouble(str(error))
            if loop.time() - began > _LIVED_S:
                pause = _SHORTEST_S
            await asyncio.sleep(max(pause, asked))
            pause = min(pause * 2, _LONGEST_S[self.state])

    def forget_version(self) -> None:
        """Take nothing for granted before the next list; what was seen stays until then."""
        self._version, self.was_listed = "", False

    async def _list(self, api: Api) -> None:
        if not self._path:
            self._path, self._is_namespaced = await _discover(api, self.kind)
        if self.kind == BROKER_KIND:
            self.cluster = await api.identity()
        items, version = await api.list(self._path)
        fresh = {key: self._reduced(item) for item in items if (key := _key(item))}
        is_news = self.state != "listed" or not self.was_listed or fresh != self.objects
        # Unchanged objects stay the same ones: what was worked out from them is found again by identity.
        self.objects = {key: old if (old := self.objects.get(key)) == new else new for key, new in fresh.items()}
        self.state, self.was_listed, self._version = "listed", True, version
        if is_news:
            self._changed()

    async def _watch(self, api: Api) -> None:
        """Take in changes until the watch ends."""
        async with api.watch(self._path, self._version) as changes:
            self._well()
            async for change in changes:
                value = change["object"]
                self._version = str(value.get("metadata", {}).get("resourceVersion", self._version))
                if change["type"] != "BOOKMARK":
                    self._apply(change["type"] == "DELETED", value)

    def _apply(self, is_deleted: bool, value: dict[str, Any]) -> None:
        if not (key := _key(value)):
            return
        old = self.objects.get(key)
        if is_deleted:
            self.objects.pop(key, None)
        elif (new := self._reduced(value)) != old:
            self.objects[key] = new
        else:
            return
        self._changed()

    def _refused(self, error: ApiRefusedError) -> None:
        """Begin with a fresh list: a version that is too old (410) needs one, and of all else it tells the truth."""
        was_watching, self._version = bool(self._version), ""
        if error.status == 410:
            return
        before = (self.state, self.problem)
        if error.status == 403 and not was_watching:
            self.state = "forbidden"
            self.problem = (
                f"the controller may not list and watch {self._resource()}; grant it {self._right()} "
                f"by a ClusterRole that is bound to who it runs as: {error}"
            )
        elif error.status == 404:
            # What was listed before stays: an API that is just starting says so of kinds that it has.
            self.state = "listed" if self.objects else "absent"
            self.problem = f"the API has no kind {self.kind[1]} in {self.kind[0]}"
            self._path = self._path if self._whole else ""
        else:
            self._trouble(str(error))
            return
        if before != (self.state, self.problem):
            log.warning("observe.refused", kind=self.kind[1], api=self.kind[0], why=self.problem)
            self._changed()

    def _resource(self) -> str:
        group = self.kind[0].partition("/")[0] if "/" in self.kind[0] else ""
        plural = self._path.rpartition("/")[2] or self.kind[1]
        return f"{plural}.{group}" if group else plural

    def _right(self) -> str:
        name, _, group = self._resource().partition(".")
        return f"get, list and watch of {name} in API group {group or repr('')}"

    def _trouble(self, why: str) -> None:
        if why != self.problem:
            log.warning("observe.interrupted", kind=self.kind[1], api=self.kind[0], why=why)
        self.problem = why

    def _well(self) -> None:
        if self.problem and self.state == "listed":
            log.info("observe.follows", kind=self.kind[1], api=self.kind[0], objects=len(self.objects))
            self.problem = ""

    def _reduced(self, value: dict[str, Any]) -> dict[str, Any]:
        return _whole(value) if self._whole else _addressable(value)


class Observed:
    """The collections that are watched now: Brokers and Triggers always, others while they are referred to."""

    def __init__(self, api: Api, tasks: asyncio.TaskGroup, changed: Callable[[], None]) -> None:
        self._api = api
        self._tasks = tasks
        self._changed = changed
        self._following: dict[tuple[str, str], tuple[Collection, asyncio.Task[None]]] = {}
        self.brokers = self._follow(BROKER_KIND)
        self.triggers = self._follow(TRIGGER_KIND)

    def relist(self) -> None:
        """List all Brokers and Triggers anew: ``is_complete`` says when everything that is known is from after now."""
        for kind in _PLURALS:
            collection, task = self._following[kind]
            task.cancel()
            collection.forget_version()
            self._start(collection)

    def follow(self, kinds: frozenset[tuple[str, str]]) -> None:
        """Watch exactly ``kinds`` from now on."""
        for kind in self._following.keys() - kinds:
            _, task = self._following.pop(kind)
            task.cancel()
        for kind in kinds - self._following.keys():
            self._follow(kind)

    def look(self, ref: Ref) -> Found | Absent | NotKnownYet:
        """What is known of an object; nothing yet where its kind is not watched yet."""
        followed = self._following.get(ref.collection)
        return followed[0].look(ref) if followed else NotKnownYet()

    @property
    def cluster(self) -> str:
        """The identity of the API that all this is from; empty where it cannot be told."""
        return self.brokers.cluster

    @property
    def is_complete(self) -> bool:
        """Whether all Brokers and Triggers have been seen; before that, what is missing proves nothing."""
        return self.brokers.was_listed and self.triggers.was_listed

    def why_not_ready(self) -> str | None:
        """For the readiness check."""
        problem = self.brokers.problem or self.triggers.problem
        return f"the Kubernetes API: {problem}" if problem else None

    def _follow(self, kind: tuple[str, str]) -> Collection:
        collection = Collection(kind, self._changed)
        self._start(collection)
        return collection

    def _start(self, collection: Collection) -> None:
        kind = collection.kind
        task = self._tasks.create_task(collection.follow(self._api), name=f"observe-{kind[1]}")
        self._following[kind] = (collection, task)


async def _discover(api: Api, kind: tuple[str, str]) -> tuple[str, bool]:
    """The path of a kind's objects and whether they have namespaces; by the plural's rule where discovery is silent."""
    path = _path(kind, "").rstrip("/")
    try:
        resources = (await api.request("GET", path)).get("resources")
    except ApiRefusedError as error:
        if error.status != 403:
            raise
        resources = None
    for resource in resources if isinstance(resources, list) else ():
        name = resource.get("name", "")
        if resource.get("kind") == kind[1] and "/" not in name:
            return f"{path}/{name}", bool(resource.get("namespaced", True))
    if isinstance(resources, list):  # to list it would be refused for want of a right, which says nothing
        raise ApiRefusedError(f"{kind[1]} is not among the resources of {kind[0]}", status=404)
    return f"{path}/{plural(kind[1])}", True


def plural(kind: str) -> str:
    """The lower-case English plural, as Kubernetes guesses it (meta.UnsafeGuessKindToResource)."""
    word = kind.lower()
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and not word.endswith(("ay", "ey", "oy", "uy")):
        return f"{word[:-1]}ies"
    return f"{word}s"


def _path(kind: tuple[str, str], name: str) -> str:
    api_version = kind[0]
    return f"/{'apis' if '/' in api_version else 'api'}/{api_version}/{name}"


def _key(value: dict[str, Any]) -> tuple[str, str] | None:
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    return str(metadata.get("namespace") or ""), metadata["name"]


def _whole(value: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of a Broker or Trigger: without what changes although nothing changes."""
    metadata = {key: value["metadata"].get(key) for key in ("uid", "namespace", "name", "generation")}
    annotations = value["metadata"].get("annotations")
    if isinstance(annotations, dict):
        metadata["annotations"] = {key: text for key, text in annotations.items() if key != _APPLIED}
    return {"metadata": metadata, "spec": value.get("spec"), "status": value.get("status")}


def _addressable(value: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of any other object: its addresses and whether it is Ready. Others may be large, and busy."""
    metadata = {key: value["metadata"].get(key) for key in ("uid", "namespace", "name", "generation")}
    status = value.get("status")
    status = status if isinstance(status, dict) else {}
    conditions = status.get("conditions")
    listed = conditions if isinstance(conditions, list) else []
    ready = [c for c in listed if isinstance(c, dict) and c.get("type") == "Ready"]
    kept = {key: status[key] for key in ("address", "addresses", "observedGeneration") if key in status}
    return {"metadata": metadata, "status": kept | ({"conditions": ready} if ready else {})}
