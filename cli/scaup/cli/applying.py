"""Documents into objects of an API: namespaces first, then definitions of kinds, then all else, many at a time.

Responsible for creating, changing and deleting; each document has an outcome of its own, one that fails stops no
other. Must not print and must not read files.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from scaup.cli.kinds import Kind, Kinds
from scaup.cli.kube import CONCURRENT, MERGE_PATCH, Api
from scaup.cli.manifests import Document, Identity
from scaup.cli.merging import patch, wanted
from scaup.cli.problems import RefusedError
from scaup.core.model.errors import ScaupError

Verb = Literal["created", "changed", "unchanged", "deleted", "not there", "failed"]
_LIST_FROM: Final = 8
"""From so many objects of one kind and namespace on, one list is cheaper than asking for each."""
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object; ``error`` says why where it failed."""

    identity: Identity
    verb: Verb
    document: Document | None = None
    error: ScaupError | None = None


class Applier:
    """Writes objects to one API. ``namespace`` is for documents that name none."""

    def __init__(self, api: Api, kinds: Kinds, namespace: str = "default") -> None:
        self._api = api
        self._kinds = kinds
        self._namespace = namespace
        self._slots = asyncio.Semaphore(CONCURRENT)

    async def apply(self, documents: Iterable[Document]) -> list[Outcome]:
        """Create or change every object. One that is written down twice gets what stands last.

        Raises NotReachableError where the API is away.
        """
        last = {document.identity(self._namespace): document for document in documents}
        outcomes: list[Outcome] = []
        for stage in _stages(last):
            kinds = await self._kinds_of(stage)
            present = await self._present(kinds)
            outcomes += await asyncio.gather(
                *(self._guarded(i, last[i], self._apply(i, last[i], kinds[i], present)) for i in stage)
            )
            if any(identity.kind == "CustomResourceDefinition" for identity in stage):
                self._kinds.forget()
        return outcomes

    async def delete(self, identities: Iterable[Identity]) -> list[Outcome]:
        """Delete every object that is there, in the opposite order."""
        outcomes: list[Outcome] = []
        for stage in reversed(_stages(identities)):
            outcomes += await asyncio.gather(*(self._guarded(i, None, self._delete(i)) for i in stage))
        return outcomes

    async def _guarded(self, identity: Identity, document: Document | None, work: Awaitable[Verb]) -> Outcome:
        try:
            async with self._slots:
                return Outcome(identity, await work, document)
        except RefusedError as error:
            return Outcome(identity, "failed", document, error)
        except _UnknownKindError as error:
            return Outcome(identity, "failed", document, error.reason)

    async def _kinds_of(self, stage: list[Identity]) -> dict[Identity, Kind | ScaupError]:
        """The kind of each, registered where that is allowed; the reason where it is not."""
        found: dict[tuple[str, str], Kind | ScaupError] = {}
        for identity in stage:
            key = (identity.api_version, identity.kind)
            if key not in found:
                try:
                    found[key] = await self._kinds.need(*key)
                except ScaupError as error:
                    if _is_away(error):
                        raise
                    found[key] = error
        return {identity: found[identity.api_version, identity.kind] for identity in stage}

    async def _present(self, kinds: dict[Identity, Kind | ScaupError]) -> dict[Identity, Any] | None:
        """The objects that are there already, for all collections of which many are wanted."""
        wanted_of: dict[tuple[Kind, str], list[Identity]] = defaultdict(list)
        for identity, kind in kinds.items():
            if isinstance(kind, Kind):
                wanted_of[kind, identity.namespace].append(identity)
        present: dict[Identity, Any] = {}
        for (kind, namespace), identities in wanted_of.items():
            if len(identities) < _LIST_FROM:
                continue
            items = ((await self._api.find(kind.path(namespace))) or {}).get("items") or []
            by_name = {item["metadata"]["name"]: item for item in items}
            present |= {identity: by_name.get(identity.name) for identity in identities}
        return present

    async def _apply(
        self, identity: Identity, document: Document, kind: Kind | ScaupError, listed: dict[Identity, Any] | None
    ) -> Verb:
        if not isinstance(kind, Kind):
            raise _UnknownKindError(kind)
        namespace = identity.namespace if kind.namespaced else None
        made = wanted(document.content, namespace, keep_status=not kind.has_status)
        path = kind.path(namespace, identity.name)
        if listed and identity in listed:
            present = listed[identity]
        else:
            present = await self._api.find(path)
        for attempt in range(_ATTEMPTS):
            try:
                if present is None:
                    await self._api.request("POST", kind.path(namespace), made)
                    return "created"
                change = patch(made, present)
                if not change:
                    return "unchanged"
                answer = await self._api.request("PATCH", path, change, MERGE_PATCH)
            except RefusedError as error:
                # Made, changed or deleted by somebody else in between: look again.
                if error.status not in {404, 409} or attempt == _ATTEMPTS - 1:
                    raise
                present = await self._api.find(path)
                if present is None and error.status == 404:
                    await self._require_collection(kind, namespace, error)
            else:
                same = answer["metadata"].get("resourceVersion") == present["metadata"].get("resourceVersion")
                return "unchanged" if same else "changed"
        raise AssertionError

    async def _require_collection(self, kind: Kind, namespace: str | None, error: RefusedError) -> None:
        # A 404 for a create is about the kind or the namespace; asking again will not help then.
        if await self._api.find(kind.path(namespace)) is None:
            raise error

    async def _delete(self, identity: Identity) -> Verb:
        kind = await self._kinds.find(identity.api_version, identity.kind)
        if kind is None:
            return "not there"
        try:
            await self._api.request("DELETE", kind.path(identity.namespace, identity.name))
        except RefusedError as error:
            if error.status == 404:
                return "not there"
            raise
        return "deleted"


class _UnknownKindError(Exception):
    def __init__(self, reason: ScaupError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _is_away(error: ScaupError) -> bool:
    return error.code == "cli.not-reachable"


def _stages(identities: Iterable[Identity]) -> list[list[Identity]]:
    stages: list[list[Identity]] = [[], [], []]
    first: dict[str, Callable[[Identity], None]] = {
        "Namespace": stages[0].append,
        "CustomResourceDefinition": stages[1].append,
    }
    for identity in identities:
        first.get(identity.kind, stages[2].append)(identity)
    return [stage for stage in stages if stage]
