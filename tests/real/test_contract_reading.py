"""One contract, two servers: kinds are discovered, objects are listed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import Server
from tests.support.ponds import CRDS, definition, labelled_reed, made, names, reeds_of, version
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


# --- discovery ------------------------------------------------------------------------------------


def test_the_core_group_is_discovered(server: Server) -> None:
    assert server.request("GET", "/api").body["versions"] == ["v1"]
    found = {one["name"]: one for one in server.request("GET", "/api/v1").body["resources"]}
    assert found["configmaps"]["shortNames"] == ["cm"]
    assert found["configmaps"]["namespaced"] is True
    assert found["namespaces"]["namespaced"] is False
    assert found["services/status"]["verbs"] == ["get", "patch", "update"]


@pytest.mark.parametrize(
    "group", ["eventing.knative.dev", "pond.test", "scaup.dev", "coordination.k8s.io", "apiextensions.k8s.io"]
)
def test_a_group_says_its_versions(server: Server, group: str) -> None:
    found = server.request("GET", f"/apis/{group}").body
    assert found["kind"] == "APIGroup"
    assert found["preferredVersion"] == {"groupVersion": f"{group}/v1", "version": "v1"}
    listed = {one["name"]: one for one in server.request("GET", "/apis").body["groups"]}
    assert listed[group]["versions"] == found["versions"]


@pytest.mark.parametrize(
    ("group", "resource", "row"),
    [
        ("pond.test", "reeds", {"kind": "Reed", "shortNames": ["rd"], "categories": ["wetland"], "namespaced": True}),
        ("pond.test", "reeds/status", {"kind": "Reed", "verbs": ["get", "patch", "update"], "singularName": ""}),
        ("pond.test", "ponds", {"kind": "Pond", "singularName": "pond"}),
        ("eventing.knative.dev", "brokers", {"kind": "Broker", "categories": ["all", "knative", "eventing"]}),
        ("eventing.knative.dev", "triggers", {"kind": "Trigger", "singularName": "trigger"}),
    ],
)
def test_a_version_says_its_kinds(server: Server, group: str, resource: str, row: dict[str, Any]) -> None:
    found = server.request("GET", f"/apis/{group}/v1").body
    (entry,) = [one for one in found["resources"] if one["name"] == resource]
    assert {key: entry[key] for key in row} == row


@pytest.mark.parametrize("path", ["/apis/none.test", "/apis/none.test/v1", "/apis/pond.test/v9", "/none"])
def test_what_is_not_known_is_404(server: Server, path: str) -> None:
    assert server.request("GET", path).status == 404


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_all_kinds_are_discovered_in_one_request(server: Server, path: str) -> None:
    answer = server.request("GET", path, headers={"Accept": f"{DISCOVERY},application/json"})
    assert answer.headers["content-type"] == DISCOVERY
    assert answer.headers["vary"] == "Accept"
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    again = server.request("GET", path, headers={"Accept": DISCOVERY, "If-None-Match": answer.headers["etag"]})
    assert again.status == 304
    groups = {one["metadata"].get("name", ""): one["versions"] for one in answer.body["items"]}
    if path == "/api":
        (version,) = groups[""]
        (found,) = [one for one in version["resources"] if one["resource"] == "configmaps"]
        assert found["responseKind"] == {"group": "", "version": "", "kind": "ConfigMap"}
    else:
        (version,) = groups["pond.test"]
        found = {one["resource"]: one for one in version["resources"]}
        reeds, ponds = found["reeds"], found["ponds"]
        assert version["freshness"] == "Current"
        assert set(reeds.pop("verbs")) == set(ponds.pop("verbs"))
        made = {"group": "pond.test", "version": "v1", "kind": "Reed"}
        assert reeds == {
            "resource": "reeds",
            "responseKind": made,
            "scope": "Namespaced",
            "singularResource": "reed",
            "shortNames": ["rd"],
            "categories": ["wetland"],
            "subresources": [{"subresource": "status", "responseKind": made, "verbs": ["get", "patch", "update"]}],
        }
        assert ponds["responseKind"] == made | {"kind": "Pond"}


def test_kubectl_lists_the_kinds(server: Server) -> None:
    said = server.kubectl("api-resources", "--api-group=eventing.knative.dev").splitlines()
    assert [line.split() for line in said] == [
        ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"],
        ["brokers", "eventing.knative.dev/v1", "true", "Broker"],
        ["triggers", "eventing.knative.dev/v1", "true", "Trigger"],
    ]
    assert server.kubectl("api-resources", "--categories=wetland", "-o", "name") == "reeds.pond.test\n"
    assert "pond.test/v1" in server.kubectl("api-versions").split()


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("a=1", ["r"]),
        ("a==2", ["r2"]),
        ("a!=1", ["r2", "r3"]),
        ("a", ["r", "r2"]),
        ("!a", ["r3"]),
        ("a in (1,3)", ["r"]),
        ("a notin (1)", ["r2", "r3"]),
        ("a>1", ["r2"]),
        ("a<2", ["r"]),
        ("a=1,both=x", ["r"]),
        ("a=1,both=y", []),
    ],
)
def test_a_list_is_selected_by_labels(server: Server, full: str, selector: str, expected: list[str]) -> None:
    assert names(server.request("GET", reeds_of(full), labelSelector=selector).body) == expected


@pytest.mark.parametrize(
    "selector", ["a in", "a==b==c", "=", "a>x", "-a-=b", "a,", "a>-1", "a>1_0", "a>9223372036854775808"]
)
def test_a_label_selector_that_is_none_is_refused(server: Server, full: str, selector: str) -> None:
    answer = server.request("GET", reeds_of(full), labelSelector=selector)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=r2", ["r2"]),
        ("metadata.name!=r2", ["r", "r3"]),
        ("metadata.namespace=none", []),
        ("metadata.name=r2,,", ["r2"]),
        ("metadata.name=r2 ", []),
        (r"metadata.name!=r\,2", ["r", "r2", "r3"]),
        ("metadata.name=!r2", []),
        ("=", ["r", "r2", "r3"]),
    ],
)
def test_a_list_is_selected_by_fields(server: Server, full: str, selector: str, expected: list[str]) -> None:
    assert names(server.request("GET", reeds_of(full), fieldSelector=selector).body) == expected


@pytest.mark.parametrize(
    ("path", "selector", "message"),
    [
        ("{core}/configmaps", "data.a=b", '"data.a" is not a known field selector: only "metadata.name", '),
        ("{core}/secrets", "metadata.name =s", "field label not supported: metadata.name "),
        ("/api/v1/namespaces", "metadata.namespace=", "field label not supported: metadata.namespace"),
        ("{core}/configmaps", "metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("{core}/configmaps", "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        ("{core}/configmaps", r"metadata.name=\a", r"invalid field selector: invalid escape sequence: \a"),
    ],
)
def test_a_field_selector_that_is_none_is_refused(
    server: Server, full: str, path: str, selector: str, message: str
) -> None:
    answer = server.request("GET", path.format(core=f"/api/v1/namespaces/{full}"), fieldSelector=selector)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert message in answer.body["message"]


def test_core_kinds_are_selected_by_fields_of_their_own(server: Server, full: str) -> None:
    services = f"/api/v1/namespaces/{full}/services"
    assert names(server.request("GET", services, fieldSelector="spec.type=ExternalName").body) == ["x"]
    assert "v" in names(server.request("GET", services, fieldSelector="spec.clusterIP!=None").body)
    active = server.request("GET", "/api/v1/namespaces", fieldSelector=f"status.phase=Active,metadata.name={full}")
    assert names(active.body) == [full]


def test_a_kind_is_selected_by_the_fields_that_its_definition_names(server: Server, namespace: str) -> None:
    fields = {"isTall": {"type": "boolean"}, "rings": {"type": "integer"}, "bark": {"type": "string"}}
    described = {"type": "object", "properties": fields}
    selectable = [{"jsonPath": f".spec.{name}"} for name in fields]
    group = f"{namespace}.test"
    trees = version({"type": "object", "properties": {"spec": described}}, selectableFields=selectable)
    made(server, CRDS, definition(group, "Tree", "trees", trees))
    path = f"/apis/{group}/v1/namespaces/{namespace}/trees"
    wait_for(lambda: server.request("GET", path).status == 200, "trees are served")
    for name, spec in {"a": {"isTall": True, "rings": 3}, "b": {"isTall": False, "bark": "white"}}.items():
        body = {"apiVersion": f"{group}/v1", "kind": "Tree", "metadata": {"name": name}, "spec": spec}
        assert server.request("POST", path, body).status == 201
    for selector, expected in {
        "spec.isTall=true": ["a"],
        "spec.isTall=false": ["b"],
        "spec.rings=3": ["a"],
        "spec.bark=": ["a"],
        "spec.bark=white,spec.rings=": ["b"],
    }.items():
        assert names(server.request("GET", path, fieldSelector=selector).body) == expected, selector


def test_a_field_that_cannot_be_selected_by_is_refused(server: Server, full: str) -> None:
    answer = server.request("GET", reeds_of(full), fieldSelector="spec.height=3")
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"].endswith("field label not supported: spec.height")


def test_a_list_comes_in_parts_of_one_state(server: Server, namespace: str) -> None:
    for name in ("a", "b", "c"):
        server.request("POST", reeds_of(namespace), labelled_reed(name, {}))
    first = server.request("GET", reeds_of(namespace), limit="2").body
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 1
    server.request("POST", reeds_of(namespace), labelled_reed("d", {}))
    last = server.request("GET", reeds_of(namespace), **{"limit": "2", "continue": first["metadata"]["continue"]}).body
    assert names(last) == ["c"]
    assert last["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not last["metadata"].get("continue")
    selected = server.request("GET", reeds_of(namespace), limit="1", labelSelector="!x").body
    assert "remainingItemCount" not in selected["metadata"]
    assert server.kubectl("get", "reeds", "-n", namespace, "--chunk-size=1", "-o", "name").count("\n") == 4


def test_a_list_is_of_the_state_that_is_asked_for(server: Server, namespace: str) -> None:
    made = server.request("POST", reeds_of(namespace), labelled_reed("a", {})).body
    server.request("POST", reeds_of(namespace), labelled_reed("b", {}))
    query = {"resourceVersion": made["metadata"]["resourceVersion"]}
    exact = server.request("GET", reeds_of(namespace), resourceVersionMatch="Exact", **query).body
    assert names(exact) == ["a"]
    assert exact["metadata"]["resourceVersion"] == query["resourceVersion"]
    newer = server.request("GET", reeds_of(namespace), resourceVersionMatch="NotOlderThan", **query).body
    assert names(newer) == ["a", "b"]
    limited = server.request("GET", reeds_of(namespace), limit="5", **query).body
    assert names(limited) == ["a"], "a limit has always meant exactly"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=2&limit=1", ["r", "r2"]),
        ("labelSelector=a&labelSelector=!a", ["r", "r2"]),
        ("watch=0&watch=1", ["r", "r2", "r3"]),
        ("limit=%zz&a;b=c&includeObject=x", ["r", "r2", "r3"]),
    ],
)
def test_of_what_stands_twice_in_a_query_the_first_counts(
    server: Server, full: str, query: str, expected: list[str]
) -> None:
    assert names(server.request("GET", f"{reeds_of(full)}?{query}").body) == expected


def test_one_object_is_never_older_than_asked_for(server: Server, full: str) -> None:
    assert server.request("GET", f"{reeds_of(full)}/r", resourceVersion="0").status == 200
    answer = server.request("GET", f"{reeds_of(full)}/r", resourceVersion="999999999")
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")


@pytest.mark.parametrize("path", ["/api/v2", "/api/v1/none", "/apis/apiextensions.k8s.io/v1/none"])
def test_what_is_not_in_a_group_of_kubernetes_is_not_found_in_words(server: Server, path: str) -> None:
    answer = server.request("GET", path)
    assert (answer.status, answer.body["message"]) == (404, "the server could not find the requested resource")


EXACT = {"resourceVersionMatch": "Exact"}
NEWER = {"resourceVersionMatch": "NotOlderThan"}
INVALID = 'ListOptions.meta.k8s.io "" is invalid: '
MATCH = f"{INVALID}resourceVersionMatch: "


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"resourceVersion": "x"}, 400, "invalid resource version: resourceVersion: Invalid value"),
        ({"limit": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"limit": ""}, 400, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"limit": str(1 << 63)}, 400, f'strconv.ParseInt: parsing "{1 << 63}": value out of range'),
        ({"resourceVersion": str(1 << 64)}, 400, f'strconv.ParseUint: parsing "{1 << 64}": value out of range'),
        (
            {"resourceVersion": str((1 << 64) - 1)},
            504,
            f"Timeout: Too large resource version: {(1 << 64) - 1}, current: ",
        ),
        (EXACT, 422, f"{MATCH}Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"),
        (
            EXACT | {"resourceVersion": "0"},
            422,
            f'{MATCH}Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {"resourceVersionMatch": "Never", "resourceVersion": "1"},
            422,
            f'{MATCH}Unsupported value: "Never": supported values: "Exact", "NotOlderThan", ""',
        ),
        ({"continue": "x"}, 400, "invalid continue token: continue key is not valid"),
        (
            {"continue": "x", "resourceVersion": "1"} | EXACT,
            422,
            f"{MATCH}Forbidden: resourceVersionMatch is forbidden when continue is provided",
        ),
        (
            {"sendInitialEvents": "true"},
            422,
            f"{INVALID}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
        ),
        (NEWER | {"resourceVersion": "999999999"}, 504, "Too large resource version: 999999999, current: "),
        (
            NEWER | {"watch": "1"},
            422,
            f"{MATCH}Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            {"watch": "1", "sendInitialEvents": "true"},
            422,
            f"{MATCH}Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            EXACT | {"watch": "1", "sendInitialEvents": "true"},
            422,
            'NotOlderThan, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]',
        ),
    ],
)
def test_a_list_or_watch_that_cannot_be_is_refused(
    server: Server, full: str, query: dict[str, str], status: int, message: str
) -> None:
    answer = server.request("GET", reeds_of(full), None, None, **query)
    assert (answer.status, answer.body["status"]) == (status, "Failure")
    assert message in answer.body["message"]
