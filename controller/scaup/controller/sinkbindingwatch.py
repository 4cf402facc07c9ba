"""What is watched for SinkBindings, and how often one subject may be written to. Must not judge what it sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from collections.abc import Collection as Some
from dataclasses import dataclass
from typing import Any, Final

from scaup.controller.kube import Api
from scaup.controller.observe import Collection
from scaup.controller.resolve import Absent, Found, NotKnownYet, Ref
from scaup.controller.sinkbinding import EXCLUDE, NAMESPACE_KIND, SINKBINDING_KIND, Key, Kind, reduced_binding
from scaup.controller.sinkbindingpatch import Mark, reduced_subject

_SHORTEST_S: Final = 1.0
_LONGEST_S: Final = 300.0
_CONTEST: Final = 4
"""Written so often to the same end: somebody else takes it out again."""

Reduce = Callable[[dict[str, Any]], dict[str, Any]]


class Reduced(Collection):
    """All objects of one kind, of each only what ``reduce`` leaves."""

    def __init__(self, kind: Kind, changed: Callable[[], None], reduce: Reduce) -> None:
        super().__init__(kind, changed)
        self._reduce = reduce

    @property
    def path(self) -> str:
        """The path of all of them, once it was found."""
        return self._path

    def _reduced(self, value: dict[str, Any]) -> dict[str, Any]:
        return self._reduce(value)


def path_to(collection: Reduced, namespace: str, name: str) -> str:
    """The path of one object."""
    base, _, plural = collection.path.rpartition("/")
    return f"{base}/namespaces/{namespace}/{plural}/{name}"


class Watched:
    """The SinkBindings, and, while there are any, the namespaces, the kinds they bind and the kinds of their sinks."""

    def __init__(self, api: Api, tasks: asyncio.TaskGroup, changed: Callable[[], None]) -> None:
        self._api = api
        self._tasks = tasks
        self._changed = changed
        self._subjects: dict[Kind, tuple[Reduced, asyncio.Task[None]]] = {}
        self._sinks: dict[Kind, tuple[Collection, asyncio.Task[None]]] = {}
        self.bindings = Reduced(SINKBINDING_KIND, changed, reduced_binding)
        tasks.create_task(self.bindings.follow(api), name="observe-sinkbindings")

    def follow(self, *, subjects: Some[Kind], sinks: Some[Kind]) -> None:
        """Watch exactly these from now on."""
        more = {NAMESPACE_KIND} if subjects else set()
        _keep(self._subjects, {*subjects, *more}, self._follow_subjects)
        _keep(self._sinks, set(sinks), self._follow_sinks)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of subjects."""
        return [kind for kind in self._subjects if kind != NAMESPACE_KIND]

    def of(self, kind: Kind) -> Reduced:
        """The objects of a kind that is followed as subjects or as namespaces."""
        return self._subjects[kind][0]

    def subjects(self, kind: Kind) -> Mapping[tuple[str, str], dict[str, Any]]:
        """The objects of a kind by namespace and name; none where it is not followed."""
        return self._subjects[kind][0].objects if kind in self._subjects else {}

    def is_excluded(self, namespace: str) -> bool:
        """Whether a namespace says that nothing in it is to be bound."""
        found = self.subjects(NAMESPACE_KIND).get(("", namespace))
        return found is not None and found["label"] == "true"

    def look(self, ref: Ref) -> Found | Absent | NotKnownYet:
        """What is known of a sink."""
        followed = self._sinks.get(ref.collection)
        return followed[0].look(ref) if followed else NotKnownYet()

    def _follow_subjects(self, kind: Kind) -> tuple[Reduced, asyncio.Task[None]]:
        reduce = _reduced_namespace if kind == NAMESPACE_KIND else lambda value: reduced_subject(kind, value)
        collection = Reduced(kind, self._changed, reduce)
        return collection, self._tasks.create_task(collection.follow(self._api), name=f"observe-{kind[1]}")

    def _follow_sinks(self, kind: Kind) -> tuple[Collection, asyncio.Task[None]]:
        collection = Collection(kind, self._changed)
        return collection, self._tasks.create_task(collection.follow(self._api), name=f"observe-{kind[1]}")


def _keep(following: dict[Kind, Any], wanted: set[Kind], begin: Callable[[Kind], Any]) -> None:
    for kind in following.keys() - wanted:
        following.pop(kind)[1].cancel()
    for kind in wanted - following.keys():
        following[kind] = begin(kind)


def _reduced_namespace(value: dict[str, Any]) -> dict[str, Any]:
    metadata = value["metadata"]
    return {"metadata": {"uid": metadata.get("uid")}, "label": (metadata.get("labels") or {}).get(EXCLUDE)}


@dataclass(slots=True)
class _Writes:
    wanted: Mark | None
    count: int = 0
    not_before: float = 0.0
    is_hopeless: bool = False


class Pace:
    """How often each subject may be written to: at once when it shall be something new, ever less often else."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._subjects: dict[Key, _Writes] = {}

    def wait(self, key: Key, wanted: Mark | None) -> float:
        """How long to wait before writing; 0: write now, which is counted."""
        known = self._subjects.get(key)
        if known is None or known.wanted != wanted:
            known = self._subjects[key] = _Writes(wanted)
        left = known.not_before - self._now()
        if left > 0:
            return left
        known.count += 1
        known.not_before = self._now() + min(_SHORTEST_S * 2.0 ** (min(known.count, 12) - 1), _LONGEST_S)
        return 0.0

    def failed(self, key: Key, *, is_hopeless: bool) -> None:
        """A write was refused; ``is_hopeless``: for ever, so nothing has to wait for it."""
        self._subjects[key].is_hopeless = is_hopeless

    def rests(self, key: Key) -> float:
        """It is as it shall be. Its count is forgotten when that has lasted; gives back for how long it must yet."""
        known = self._subjects.get(key)
        if known is None:
            return 0.0
        left = known.not_before + _LONGEST_S - self._now()
        if left <= 0:
            del self._subjects[key]
        return left

    def keep_only(self, keys: set[Key]) -> None:
        """Forget all others."""
        for key in self._subjects.keys() - keys:
            del self._subjects[key]

    def is_contest(self, key: Key) -> bool:
        """Whether what is written does not stay."""
        return key in self._subjects and self._subjects[key].count >= _CONTEST

    def is_hopeless(self, key: Key) -> bool:
        """Whether the last write can never succeed."""
        return key in self._subjects and self._subjects[key].is_hopeless
