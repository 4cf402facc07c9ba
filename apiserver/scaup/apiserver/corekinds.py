"""Defaults and checks of core kinds, as the API server of Kubernetes makes them, as far as they matter here. Pure.

Services are names that sinks are found by: no address is allocated to them.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from scaup.apiserver.answers import Problem, forbidden_field, wrong
from scaup.apiserver.kinds import NAMESPACES, Kind, Resource
from scaup.apiserver.objects import Object

SERVICES: Final = Resource("", "services")
CONFIG_MAPS: Final = Resource("", "configmaps")
SECRETS: Final = Resource("", "secrets")
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_A_KEY: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_NAMED: Final = "kubernetes.io/metadata.name"


def with_defaults(kind: Kind, made: Object, present: Object | None = None) -> Object:
    """The object that is to be stored in the place of ``present``, with what was left out filled in.

    Wrong shapes stay for the checks.
    """
    if kind.resource == NAMESPACES.resource:
        return _namespace(made, present)
    if kind.resource == SERVICES:
        return _service(made)
    return _secret(made) if kind.resource == SECRETS else made


def problems(kind: Kind, made: Object, present: Object | None) -> list[Problem]:
    """What is wrong with a Service, ConfigMap or Secret that is to be stored in the place of ``present``."""
    if kind.resource == SERVICES:
        return _service_problems(made)
    if kind.resource not in {CONFIG_MAPS, SECRETS}:
        return []
    return [*_key_problems(made), *_change_problems(made, present)]


def _namespace(made: Object, present: Object | None) -> Object:
    """A Namespace is held by its contents, whatever a client says: what holds it is not taken from a later write."""
    metadata = made["metadata"]
    labels = metadata.get("labels") or {}
    if isinstance(labels, dict):
        metadata = {**metadata, "labels": {**labels, _NAMED: metadata["name"]}}
    spec = made.get("spec") or {}
    if isinstance(spec, dict):
        given = (present if present is not None else made).get("spec") or {}
        said = given.get("finalizers")
        held: list[Any] = said if isinstance(said, list) else []
        held = [*held, *(["kubernetes"] if present is None and "kubernetes" not in held else [])]
        spec = {k: v for k, v in spec.items() if k != "finalizers"} | ({"finalizers": held} if held else {})
    return {**made, "metadata": metadata, "spec": spec, "status": made.get("status") or {"phase": "Active"}}


def _service(made: Object) -> Object:
    spec = made.get("spec")
    if not isinstance(spec, dict):
        return made
    spec = {"type": "ClusterIP", "sessionAffinity": "None"} | {k: v for k, v in spec.items() if v is not None}
    if isinstance(ports := spec.get("ports"), list):
        spec["ports"] = [_port(port) if isinstance(port, dict) else port for port in ports]
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    return {**made, "spec": spec, "status": made.get("status") or {"loadBalancer": {}}}


def _port(port: Object) -> Object:
    given = {"protocol": "TCP"} | port
    return given if given.get("targetPort") else given | {"targetPort": given.get("port")}


def _secret(made: Object) -> Object:
    text = made.get("stringData")
    made = {"type": "Opaque"} | {k: v for k, v in made.items() if k != "stringData" and v is not None}
    if isinstance(text, dict):
        added = {k: base64.b64encode(v.encode()).decode() for k, v in text.items() if isinstance(v, str)}
        made["data"] = {**(made.get("data") or {}), **added}
    return made


def _service_problems(made: Object) -> list[Problem]:
    found = []
    ports = (made.get("spec") or {}).get("ports") or ()
    for number, port in enumerate(ports):
        for field in ("port", "targetPort"):
            value = port.get(field) if isinstance(port, dict) else None
            if isinstance(value, int) and not 1 <= value <= 65535:
                path = f"spec.ports[{number}].{field}"
                found.append(wrong(path, value, "must be between 1 and 65535, inclusive"))
    return found


def _key_problems(made: Object) -> list[Problem]:
    found = []
    for field in ("data", "binaryData"):
        values = made.get(field)
        if isinstance(values, dict):
            unfit = [key for key in values if not _KEY.fullmatch(key)]
            found += [wrong(f"{field}[{key}]", key, _A_KEY) for key in unfit]
        elif values is not None:
            found.append(wrong(field, values, "must be an object of strings"))
    is_secret = "type" in made
    for field in ("data",) if is_secret else ("binaryData",):
        values = made.get(field)
        if isinstance(values, dict):
            found += [wrong(f"{field}[{k}]", v, "must be base64") for k, v in values.items() if not _is_base64(v)]
    return found


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return False
    return True


def _change_problems(made: Object, present: Object | None) -> list[Problem]:
    if present is None or not present.get("immutable"):
        return []
    found = []
    if not made.get("immutable"):
        found.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    changed = [f for f in ("data", "binaryData") if (made.get(f) or {}) != (present.get(f) or {})]
    return [*found, *(forbidden_field(field, "field is immutable when `immutable` is set") for field in changed)]
