"""Objects in Kubernetes' protobuf form, which programs on client-go send, and some commands of kubectl. Pure.

Only what is read: numbers and types are those of ``k8s.io/api`` (``core/v1``, ``coordination/v1``,
``authorization/v1``) and ``apimachinery`` (``meta/v1``, ``runtime.Unknown``). Answers are JSON, which those clients
take as well.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10
_DEEPEST: Final = 10

Field = tuple[str, str]
"""Name and type: ``text``, ``bytes``, ``int``, ``count`` (an int that is left out where it is 0), ``bool``,
``int-or-text``, ``time``, ``microtime``, a message; ``[…]`` is many, ``{…}`` a map.
"""
_META: Final = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    5: ("uid", "text"),
    6: ("resourceVersion", "text"),
    11: ("labels", "{text}"),
    12: ("annotations", "{text}"),
    13: ("ownerReferences", "[Owner]"),
    14: ("finalizers", "[text]"),
}
_MESSAGES: Final[Mapping[str, Mapping[int, Field]]] = {
    "Unknown": {1: ("about", "About"), 2: ("raw", "raw")},
    "About": {1: ("apiVersion", "text"), 2: ("kind", "text")},
    "Meta": _META,
    "Owner": {
        1: ("kind", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "Time": {1: ("seconds", "int"), 2: ("nanos", "int")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "text"),
        5: ("dryRun", "[text]"),
    },
    "Preconditions": {1: ("uid", "text"), 2: ("resourceVersion", "text")},
    "Lease": {1: ("metadata", "Meta"), 2: ("spec", "LeaseSpec")},
    "LeaseSpec": {
        1: ("holderIdentity", "text"),
        2: ("leaseDurationSeconds", "int"),
        3: ("acquireTime", "microtime"),
        4: ("renewTime", "microtime"),
        5: ("leaseTransitions", "int"),
        6: ("strategy", "text"),
        7: ("preferredHolder", "text"),
    },
    "Event": {
        1: ("metadata", "Meta"),
        2: ("involvedObject", "Reference"),
        3: ("reason", "text"),
        4: ("message", "text"),
        5: ("source", "EventSource"),
        6: ("firstTimestamp", "time"),
        7: ("lastTimestamp", "time"),
        8: ("count", "count"),
        9: ("type", "text"),
        10: ("eventTime", "microtime"),
        11: ("series", "EventSeries"),
        12: ("action", "text"),
        13: ("related", "Reference"),
        14: ("reportingComponent", "text"),
        15: ("reportingInstance", "text"),
    },
    "EventSource": {1: ("component", "text"), 2: ("host", "text")},
    "EventSeries": {1: ("count", "count"), 2: ("lastObservedTime", "microtime")},
    "Reference": {
        1: ("kind", "text"),
        2: ("namespace", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("resourceVersion", "text"),
        7: ("fieldPath", "text"),
    },
    "Namespace": {1: ("metadata", "Meta"), 2: ("spec", "NamespaceSpec"), 3: ("status", "NamespaceStatus")},
    "NamespaceSpec": {1: ("finalizers", "[text]")},
    "NamespaceStatus": {1: ("phase", "text"), 2: ("conditions", "[NamespaceCondition]")},
    "NamespaceCondition": {
        1: ("type", "text"),
        2: ("status", "text"),
        4: ("lastTransitionTime", "time"),
        5: ("reason", "text"),
        6: ("message", "text"),
    },
    "ConfigMap": {
        1: ("metadata", "Meta"),
        2: ("data", "{text}"),
        3: ("binaryData", "{bytes}"),
        4: ("immutable", "bool"),
    },
    "Secret": {
        1: ("metadata", "Meta"),
        2: ("data", "{bytes}"),
        3: ("type", "text"),
        4: ("stringData", "{text}"),
        5: ("immutable", "bool"),
    },
    "Service": {1: ("metadata", "Meta"), 2: ("spec", "ServiceSpec"), 3: ("status", "ServiceStatus")},
    "ServiceStatus": {1: ("loadBalancer", "LoadBalancer"), 2: ("conditions", "[Condition]")},
    "LoadBalancer": {1: ("ingress", "[LoadBalancerIngress]")},
    "LoadBalancerIngress": {
        1: ("ip", "text"),
        2: ("hostname", "text"),
        3: ("ipMode", "text"),
        4: ("ports", "[PortStatus]"),
    },
    "PortStatus": {1: ("port", "int"), 2: ("protocol", "text"), 3: ("error", "text")},
    "Condition": {
        1: ("type", "text"),
        2: ("status", "text"),
        3: ("observedGeneration", "count"),
        4: ("lastTransitionTime", "time"),
        5: ("reason", "text"),
        6: ("message", "text"),
    },
    "SessionAffinity": {1: ("clientIP", "ClientIP")},
    "ClientIP": {1: ("timeoutSeconds", "int")},
    "ServiceSpec": {
        1: ("ports", "[Port]"),
        2: ("selector", "{text}"),
        3: ("clusterIP", "text"),
        4: ("type", "text"),
        5: ("externalIPs", "[text]"),
        7: ("sessionAffinity", "text"),
        8: ("loadBalancerIP", "text"),
        9: ("loadBalancerSourceRanges", "[text]"),
        10: ("externalName", "text"),
        11: ("externalTrafficPolicy", "text"),
        12: ("healthCheckNodePort", "count"),
        13: ("publishNotReadyAddresses", "bool"),
        14: ("sessionAffinityConfig", "SessionAffinity"),
        17: ("ipFamilyPolicy", "text"),
        18: ("clusterIPs", "[text]"),
        19: ("ipFamilies", "[text]"),
        20: ("allocateLoadBalancerNodePorts", "bool"),
        21: ("loadBalancerClass", "text"),
        22: ("internalTrafficPolicy", "text"),
        23: ("trafficDistribution", "text"),
    },
    "Port": {
        1: ("name", "text"),
        2: ("protocol", "text"),
        3: ("port", "int"),
        4: ("targetPort", "int-or-text"),
        5: ("nodePort", "count"),
        6: ("appProtocol", "text"),
    },
    "SelfSubjectAccessReview": {1: ("metadata", "Meta"), 2: ("spec", "Access")},
    "Access": {1: ("resourceAttributes", "Resource"), 2: ("nonResourceAttributes", "Path")},
    "Resource": {
        1: ("namespace", "text"),
        2: ("verb", "text"),
        3: ("group", "text"),
        4: ("version", "text"),
        5: ("resource", "text"),
        6: ("subresource", "text"),
        7: ("name", "text"),
    },
    "Path": {1: ("path", "text"), 2: ("verb", "text")},
    "SelfSubjectRulesReview": {1: ("metadata", "Meta"), 2: ("spec", "Rules")},
    "Rules": {1: ("namespace", "text")},
    "SelfSubjectReview": {1: ("metadata", "Meta")},
    "IntOrText": {1: ("type", "int"), 2: ("int", "int"), 3: ("text", "text")},
}
KINDS: Final = {
    "ConfigMap": "v1",
    "DeleteOptions": "",  # of every group and version
    "Event": "v1",
    "Lease": "coordination.k8s.io/v1",
    "Namespace": "v1",
    "Secret": "v1",
    "SelfSubjectAccessReview": "authorization.k8s.io/v1",
    "SelfSubjectReview": "authentication.k8s.io/v1",
    "SelfSubjectRulesReview": "authorization.k8s.io/v1",
    "Service": "v1",
}


class ProtobufError(ValueError):
    """The bytes are no object in this form, or of a kind that is not read in it."""


def decoded(data: bytes) -> dict[str, Any]:
    """The object, as its JSON form has it; raises ProtobufError. What is empty is left out."""
    if not data.startswith(MAGIC):
        msg = "it does not begin with the four bytes of Kubernetes' protobuf form"
        raise ProtobufError(msg)
    outer = _message("Unknown", data[len(MAGIC) :], 0)
    about = outer.get("about", {})
    kind = about.get("kind", "")
    if kind not in KINDS or about.get("apiVersion") != (KINDS[kind] or about.get("apiVersion")):
        raise ProtobufError(f"only {', '.join(KINDS)} are read in it, not {kind or 'an unnamed kind'}")
    return {**about, **_message(kind, outer.get("raw", b""), 0)}


def _message(name: str, data: bytes, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        msg = "it is nested too deep"
        raise ProtobufError(msg)
    fields, whole = _MESSAGES[name], dict[str, Any]()
    for number, value in _fields(data):
        if number not in fields:
            continue
        field, kind = fields[number]
        if kind.startswith("["):
            whole.setdefault(field, []).append(_value(kind[1:-1], value, depth))
        elif kind.startswith("{"):
            key, entry = _entry(kind[1:-1], value, depth)
            whole.setdefault(field, {})[key] = entry
        elif (read := _value(kind, value, depth)) not in ("", None):
            whole[field] = read
    return whole


def _entry(kind: str, data: int | bytes, depth: int) -> tuple[str, Any]:
    parts = dict(_fields(_need_bytes(data)))
    return str(_value("text", parts.get(1, b""), depth)), _value(kind, parts.get(2, b""), depth)


def _value(kind: str, value: int | bytes, depth: int) -> Any:
    match kind:
        case "int" | "count":
            number = _need_int(value)
            number = number - (1 << 64) if number >> 63 else number
            return number if number or kind == "int" else None
        case "time" | "microtime":
            return _time(
                _message("Time", _need_bytes(value), depth + 1), "seconds" if kind == "time" else "microseconds"
            )
        case "bool":
            return bool(_need_int(value))
        case "raw":
            return _need_bytes(value)
        case "bytes":
            return base64.b64encode(_need_bytes(value)).decode()
        case "text":
            try:
                return _need_bytes(value).decode()
            except UnicodeDecodeError as error:
                raise ProtobufError(f"a text in it is not UTF-8: {error}") from error
        case "int-or-text":
            found = _message("IntOrText", _need_bytes(value), depth + 1)
            return found.get("text") if found.get("type") else found.get("int", 0)
    return _message(kind, _need_bytes(value), depth + 1)


def _time(found: dict[str, Any], precision: str) -> str | None:
    """The time as text; none where nothing is said of it."""
    if not found:
        return None
    try:
        moment = datetime.fromtimestamp(found.get("seconds", 0), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ProtobufError(f"a time in it is none: {error}") from error
    moment = moment.replace(microsecond=min(max(found.get("nanos", 0) // 1000, 0), 999_999))
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in their order: number and value; fixed ones are passed over, for none is used."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield number, value
        elif wire == _BYTES:
            length, place = _varint(data, place)
            if place + length > len(data):
                msg = "it ends too early"
                raise ProtobufError(msg)
            yield number, data[place : place + length]
            place += length
        elif wire in {_FIXED64, _FIXED32}:
            place += 8 if wire == _FIXED64 else 4
        else:
            raise ProtobufError(f"it has a field of the unknown wire type {wire}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if place + index >= len(data):
            break
        byte = data[place + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, place + index + 1
    msg = "a number in it does not end"
    raise ProtobufError(msg)


def _need_bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    msg = "a field in it is of another type"
    raise ProtobufError(msg)


def _need_int(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    msg = "a field in it is of another type"
    raise ProtobufError(msg)
