"""Core objects in protobuf are read as their JSON form has them, and whatever is none is refused."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.apiserver.protobufs import MAGIC, ProtobufError, decoded


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def entry(key: str, value: bytes | str) -> bytes:
    return field(1, key) + field(2, value)


def an(kind: str, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, "v1") + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


META = field(1, "n") + field(11, entry("a", "b")) + field(14, "x/y") + field(8, b"")


def test_a_config_map_is_read() -> None:
    raw = field(1, META) + field(2, entry("k", "v")) + field(3, entry("b", b"\x00")) + field(4, 1)
    assert decoded(an("ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "n", "labels": {"a": "b"}, "finalizers": ["x/y"]},
        "data": {"k": "v"},
        "binaryData": {"b": base64.b64encode(b"\x00").decode()},
        "immutable": True,
    }


def test_a_lease_is_read_with_its_times() -> None:
    then = field(1, 1_700_000_000) + field(2, 123_456_000)
    spec = field(1, "me") + field(2, 15) + field(3, then) + field(4, b"") + field(5, 0)
    about = field(1, "coordination.k8s.io/v1") + field(2, "Lease")
    lease = MAGIC + field(1, about) + field(2, field(1, META) + field(2, spec))
    assert decoded(lease)["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2023-11-14T22:13:20.123456Z",
        "leaseTransitions": 0,
    }
    with pytest.raises(ProtobufError, match="Lease"):
        decoded(an("Lease", b""))
    late = field(2, field(3, field(1, 1 << 60)))
    with pytest.raises(ProtobufError, match="a time in it is none"):
        decoded(MAGIC + field(1, about) + field(2, late))


def test_an_event_is_read_without_what_is_not_said() -> None:
    raw = (
        field(2, field(1, "Broker") + field(3, "b")) + field(6, field(1, 0) + field(2, 0)) + field(7, b"") + field(8, 0)
    )
    found = decoded(an("Event", raw))
    assert found == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {"kind": "Broker", "name": "b"},
        "firstTimestamp": "1970-01-01T00:00:00Z",
    }


@pytest.mark.parametrize("version", ["v1", "coordination.k8s.io/v1", "meta.k8s.io/v1"])
def test_the_options_of_a_deletion_are_read(version: str) -> None:
    raw = field(1, 0) + field(2, field(1, "u")) + field(4, "Foreground") + field(5, "All")
    about = field(1, version) + field(2, "DeleteOptions")
    assert decoded(MAGIC + field(1, about) + field(2, raw)) == {
        "apiVersion": version,
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Foreground",
        "dryRun": ["All"],
    }


def test_a_service_keeps_its_status() -> None:
    status = field(1, field(1, field(1, "192.0.2.1") + field(4, field(1, 80) + field(2, "TCP"))))
    found = decoded(an("Service", field(1, META) + field(3, status)))
    assert found["status"] == {
        "loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ports": [{"port": 80, "protocol": "TCP"}]}]}
    }


def test_a_service_is_read_with_its_ports() -> None:
    by_name = field(1, "web") + field(3, 80) + field(4, field(1, 1) + field(3, "http"))
    by_number = field(3, 81) + field(4, field(1, 0) + field(2, 8081))
    spec = field(1, by_name) + field(1, by_number) + field(2, entry("a", "b")) + field(4, "ClusterIP")
    assert decoded(an("Service", field(1, META) + field(2, spec)))["spec"] == {
        "ports": [{"name": "web", "port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}],
        "selector": {"a": "b"},
        "type": "ClusterIP",
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "four bytes"),
        (an("Pod", b""), "not Pod"),
        (MAGIC, "an unnamed kind"),
        (an("ConfigMap", field(1, META))[:-9], "ends too early"),
        (an("ConfigMap", field(1, field(1, b"\xff"))), "not UTF-8"),
        (an("ConfigMap", field(1, 3)), "another type"),
        (an("ConfigMap", b"\x0b"), "unknown wire type"),
        (an("ConfigMap", b"\x80"), "does not end"),
    ],
)
def test_what_is_none_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtobufError, match=words):
        decoded(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    for data in (raw, MAGIC + raw, an("Secret", raw), an("Service", raw)):
        with contextlib.suppress(ProtobufError):
            assert isinstance(decoded(data), dict)
