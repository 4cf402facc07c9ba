"""One contract, two servers: what is read, in the forms that kubectl and other clients ask for."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.support.contract import Server
from tests.support.realkube import find_kubectl

pytestmark = pytest.mark.real

META = "v=v1;g=meta.k8s.io"
TABLE = {"Accept": f"application/json;as=Table;{META},application/json"}
PARTIAL = {"Accept": f"application/json;as=PartialObjectMetadata;{META}"}
PARTIAL_LIST = {"Accept": f"application/json;as=PartialObjectMetadataList;{META}"}
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def full(server: Server) -> str:
    """A namespace with things of every kind in it, which no test changes."""
    namespace = server.namespace()
    core, reeds = f"/api/v1/namespaces/{namespace}", reeds_of(namespace)
    eventing = f"/apis/eventing.knative.dev/v1/namespaces/{namespace}"
    ports = [{"port": 80, "name": "a"}, {"port": 81, "protocol": "UDP", "name": "b"}]
    made = [
        (f"{core}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "b"}, "binaryData": {"x": "aGk="}}),
        (f"{core}/secrets", {"metadata": {"name": "s"}, "data": {"a": "Yg=="}}),
        (f"{core}/services", {"metadata": {"name": "v"}, "spec": {"ports": ports, "selector": {"c": "d", "a": "b"}}}),
        (f"{core}/services", {"metadata": {"name": "x"}, "spec": {"type": "ExternalName", "externalName": "e.test"}}),
        (
            f"{core}/events",
            {
                "metadata": {"name": "e", "namespace": namespace},
                "involvedObject": {"kind": "Broker", "name": "b", "namespace": namespace},
                "reason": "Broken",
                "message": "it broke\n",
                "type": "Warning",
                "count": 2,
                "firstTimestamp": "2001-11-28T00:00:00Z",
                "lastTimestamp": "2001-11-28T01:00:00Z",
                "source": {"component": "me", "host": "here"},
            },
        ),
        (
            f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
            {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}},
        ),
        (reeds, reed("r", {"a": "1", "both": "x"}, height=3, weight=1.5, isGreen=True)),
        (reeds, reed("r2", {"a": "2", "both": "x"}, isGreen=False)),
        (reeds, reed("r3", {}, height=70, isGreen=True)),
        (f"/apis/pond.test/v1/namespaces/{namespace}/ponds", of("pond.test/v1", "Pond", "p", depth=3)),
        (
            f"{eventing}/brokers",
            {
                "apiVersion": "eventing.knative.dev/v1",
                "kind": "Broker",
                "metadata": {"name": "b", "annotations": {"eventing.knative.dev/broker.class": "Scaup"}},
                "spec": {},
            },
        ),
        (
            f"{eventing}/triggers",
            of(
                "eventing.knative.dev/v1",
                "Trigger",
                "t",
                spec={"broker": "b", "subscriber": {"uri": "http://s.test/"}, "filter": {}},
            ),
        ),
    ]
    for path, body in made:
        answer = server.request("POST", path, body)
        assert answer.status == 201, answer.body
    conditions = [{"type": "Ready", "status": "True", "reason": "Grown"}, {"type": "Ready", "status": "False"}]
    status = {"cut": "2001-11-28T00:00:00Z", "conditions": conditions}
    assert server.request("PATCH", f"{reeds}/r2/status", {"status": status}, MERGE).status == 200
    status = {"subscriberUri": "http://s.test/", "conditions": [{"type": "Ready", "status": "True"}]}
    assert server.request("PATCH", f"{eventing}/triggers/t/status", {"status": status}, MERGE).status == 200
    return namespace


def of(version: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}} | more


def reed(name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "pond.test/v1", "kind": "Reed", "metadata": {"name": name, "labels": labels}, "spec": spec}


def reeds_of(namespace: str) -> str:
    return f"/apis/pond.test/v1/namespaces/{namespace}/reeds"


# --- discovery ----------------------------------------------------------------------------------------------------


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
        reeds, ponds = sorted(version["resources"], key=lambda one: str(one["resource"]), reverse=True)
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


# --- lists ----------------------------------------------------------------------------------------------------------


def names(found: Any) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


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


@pytest.mark.parametrize("selector", ["a in", "a==b==c", "=", "a>x", "-a-=b"])
def test_a_label_selector_that_is_none_is_refused(server: Server, full: str, selector: str) -> None:
    answer = server.request("GET", reeds_of(full), labelSelector=selector)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("metadata.name=r2", ["r2"]), ("metadata.name!=r2", ["r", "r3"]), ("metadata.namespace=none", [])],
)
def test_a_list_is_selected_by_fields(server: Server, full: str, selector: str, expected: list[str]) -> None:
    assert names(server.request("GET", reeds_of(full), fieldSelector=selector).body) == expected


def test_a_field_that_cannot_be_selected_by_is_refused(server: Server, full: str) -> None:
    answer = server.request("GET", reeds_of(full), fieldSelector="spec.height=3")
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"].endswith("field label not supported: spec.height")


def test_a_list_comes_in_parts_of_one_state(server: Server, namespace: str) -> None:
    for name in ("a", "b", "c"):
        server.request("POST", reeds_of(namespace), reed(name, {}))
    first = server.request("GET", reeds_of(namespace), limit="2").body
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 1
    server.request("POST", reeds_of(namespace), reed("d", {}))
    last = server.request("GET", reeds_of(namespace), **{"limit": "2", "continue": first["metadata"]["continue"]}).body
    assert names(last) == ["c"]
    assert last["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not last["metadata"].get("continue")
    selected = server.request("GET", reeds_of(namespace), limit="1", labelSelector="!x").body
    assert "remainingItemCount" not in selected["metadata"]
    assert server.kubectl("get", "reeds", "-n", namespace, "--chunk-size=1", "-o", "name").count("\n") == 4


def test_a_list_is_of_the_state_that_is_asked_for(server: Server, namespace: str) -> None:
    made = server.request("POST", reeds_of(namespace), reed("a", {})).body
    server.request("POST", reeds_of(namespace), reed("b", {}))
    query = {"resourceVersion": made["metadata"]["resourceVersion"]}
    exact = server.request("GET", reeds_of(namespace), resourceVersionMatch="Exact", **query).body
    assert names(exact) == ["a"]
    assert exact["metadata"]["resourceVersion"] == query["resourceVersion"]
    newer = server.request("GET", reeds_of(namespace), resourceVersionMatch="NotOlderThan", **query).body
    assert names(newer) == ["a", "b"]


EXACT = {"resourceVersionMatch": "Exact"}
NEWER = {"resourceVersionMatch": "NotOlderThan"}
INVALID = 'ListOptions.meta.k8s.io "" is invalid: '
MATCH = f"{INVALID}resourceVersionMatch: "


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"resourceVersion": "x"}, 400, "invalid resource version: resourceVersion: Invalid value"),
        ({"limit": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
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


# --- tables ---------------------------------------------------------------------------------------------------------

AGED = re.compile(r"\d+[smhdy](\d+[smhd])?")


def shown(cells: list[Any]) -> list[Any]:
    """The cells with every age as an A."""
    return ["A" if isinstance(cell, str) and AGED.fullmatch(cell) else cell for cell in cells]


@pytest.mark.parametrize(
    ("path", "columns", "rows"),
    [
        (
            "/apis/pond.test/v1/namespaces/{}/reeds",
            ["Name", "Height", "Green", "Ready", "Weight+", "Cut", "Age"],
            [
                ["r", 3, True, None, 1.5, None, "A"],
                ["r2", None, False, "True", None, "A", "A"],
                ["r3", 70, True, None, None, None, "A"],
            ],
        ),
        ("/apis/pond.test/v1/namespaces/{}/ponds", ["Name", "Age"], [["p", "A"]]),
        (
            "/apis/eventing.knative.dev/v1/namespaces/{}/triggers",
            ["Name", "Broker", "Subscriber_URI", "Age", "Ready", "Reason"],
            [["t", "b", "http://s.test/", "A", "True", None]],
        ),
        (
            "/apis/eventing.knative.dev/v1/namespaces/{}/brokers",
            ["Name", "URL", "Age", "Ready", "Reason", "Class+"],
            [["b", None, "A", None, None, "Scaup"]],
        ),
        ("/api/v1/namespaces/{}/configmaps/c", ["Name", "Data", "Age"], [["c", 2, "A"]]),
        ("/api/v1/namespaces/{}/secrets/s", ["Name", "Type", "Data", "Age"], [["s", "Opaque", 1, "A"]]),
        ("/api/v1/namespaces/{}", ["Name", "Status", "Age"], [["{}", "Active", "A"]]),
        ("/apis/coordination.k8s.io/v1/namespaces/{}/leases", ["Name", "Holder", "Age"], [["l", "me", "A"]]),
        (
            "/api/v1/namespaces/{}/events/e",
            [
                *("Last Seen", "Type", "Reason", "Object", "Subobject+", "Source+", "Message"),
                *("First Seen+", "Count+", "Name+"),
            ],
            [["A", "Warning", "Broken", "broker/b", "", "me, here", "it broke", "A", 2, "e"]],
        ),
        (
            "/api/v1/namespaces/{}/services/x",
            ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector+"],
            [["x", "ExternalName", "<none>", "e.test", "<none>", "A", "<none>"]],
        ),
    ],
)
def test_objects_come_as_a_table(
    server: Server, full: str, path: str, columns: list[str], rows: list[list[Any]]
) -> None:
    found = server.request("GET", path.format(full), headers=TABLE).body
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    said = [one["name"] + ("+" if one["priority"] else "") for one in found["columnDefinitions"]]
    assert said == columns
    assert [shown(row["cells"]) for row in found["rows"]] == [
        [cell.format(full) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]


def test_a_services_ports_and_selector_are_shown(server: Server, full: str) -> None:
    found = server.request("GET", f"/api/v1/namespaces/{full}/services/v", headers=TABLE).body
    cells = found["rows"][0]["cells"]
    assert (cells[0], cells[1], cells[4], cells[6]) == ("v", "ClusterIP", "80/TCP,81/UDP", "a=b,c=d")


def test_columns_say_their_type_and_what_they_are(server: Server, full: str) -> None:
    found = server.request("GET", reeds_of(full), headers=TABLE).body["columnDefinitions"]
    assert found[0]["format"] == "name"
    assert [one["type"] for one in found] == ["string", "integer", "boolean", "string", "number", "date", "date"]
    assert found[1]["description"] == "How high it grows."
    assert found[2]["description"] == "Custom resource definition column (in JSONPath format): .spec.isGreen"


@pytest.mark.parametrize(
    ("include", "kind"), [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "Reed")]
)
def test_a_row_holds_as_much_of_its_object_as_is_asked_for(server: Server, full: str, include: str, kind: str) -> None:
    found = server.request("GET", f"{reeds_of(full)}/r", headers=TABLE, includeObject=include).body
    (row,) = found["rows"]
    assert row["object"]["kind"] == kind
    assert row["object"]["metadata"]["name"] == "r"
    assert found["metadata"]["resourceVersion"] == row["object"]["metadata"]["resourceVersion"]


def test_a_row_holds_nothing_of_its_object_where_that_is_asked_for(server: Server, full: str) -> None:
    found = server.request("GET", reeds_of(full), headers=TABLE, includeObject="None").body
    assert [row["object"] for row in found["rows"]] == [None, None, None]
    refused = server.request("GET", reeds_of(full), headers=TABLE, includeObject="Bad")
    assert refused.status == 400
    why = "includeObject: Invalid value: \"Bad\": must be 'Metadata', 'Object', 'None', or empty"
    assert refused.body["message"] == f"Unable to convert to Table as requested: {why}"


def test_metadata_comes_alone(server: Server, full: str) -> None:
    found = server.request("GET", reeds_of(full), headers=PARTIAL_LIST).body
    assert (found["kind"], found["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert names(found) == ["r", "r2", "r3"]
    one = server.request("GET", f"{reeds_of(full)}/r", headers=PARTIAL).body
    assert (one["kind"], one["apiVersion"], sorted(one)) == (
        "PartialObjectMetadata",
        "meta.k8s.io/v1",
        ["apiVersion", "kind", "metadata"],
    )
    assert server.request("GET", reeds_of(full), headers=PARTIAL).status == 406


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/vnd.kubernetes.protobuf,application/json", "application/json"),
        ("text/html;q=0.9, application/*;q=0.5", "application/json"),
        ("application/json;as=Bogus;v=v1;g=meta.k8s.io,application/json", "application/json"),
        ("application/yaml", "application/yaml"),
        ("application/json;q=0.1,application/yaml", "application/yaml"),
        ("text/html", None),
        ("application/cbor", None),
        (f"application/json;as=Table;{META.replace('v1', 'v9')}", None),
    ],
)
def test_the_answer_has_a_form_that_is_taken(server: Server, full: str, accept: str, media: str | None) -> None:
    answer = server.request("GET", f"{reeds_of(full)}/r", headers={"Accept": accept})
    if media is None:
        assert (answer.status, answer.body["reason"]) == (406, "NotAcceptable")
        assert answer.body["message"].startswith("only the following media types are accepted: application/json, ")
    else:
        assert (answer.status, answer.headers["content-type"]) == (200, media)


# --- kubectl --------------------------------------------------------------------------------------------------------


def table(server: Server, *args: str) -> list[list[str]]:
    return [shown(re.split(r"\s{2,}", line.rstrip())) for line in server.kubectl(*args).splitlines()]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (
            "get reeds",
            [
                ["NAME", "HEIGHT", "GREEN", "READY", "CUT", "AGE"],
                ["r", "3", "true", "A"],
                ["r2", "false", "True", "A", "A"],
                ["r3", "70", "true", "A"],
            ],
        ),
        (
            "get rd r -o wide",
            [["NAME", "HEIGHT", "GREEN", "READY", "WEIGHT", "CUT", "AGE"], ["r", "3", "true", "1.5", "A"]],
        ),
        ("get wetland -l a=1 --no-headers", [["r", "3", "true", "A"]]),
        ("get ponds", [["NAME", "AGE"], ["p", "A"]]),
        (
            "get triggers",
            [["NAME", "BROKER", "SUBSCRIBER_URI", "AGE", "READY", "REASON"], ["t", "b", "http://s.test/", "A", "True"]],
        ),
        (
            "get brokers.eventing.knative.dev -o wide",
            [["NAME", "URL", "AGE", "READY", "REASON", "CLASS"], ["b", "A", "Scaup"]],
        ),
        ("get cm c", [["NAME", "DATA", "AGE"], ["c", "2", "A"]]),
        ("get reeds -o name", [["reed.pond.test/r"], ["reed.pond.test/r2"], ["reed.pond.test/r3"]]),
        ("get reeds --field-selector metadata.name=r2 -o name", [["reed.pond.test/r2"]]),
        (
            "get reeds -o custom-columns=N:.metadata.name,H:.spec.height",
            [["N", "H"], ["r", "3"], ["r2", "<none>"], ["r3", "70"]],
        ),
        ("get reeds -o jsonpath={.items[*].metadata.name}", [["r r2 r3"]]),
        (
            "get reeds --sort-by=.spec.height -o name",
            [["reed.pond.test/r2"], ["reed.pond.test/r"], ["reed.pond.test/r3"]],
        ),
        ("get reed r -L a --no-headers", [["r", "3", "true", "A", "1"]]),
        ("get reed r --show-labels --no-headers", [["r", "3", "true", "A", "a=1,both=x"]]),
        ("get reed/r trigger/t -o name", [["reed.pond.test/r"], ["trigger.eventing.knative.dev/t"]]),
    ],
)
def test_kubectl_shows_a_table(server: Server, full: str, args: str, expected: list[list[str]]) -> None:
    assert table(server, *args.split(), "-n", full) == expected


def test_kubectl_shows_objects_as_they_are(server: Server, full: str) -> None:
    whole = json.loads(server.kubectl("get", "reed", "r", "-n", full, "-o", "json"))
    assert whole["spec"] == {"height": 3, "isGreen": True, "weight": 1.5}
    assert "height: 3\n" in server.kubectl("get", "reed", "r", "-n", full, "-o", "yaml")
    raw = json.loads(server.kubectl("get", "--raw", f"{reeds_of(full)}/r"))
    assert raw["metadata"]["uid"] == whole["metadata"]["uid"]
    everywhere = server.kubectl("get", "reeds", "-A").splitlines()
    assert everywhere[0].split()[:2] == ["NAMESPACE", "NAME"]
    missing = server.kubectl_run("get", "reed", "none", "-n", full)
    assert (missing.returncode, missing.stderr) == (
        1,
        'Error from server (NotFound): reeds.pond.test "none" not found\n',
    )
    nothing = server.kubectl_run("get", "reeds", "-n", full, "-l", "a=9")
    assert nothing.stderr == f"No resources found in {full} namespace.\n"


def test_kubectl_describes_objects(server: Server, full: str) -> None:
    said = server.kubectl("describe", "trigger", "t", "-n", full)
    assert said.startswith("Name:         t\n")
    assert re.search(r"^API Version:\s+eventing.knative.dev/v1$", said, re.MULTILINE)
    assert re.search(r"^ +Uri: +http://s.test/$", said, re.MULTILINE)
    assert re.search(r"^Events: +<none>$", said, re.MULTILINE)
    assert "Data\n====\na:\n----\nb\n" in server.kubectl("describe", "configmap", "c", "-n", full)
    assert re.search(r"^Port: +a +80/TCP$", server.kubectl("describe", "service", "v", "-n", full), re.MULTILINE)


def test_kubectl_shows_what_changes(server: Server, namespace: str) -> None:
    command = ["get", "reeds", "-n", namespace, "--watch", "--output-watch-events", "--no-headers"]
    server.request("POST", reeds_of(namespace), reed("a", {}))
    watching = subprocess.Popen(
        [str(find_kubectl()), "--kubeconfig", server.kubeconfig, *command], stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        lines = [watching.stdout.readline().split()]
        server.request("PATCH", f"{reeds_of(namespace)}/a", {"spec": {"height": 7}}, MERGE)
        lines.append(watching.stdout.readline().split())
        server.request("DELETE", f"{reeds_of(namespace)}/a")
        lines.append(watching.stdout.readline().split())
        assert [line[:2] for line in lines] == [["ADDED", "a"], ["MODIFIED", "a"], ["DELETED", "a"]]
        assert lines[1][2] == "7"
    finally:
        watching.kill()
        watching.communicate()
