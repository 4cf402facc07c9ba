"""One contract, two servers: objects in the forms that kubectl and other clients ask for, and kubectl itself."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.support.contract import MERGE, Server
from tests.support.ponds import CRDS, definition, labelled_reed, made, names, reeds_of, version
from tests.support.realkube import find_kubectl
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real

META = "v=v1;g=meta.k8s.io"
TABLE = {"Accept": f"application/json;as=Table;{META},application/json"}
PARTIAL = {"Accept": f"application/json;as=PartialObjectMetadata;{META}"}
PARTIAL_LIST = {"Accept": f"application/json;as=PartialObjectMetadataList;{META}"}


# --- tables ---------------------------------------------------------------------------------------

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


COLUMNS = {"string": ".a", "integer": ".a", "date": ".a", "all": ".m.*"}
CELLS: list[tuple[Any, list[Any]]] = [
    ("0001-01-01T00:00:00Z", ["0001-01-01T00:00:00Z", None, "<unknown>"]),
    ("2026-01-01", ["2026-01-01", None, "<invalid>"]),
    ("2026-01-01T00:00:00", ["2026-01-01T00:00:00", None, "<invalid>"]),
    ("", ["", None, "<unknown>"]),
    (1e300, ["1e+300", -(1 << 63), None]),
    (2.0, ["2", 2, None]),
    (True, ["true", None, None]),
    ({"b": 1, "a": [2]}, ['{"a":[2],"b":1}', None, None]),
]


def test_whatever_stands_in_a_field_its_table_is_shown(server: Server, namespace: str) -> None:
    group = f"{namespace}.cells"
    columns = [{"name": name, "type": name.replace("all", "string"), "jsonPath": at} for name, at in COLUMNS.items()]
    made(server, CRDS, definition(group, "Cell", "cells", version(additionalPrinterColumns=columns)))
    path = f"/apis/{group}/v1/namespaces/{namespace}/cells"
    wait_for(lambda: server.request("GET", path).status == 200, "cells are served")
    odd = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]  # no two servers say the same of these
    for number, value in enumerate([*(value for value, _ in CELLS), *odd]):
        about = {"apiVersion": f"{group}/v1", "kind": "Cell", "metadata": {"name": f"c{number}"}}
        assert server.request("POST", path, about | {"a": value, "m": {"x": "y"}}).status == 201
    rows = server.request("GET", path, None, TABLE).body["rows"]
    assert [row["cells"][1:] for row in rows][: len(CELLS)] == [[*cells, "y"] for _, cells in CELLS]
    assert len(rows) == len(CELLS) + len(odd)


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


# --- kubectl --------------------------------------------------------------------------------------


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
    server.request("POST", reeds_of(namespace), labelled_reed("a", {}))
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
