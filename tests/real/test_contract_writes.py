"""One contract, two servers: what a write may not lose, may not take over, and may not be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import MERGE, Answer, Server
from tests.support.ponds import made, patched, pond, reed

pytestmark = pytest.mark.real

APPLY = {"Content-Type": "application/apply-patch+yaml"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


def applied(server: Server, path: str, body: Any, manager: str = "a", **query: str) -> Answer:
    return server.request("PATCH", path, body, APPLY, fieldManager=manager, **query)


def stalks(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name} | more for name in names]


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["message"]


def config_map(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} | more


def service(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "v"}, "spec": {"ports": list(ports)}}


@pytest.fixture
def services(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"


@pytest.mark.parametrize(
    ("live", "stated", "order"),
    [
        ("cab", "ac", "abc"),
        ("cab", "x", "cabx"),
        ("abc", "cxa", "bcxa"),
        ("abc", "xb", "axbc"),
        ("abcd", "dcba", "dcba"),
        ("ab", "", "ab"),
    ],
)
def test_items_come_in_the_order_that_is_applied(
    server: Server, reeds: str, live: str, stated: str, order: str
) -> None:
    made(server, reeds, reed(spec={"stalks": stalks(*live), "tags": list(live)}))
    answer = applied(server, f"{reeds}/r", reed(spec={"stalks": stalks(*stated), "tags": list(stated)}))
    assert "".join(one["name"] for one in answer.body["spec"]["stalks"]) == order
    assert "".join(answer.body["spec"]["tags"]) == order


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_applied_takes_nothing_away(server: Server, reeds: str, ponds: str, nothing: Any) -> None:
    made(server, reeds, reed(spec={"height": 1, "stalks": stalks("a")}))
    assert applied(server, f"{reeds}/r", reed(spec=nothing)).body["spec"]["height"] == 1
    made(server, ponds, pond(spec={"m": {"x": 1}}))
    answer = applied(server, f"{ponds}/p", pond(spec={"m": nothing}))
    assert (answer.status, answer.body["spec"]) == (200, {"m": {"x": 1}})


def test_a_field_of_another_form_is_a_conflict_too(server: Server, ponds: str) -> None:
    made(server, f"{ponds}?fieldManager=u", pond(spec={"m": [1]}))
    answer = applied(server, f"{ponds}/p", pond(spec={"m": {"x": 1}}))
    assert said(answer) == (409, 'Apply failed with 1 conflict: conflict with "u" using pond.test/v1: .spec.m')


def test_conflicts_are_said_from_the_top(server: Server, ponds: str) -> None:
    made(server, f"{ponds}?fieldManager=u", pond(spec={"a": {"deep": 1}, "b": 1}, top=1))
    answer = applied(server, f"{ponds}/p", pond(spec={"a": {"deep": 2}, "b": 2}, top=2))
    assert said(answer)[1].splitlines()[1:] == ["- .top", "- .spec.b", "- .spec.a.deep"]


def test_what_an_apply_empties_goes(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(about={"labels": {"a": "1"}}, spec={"stalks": stalks("a"), "tags": ["a"]}))
    answer = applied(server, f"{reeds}/r", reed())
    assert (answer.body["spec"], answer.body["metadata"].get("labels")) == ({"isGreen": True}, None)


@pytest.mark.parametrize("mode", ["Ignore", "Warn", "Strict"])
def test_fields_that_there_are_not_cannot_be_applied(
    server: Server, namespace: str, reeds: str, maps: str, mode: str
) -> None:
    refused = applied(server, f"{reeds}/r", reed(spec={"depth": 1}), fieldValidation=mode)
    why = "failed to create typed patch object"
    kind = "/r; pond.test/v1, Kind=Reed"
    assert said(refused) == (500, f"{why} ({kind}): .spec.depth: field not declared in schema")
    assert server.request("GET", f"{reeds}/r").status == 404
    body = config_map(more=1) | {"metadata": {"name": "c", "namespace": namespace}}
    refused = applied(server, f"{maps}/c", body, fieldValidation=mode)
    assert said(refused) == (500, f"{why} ({namespace}/c; /v1, Kind=ConfigMap): .more: field not declared in schema")


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (
            {"stalks": [*stalks("a", length=1), *stalks("a", length=2)]},
            '.spec.stalks: duplicate entries for key [name="a"]',
        ),
        ({"tags": ["a", "b", "a"]}, '.spec.tags: duplicate entries for key [="a"]'),
    ],
)
def test_what_stands_twice_cannot_be_applied(server: Server, reeds: str, spec: Any, what: str) -> None:
    status, message = said(applied(server, f"{reeds}/r", reed(spec=spec)))
    assert (status, message) == (500, f"failed to create typed patch object (/r; pond.test/v1, Kind=Reed): {what}")


def test_going_over_to_the_server_takes_only_what_is_as_it_was_applied(
    server: Server, namespace: str, reeds: str
) -> None:
    file = server.home / "over.yaml"
    about = f"apiVersion: pond.test/v1\nkind: Reed\nmetadata: {{name: r, namespace: {namespace}}}\n"
    file.write_text(f"{about}spec: {{height: 1, weight: 1}}\n")
    server.kubectl("apply", "-f", str(file))
    patched(server, f"{reeds}/r?fieldManager=scaler", {"spec": {"height": 9}})
    file.write_text(f"{about}spec: {{height: 2, weight: 2}}\n")
    run = server.kubectl_run("apply", "--server-side", "-f", str(file))
    assert run.returncode == 1
    assert 'conflict with "scaler" using pond.test/v1: .spec.height' in run.stderr
    assert server.request("GET", f"{reeds}/r").body["spec"]["height"] == 9


def test_an_object_that_nobody_manages_stays_so_until_an_apply(server: Server, reeds: str) -> None:
    made(server, f"{reeds}?fieldManager=u", reed(spec={"height": 1}))
    stripped = patched(server, f"{reeds}/r", {"metadata": {"managedFields": [{}]}, "spec": {"height": 2}})
    assert "managedFields" not in stripped.body["metadata"]
    assert "managedFields" not in patched(server, f"{reeds}/r", {"spec": {"height": 3}}).body["metadata"]
    answer = applied(server, f"{reeds}/r", reed(spec={"weight": 1.5}))
    fields = {one["manager"]: one["fieldsV1"] for one in answer.body["metadata"]["managedFields"]}
    assert fields["before-first-apply"] == {"f:spec": {".": {}, "f:height": {}, "f:isGreen": {}}}


def test_no_managed_fields_mean_none_for_core_kinds_only(server: Server, reeds: str, maps: str) -> None:
    made(server, reeds, reed(spec={"height": 1}))
    made(server, maps, config_map(data={"a": "b"}))
    none: Any = {"metadata": {"managedFields": []}}
    assert "managedFields" in patched(server, f"{reeds}/r", none).body["metadata"]
    assert "managedFields" not in patched(server, f"{maps}/c", none).body["metadata"]


def test_managed_fields_are_not_written_with_the_status(server: Server, reeds: str) -> None:
    made(server, f"{reeds}?fieldManager=u", reed(spec={"height": 1}))
    change = {"metadata": {"managedFields": [{}]}, "status": {"cut": "x"}}
    answer = server.request("PATCH", f"{reeds}/r/status", change, MERGE, fieldManager="s")
    assert {one["manager"] for one in answer.body["metadata"]["managedFields"]} == {"s", "u"}


def test_a_whole_number_is_the_same_however_it_is_written(server: Server, reeds: str) -> None:
    path = f"{reeds}/r"
    first = server.request(
        "POST", reeds, b'{"apiVersion":"pond.test/v1","kind":"Reed","metadata":{"name":"r"},"spec":{"weight":1.0}}'
    )
    again = server.request("PATCH", path, b'{"spec":{"weight":1}}', MERGE, fieldManager="b")
    assert again.body == first.body
    assert str(first.body["spec"]["weight"]) == "1"
    taken = applied(server, path, b"{apiVersion: pond.test/v1, kind: Reed, metadata: {name: r}, spec: {weight: 1.0}}")
    assert (taken.status, str(taken.body["spec"]["weight"])) == (200, "1")


def test_a_write_says_the_name(server: Server, reeds: str, maps: str) -> None:
    made(server, reeds, reed())
    made(server, maps, config_map())
    for path in (f"{reeds}/r", f"{maps}/c"):
        why = f"the name of the object ({path[-1]} based on URL) was undeterminable: name must be provided"
        assert said(patched(server, path, {"metadata": None})) == (400, why)
        body = server.request("GET", path).body
        del body["metadata"]["name"]
        assert said(server.request("PUT", path, body)) == (400, why)


def test_a_dry_run_answers_with_the_revision_that_is_there(server: Server, reeds: str) -> None:
    new = server.request("POST", reeds, reed("n"), dryRun="All")
    assert (new.status, "resourceVersion" in new.body["metadata"]) == (201, False)
    before = made(server, reeds, reed())["metadata"]["resourceVersion"]
    change = {"spec": {"height": 1}}
    answers = [
        server.request("PATCH", f"{reeds}/r", change, MERGE, dryRun="All"),
        server.request("PATCH", f"{reeds}/r/status", {"status": {"cut": "x"}}, MERGE, dryRun="All"),
        applied(server, f"{reeds}/r", reed(spec={"height": 2}), dryRun="All"),
        server.request("PUT", f"{reeds}/r", reed(about={"resourceVersion": before}, spec={"height": 1}), dryRun="All"),
    ]
    assert [one.body["metadata"]["resourceVersion"] for one in answers] == [before] * 4


def test_revision_zero_is_any(server: Server, reeds: str, maps: str) -> None:
    made(server, maps, config_map())
    any_ = {"metadata": {"resourceVersion": "0"}, "data": {"a": "b"}}
    assert patched(server, f"{maps}/c", any_).body["data"] == {"a": "b"}
    made(server, reeds, reed())
    answer = patched(server, f"{reeds}/r", {"metadata": {"resourceVersion": "0"}})
    assert (answer.status, "must be specified for an update" in answer.body["message"]) == (422, True)


def test_a_json_patch_is_bounded(server: Server, reeds: str) -> None:
    before = made(server, reeds, reed(spec={"tags": ["a" * 1000]}))
    many = [{"op": "test", "path": "/spec/isGreen", "value": True}] * 10_001
    answer = server.request("PATCH", f"{reeds}/r", many, JSON_PATCH)
    limit = "The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert said(answer) == (413, f"Request entity too large: {limit}")
    copies = [{"op": "add", "path": "/spec/x", "value": {}}]
    copies += [{"op": "copy", "from": "/spec", "path": f"/spec/x/{n}"} for n in range(60)]
    assert server.request("PATCH", f"{reeds}/r", copies, JSON_PATCH).status == 422
    assert server.request("GET", f"{reeds}/r").body == before


def test_null_and_nothing_in_a_config_map(server: Server, maps: str) -> None:
    body = config_map(data={"a": None, "b": "c"}, binaryData={}, immutable=None)
    answer = server.request("POST", maps, body)
    assert {k: v for k, v in answer.body.items() if k not in {"metadata", "apiVersion", "kind"}} == {
        "data": {"a": "", "b": "c"}
    }
    assert "data" not in patched(server, f"{maps}/c", {"data": {"a": None, "b": None}}).body


def test_a_patch_that_does_not_fit_is_invalid(server: Server, maps: str) -> None:
    made(server, maps, config_map(data={"a": "b"}))
    for change in ({"data": 1}, {"data": {"a": 1}}, {"immutable": "x"}):
        assert patched(server, f"{maps}/c", change).status == 422
    assert server.request("GET", f"{maps}/c").body["data"] == {"a": "b"}


@pytest.mark.parametrize("about", [{"labels": []}, {"annotations": []}, {"finalizers": {}}, {"ownerReferences": {}}])
def test_nothing_of_another_form_is_not_nothing(server: Server, reeds: str, maps: str, about: Any) -> None:
    for path, body in ((reeds, reed(about=about)), (maps, config_map() | {"metadata": {"name": "c"} | about})):
        assert server.request("POST", path, body).status == 400
    empty: Any = {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}
    assert not made(server, reeds, reed(about=empty))["metadata"].keys() & empty.keys()


def test_a_strategic_patch_puts_new_items_first(server: Server, services: str) -> None:
    made(server, services, service({"port": 80, "name": "a"}, {"port": 81, "name": "b"}))
    change = {"spec": {"ports": [{"port": 90, "name": "new"}, {"port": 81, "name": "b2"}]}}
    answer = server.request("PATCH", f"{services}/v", change, STRATEGIC)
    assert [port["name"] for port in answer.body["spec"]["ports"]] == ["new", "a", "b2"]
    change = {"spec": {"ports": [{"port": 91, "name": "only"}, {"$patch": "replace", "port": 1}]}}
    answer = server.request("PATCH", f"{services}/v", change, STRATEGIC)
    assert [port["name"] for port in answer.body["spec"]["ports"]] == ["only"]
    answer = server.request("PATCH", f"{services}/v", {"metadata": {"finalizers": ["x.test/a"]}}, STRATEGIC)
    answer = server.request("PATCH", f"{services}/v", {"metadata": {"finalizers": ["x.test/b"]}}, STRATEGIC)
    assert answer.body["metadata"]["finalizers"] == ["x.test/b", "x.test/a"]


def test_a_directive_that_there_is_not_is_refused(server: Server, maps: str) -> None:
    made(server, maps, config_map(data={"a": "b"}))
    answer = server.request("PATCH", f"{maps}/c", {"data": {"$patch": "merge", "c": "d"}}, STRATEGIC)
    assert answer.status == (422 if server.is_local else 500)
    change = {"data": {"$retainKeys": ["a"], "c": "d"}}
    answer = server.request("PATCH", f"{maps}/c", change, STRATEGIC)
    assert answer.status == (422 if server.is_local else 400)
    assert server.request("GET", f"{maps}/c").body["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("ports", "fields"),
    [
        ([{"name": "a"}], ["spec.ports[0].port", "spec.ports[0].targetPort"]),
        ([None], ["spec.ports[0].port", "spec.ports[0].targetPort"]),
        ([{"port": 80, "name": "a"}, {"port": 80, "name": "b"}], ["spec.ports[1]"]),
    ],
)
def test_a_service_has_ports_and_each_once(server: Server, services: str, ports: Any, fields: list[str]) -> None:
    answer = server.request("POST", services, service(*ports))
    assert answer.status == 422
    assert [cause["field"] for cause in answer.body["details"]["causes"]] == fields
    if fields == ["spec.ports[1]"]:
        same = '{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}'
        assert answer.body["message"] == f'Service "v" is invalid: spec.ports[1]: Duplicate value: {same}'
