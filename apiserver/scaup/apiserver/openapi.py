"""OpenAPI v3 of the kinds that are there now: what ``kubectl explain``, ``apply`` and ``create`` ask for. Pure.

Kinds with a CRD are described by their own schema, all others by ``shapes``. Of version 2 there is little
(``openapiv2``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from scaup.apiserver import shapes
from scaup.apiserver.kinds import Kind, Kinds
from scaup.core.bus.kv import dumps

Schema = dict[str, Any]

ROOT: Final = "/openapi/v3"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SCALARS: Final[dict[str, Schema]] = {
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "microTime": {"type": "string", "format": "date-time"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number", "format": "double"},
    "any": {"type": "object"},
    "JSON": {},
    "schemaOrBool": {},
    "schemaOrList": {},
    "intOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_VERSION_ABOUT: Final = "Version of the schema of this object, with its group."
_KIND_ABOUT: Final = "Kind of this object, in CamelCase."
_WRITES: Final = ("post", "put", "patch")
_DRY_RUN: Final = {"name": "dryRun", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
_MANAGER: Final = {"name": "fieldManager", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
_VALIDATION: Final = {
    "name": "fieldValidation",
    "in": "query",
    "description": "What becomes of unknown fields and fields that stand twice: Ignore, Warn or Strict.",
    "schema": {"type": "string", "uniqueItems": True},
}


def document(path: str, kinds: Kinds) -> Schema | None:
    """The index, or the document of one version of a group; None where there is no such path."""
    if path.rstrip("/") == ROOT:
        return {"paths": {_place(group, version): _link(group, version, kinds) for group, version in _versions(kinds)}}
    place = path.removeprefix(f"{ROOT}/")
    found = next((one for one in _versions(kinds) if _place(*one) == place), None)
    return None if found is None else _document(*found, kinds)


def _versions(kinds: Kinds) -> list[tuple[str, str]]:
    return sorted({(kind.group, kind.version) for kind in kinds})


def _place(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _link(group: str, version: str, kinds: Kinds) -> Schema:
    digest = hashlib.sha256(dumps(_document(group, version, kinds))).hexdigest().upper()
    return {"serverRelativeURL": f"{ROOT}/{_place(group, version)}?hash={digest}"}


def _document(group: str, version: str, kinds: Kinds) -> Schema:
    found = kinds.of(group, version)
    paths: Schema = {}
    for kind in found:
        paths |= _paths(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "scaup"},
        "paths": paths,
        "components": {"schemas": _structs(found) | {_name(kind): _described(kind) for kind in found}},
    }


# --- schemas ----------------------------------------------------------------------------------------------------


def _name(kind: Kind) -> str:
    """``dev.knative.eventing.v1.Trigger``: as clusters call them, the group reversed."""
    if kind.is_custom:
        return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}"
    return _struct_name(kind.kind)


def _struct_name(struct: str) -> str:
    of_meta = {"ObjectMeta", "OwnerReference", "ManagedFieldsEntry", "Condition"}
    return f"{_META}{struct}" if struct in of_meta else f"io.k8s.api.v1.{struct}"


def _refer(struct: str) -> Schema:
    return {"$ref": f"#/components/schemas/{_struct_name(struct)}"}


def _gvk(kind: Kind) -> Schema:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _described(kind: Kind) -> Schema:
    if (struct := shapes.struct_of(kind)) is not None:
        schema = _struct(struct)
    else:
        schema = dict(kind.schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
        known = {
            "apiVersion": {"description": _VERSION_ABOUT, "type": "string"},
            "kind": {"description": _KIND_ABOUT, "type": "string"},
            "metadata": {
                "description": "Name, labels and what else every object has.",
                "allOf": [_refer("ObjectMeta")],
            },
        }
        schema["properties"] = dict(schema.get("properties") or {}) | known
    return schema | {"x-kubernetes-group-version-kind": [_gvk(kind)]}


def _structs(kinds: Iterable[Kind]) -> Schema:
    """The structures that these kinds are made of, and metadata."""
    waiting = ["ObjectMeta", *(struct for kind in kinds if (struct := shapes.struct_of(kind)) is not None)]
    found: Schema = {}
    while waiting:
        struct = waiting.pop()
        if _struct_name(struct) in found:
            continue
        found[_struct_name(struct)] = _struct(struct)
        inner = (_plain(field.type) for field in shapes.structs()[struct].values())
        waiting += [one for one in inner if one not in _SCALARS]
    return found


def _plain(kind: str) -> str:
    return kind.removeprefix("[]").removeprefix("map[string]")


def _struct(struct: str) -> Schema:
    fields = shapes.structs()[struct]
    return {"type": "object", "properties": {name: _field(field.type, field.about) for name, field in fields.items()}}


def _field(kind: str, about: str = "") -> Schema:
    said: Schema = {"description": about} if about else {}
    if kind.startswith("[]"):
        return said | {"type": "array", "items": _field(kind[2:])}
    if kind.startswith("map[string]"):
        return said | {"type": "object", "additionalProperties": _field(kind.removeprefix("map[string]"))}
    if kind in _SCALARS:
        return said | _SCALARS[kind]
    return said | {"allOf": [_refer(kind)]} if said else _refer(kind)


# --- paths ------------------------------------------------------------------------------------------------------


def _paths(kind: Kind) -> Schema:
    root = f"/{_place(kind.group, kind.version)}"
    within = f"{root}/namespaces/{{namespace}}" if kind.is_namespaced else root
    if not kind.is_kept:
        return {f"{within}/{kind.plural}": _operations(kind, "post")}
    one = f"{within}/{kind.plural}/{{name}}"
    found = {
        f"{within}/{kind.plural}": _operations(kind, "get", "post", "delete"),
        one: _operations(kind, "get", "put", "patch", "delete"),
    }
    if kind.has_status:
        found[f"{one}/status"] = _operations(kind, "get", "put", "patch")
    return found


def _operations(kind: Kind, *methods: str) -> Schema:
    return {method: _operation(kind, method) for method in methods}


def _operation(kind: Kind, method: str) -> Schema:
    schema = {"$ref": f"#/components/schemas/{_name(kind)}"}
    found: Schema = {
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
        "x-kubernetes-action": method,
        "x-kubernetes-group-version-kind": _gvk(kind),
    }
    if method in _WRITES:
        found["parameters"] = [_DRY_RUN, _MANAGER, _VALIDATION]
    return found
