"""Objects for a person or a program: tables, YAML, JSON, and a description of one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import yaml

from scaup.cli.kinds import BROKER, TRIGGER, Kind
from scaup.cli.merging import LAST_APPLIED
from scaup.core.model.annotations import MAX_IN_FLIGHT, ORDER, PAUSED, RATE

Item = dict[str, Any]
Column = tuple[str, Callable[[Item], str]]


def ready(item: Item) -> tuple[str, str, str]:
    """Status, reason and message of the Ready condition; status empty where there is none."""
    for condition in (item.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready":
            return (
                condition.get("status", ""),
                condition.get("reason", "") or "",
                condition.get("message", "") or "",
            )
    return "", "", ""


def url(item: Item) -> str:
    """The address of an Addressable; empty where it has none."""
    status = item.get("status") or {}
    addresses = status.get("addresses") or [status.get("address") or {}]
    return str(addresses[0].get("url") or "")


def age(item: Item, now: datetime) -> str:
    """How long an object has been there: ``42s``, ``5m``, ``3h``, ``2d``."""
    created = (item.get("metadata") or {}).get("creationTimestamp")
    try:
        seconds = int((now - datetime.fromisoformat(str(created))).total_seconds())
    except (ValueError, TypeError):
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _name(item: Item) -> str:
    return str(item["metadata"]["name"])


def _namespace(item: Item) -> str:
    return str(item["metadata"].get("namespace", ""))


def broker_of(item: Item) -> str:
    """The name of a Trigger's Broker; empty where it names none."""
    spec = item.get("spec") or {}
    return str(spec.get("broker") or (spec.get("brokerRef") or {}).get("name") or "")


def table(kind: Kind, items: Sequence[Item], *, namespaces: bool, now: datetime | None = None) -> str:
    """The usual table, Knative's columns for Brokers and Triggers."""
    moment = now or datetime.now(UTC)
    tail: list[Column] = [
        ("AGE", lambda item: age(item, moment)),
        ("READY", lambda item: ready(item)[0]),
        ("REASON", lambda item: ready(item)[1]),
    ]
    middle: dict[str, list[Column]] = {
        BROKER.kind: [("URL", url)],
        TRIGGER.kind: [
            ("BROKER", broker_of),
            ("SUBSCRIBER_URI", lambda item: str((item.get("status") or {}).get("subscriberUri") or "")),
        ],
    }
    columns: list[Column] = [("NAMESPACE", _namespace)] if namespaces else []
    columns += [("NAME", _name)]
    columns += middle.get(kind.kind, [("URL", url)] if any(map(url, items)) else [])
    if kind.kind not in middle and not any(ready(item)[0] for item in items):
        tail = tail[:1]
    return rows([title for title, _ in columns + tail], [[get(i) for _, get in columns + tail] for i in items])


def rows(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what stands in them, three spaces apart; lines without spaces at their ends."""
    everything = [list(titles), *(list(line) for line in lines)]
    widths = [max(len(line[column]) for line in everything) for column in range(len(titles))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in everything
    )


def as_yaml(value: Any) -> str:
    """YAML, members in the order they have."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False)).rstrip("\n")


def as_json(value: Any) -> str:
    """JSON, two spaces."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def as_list(items: Sequence[Any]) -> Item:
    """A Kubernetes List."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": list(items)}


_WIDTH: Final = 12
_IN_ORDER: Final = "the events of each partitionkey one after the other; those without one are one sequence"


def held_back(annotations: dict[str, Any]) -> str:
    """How much a Trigger's annotations let it get; nothing where they do not limit it."""
    said = ["paused: its events wait in its queue"] if annotations.get(PAUSED.name) == "true" else []
    for name, text in (
        (MAX_IN_FLIGHT.name, "at most {} attempts at a time"),
        (RATE.name, "at most {} events a second"),
    ):
        said += [text.format(annotations[name])] if name in annotations else []
    return "; ".join(said)


def description(kind: Kind, item: Item, triggers: Sequence[Item] = ()) -> str:
    """All there is to say about one object: what it is, its spec, its conditions; for a Broker its Triggers."""
    metadata = item["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    head = [("Kind", f"{kind.kind} ({kind.api_version})"), ("Name", _name(item))]
    head += [("Namespace", _namespace(item))] if _namespace(item) else []
    head += [("URL", url(item))] if url(item) else []
    subscriber = (item.get("status") or {}).get("subscriberUri")
    head += [("Subscriber", subscriber)] if subscriber else []
    head += [("Held back", held)] if kind == TRIGGER and (held := held_back(annotations)) else []
    head += [("Order", _IN_ORDER)] if kind == TRIGGER and annotations.get(ORDER.name) == "ordered" else []
    head += [("Created", str(metadata.get("creationTimestamp", ""))), ("UID", str(metadata.get("uid", "")))]
    text = [f"{title + ':':{_WIDTH}} {value}" for title, value in head]
    for title, value in (("Labels", metadata.get("labels")), ("Annotations", annotations), ("Spec", item.get("spec"))):
        if value:
            text += [f"{title}:", *("  " + line for line in as_yaml(value).splitlines())]
    conditions = (item.get("status") or {}).get("conditions") or []
    if conditions:
        lines = [[c.get(n, "") or "" for n in ("type", "status", "reason", "message")] for c in conditions]
        shown = rows(["TYPE", "STATUS", "REASON", "MESSAGE"], lines)
        text += ["Conditions:", *("  " + line for line in shown.splitlines())]
    if triggers:
        shown = table(TRIGGER, triggers, namespaces=False)
        text += ["Triggers:", *("  " + line for line in shown.splitlines())]
    return "\n".join(text)
