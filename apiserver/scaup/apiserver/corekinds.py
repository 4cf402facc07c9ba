"""Defaults and checks of core kinds, as the API server of Kubernetes makes them, as far as they matter here. Pure.

Services are names that sinks are found by: no address is allocated to them.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from scaup.apiserver.answers import Problem, forbidden_field, required, unsupported, wrong
from scaup.apiserver.formats import is_of_format
from scaup.apiserver.kinds import NAMESPACES, Kind, Resource
from scaup.apiserver.metadata import label_problem
from scaup.apiserver.objects import Object, phase_of

SERVICES: Final = Resource("", "services")
CONFIG_MAPS: Final = Resource("", "configmaps")
SECRETS: Final = Resource("", "secrets")
EVENTS: Final = Resource("", "events")
LEASES: Final = Resource("coordination.k8s.io", "leases")
_KEYS: Final = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/basic-auth": ("username", "password"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_ACCOUNT: Final = "kubernetes.io/service-account.name"
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_A_KEY: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_LONGEST_KEY: Final = 253
_MAX_DATA: Final = 1024 * 1024
_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES: Final = ("ClientIP", "None")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
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
    if kind.resource == EVENTS:
        return _event_problems(made)
    if kind.resource == LEASES:
        return _lease_problems(made)
    if kind.resource not in {CONFIG_MAPS, SECRETS}:
        return []
    return [*_data_problems(kind, made), *_type_problems(kind, made), *_change_problems(kind, made, present)]


def status_problems(kind: Kind, made: Object) -> list[Problem]:
    """What is wrong with the status of a Namespace: its phase says whether it is being deleted."""
    phase, only = (made.get("status") or {}).get("phase", ""), phase_of(made)
    if kind.resource != NAMESPACES.resource or phase == only:
        return []
    is_not = "is" if only == "Active" else "is not"
    return [wrong("status.Phase", phase, f"may only be '{only}' if `deletionTimestamp` {is_not} empty")]


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
    spec = {"type": "ClusterIP", "sessionAffinity": "None"} | {k: v for k, v in spec.items() if v not in (None, "")}
    if isinstance(ports := spec.get("ports"), list):
        spec["ports"] = [_port(port) if isinstance(port, dict) else port for port in ports]
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    return {**made, "spec": spec, "status": made.get("status") or {"loadBalancer": {}}}


def _port(port: Object) -> Object:
    given = {"protocol": "TCP"} | {k: v for k, v in port.items() if v not in (None, "")}
    return given if given.get("targetPort") else given | {"targetPort": given.get("port")}


def _secret(made: Object) -> Object:
    text = made.get("stringData")
    made = {"type": "Opaque"} | {k: v for k, v in made.items() if k != "stringData" and v not in (None, "", {})}
    if isinstance(text, dict) and text:
        added = {k: base64.b64encode(v.encode()).decode() for k, v in text.items() if isinstance(v, str)}
        made["data"] = {**(made.get("data") or {}), **added}
    return made


def _service_problems(made: Object) -> list[Problem]:
    spec = made.get("spec") or {}
    ports = [port if isinstance(port, dict) else {} for port in spec.get("ports") or ()]
    is_elsewhere = spec.get("type") == "ExternalName"
    found = []
    if not ports and not is_elsewhere and spec.get("clusterIP") != "None":
        found.append(required("spec.ports"))
    if is_elsewhere and not spec.get("externalName"):
        found.append(required("spec.externalName"))
    names: set[str] = set()
    served: set[tuple[Any, str]] = set()
    for number, port in enumerate(ports):
        path = f"spec.ports[{number}]"
        if (serves := (port.get("port"), str(port.get("protocol")))) in served:
            same = {
                "Name": "",
                "Protocol": serves[1],
                "AppProtocol": None,
                "Port": serves[0],
                "TargetPort": 0,
                "NodePort": 0,
            }
            found.append(
                Problem(path, "FieldValueDuplicate", f"Duplicate value: {json.dumps(same, separators=(',', ':'))}")
            )
        served.add(serves)
        found += _port_problems(path, port, is_alone=len(ports) == 1)
        name = port.get("name") or ""
        if name and name in names:
            found.append(Problem(f"{path}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'))
        names.add(name)
    if (affinity := spec.get("sessionAffinity", "None")) not in _AFFINITIES:
        found.append(unsupported("spec.sessionAffinity", affinity, _AFFINITIES))
    if spec.get("type", "ClusterIP") not in _TYPES:
        found.append(unsupported("spec.type", spec["type"], _TYPES))
    return found


def _port_problems(path: str, port: Object, *, is_alone: bool) -> list[Problem]:
    found = []
    if not (name := port.get("name")):
        found += [] if is_alone else [required(f"{path}.name")]
    elif why := label_problem(name):
        found.append(wrong(f"{path}.name", name, why))
    for field in ("port", "targetPort"):
        value = port.get(field) or 0
        if isinstance(value, int) and not 1 <= value <= 65535:
            found.append(wrong(f"{path}.{field}", value, "must be between 1 and 65535, inclusive"))
    if port.get("protocol", "TCP") not in _PROTOCOLS:
        found.append(unsupported(f"{path}.protocol", port["protocol"], _PROTOCOLS))
    return found


def _data_problems(kind: Kind, made: Object) -> list[Problem]:
    is_secret = kind.resource == SECRETS
    encoded = "data" if is_secret else "binaryData"
    found, size = [], 0
    for field in ("data", "binaryData"):
        values = made.get(field)
        if not isinstance(values, dict):
            found += [] if values is None else [wrong(field, values, "must be an object of strings")]
            continue
        for key, value in values.items():
            found += [wrong(f"{field}[{key}]", key, why) for why in _unfit_key(key)]
            if field == encoded and not (isinstance(value, str) and is_of_format("byte", value)):
                found.append(wrong(f"{field}[{key}]", value, "must be base64"))
            elif field == encoded:
                size += len(base64.b64decode(value))
            elif isinstance(value, str):
                size += len(value.encode("utf-8", "surrogatepass"))
    twice = [key for key in made.get("data") or () if key in (made.get("binaryData") or ())]
    found += [wrong(f"data[{key}]", key, "duplicate of key present in binaryData") for key in twice]
    if size > _MAX_DATA:
        text = f"Too long: may not be more than {_MAX_DATA} bytes"
        found.append(Problem("data" if is_secret else "[]", "FieldValueTooLong", text))
    return found


def _unfit_key(key: str) -> list[str]:
    """Why this is no key of a ConfigMap or Secret: it could be the name of a file."""
    found = [f"must be no more than {_LONGEST_KEY} characters"] if len(key) > _LONGEST_KEY else []
    if not _KEY.fullmatch(key):
        found.append(_A_KEY)
    if key in {".", ".."}:
        found.append(f"must not be '{key}'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return found


def _type_problems(kind: Kind, made: Object) -> list[Problem]:
    """What a Secret of its type has to have."""
    if kind.resource != SECRETS:
        return []
    data, annotations = made.get("data") or {}, made["metadata"].get("annotations") or {}
    wanted = _KEYS.get(str(made.get("type")), ())
    missing = [key for key in wanted if key not in data]
    if made.get("type") == "kubernetes.io/basic-auth" and len(missing) < len(wanted):  # one of both is enough
        missing = []
    found = [required(f"data[{key}]") for key in missing]
    if made.get("type") == "kubernetes.io/service-account-token" and not annotations.get(_ACCOUNT):
        found.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    return found


def _event_problems(made: Object) -> list[Problem]:
    namespace = made["metadata"].get("namespace", "")
    about = (made.get("involvedObject") or {}).get("namespace") or ""
    if about == namespace or (not about and namespace == "default"):
        return []
    return [wrong("involvedObject.namespace", about, "does not match event.namespace")]


def _lease_problems(made: Object) -> list[Problem]:
    spec, found = made.get("spec") or {}, []
    if spec.get("leaseDurationSeconds", 1) <= 0:
        found.append(wrong("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0"))
    if spec.get("leaseTransitions", 0) < 0:
        found.append(wrong("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0"))
    return found


def _change_problems(kind: Kind, made: Object, present: Object | None) -> list[Problem]:
    if present is None:
        return []
    found = []
    if kind.resource == SECRETS and made.get("type") != present.get("type"):
        found.append(wrong("type", made.get("type"), "field is immutable"))
    if not present.get("immutable"):
        return found
    if not made.get("immutable"):
        found.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    changed = [f for f in ("data", "binaryData") if (made.get(f) or {}) != (present.get(f) or {})]
    return [*found, *(forbidden_field(field, "field is immutable when `immutable` is set") for field in changed)]
