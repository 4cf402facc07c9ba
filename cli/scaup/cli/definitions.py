"""``scaup apply``, ``delete``, ``get`` and ``describe``: definitions by hand, on any API.

Gives back text and exit codes; the command line itself is in ``app``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scaup.cli import manifests, showing, triggers
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.applying import Applier, Outcome
from scaup.cli.kinds import BROKER, TRIGGER, Kinds
from scaup.cli.kube import Api, open_api
from scaup.cli.manifests import Identity
from scaup.cli.problems import DONE, FAILED, FailedError, UsageError, one_line
from scaup.core.model.annotations import strange
from scaup.core.model.errors import DefinitionError


def read_all(given: list[Path]) -> list[manifests.Document]:
    """All objects of the files; UsageError where there are none."""
    manifests.require(given)
    documents = [document for path in manifests.files(given) for document in manifests.read(path)]
    if not documents:
        msg = f"there are no objects in {', '.join(str(path) for path in given)}"
        raise UsageError(msg, hint="files end in .yaml, .yml or .json")
    return documents


async def apply(access: ApiAccess, given: list[Path], namespace: str) -> int:
    """Create or change what the files say; a line for each object."""
    documents = read_all(given)
    for line in warnings(documents, namespace):
        sys.stderr.write(line + "\n")
    async with open_api(access) as api:
        return _tell(await Applier(api, Kinds(api), namespace).apply(documents))


async def delete(access: ApiAccess, nats: NatsAccess, given: list[Path], namespace: str) -> int:
    """Delete the objects the files name; a line for each, with what a Trigger takes with it."""
    documents = {document.identity(namespace): document for document in read_all(given)}
    async with open_api(access) as api:
        lost = await _lost_with(api, nats, [each for each in documents if each.kind == TRIGGER.kind])
        return _tell(await Applier(api, Kinds(api), namespace).delete(documents), lost)


async def _lost_with(api: Api, nats: NatsAccess, asked: list[Identity]) -> dict[Identity, str]:
    """What is to be said of the events that wait for Triggers before these go; nothing where none do."""
    found = {each: await api.find(TRIGGER.path(each.namespace, each.name)) for each in asked}
    present = {each: trigger for each, trigger in found.items() if trigger is not None}
    said: dict[Identity, str] = {}
    for namespace in {each.namespace for each in present}:
        here = {each: trigger for each, trigger in present.items() if each.namespace == namespace}
        counts = await triggers.events_waiting(api, nats, list(here.values()))
        for each, trigger in here.items():
            count = counts.get(each.name)
            if count:
                said[each] = f"; {triggers.events(count)} that waited for it {'go' if count > 1 else 'goes'} with it"
            elif count is None and triggers.is_paused(trigger):
                said[each] = "; the events that waited for it go with it"
    return said


def warnings(documents: list[manifests.Document], namespace: str) -> list[str]:
    """A line for every annotation that looks like one of ours and means nothing where it stands."""
    lines = []
    for document in documents:
        identity = document.identity(namespace)
        annotations = (document.content.get("metadata") or {}).get("annotations")
        if identity.kind in {BROKER.kind, TRIGGER.kind} and identity.api_version == BROKER.api_version:
            names = annotations if isinstance(annotations, dict) else {}
            lines += [
                f"{document.where}: warning: {identity}: annotation {said}" for said in strange(identity.kind, names)
            ]
    return lines


def _tell(outcomes: list[Outcome], more: Mapping[Identity, str] = MappingProxyType({})) -> int:
    for outcome in outcomes:
        if outcome.error is None:
            sys.stdout.write(f"{outcome.identity} {outcome.verb}{more.get(outcome.identity, '')}\n")
        else:
            sys.stderr.write(failure(outcome) + "\n")
    return FAILED if any(outcome.error for outcome in outcomes) else DONE


def failure(outcome: Outcome) -> str:
    """Where, what and why, in one line."""
    where = f"{outcome.document.where}: " if outcome.document else ""
    return f"{where}{outcome.identity}: {one_line(outcome.error or DefinitionError('', ''))}"


async def get(access: ApiAccess, word: str, name: str | None, namespace: str | None, output: str) -> str:
    """One object, or all of a kind; ``namespace`` None for all namespaces."""
    async with open_api(access) as api:
        kind = await Kinds(api).named(word)
        if name is not None:
            item = await _one(api, word, name, namespace or "default")
            if output != "table":
                item["metadata"].pop("managedFields", None)  # as kubectl: who manages what is seldom asked for
                return showing.as_json(item) if output == "json" else showing.as_yaml(item)
            return showing.table(kind, [item], namespaces=False)
        items = (await api.get(kind.path(namespace))).get("items") or []
    for item in items:  # a list's items carry neither; on their own they need both
        item.setdefault("apiVersion", kind.api_version)
        item.setdefault("kind", kind.kind)
        item["metadata"].pop("managedFields", None)
    if output != "table":
        listed = showing.as_list(items)
        return showing.as_json(listed) if output == "json" else showing.as_yaml(listed)
    if not items:
        return f"No {kind.plural} in namespace {namespace}." if namespace else f"No {kind.plural}."
    return showing.table(kind, items, namespaces=namespace is None and kind.namespaced)


async def describe(access: ApiAccess, word: str, name: str | None, namespace: str, output: str) -> str:
    """One object, or all of a kind in a namespace, at length."""
    if output != "table":
        return await get(access, word, name, namespace, output)
    async with open_api(access) as api:
        kind = await Kinds(api).named(word)
        if name is None:
            items = (await api.get(kind.path(namespace))).get("items") or []
        else:
            items = [await _one(api, word, name, namespace)]
        triggers: list[dict[str, Any]] = []
        if kind == BROKER:
            triggers = (await api.get(TRIGGER.path(namespace))).get("items") or []
    if not items:
        return f"No {kind.plural} in namespace {namespace}."
    return "\n\n".join(
        showing.description(kind, item, [t for t in triggers if t["spec"].get("broker") == item["metadata"]["name"]])
        for item in items
    )


async def _one(api: Api, word: str, name: str, namespace: str) -> dict[str, Any]:
    kind = await Kinds(api).named(word)
    item: dict[str, Any] | None = await api.find(kind.path(namespace, name))
    if item is None:
        where = f"{namespace}/{name}" if kind.namespaced else name
        msg = f"there is no {kind.kind} {where}"
        raise FailedError(msg, hint=f"`scaup get {kind.plural} -A` lists those there are")
    return item
