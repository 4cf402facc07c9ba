"""How the lists and objects of core kinds are merged: as much of their schemas as server-side apply and strategic merge
patches need. Pure. From ``k8s.io/api`` (``core/v1``, ``coordination/v1``) and ``apimachinery`` (``meta/v1``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scaup.apiserver.kinds import NAMESPACES, Resource

Schema = Mapping[str, Any]

_ANY: Final[Schema] = {}
_ATOMIC_MAP: Final[Schema] = {"type": "object", "x-kubernetes-map-type": "atomic"}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}


def _list(*keys: str, **defaults: Any) -> Schema:
    properties = {key: {"default": defaults[key]} if key in defaults else {} for key in keys}
    kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return {"type": "array", **kind, "items": {"type": "object", "properties": properties}}


METADATA: Final[Schema] = {
    "type": "object",
    "properties": {
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set"},
        "ownerReferences": {**_list("uid"), "items": {"type": "object", "x-kubernetes-map-type": "atomic"}},
    },
}
MERGE_KEYS: Final[Mapping[str, str]] = {
    "metadata.ownerReferences": "uid",
    "metadata.finalizers": "",
    "spec.ports": "port",
    "status.conditions": "type",
}
"""The lists of core kinds that a strategic merge patch merges, and by which field of their items."""
_SERVICE: Final[Schema] = {
    "properties": {
        "spec": {
            "properties": {
                "ports": _list("port", "protocol", protocol="TCP"),
                "selector": _ATOMIC_MAP,
                "type": _ANY,
                "clusterIP": _ANY,
                "externalName": _ANY,
                "sessionAffinity": _ANY,
            }
        },
        "status": {"properties": {"conditions": _list("type"), "loadBalancer": _ANY}},
    }
}
SCHEMAS: Final[Mapping[Resource, Schema]] = {
    NAMESPACES.resource: {"properties": {"spec": _ANY, "status": {"properties": {"conditions": _list("type")}}}},
    Resource("", "services"): _SERVICE,
    Resource("", "configmaps"): {"properties": {"data": _TEXTS, "binaryData": _TEXTS, "immutable": _ANY}},
    Resource("", "secrets"): {"properties": {"data": _TEXTS, "stringData": _TEXTS, "immutable": _ANY, "type": _ANY}},
    Resource("", "events"): {"properties": {"involvedObject": _ATOMIC_MAP, "source": _ANY}},
    Resource("coordination.k8s.io", "leases"): {"properties": {"spec": _ANY}},
    Resource("apiextensions.k8s.io", "customresourcedefinitions"): {
        "properties": {"spec": {"properties": {"names": _ANY}}, "status": {"properties": {"conditions": _list("type")}}}
    },
}
"""By kind: named fields, lists with keys, objects that are replaced as a whole."""
