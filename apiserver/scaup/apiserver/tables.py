"""Objects as ``kubectl get`` shows them: ``meta.k8s.io/v1`` Table, and PartialObjectMetadata. Pure but for the clock.

Columns of custom kinds are those of their CRD (``additionalPrinterColumns``), those of core kinds are Kubernetes' own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from scaup.apiserver import answers, columns
from scaup.apiserver.kinds import CRDS, NAMESPACES, Column, Kind, Resource
from scaup.apiserver.objects import Object
from scaup.apiserver.shown import shown

_META: Final = "meta.k8s.io/v1"
_NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"
_NAME: Final = Column("Name", "string", ".metadata.name", 0, "name", "Name of the object, unique in its namespace.")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339, as Go reads it."""
_BEYOND: Final = 1 << 63
_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", 0, "", "How long ago it was made.")


class _Cell(NamedTuple):
    """A column of a core kind: what it is called, and what stands in it."""

    name: str
    value: Callable[[Object], Any]
    description: str
    priority: int = 0
    format: str = ""


def include_object(asked: str) -> str:
    """The parameter ``includeObject``; raises ApiError 400 where it is none of its values."""
    if asked not in {"", "None", "Metadata", "Object"}:
        why = f"includeObject: Invalid value: \"{asked}\": must be 'Metadata', 'Object', 'None', or empty"
        raise answers.bad_request(f"Unable to convert to Table as requested: {why}")
    return asked or "Metadata"


def table(
    kind: Kind, objects: Sequence[Object], metadata: Object, *, include: str, with_columns: bool = True
) -> Object:
    """The Table of some objects of one kind; ``include`` is what ``include_object`` gave."""
    now = datetime.now(UTC)
    rows = [{"cells": _cells(kind, one, now), "object": _included(one, include)} for one in objects]
    definitions = _definitions(kind) if with_columns else None
    return {"kind": "Table", "apiVersion": _META, "metadata": metadata, "columnDefinitions": definitions, "rows": rows}


def partial(whole: Object) -> Object:
    """The metadata of an object, as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": whole["metadata"]}


def partial_list(objects: Sequence[Object], metadata: Object) -> Object:
    """The metadata of some objects."""
    items = [partial(one) for one in objects]
    return {"kind": "PartialObjectMetadataList", "apiVersion": _META, "metadata": metadata, "items": items}


def age(since: datetime, now: datetime) -> str:
    """How long ago, as short as Kubernetes says it: ``5s``, ``2m3s``, ``3h5m``, ``30h``, ``5d3h``, ``2y40d``."""
    seconds = int((now - since).total_seconds())
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def _included(whole: Object, include: str) -> Object | None:
    if include == "None":
        return None
    return whole if include == "Object" else partial(whole)


def _definitions(kind: Kind) -> list[Object]:
    core = _CORE.get(kind.resource)
    if core is not None:
        return [_definition(c.name, "string", c.format, c.description, c.priority) for c in core]
    return [
        _definition(c.name, c.type, c.format, c.description or _about(c), c.priority) for c in (_NAME, *_columns(kind))
    ]


def _definition(name: str, kind: str, form: str, description: str, priority: int) -> Object:
    return {"name": name, "type": kind, "format": form, "description": description, "priority": priority}


def _about(column: Column) -> str:
    return f"Custom resource definition column (in JSONPath format): {column.path}"


def _columns(kind: Kind) -> tuple[Column, ...]:
    return kind.columns or (_AGE,)


def _cells(kind: Kind, whole: Object, now: datetime) -> list[Any]:
    core = _CORE.get(kind.resource)
    if core is not None:
        return [cell.value(whole) for cell in core]
    return [whole["metadata"].get("name", ""), *(_value(c, whole, now) for c in _columns(kind))]


def _value(column: Column, whole: Object, now: datetime) -> Any:
    found = columns.compiled(column.path)(whole)
    if not found or found[0] is None:
        return None
    value = found[0]
    match column.type:
        case "string":
            return value if isinstance(value, str) else shown(value)
        case "date":
            return _date(value, now) if isinstance(value, str) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "integer":
            return _whole_number(value) if _is_number(value) else None
        case "number":
            return value if _is_number(value) else None
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole_number(value: float) -> int:
    """What Go makes of it in 64 bits: what is too large for them is the smallest there is."""
    whole = int(value)
    return whole if -_BEYOND <= whole < _BEYOND else -_BEYOND


def _date(text: str, now: datetime) -> str:
    if text in {"", "0001-01-01T00:00:00Z"}:
        return _UNKNOWN
    if not _TIME.fullmatch(text):
        return "<invalid>"
    try:
        return age(datetime.fromisoformat(text), now)
    except (ValueError, OverflowError):
        return "<invalid>"


# --- core kinds ---------------------------------------------------------------------------------------------------


def _at(*path: str, otherwise: Any = "") -> Callable[[Object], Any]:
    def find(whole: Object) -> Any:
        place: Any = whole
        for name in path:
            place = place.get(name) if isinstance(place, Mapping) else None
        return otherwise if place in (None, "") else place

    return find


def _since(*path: str) -> Callable[[Object], str]:
    find = _at(*path)
    return lambda whole: _date(text, datetime.now(UTC)) if (text := find(whole)) else _UNKNOWN


def _count(*fields: str) -> Callable[[Object], int]:
    return lambda whole: sum(len(whole.get(field) or ()) for field in fields)


def _external(service: Object) -> str:
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or _NONE)
    if spec.get("type") == "LoadBalancer":
        found = _at("status", "loadBalancer", "ingress", otherwise=[])(service)
        given = [str(one.get("ip") or one.get("hostname")) for one in found] + list(spec.get("externalIPs") or ())
        return ",".join(given) or "<pending>"
    return ",".join(spec.get("externalIPs") or ()) or _NONE


def _ports(service: Object) -> str:
    listed = [
        f"{port.get('port')}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in (service.get("spec") or {}).get("ports") or ()
    ]
    return ",".join(listed) or _NONE


def _selector(service: Object) -> str:
    chosen = (service.get("spec") or {}).get("selector") or {}
    return ",".join(f"{name}={value}" for name, value in sorted(chosen.items())) or _NONE


def _involved(event: Object) -> str:
    about = event.get("involvedObject") or {}
    kind = str(about.get("kind", "")).lower()
    return f"{kind}/{about['name']}" if about.get("name") else kind


def _source(event: Object) -> str:
    source = event.get("source") or {}
    names = [str(source[key]) for key in ("component", "host") if source.get(key)]
    return ", ".join(names) or str(event.get("reportingComponent") or "")


def _seen(first: str) -> Callable[[Object], str]:
    def find(event: Object) -> str:
        for path in ((first,), ("firstTimestamp",), ("eventTime",)):
            if text := _at(*path)(event):
                return _date(text, datetime.now(UTC))
        return _UNKNOWN

    return find


_NAME_CELL: Final = _Cell("Name", _at("metadata", "name"), _NAME.description, 0, "name")
_AGE_CELL: Final = _Cell("Age", _since("metadata", "creationTimestamp"), _AGE.description)
_CORE: Final[dict[Resource, tuple[_Cell, ...]]] = {
    NAMESPACES.resource: (
        _NAME_CELL,
        _Cell("Status", _at("status", "phase"), "Active, or Terminating while it is emptied."),
        _AGE_CELL,
    ),
    Resource("", "configmaps"): (
        _NAME_CELL,
        _Cell("Data", _count("data", "binaryData"), "Number of entries."),
        _AGE_CELL,
    ),
    Resource("", "secrets"): (
        _NAME_CELL,
        _Cell("Type", _at("type", otherwise="Opaque"), "What programs take it for."),
        _Cell("Data", _count("data"), "Number of entries."),
        _AGE_CELL,
    ),
    Resource("", "services"): (
        _NAME_CELL,
        _Cell("Type", _at("spec", "type", otherwise="ClusterIP"), "How it is reached."),
        _Cell("Cluster-IP", _at("spec", "clusterIP", otherwise=_NONE), "Its address in the cluster."),
        _Cell("External-IP", _external, "Its addresses outside."),
        _Cell("Port(s)", _ports, "Ports and protocols."),
        _AGE_CELL,
        _Cell("Selector", _selector, "Labels of what it leads to.", 1),
    ),
    Resource("", "events"): (
        _Cell("Last Seen", _seen("lastTimestamp"), "When it happened last."),
        _Cell("Type", _at("type"), "Normal or Warning."),
        _Cell("Reason", _at("reason"), "Why, as a word for programs."),
        _Cell("Object", _involved, "What it is about."),
        _Cell("Subobject", _at("involvedObject", "fieldPath"), "Which part of it.", 1),
        _Cell("Source", _source, "Who says so.", 1),
        _Cell("Message", lambda event: str(event.get("message") or "").strip(), "What happened, for people."),
        _Cell("First Seen", _seen("firstTimestamp"), "When it happened first.", 1),
        _Cell("Count", _at("count", otherwise=1), "How often.", 1),
        _Cell("Name", _at("metadata", "name"), _NAME.description, 1, "name"),
    ),
    Resource("coordination.k8s.io", "leases"): (
        _NAME_CELL,
        _Cell("Holder", _at("spec", "holderIdentity"), "Who has it."),
        _AGE_CELL,
    ),
    CRDS.resource: (
        _NAME_CELL,
        _Cell("Created At", _at("metadata", "creationTimestamp"), "When it was made."),
    ),
}
