"""One contract, two servers: which definitions of kinds are refused, in which words, and what changes of them do."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.support.contract import MERGE, ROOT, Answer, Server
from tests.support.ponds import CRDS, definition, version
from tests.support.refusals import causes
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real

WRONG = yaml.safe_load((ROOT / "tests/support/wrongdefinitions.yaml").read_text())
TEXT = {"type": "string"}
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": TEXT}}}}


def crd(group: str = "mud.test", *versions: Any) -> dict[str, Any]:
    """A definition of the kind Mud."""
    return definition(group, "Mud", "muds", *(versions or [version(SCHEMA)]))


def require_refused(answer: Answer, case: Any) -> None:
    if "refused" in case:
        said = 'CustomResourceDefinition in version "v1" cannot be handled as a CustomResourceDefinition'
        assert (answer.status, answer.body["message"]) == (400, f"{said}: {case['refused']}")
    else:
        assert causes(answer) == {tuple(cause) for cause in case["causes"]}


@pytest.mark.parametrize("case", WRONG["schemas"], ids=[json.dumps(case["schema"])[:80] for case in WRONG["schemas"]])
def test_a_schema_that_makes_no_sense_is_refused(server: Server, case: Any) -> None:
    body = crd("mud.test", version(case["schema"]))
    require_refused(server.request("POST", CRDS, body, dryRun="All"), case)


@pytest.mark.parametrize("case", WRONG["definitions"], ids=[json.dumps(case)[:80] for case in WRONG["definitions"]])
def test_a_definition_that_makes_no_sense_is_refused(server: Server, case: Any) -> None:
    body = crd()
    if isinstance(case["spec"], dict):
        spec = {key: value for key, value in body["spec"].items() if key not in case.get("without", ())}
        body["spec"] = spec | case["spec"]
    else:
        body["spec"] = case["spec"]
    body["metadata"] = case.get("metadata", body["metadata"])
    require_refused(server.request("POST", CRDS, body, dryRun="All"), case)


def served(server: Server, namespace: str, group: str, *versions: Any) -> str:
    """A kind that is served: where its objects are."""
    made = server.request("POST", CRDS, crd(group, *versions))
    assert made.status == 201, made.body
    path = f"/apis/{group}/v1/namespaces/{namespace}/muds"
    wait_for(lambda: server.request("GET", path).status == 200, "the kind is served")
    return path


def changed(server: Server, group: str, spec: Any) -> Answer:
    return server.request("PATCH", f"{CRDS}/muds.{group}", {"spec": spec}, MERGE)


def mud(group: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{group}/v1", "kind": "Mud", "metadata": {"name": name}, "spec": spec}


def test_what_objects_are_stored_by_stays(server: Server, namespace: str) -> None:
    group = "stays.test"
    served(server, namespace, group)
    immutable = "field is immutable"
    for change, field, value in (
        ({"scope": "Cluster"}, "spec.scope", "Cluster"),
        ({"names": {"kind": "Dirt"}}, "spec.names.kind", "Dirt"),
        ({"names": {"plural": "dirt"}}, "spec.names.plural", "dirt"),
        ({"group": "other.test"}, "spec.group", "other.test"),
    ):
        found = causes(changed(server, group, change))
        assert found == {("FieldValueInvalid", field, f'Invalid value: "{value}": {immutable}')}
    gone = changed(server, group, {"versions": [version(SCHEMA, "v2", storage=True)]})
    assert {(reason, field) for reason, field, _ in causes(gone)} == {("FieldValueInvalid", "status.storedVersions[0]")}


def test_a_field_that_a_version_names_can_be_selected_by(server: Server, namespace: str) -> None:
    group = "select.test"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"b": {"type": "boolean"}}}}}
    path = served(server, namespace, group, version(schema, selectableFields=[{"jsonPath": ".spec.b"}]))
    for name, value in (("yes", True), ("no", False)):
        made = server.request("POST", path, mud(group, name, b=value))
        assert made.status == 201, made.body

    def selected(selector: str) -> Answer:
        return server.request("GET", path, fieldSelector=selector)

    wait_for(lambda: selected("spec.b=true").status == 200, "the field can be selected by")
    assert [one["metadata"]["name"] for one in selected("spec.b=true").body["items"]] == ["yes"]
    assert [one["metadata"]["name"] for one in selected("spec.b!=true").body["items"]] == ["no"]
    assert selected("spec.c=true").status == 400


def test_a_deprecated_version_says_so_to_everyone_who_asks_for_it(server: Server, namespace: str) -> None:
    group = "old.test"
    path = served(server, namespace, group, version(SCHEMA, deprecated=True), version(SCHEMA, "v2"))
    said = f'299 - "{group}/v1 Mud is deprecated; use {group}/v2 Mud"'
    wait_for(lambda: server.request("GET", path).headers.get("warning") == said, "it is deprecated")
    assert server.request("POST", path, mud(group, "one", a="x")).headers.get("warning") == said
    assert "warning" not in server.request("GET", path.replace("/v1/", "/v2/")).headers
    old = version(SCHEMA, deprecated=True, deprecationWarning='it is "old"')
    assert changed(server, group, {"versions": [old, version(SCHEMA, "v2")]}).status == 200
    wait_for(lambda: server.request("GET", path).headers.get("warning") == '299 - "it is \\"old\\""', "it says why")


def test_a_null_in_a_list_says_nothing(server: Server) -> None:
    rules = {"type": "string", "x-kubernetes-validations": [None]}
    body = crd("mud.test", version({"type": "object", "properties": {"spec": rules}}))
    where = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    said = {("FieldValueRequired", where, "Required value: rule is not specified")}
    assert causes(server.request("POST", CRDS, body, dryRun="All")) == said
    spec = {"type": "string", "allOf": [None]}
    body = crd("mud.test", version({"type": "object", "properties": {"spec": spec}}))
    assert server.request("POST", CRDS, body, dryRun="All").status == 201


def test_the_status_of_a_definition_is_of_its_types(server: Server, namespace: str) -> None:
    group = "status.test"
    path = served(server, namespace, group)
    made = server.request("GET", f"{CRDS}/muds.{group}").body
    wrong: list[dict[str, Any]] = [{"conditions": "x"}, {"conditions": ["x"]}, {"storedVersions": {}}]
    for status in wrong:
        answer = server.request("PUT", f"{CRDS}/muds.{group}/status", made | {"status": status})
        assert answer.status == 400, answer.body
        assert "json: cannot unmarshal" in answer.body["message"]
    assert server.request("GET", path).status == 200
