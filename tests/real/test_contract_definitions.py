"""One contract, two servers: definitions of kinds are checked, and described to those who ask (OpenAPI)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.contract import MERGE, Server
from tests.support.ponds import CRDS, definition, version
from tests.support.refusals import Cause, causes
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real


def crd(schema: Any, group: str = "mud.test", plural: str = "muds", **more: Any) -> dict[str, Any]:
    """A definition of the kind Mud with one version."""
    return definition(group, "Mud", plural, version(schema, **more))


def of_spec(schema: Any) -> Any:
    return {"type": "object", "properties": {"spec": schema}}


ROOT_PATH = "spec.validation.openAPIV3Schema"
SPEC_PATH = f"{ROOT_PATH}.properties[spec]"
MISTAKES: list[tuple[Any, Cause]] = [
    (
        {"properties": {"a": {"type": "string"}}},
        ("FieldValueRequired", f"{ROOT_PATH}.type", "Required value: must not be empty at the root"),
    ),
    (
        of_spec({"description": "x"}),
        ("FieldValueRequired", f"{SPEC_PATH}.type", "Required value: must not be empty for specified object fields"),
    ),
    (of_spec({"type": "array"}), ("FieldValueRequired", f"{SPEC_PATH}.items", "Required value: must be specified")),
    (
        of_spec({"type": "text"}),
        (
            "FieldValueNotSupported",
            f"{SPEC_PATH}.type",
            'Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"',
        ),
    ),
    (
        of_spec(
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}
        ),
        (
            "FieldValueForbidden",
            f"{SPEC_PATH}.additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        ),
    ),
    (
        of_spec({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
        (
            "FieldValueRequired",
            f"{SPEC_PATH}.x-kubernetes-list-map-keys",
            "Required value: must not be empty if x-kubernetes-list-type is map",
        ),
    ),
    (
        of_spec({"type": "integer", "default": "x"}),
        (
            "FieldValueTypeInvalid",
            f"{SPEC_PATH}.default",
            'Invalid value: "string":  in body must be of type integer: "string"',
        ),
    ),
    (
        of_spec({"type": "integer", "x-kubernetes-validations": [{"rule": "selff > 1"}]}),
        (
            "FieldValueInvalid",
            f"{SPEC_PATH}.x-kubernetes-validations[0].rule",
            (
                'Invalid value: {"Rule":"selff \\u003e 1","Message":"","MessageExpression":"","Reason":null,'
                '"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:1: '
                "undeclared reference to 'selff' (in container '')\n | selff > 1\n | ^"
            ),
        ),
    ),
]


@pytest.mark.parametrize(("schema", "wanted"), MISTAKES, ids=[field for _, (_, field, _) in MISTAKES])
def test_a_schema_that_is_not_structural_is_invalid(server: Server, schema: Any, wanted: Cause) -> None:
    assert causes(server.request("POST", CRDS, crd(schema), dryRun="All")) == {wanted}


def test_a_definition_needs_one_version_that_is_stored(server: Server) -> None:
    found = causes(server.request("POST", CRDS, crd(of_spec({"type": "object"}), storage=False), dryRun="All"))
    assert {(reason, field) for reason, field, _ in found} == {
        ("FieldValueInvalid", "spec.versions"),
        ("FieldValueInvalid", "status.storedVersions"),
    }
    assert any(said.endswith(": must have exactly one version marked as storage version") for _, _, said in found)


def test_a_definition_is_called_as_its_kind(server: Server) -> None:
    made = crd(of_spec({"type": "object"}))
    made["metadata"]["name"] = "x.y"
    said = 'Invalid value: "x.y": must be spec.names.plural+"."+spec.group'
    found = causes(server.request("POST", CRDS, made, dryRun="All"))
    assert found == {("FieldValueInvalid", "metadata.name", said)}


def test_names_that_another_kind_has_are_not_accepted(server: Server) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    group = "conflict.test"
    assert server.request("POST", CRDS, crd(schema, group)).status == 201

    def conditions(name: str) -> dict[str, tuple[str, str, str]]:
        status = server.request("GET", f"{CRDS}/{name}.{group}").body.get("status") or {}
        found = status.get("conditions") or ()
        return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found}

    accepted = {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    wait_for(lambda: conditions("muds") == accepted, "the first has its names")
    assert server.request("POST", CRDS, crd(schema, group, "muddies")).status == 201
    refused = {
        "NamesAccepted": ("False", "ListKindConflict", '"MudList" is already in use'),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    wait_for(lambda: conditions("muddies") == refused, "the second has not")
    assert server.request("GET", f"/apis/{group}/v1/muddies").status == 404


def test_a_default_that_comes_later_is_seen_in_what_was_stored_before(server: Server, namespace: str) -> None:
    group = "late.test"
    assert server.request("POST", CRDS, crd(of_spec({"type": "object", "properties": {}}), group)).status == 201
    path = f"/apis/{group}/v1/namespaces/{namespace}/muds"
    body = {"apiVersion": f"{group}/v1", "kind": "Mud", "metadata": {"name": "one"}, "spec": {}}
    wait_for(lambda: server.request("POST", path, body).status == 201, "the kind is served")
    schema = of_spec({"type": "object", "properties": {"wet": {"type": "boolean", "default": True}}})
    change = {"spec": {"versions": crd(schema, group)["spec"]["versions"]}}
    assert server.request("PATCH", f"{CRDS}/muds.{group}", change, MERGE).status == 200
    wait_for(lambda: server.request("GET", f"{path}/one").body["spec"] == {"wet": True}, "it has the default")
    assert server.request("GET", path).body["items"][0]["spec"] == {"wet": True}


# --- OpenAPI ----------------------------------------------------------------------------------------------------


def test_openapi_names_a_document_for_each_version_of_a_group(lakes: Server) -> None:
    with lakes.open("GET", "/openapi/v3") as answer:
        index = json.load(answer)["paths"]
    for place in ("api/v1", "apis/pond.test/v1", "apis/eventing.knative.dev/v1", "apis/apiextensions.k8s.io/v1"):
        assert index[place]["serverRelativeURL"].startswith(f"/openapi/v3/{place}?hash=")


def test_openapi_describes_a_kind_by_its_schema_and_says_that_fields_are_checked(lakes: Server) -> None:
    def described() -> Any:
        return (
            lakes.request("GET", "/openapi/v3/apis/pond.test/v1").body["components"]["schemas"].get("test.pond.v1.Lake")
        )

    found = wait_for(described, "lakes are described")
    assert found["x-kubernetes-group-version-kind"] == [{"group": "pond.test", "kind": "Lake", "version": "v1"}]
    assert found["properties"]["spec"]["properties"]["name"]["description"] == "How it is called."
    paths = lakes.request("GET", "/openapi/v3/apis/pond.test/v1").body["paths"]
    patch = paths["/apis/pond.test/v1/namespaces/{namespace}/lakes/{name}"]["patch"]
    assert "fieldValidation" in {one["name"] for one in patch["parameters"]}


def test_kubectl_explains_the_fields_of_a_trigger(server: Server) -> None:
    said = server.kubectl("explain", "trigger.spec.filters")
    assert said.startswith("GROUP:      eventing.knative.dev\nKIND:       Trigger\nVERSION:    v1\n")
    assert "Filters of which all have to match." in said
    assert "  exact\t<map[string]string>\n    Every attribute is there and equal.\n" in said
    tree = server.kubectl("explain", "trigger.spec", "--recursive")
    assert "  delivery\t<Object>\n    backoffDelay\t<string>\n" in tree


@pytest.mark.parametrize("what", ["configmap.data", "service.spec.ports.port", "namespace", "secret", "lease.spec"])
def test_kubectl_explains_core_kinds(server: Server, what: str) -> None:
    said = server.kubectl("explain", what)
    assert "VERSION:    v1" in said
    assert "DESCRIPTION:" in said


def test_kubectl_apply_refuses_a_field_that_it_does_not_know(lakes: Server, namespace: str) -> None:
    body = f"apiVersion: pond.test/v1\nkind: Lake\nmetadata: {{name: one, namespace: {namespace}}}\nspec: {{name: loch"
    done = lakes.kubectl_run("apply", "-f", "-", stdin=f"{body}, zz: 1}}\n")
    assert done.returncode == 1
    assert 'strict decoding error: unknown field "spec.zz"' in done.stderr
    assert lakes.kubectl("apply", "-f", "-", stdin=body + "}\n") == "lake.pond.test/one created\n"
    assert lakes.kubectl("apply", "-f", "-", stdin=body + ", low: 1}\n") == "lake.pond.test/one configured\n"
    warned = lakes.kubectl_run("apply", "--validate=warn", "-f", "-", stdin=f"{body}, zz: 1}}\n")
    assert 'Warning: unknown field "spec.zz"' in warned.stderr
