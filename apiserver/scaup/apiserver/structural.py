"""A structural schema (``openAPIV3Schema``), read once: its nodes, and what they fill in, drop and keep. Pure.

Follows ``apiextensions.k8s.io/v1``: unknown fields are dropped unless ``x-kubernetes-preserve-unknown-fields`` says
otherwise, a null that may not be one is taken for a field left out, defaults are filled in. No library of JSON schema
is of use: none knows these rules, nor Kubernetes' words.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Schema = Mapping[str, Any]

_META: Final = frozenset({"apiVersion", "kind", "metadata"})
_INT64: Final = 1 << 63
_NUMBERS: Final = ("multipleOf", "minimum", "maximum")
_STRING_FORMATS: Final = frozenset(
    {"bsonobjectid", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "uuid3", "uuid4", "uuid5"}
    | {"isbn", "isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor", "byte", "password"}
    | {"date", "duration", "datetime", "k8sshortname", "k8slongname"}
)
_FORMATS_OF: Final = {"integer": frozenset({"int32", "int64"}), "number": frozenset({"float", "double"})}


@dataclass(slots=True)
class Node:
    """One level of a schema. ``path`` is where it stands in it; ``raw`` is the schema as it was written."""

    raw: Schema
    path: str
    types: tuple[str, ...] = ()
    format: str = ""
    is_nullable: bool = False
    keeps_unknown: bool = False
    is_embedded: bool = False
    has_embedded: bool = False
    is_open: bool = False
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    items: Node | None = None
    defaulted: tuple[tuple[str, Node], ...] = ()
    has_default: bool = False
    has_defaults_below: bool = False
    junctions: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    bounds: dict[str, Any] = field(default_factory=dict)

    @property
    def default(self) -> Any:
        """What stands here where nothing was said; never the schema's own object."""
        return copy.deepcopy(self.raw.get("default"))

    def children(self) -> Iterator[Node]:
        """The nodes below that describe values."""
        yield from self.properties.values()
        yield from (below for below in (self.additional, self.items) if below is not None)

    def below(self, key: str) -> Node | None:
        """What describes the field of an object; None where nothing does."""
        return self.properties.get(key) or self.additional

    def place(self, path: str, key: str) -> str:
        """Where a field is: ``spec.name``, or ``spec[name]`` in a map."""
        if key in self.properties or self.additional is None:
            return f"{path}.{key}" if path else key
        return f"{path}[{key}]"


def read(schema: Schema, path: str = "") -> Node:
    """The nodes of a schema."""
    node = Node(schema, path, is_nullable=bool(schema.get("nullable")), has_default=schema.get("default") is not None)
    kind = schema.get("type")
    node.types = ("integer", "string") if schema.get("x-kubernetes-int-or-string") else (kind,) if kind else ()
    node.format = _known_format(schema.get("format") or "", kind or "")
    node.keeps_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    node.is_embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    node.list_type = schema.get("x-kubernetes-list-type") or ""
    node.list_keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    node.properties = {k: read(v, f"{path}.properties[{k}]") for k, v in (schema.get("properties") or {}).items()}
    additional = schema.get("additionalProperties")
    if isinstance(additional, Mapping):
        node.additional = read(additional, f"{path}.additionalProperties")
    node.is_open = isinstance(additional, bool)
    if isinstance(schema.get("items"), Mapping):
        node.items = read(schema["items"], f"{path}.items")
    for name in ("allOf", "anyOf", "oneOf"):
        if found := schema.get(name):
            node.junctions[name] = tuple(read(one, f"{path}.{name}[{n}]") for n, one in enumerate(found))
    if isinstance(schema.get("not"), Mapping):
        node.junctions["not"] = (read(schema["not"], f"{path}.not"),)
    node.bounds = {name: schema[name] for name in _NUMBERS if schema.get(name) is not None}
    node.defaulted = tuple((key, below) for key, below in node.properties.items() if below.has_default)
    node.has_defaults_below = bool(node.defaulted) or any(
        b.has_default or b.has_defaults_below for b in node.children()
    )
    node.has_embedded = node.is_embedded or any(b.has_embedded for b in node.children())
    return node


def _known_format(name: str, kind: str) -> str:
    """A format that is looked at; all others say nothing."""
    if kind in {"", "string"}:
        return name if name.replace("-", "") in _STRING_FORMATS else ""
    return name if name in _FORMATS_OF.get(kind, ()) else ""


# --- unknown fields ---------------------------------------------------------------------------------------------


def pruned(node: Node, value: Any, unknown: list[str]) -> Any:
    """An object without the fields that its schema does not know; their paths are added to ``unknown``."""
    kept = {k: v for k, v in value.items() if k in _META}
    body = {k: v for k, v in value.items() if k not in _META}
    body = _pruned(node, body, "", unknown)
    return {k: kept[k] if k in kept else body[k] for k in value if k in kept or k in body}


def pruned_value(node: Node, value: Any) -> Any:
    """A value without the fields that its schema does not know."""
    return _pruned(node, value, "", [])


def _pruned(node: Node | None, value: Any, path: str, unknown: list[str], *, keeps: bool = False) -> Any:
    """``keeps``: the list that the value is in keeps what is unknown, on this level."""
    keeps = keeps or (node is not None and node.keeps_unknown)
    if isinstance(value, dict):
        return _pruned_object(node, value, path, unknown, keeps=keeps)
    if isinstance(value, list):
        items = node.items if node is not None else None
        if items is None and keeps:
            return value
        return [_pruned(items, one, f"{path}[{n}]", unknown, keeps=keeps) for n, one in enumerate(value)]
    return value


def _pruned_object(
    node: Node | None, value: dict[str, Any], path: str, unknown: list[str], *, keeps: bool
) -> dict[str, Any]:
    found = {}
    for key, one in value.items():
        where = f"{path}.{key}" if path else key
        if node is not None and node.is_embedded and key in _META:
            found[key] = one
        elif node is not None and (node.is_open or node.below(key) is not None):
            found[key] = _pruned(node.below(key), one, where, unknown)
        elif keeps:
            found[key] = one
        else:
            unknown.append(where)
    return found


# --- defaults ---------------------------------------------------------------------------------------------------


def defaulted(node: Node, value: Any) -> Any:
    """The value with its defaults, and without the nulls that may not be; the given one stays as it is."""
    if isinstance(value, dict):
        return _defaulted_object(node, value)
    if isinstance(value, list) and node.items is not None:
        items = node.items
        filled = [
            items.default if one is None and items.has_default and not items.is_nullable else one for one in value
        ]
        return [defaulted(items, one) if isinstance(one, dict | list) else one for one in filled]
    return value


def _defaulted_object(node: Node, value: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, one in value.items():
        below = node.below(key)
        if below is None:
            found[key] = one
        elif one is None and not below.is_nullable:
            if below.has_default:
                found[key] = defaulted(below, below.default)
        else:
            found[key] = defaulted(below, one) if isinstance(one, dict | list) else one
    for key, below in node.defaulted:
        if key not in found:
            found[key] = defaulted(below, below.default)
    return found


# --- numbers ----------------------------------------------------------------------------------------------------


def with_whole_numbers(value: Any) -> Any:
    """The value as clusters write it: 2.0 is 2 there, for clients with types take no other form for an integer."""
    match value:
        case dict():
            return {key: with_whole_numbers(one) for key, one in value.items()}
        case list():
            return [with_whole_numbers(one) for one in value]
        case float() if value.is_integer() and -_INT64 <= value < _INT64:
            return int(value)
    return value


# --- old and new ------------------------------------------------------------------------------------------------


def old_item(node: Node, item: Any, old: Any) -> Any:
    """The element of an old list that a new one follows: by the keys of a map; None where none can be told."""
    if node.list_type != "map" or not isinstance(old, list) or not isinstance(item, dict):
        return None
    key = [item.get(name) for name in node.list_keys]
    return next((o for o in old if isinstance(o, dict) and [o.get(name) for name in node.list_keys] == key), None)
