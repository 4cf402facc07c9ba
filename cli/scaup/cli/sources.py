"""``scaup sources BROKER``: the objects of the Source duck that point at a Broker, with the rights of who asks.

A source is found by its kind: one whose definition has the label ``duck.knative.dev/source: "true"``, as Knative's
have, or one of the group ``sources.knative.dev``. What only sends events to the address is no object, and not here.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from scaup.cli import showing
from scaup.cli.access import ApiAccess
from scaup.cli.kinds import BROKER, CRDS, Kind
from scaup.cli.kube import Api, open_api
from scaup.cli.problems import FailedError, RefusedError
from scaup.cli.showing import Item

GROUP: Final = "sources.knative.dev"
_LABELLED: Final = f"{CRDS}?labelSelector=duck.knative.dev%2Fsource%3Dtrue"
_TITLES: Final = ("KIND", "NAMESPACE", "NAME", "READY", "REASON", "TYPES", "SINCE")


async def run(access: ApiAccess, name: str, namespace: str, output: str) -> str:
    """The sources of a Broker as text."""
    async with open_api(access) as api:
        broker = await api.find(BROKER.path(namespace, name))
        if broker is None:
            msg = f"there is no Broker {namespace}/{name}"
            raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
        kinds = await find_kinds(api)
        found = [item for items in await asyncio.gather(*(_all(api, k, namespace) for k in kinds)) for item in items]
    sources = sorted((item for item in found if points_at(item, broker)), key=_order)
    if output != "table":
        listed = showing.as_list(sources)
        return showing.as_json(listed) if output == "json" else showing.as_yaml(listed)
    return table(sources) if sources else f"Nothing points at Broker {namespace}/{name}."


def points_at(source: Item, broker: Item) -> bool:
    """Whether a source sends to a Broker: by reference, or by a URI that is the Broker's address."""
    where = broker["metadata"]
    sink = _object(_object(source.get("spec")).get("sink"))
    ref = _object(sink.get("ref"))
    if ref:
        group = str(ref.get("apiVersion") or "").partition("/")[0]
        named = (ref.get("kind"), ref.get("name"), ref.get("namespace") or source["metadata"].get("namespace"))
        return group == BROKER.group and named == (BROKER.kind, where["name"], where.get("namespace"))
    addresses = {_plain(url) for url in _addresses(broker)} - {None}
    return any(_plain(uri) in addresses for uri in (sink.get("uri"), _object(source.get("status")).get("sinkUri")))


def table(sources: Sequence[Item], now: datetime | None = None) -> str:
    """A line for each source."""
    moment = now or datetime.now(UTC)
    return showing.rows(_TITLES, [_row(source, moment) for source in sources])


def _row(source: Item, now: datetime) -> list[str]:
    metadata = source["metadata"]
    status, reason, _ = showing.ready(source)
    since = showing.age({"metadata": {"creationTimestamp": _since(source)}}, now)
    names = [str(source.get("kind", "")), str(metadata.get("namespace", "")), str(metadata["name"])]
    return [*names, status, reason, ",".join(event_types(source)), since]


def event_types(source: Item) -> list[str]:
    """The types of event that a source says it sends; most say nothing."""
    attributes = _object(source.get("status")).get("ceAttributes")
    listed = attributes if isinstance(attributes, list) else []
    return sorted({str(each["type"]) for each in listed if isinstance(each, dict) and each.get("type")})


def _since(source: Item) -> Any:
    """Since when it is as Ready as it is; where it says nothing, since when it is there."""
    conditions = _object(source.get("status")).get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if _object(condition).get("type") == "Ready" and condition.get("lastTransitionTime"):
            return condition["lastTransitionTime"]
    return source["metadata"].get("creationTimestamp")


async def find_kinds(api: Api) -> list[Kind]:
    """The kinds of source that the API has. Who may not see definitions still sees those of Knative's own group."""
    try:
        definitions = ((await api.find(_LABELLED)) or {}).get("items") or []
    except RefusedError as error:
        if error.status != 403:
            raise
        _say(f"only kinds of {GROUP} are looked at: customresourcedefinitions, which name others, may not be listed")
        definitions = []
    kinds = {(k.group, k.kind): k for k in (*(await _of_group(api)), *_labelled(definitions))}
    return [kinds[key] for key in sorted(kinds)]


def _labelled(definitions: Iterable[Item]) -> list[Kind]:
    kinds = []
    for definition in definitions:
        spec = definition["spec"]
        served = [v["name"] for v in spec["versions"] if v.get("served")]
        if served:
            names, is_namespaced = spec["names"], spec.get("scope") == "Namespaced"
            kinds.append(Kind(spec["group"], _newest(served), names["kind"], names["plural"], is_namespaced))
    return kinds


def _newest(versions: Sequence[str]) -> str:
    """A finished version before one that is being tried, the higher before the lower."""
    return max(versions, key=lambda v: ("alpha" not in v, "beta" not in v, len(v), v))


async def _of_group(api: Api) -> list[Kind]:
    group = await api.find(f"/apis/{GROUP}")
    preferred = _object(_object(group).get("preferredVersion")).get("version")
    if not preferred:
        return []
    resources = _object(await api.find(f"/apis/{GROUP}/{preferred}")).get("resources") or []
    return [
        Kind(GROUP, preferred, r["kind"], r["name"], bool(r.get("namespaced")))
        for r in resources
        if "/" not in r["name"]
    ]


async def _all(api: Api, kind: Kind, namespace: str) -> list[Item]:
    """All of a kind that may be seen: everywhere, else in the Broker's namespace."""
    items: list[Item] = []
    for where, left in ((None, f"are looked at in namespace {namespace} only"), (namespace, "are left out")):
        try:
            items = ((await api.find(kind.path(where))) or {}).get("items") or []
            break
        except RefusedError as error:
            if error.status != 403:
                raise
            _say(f"{kind.plural}.{kind.group} {left}: more may not be listed")
    for item in items:
        item.setdefault("apiVersion", kind.api_version)
        item.setdefault("kind", kind.kind)
    return items


def _addresses(broker: Item) -> list[Any]:
    status = _object(broker.get("status"))
    listed = status.get("addresses")
    return [_object(a).get("url") for a in (*(listed if isinstance(listed, list) else ()), status.get("address"))]


def _plain(url: Any) -> str | None:
    """A URL as it is compared."""
    return url.rstrip("/") if isinstance(url, str) and url else None


def _order(source: Item) -> tuple[str, str, str]:
    metadata = source["metadata"]
    return str(source.get("kind")), str(metadata.get("namespace", "")), str(metadata["name"])


def _object(value: Any) -> Item:
    return value if isinstance(value, dict) else {}


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
