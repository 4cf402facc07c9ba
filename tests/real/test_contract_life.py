"""One contract, two servers: how objects are made and changed, and when they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import MERGE, Server
from tests.support.ponds import made, patched, pond, reed
from tests.support.refusals import SUBDOMAIN

pytestmark = pytest.mark.real


# --- writes ---------------------------------------------------------------------------------------


def test_a_kind_without_a_status_subresource_keeps_its_status(server: Server, ponds: str) -> None:
    status = {"address": {"url": "http://x.test/"}}
    assert made(server, ponds, pond(status=status))["status"] == status
    changed = patched(server, f"{ponds}/p", {"status": {"address": {"url": "http://y.test/"}}}).body
    assert changed["status"] == {"address": {"url": "http://y.test/"}}
    assert changed["metadata"]["generation"] == 2
    assert server.request("GET", f"{ponds}/p/status").status == 404


def test_a_kind_with_a_status_subresource_takes_it_only_there(server: Server, reeds: str) -> None:
    assert "status" not in made(server, reeds, reed(status={"cut": "x"}))
    assert "status" not in patched(server, f"{reeds}/r", {"status": {"cut": "x"}}).body
    change = {"status": {"cut": "x"}, "spec": {"height": 3}, "metadata": {"labels": {"a": "b"}}}
    changed = patched(server, f"{reeds}/r/status", change).body
    assert (changed["status"], "height" in changed["spec"], "labels" in changed["metadata"]) == (
        {"cut": "x"},
        False,
        False,
    )


def test_the_generation_counts_changes_of_the_spec(server: Server, reeds: str, maps: str) -> None:
    generations = [made(server, reeds, reed())["metadata"]["generation"]]
    for path, change in (
        ("/r", {"metadata": {"labels": {"a": "b"}}}),
        ("/r/status", {"status": {"cut": "x"}}),
        ("/r", {"spec": {"height": 3}}),
    ):
        generations.append(patched(server, f"{reeds}{path}", change).body["metadata"]["generation"])
    assert generations == [1, 1, 1, 2]
    assert "generation" not in made(server, maps, {"metadata": {"name": "c"}})["metadata"]


def test_a_name_is_made_where_only_its_beginning_is_given(server: Server, ponds: str) -> None:
    body = {"apiVersion": "pond.test/v1", "kind": "Pond", "metadata": {"generateName": "gen-"}}
    names = {made(server, ponds, body)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("gen-") and len(name) == 9 for name in names)


def test_what_the_server_decides_is_not_taken_from_the_client(server: Server, ponds: str) -> None:
    about = {"creationTimestamp": "2000-01-01T00:00:00Z", "uid": "mine", "generation": 7, "selfLink": "/x"}
    first = made(server, ponds, pond(about=about))["metadata"]
    assert (first["generation"], first["uid"] == "mine", first["creationTimestamp"][:4] == "2000") == (1, False, False)
    whole = server.request("GET", f"{ponds}/p").body
    whole["metadata"] |= {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9}
    again = server.request("PUT", f"{ponds}/p", whole).body["metadata"]
    assert (again["creationTimestamp"], again["generation"]) == (first["creationTimestamp"], 1)


def test_a_change_of_another_revision_is_a_conflict(server: Server, ponds: str, maps: str) -> None:
    for path, body, called in (
        (ponds, pond(), "ponds.pond.test"),
        (maps, {"metadata": {"name": "p"}}, "configmaps"),
    ):
        stale = made(server, path, body)
        patched(server, f"{path}/p", {"metadata": {"labels": {"a": "b"}}})
        for answer in (
            server.request("PUT", f"{path}/p", stale | {"x": 1} if path == ponds else stale | {"data": {"a": "b"}}),
            patched(server, f"{path}/p", {"metadata": {"resourceVersion": stale["metadata"]["resourceVersion"]}}),
        ):
            assert (answer.status, answer.body["reason"]) == (409, "Conflict")
            assert answer.body["message"] == (
                f'Operation cannot be fulfilled on {called} "p": the object has been modified; '
                "please apply your changes to the latest version and try again"
            )
            assert answer.body["details"]["name"] == "p"


def test_a_custom_kind_is_replaced_only_with_its_revision(server: Server, ponds: str, maps: str) -> None:
    made(server, ponds, pond())
    answer = server.request("PUT", f"{ponds}/p", pond())
    assert (answer.status, answer.body["message"]) == (
        422,
        'ponds.pond.test "p" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
    )
    made(server, maps, {"metadata": {"name": "c"}})
    assert server.request("PUT", f"{maps}/c", {"metadata": {"name": "c"}, "data": {"a": "b"}}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_dry_run_answers_and_stores_nothing(server: Server, ponds: str, method: str) -> None:
    if method != "POST":
        made(server, ponds, pond())
    before = server.request("GET", f"{ponds}/p")
    body = before.body | {"depth": 3} if method == "PUT" else pond(depth=3)
    path = ponds if method == "POST" else f"{ponds}/p"
    sent = MERGE if method == "PATCH" else None
    answer = server.request(method, path, None if method == "DELETE" else body, sent, dryRun="All")
    assert answer.status in {200, 201}
    assert method == "DELETE" or answer.body["depth"] == 3
    assert server.request("GET", f"{ponds}/p").body == before.body


@pytest.mark.parametrize("query", ["dryRun", "dryRun=&dryRun=All", "dryRun=All&dryRun="])
def test_what_may_be_meant_as_a_dry_run_stores_nothing(server: Server, ponds: str, query: str) -> None:
    made(server, ponds, pond())
    for method, body, sent in (("PATCH", pond(depth=3), MERGE), ("DELETE", None, None)):
        assert server.request(method, f"{ponds}/p?{query}", body, sent).status == 422
    assert "depth" not in server.request("GET", f"{ponds}/p").body


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"uid": "x"}, 409, "the UID in the precondition (x) does not match the UID in record ("),
        ({"resourceVersion": "1"}, 409, "the ResourceVersion in the precondition (1) does not match"),
        ({"propagationPolicy": ""}, 422, 'propagationPolicy: Unsupported value: "": supported values: "Foreground"'),
        ({"gracePeriodSeconds": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
def test_the_options_of_a_deletion_may_stand_in_its_query(
    server: Server, ponds: str, query: dict[str, str], status: int, words: str
) -> None:
    made(server, ponds, pond())
    for path in (f"{ponds}/p", ponds):
        answer = server.request("DELETE", path, None, None, **query)
        assert answer.status == status or (path == ponds and "resourceVersion" in query), answer.body
        assert path == ponds or words in answer.body["message"]
    assert server.request("GET", f"{ponds}/p").status == 200
    options = {"kind": "DeleteOptions", "apiVersion": "v1"}
    answer = server.request("DELETE", f"{ponds}/p", options, None, **query)
    assert answer.status == 200, "a body takes the place of the query"


@pytest.mark.parametrize(
    ("method", "kind"), [("POST", "CreateOptions"), ("PUT", "UpdateOptions"), ("DELETE", "DeleteOptions")]
)
def test_a_dry_run_of_another_kind_is_refused(server: Server, ponds: str, method: str, kind: str) -> None:
    made(server, ponds, pond())
    body = server.request("GET", f"{ponds}/p").body if method == "PUT" else pond("q")
    path = ponds if method == "POST" else f"{ponds}/p"
    answer = server.request(method, path, None if method == "DELETE" else body, dryRun="Some")
    assert (answer.status, answer.body["message"]) == (
        422,
        f'{kind}.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
    )


# --- refusals -------------------------------------------------------------------------------------

NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        ({"name": None}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "A_b"}, f'metadata.name: Invalid value: "A_b": {SUBDOMAIN}'),
        ({"name": "a" * 254}, f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters'),
        ({"labels": {"a b": "c"}}, f'metadata.labels: Invalid value: "a b": {NAME_PART}'),
        ({"labels": {"a": "c d"}}, f'metadata.labels: Invalid value: "c d": {VALUE}'),
        ({"annotations": {"a b": "c"}}, f'metadata.annotations: Invalid value: "a b": {NAME_PART}'),
        ({"finalizers": ["a b"]}, f'metadata.finalizers: Invalid value: "a b": {NAME_PART}'),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pond", "name": "x"}]},
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ),
    ],
)
def test_metadata_that_cannot_be_is_refused(server: Server, ponds: str, about: Any, problem: str) -> None:
    answer = server.request("POST", ponds, pond(about=about))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    name = about.get("name", "p") or ""
    assert answer.body["message"] == f'Pond.pond.test "{name}" is invalid: {problem}'
    path, _, message = problem.partition(": ")
    (cause,) = answer.body["details"]["causes"]
    assert (cause["field"], cause["message"]) == (path, message)


def test_a_namespaces_name_has_no_dots(server: Server) -> None:
    answer = server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "a.b"}})
    assert (answer.status, answer.body["message"]) == (
        422,
        'Namespace "a.b" is invalid: metadata.name: Invalid value: "a.b": must not contain dots',
    )


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (reed("p"), 422, 'Reed.pond.test "p" is invalid: kind: Invalid value: "Reed": must be Pond'),
        (
            pond() | {"apiVersion": "pond.test/v2"},
            400,
            "the API version in the data (pond.test/v2) does not match the expected API version (pond.test/v1)",
        ),
        ({"metadata": {"name": "p"}}, 400, "the object provided is unrecognized (must be of type Pond): Object 'Kind'"),
        (
            pond(about={"namespace": "other"}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ([], 400, ""),
        (b"", 400, ""),
        (b"{", 400, ""),
    ],
)
def test_a_body_that_cannot_be_is_refused(server: Server, ponds: str, body: Any, status: int, words: str) -> None:
    answer = server.request("POST", ponds, body)
    assert (answer.status, answer.body["status"]) == (status, "Failure")
    assert answer.body["message"].startswith(words)


def test_a_body_of_an_unknown_type_is_refused(server: Server, ponds: str) -> None:
    answer = server.request("POST", ponds, pond(), {"Content-Type": "text/plain"})
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")
    assert "accepted media types include: application/json, application/yaml" in answer.body["message"]
    strategic = server.request("PATCH", f"{ponds}/p", {}, {"Content-Type": "application/strategic-merge-patch+json"})
    assert strategic.status == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_is_not_there_is_404(server: Server, ponds: str, maps: str, method: str) -> None:
    for path, body, called in ((ponds, pond("none"), "ponds.pond.test"), (maps, {}, "configmaps")):
        about = {"metadata": {"name": "none", "resourceVersion": "3"}}
        sent = None if method in {"GET", "DELETE"} else body | about
        answer = server.request(method, f"{path}/none", sent, MERGE if method == "PATCH" else None)
        assert (answer.status, answer.body["reason"]) == (404, "NotFound")
        assert answer.body["message"] == f'{called} "none" not found'
        assert answer.body["details"]["name"] == "none"


def test_what_is_there_is_not_made_again(server: Server, ponds: str) -> None:
    made(server, ponds, pond())
    answer = server.request("POST", ponds, pond())
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.body["message"] == 'ponds.pond.test "p" already exists'
    assert answer.body["details"] == {"name": "p", "group": "pond.test", "kind": "ponds"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/namespaces/default/configmaps"),
        ("DELETE", "/api/v1/namespaces"),
        ("POST", "/api/v1/namespaces/x"),
    ],
)
def test_a_method_that_a_path_has_not_got_is_405(server: Server, method: str, path: str) -> None:
    answer = server.request(method, path, {})
    assert (answer.status, answer.body["reason"]) == (405, "MethodNotAllowed")


def test_the_name_in_the_body_is_that_of_the_path(server: Server, ponds: str) -> None:
    whole = made(server, ponds, pond())
    whole["metadata"]["name"] = "other"
    answer = server.request("PUT", f"{ponds}/p", whole)
    assert (answer.status, answer.body["message"]) == (
        400,
        "the name of the object (other) does not match the name on the URL (p)",
    )
    assert patched(server, f"{ponds}/p", {"metadata": {"name": "other"}}).status == 400


# --- core kinds -----------------------------------------------------------------------------------


def test_a_service_gets_its_defaults(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    spec = made(server, path, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})["spec"]
    assert spec["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 80}]
    assert (spec["type"], spec["sessionAffinity"], "clusterIP" in spec) == ("ClusterIP", "None", not server.is_local)
    bad = server.request("POST", path, {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 70000}]}})
    assert bad.status == 422
    assert "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive" in bad.body["message"]


def test_a_secret_keeps_text_as_data(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    whole = made(server, path, {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}})
    assert (whole["data"], whole["type"], "stringData" in whole) == ({"a": "Yg==", "c": "ZA=="}, "Opaque", False)
    bad = server.request("POST", path, {"metadata": {"name": "t"}, "stringData": {"a b": "x"}})
    assert bad.status == 422
    assert 'Secret "t" is invalid: data[a b]: Invalid value: "a b": a valid config key' in bad.body["message"]


def test_what_is_immutable_is_not_changed(server: Server, maps: str) -> None:
    made(server, maps, {"metadata": {"name": "c"}, "data": {"a": "b"}, "immutable": True})
    for change, field in (({"data": {"a": "c"}}, "data"), ({"immutable": False}, "immutable")):
        answer = patched(server, f"{maps}/c", change)
        assert (answer.status, answer.body["message"]) == (
            422,
            f'ConfigMap "c" is invalid: {field}: Forbidden: field is immutable when `immutable` is set',
        )
    assert patched(server, f"{maps}/c", {"metadata": {"labels": {"a": "b"}}}).status == 200


def _cannot(kind: str, said: str) -> str:
    return f'{kind} in version "v1" cannot be handled as a {kind}: {said}'


NOBODYS = "name is neither a standard finalizer name nor is it fully qualified"
_JSON = "json: cannot unmarshal"
_TIME = 'parsing time "x" as "2006-01-02T15:04:05'


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"uid": []}, f"{_JSON} array into Go struct field ObjectMeta.metadata.uid of type"),
        ({"generation": "x"}, f"{_JSON} string into Go struct field ObjectMeta.metadata.generation of type int64"),
        ({"creationTimestamp": "x"}, f'{_TIME}Z07:00": cannot parse "x" as "2006"'),
        (
            {"managedFields": "x"},
            f"{_JSON} string into Go struct field ObjectMeta.metadata.managedFields of type []v1.",
        ),
        ({"labels": []}, f"{_JSON} array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
        ({"finalizers": {}}, f"{_JSON} object into Go struct field ObjectMeta.metadata.finalizers of type []string"),
        (
            {"ownerReferences": [{"kind": 5}]},
            f"{_JSON} number into Go struct field OwnerReference.metadata.ownerReferences.kind of type string",
        ),
    ],
)
def test_metadata_that_nobody_can_read_is_refused_whoever_decides_it(
    server: Server, maps: str, ponds: str, about: Any, said: str
) -> None:
    answer = server.request("POST", maps, {"metadata": {"name": "p"} | about})
    assert answer.status == 400
    assert answer.body["message"].startswith(_cannot("ConfigMap", said))
    answer = server.request("POST", ponds, pond(about=about))
    assert answer.status == 400
    assert answer.body["message"].startswith(_cannot("Pond", said.replace(".metadata.", ".")))


def test_null_is_as_good_as_nothing(server: Server, maps: str, ponds: str, namespace: str) -> None:
    about = {"labels": {"a": None}, "annotations": None, "generateName": ""}
    whole = made(server, maps, {"metadata": {"name": "p"} | about, "data": {"a": None}, "immutable": None})
    assert (whole["data"], "immutable" in whole) == ({"a": ""}, False)
    for one in (whole, made(server, ponds, pond(about=about))):
        found = one["metadata"]
        assert (found["labels"], "annotations" in found, "generateName" in found) == ({"a": ""}, False, False)
    port = {"port": 80, "protocol": None, "name": None}
    path = f"/api/v1/namespaces/{namespace}/services"
    spec = made(server, path, {"metadata": {"name": "s"}, "spec": {"ports": [port], "type": ""}})["spec"]
    assert (spec["type"], spec["ports"]) == ("ClusterIP", [{"port": 80, "protocol": "TCP", "targetPort": 80}])


@pytest.mark.parametrize(
    ("where", "body", "said"),
    [
        ("secrets", {"type": "kubernetes.io/tls"}, "[data[tls.crt]: Required value, data[tls.key]: Required value]"),
        ("secrets", {"type": "kubernetes.io/ssh-auth"}, "data[ssh-privatekey]: Required value"),
        (
            "secrets",
            {"type": "kubernetes.io/service-account-token"},
            "metadata.annotations[kubernetes.io/service-account.name]: Required value",
        ),
        (
            "events",
            {"involvedObject": {"namespace": "other"}},
            'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
        ),
        (
            "leases",
            {"spec": {"leaseDurationSeconds": 0}},
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            "services",
            {"spec": {"ports": [{"port": 80}], "sessionAffinity": "x"}},
            'spec.sessionAffinity: Unsupported value: "x": supported values: "ClientIP", "None"',
        ),
        (
            "configmaps",
            {"metadata": {"name": "m", "finalizers": ["a"]}},
            f'metadata.finalizers[0]: Invalid value: "a": {NOBODYS}',
        ),
    ],
)
def test_an_object_of_a_core_kind_is_what_its_kind_asks_for(
    server: Server, namespace: str, where: str, body: Any, said: str
) -> None:
    group = "apis/coordination.k8s.io/v1" if where == "leases" else "api/v1"
    answer = server.request("POST", f"/{group}/namespaces/{namespace}/{where}", {"metadata": {"name": "m"}} | body)
    assert answer.status == 422
    assert answer.body["message"].partition(" is invalid: ")[2] == said
