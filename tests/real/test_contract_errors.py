"""One contract, two servers: what is refused of metadata, ConfigMaps, Secrets and Services, word for word."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.contract import Server
from tests.support.ponds import definition, made, owner_of, pond, version
from tests.support.refusals import SUBDOMAIN

pytestmark = pytest.mark.real

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
NO_PROTOCOL = 'Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'
NO_TYPE = 'Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
PORT = [{"port": 80}]


@pytest.fixture
def core(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}"


def refusal(server: Server, method: str, path: str, body: Any) -> str:
    answer = server.request(method, path, body)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid"), answer.body
    return str(answer.body["message"])


# --- metadata -------------------------------------------------------------------------------------


def test_only_one_owner_controls(server: Server, ponds: str) -> None:
    owners = [owner_of(made(server, ponds, pond(name)), controller=True) for name in ("a", "b")]
    answer = server.request("POST", ponds, pond("c", {"ownerReferences": owners}))
    assert answer.status == 422
    (cause,) = answer.body["details"]["causes"]
    assert cause["field"] == "metadata.ownerReferences"
    why = 'Only one reference can have Controller set to true. Found "true" in references for Pond/a and Pond/b'
    assert cause["message"].startswith('Invalid value: [{"apiVersion":"pond.test/v1","kind":"Pond","name":"a",')
    assert cause["message"].endswith(f',"controller":true}}]: {why}')


@pytest.mark.parametrize(
    ("prefix", "why"),
    [("A_", SUBDOMAIN), ("a" * 254, "must be no more than 253 characters")],
)
def test_the_beginning_of_a_name_is_one_of_a_name(server: Server, ponds: str, prefix: str, why: str) -> None:
    message = refusal(server, "POST", ponds, pond("p", {"generateName": prefix}))
    assert message == f'Pond.pond.test "p" is invalid: metadata.generateName: Invalid value: "{prefix}": {why}'
    assert server.request("POST", ponds, pond("p", {"generateName": "a-"})).status == 201


def test_annotations_are_counted_in_bytes(server: Server, ponds: str) -> None:
    message = refusal(server, "POST", ponds, pond("p", {"annotations": {"a": "é" * 140_000}}))
    assert message == 'Pond.pond.test "p" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes'


def test_a_name_that_is_no_label_is_refused_by_what_is_wrong_with_it(server: Server, core: str) -> None:
    for path, kind in (("/api/v1/namespaces", "Namespace"), (f"{core}/services", "Service")):
        for name, why in (("A.b", LABEL), ("a.b", "must not contain dots")):
            body = {"metadata": {"name": name}, "spec": {"ports": PORT} if kind == "Service" else {}}
            message = refusal(server, "POST", path, body)
            assert message == f'{kind} "{name}" is invalid: metadata.name: Invalid value: "{name}": {why}'


# --- ConfigMaps and Secrets -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plural", "content", "problem"),
    [
        ("configmaps", {"data": {".": "1"}}, "data[.]: Invalid value: \".\": must not be '.'"),
        ("configmaps", {"data": {"..x": "1"}}, "data[..x]: Invalid value: \"..x\": must not start with '..'"),
        ("secrets", {"data": {"..": "MQ=="}}, "data[..]: Invalid value: \"..\": must not be '..'"),
        (
            "configmaps",
            {"data": {"a" * 254: "1"}},
            f'data[{"a" * 254}]: Invalid value: "{"a" * 254}": must be no more than 253 characters',
        ),
        (
            "configmaps",
            {"data": {"a": "1"}, "binaryData": {"a": "MQ=="}},
            'data[a]: Invalid value: "a": duplicate of key present in binaryData',
        ),
    ],
)
def test_data_that_cannot_be_is_refused(server: Server, core: str, plural: str, content: Any, problem: str) -> None:
    message = refusal(server, "POST", f"{core}/{plural}", {"metadata": {"name": "c"}} | content)
    assert message == f'{"Secret" if plural == "secrets" else "ConfigMap"} "c" is invalid: {problem}'


def test_data_may_be_a_mebibyte_and_no_more(server: Server, core: str) -> None:
    content, half = {"data": {"a": "x" * 524_288}}, base64.b64encode(b"x" * 524_288).decode()
    made(server, f"{core}/configmaps", {"metadata": {"name": "full"}, "binaryData": {"b": half}} | content)
    made(server, f"{core}/secrets", {"metadata": {"name": "full"}, "data": {"a": half, "b": half}})
    over = {"metadata": {"name": "over"}, "data": {"a": half, "b": half, "c": "MQ=="}}
    why = "Too long: may not be more than 1048576 bytes"
    assert refusal(server, "POST", f"{core}/secrets", over) == f'Secret "over" is invalid: data: {why}'
    text = {"metadata": {"name": "over"}, "data": {"a": "x" * 1_048_577}}
    assert refusal(server, "POST", f"{core}/configmaps", text) == f'ConfigMap "over" is invalid: []: {why}'


@pytest.mark.parametrize(("given", "shown"), [({"type": "b"}, "b"), ({}, "Opaque")])
def test_a_secret_stays_of_its_type(server: Server, core: str, given: Any, shown: str) -> None:
    about = {"metadata": {"name": "s"}}
    made(server, f"{core}/secrets", about | {"type": "a"})
    message = refusal(server, "PUT", f"{core}/secrets/s", about | given)
    assert message == f'Secret "s" is invalid: type: Invalid value: "{shown}": field is immutable'


# --- Services -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "spec.ports: Required value"),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"type": "X", "ports": PORT}, f"spec.type: {NO_TYPE}"),
        ({"ports": [{"port": 80, "protocol": "X"}]}, f"spec.ports[0].protocol: {NO_PROTOCOL}"),
        ({"ports": [{"port": 80, "name": "A"}]}, f'spec.ports[0].name: Invalid value: "A": {LABEL}'),
        (
            {"ports": [{"port": 80}, {"port": 81}]},
            "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]",
        ),
        (
            {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
            'spec.ports[1].name: Duplicate value: "a"',
        ),
    ],
)
def test_a_service_that_cannot_be_is_refused(server: Server, core: str, spec: Any, problem: str) -> None:
    message = refusal(server, "POST", f"{core}/services", {"metadata": {"name": "s"}, "spec": spec})
    assert message == f'Service "s" is invalid: {problem}'


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "far.test"}])
def test_a_service_without_an_address_needs_no_ports(server: Server, core: str, spec: Any) -> None:
    made(server, f"{core}/services", {"metadata": {"name": "s"}, "spec": spec})


@pytest.mark.parametrize(
    ("plural", "content"),
    [
        ("services", {"spec": {"ports": 5}}),
        ("services", {"spec": {"ports": [5]}}),
        ("services", {"spec": "x"}),
        ("services", {"spec": {"type": {}, "ports": PORT}}),
        ("services", {"spec": {"ports": [{"port": 80, "name": []}, {"port": 81, "name": []}]}}),
        ("services", {"spec": {"ports": [{"port": 80, "protocol": {}}]}}),
        ("configmaps", {"data": []}),
        ("configmaps", {"data": {"a": 1}}),
        ("configmaps", {"data": "x", "binaryData": {"a": 1}}),
        ("secrets", {"data": {"a": "*"}}),
        ("secrets", {"data": {"a": {}}, "type": 4}),
        ("secrets", {"stringData": []}),
        ("namespaces", {"spec": {"finalizers": 4}}),
        ("namespaces", {"spec": "x"}),
    ],
)
def test_core_objects_of_other_shapes_are_refused_and_no_fault_of_ours(
    server: Server, core: str, plural: str, content: Any
) -> None:
    path = "/api/v1/namespaces" if plural == "namespaces" else f"{core}/{plural}"
    answer = server.request("POST", path, {"metadata": {"name": "of-another-shape"}} | content)
    assert answer.status in ({400, 422} if server.is_local else {400}), answer.body


def test_a_deletion_with_a_body_of_another_kind_is_refused(server: Server, ponds: str) -> None:
    made(server, ponds, pond())
    answer = server.request("DELETE", f"{ponds}/p", pond())
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"].startswith('no kind "Pond" is registered for version "pond.test/v1"')


@pytest.mark.parametrize(
    ("path", "content", "field"),
    [
        ("configmaps", {"data": {"a b": "x"}}, "data[a b]"),
        ("secrets", {"type": "kubernetes.io/tls"}, "data[tls.crt]"),
        ("services", {"spec": {"type": "X", "ports": PORT}}, "spec.type"),
    ],
)
def test_what_is_wrong_with_the_metadata_and_with_the_rest_is_said_at_once(
    server: Server, core: str, path: str, content: Any, field: str
) -> None:
    about = {"metadata": {"name": "A", "labels": {"x": "?"}}}
    answer = server.request("POST", f"{core}/{path}", about | content)
    assert answer.status == 422, answer.body
    found = [cause["field"] for cause in answer.body["details"]["causes"]]
    assert {"metadata.name", "metadata.labels", field} <= set(found)
    assert found.index("metadata.name") < found.index("metadata.labels") < found.index(field)


def test_what_is_wrong_with_the_metadata_and_the_rest_of_a_definition_is_said_at_once(server: Server) -> None:
    whole = definition("wrong.test", "Wrong", "wrongs", version())
    whole["metadata"] |= {"name": "A", "labels": {"x": "?"}}
    whole["spec"]["scope"] = "X"
    answer = server.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", whole)
    fields = [cause["field"] for cause in answer.body["details"]["causes"]]
    assert sorted(fields) == ["metadata.labels", "metadata.name", "metadata.name", "spec.scope"]
