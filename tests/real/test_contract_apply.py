"""One contract, two servers: server-side apply, who manages which field, and patches."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract import MERGE, Answer, Server
from tests.support.ponds import labelled_reed

pytestmark = pytest.mark.real

APPLY = {"Content-Type": "application/apply-patch+yaml"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def reed(name: str = "r", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "pond.test/v1", "kind": "Reed", "metadata": {"name": name}, "spec": spec}


def pond(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "pond.test/v1", "kind": "Pond", "metadata": {"name": "p"}, "spec": spec}


def applied(server: Server, path: str, body: Any, manager: str = "a", **query: str) -> Answer:
    return server.request("PATCH", path, body, APPLY, fieldManager=manager, **query)


def spec_of(answer: Answer) -> Any:
    assert answer.status in {200, 201}, answer.body
    return {k: v for k, v in answer.body["spec"].items() if k != "isGreen"}


def managed(answer: Answer) -> dict[str, Any]:
    assert answer.status in {200, 201}, answer.body
    found = {}
    for one in answer.body["metadata"].get("managedFields", ()):
        key = f"{one['manager']} {one['operation']} {one.get('subresource', '')}".strip()
        found[key] = one["fieldsV1"]
    return found


def test_an_apply_makes_and_changes_and_owns_what_it_states(server: Server, reeds: str) -> None:
    first = applied(server, f"{reeds}/r", reed(height=3))
    assert (first.status, spec_of(first)) == (201, {"height": 3})
    assert managed(first) == {"a Apply": {"f:spec": {"f:height": {}}}}
    again = applied(server, f"{reeds}/r", reed(height=3))
    assert (again.status, again.body) == (200, first.body)
    changed = applied(server, f"{reeds}/r", reed(height=4))
    assert (changed.status, spec_of(changed), changed.body["metadata"]["generation"]) == (200, {"height": 4}, 2)


def test_different_managers_apply_different_fields(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=3))
    both = applied(server, f"{reeds}/r", reed(colour="green"), "b")
    assert spec_of(both) == {"height": 3, "colour": "green"}
    assert managed(both) == {"a Apply": {"f:spec": {"f:height": {}}}, "b Apply": {"f:spec": {"f:colour": {}}}}


def test_a_field_that_its_only_owner_leaves_out_goes(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=3, colour="green"))
    assert spec_of(applied(server, f"{reeds}/r", reed(colour="green"))) == {"colour": "green"}


def test_a_field_with_another_owner_stays(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=3))
    shared = applied(server, f"{reeds}/r", reed(height=3), "b")
    assert managed(shared) == {"a Apply": {"f:spec": {"f:height": {}}}, "b Apply": {"f:spec": {"f:height": {}}}}
    left = applied(server, f"{reeds}/r", reed(colour="green"), "a")
    assert spec_of(left) == {"height": 3, "colour": "green"}
    assert spec_of(applied(server, f"{reeds}/r", reed(), "b")) == {"colour": "green"}


def test_a_field_of_another_manager_is_a_conflict(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=3))
    answer = applied(server, f"{reeds}/r", reed(height=4), "b")
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert answer.body["message"] == 'Apply failed with 1 conflict: conflict with "a": .spec.height'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".spec.height"}
    assert answer.body["details"]["causes"] == [cause]
    taken = applied(server, f"{reeds}/r", reed(height=4), "b", force="true")
    assert managed(taken) == {"b Apply": {"f:spec": {"f:height": {}}}}


def test_all_conflicts_are_said_at_once(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=3))
    applied(server, f"{reeds}/r", reed(colour="green"), "b")
    answer = applied(server, f"{reeds}/r", reed(height=4, colour="brown"), "c")
    assert answer.body["message"] == (
        'Apply failed with 2 conflicts: conflicts with "a":\n- .spec.height\nconflicts with "b":\n- .spec.colour'
    )


def test_an_update_takes_over_what_it_changes(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=3, colour="green"))
    change = {"spec": {"colour": "brown"}, "metadata": {"labels": {"x": "y"}}}
    updated = server.request("PATCH", f"{reeds}/r", change, MERGE, fieldManager="u")
    assert managed(updated) == {
        "a Apply": {"f:spec": {"f:height": {}}},
        "u Update": {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:spec": {"f:colour": {}}},
    }
    answer = applied(server, f"{reeds}/r", reed(height=3, colour="green"))
    assert answer.body["message"] == (
        'Apply failed with 1 conflict: conflict with "u" using pond.test/v1: .spec.colour'
    )


def test_who_makes_an_object_owns_all_of_it(server: Server, reeds: str, maps: str) -> None:
    body = reed(height=1, stalks=[{"name": "x"}])
    made = server.request("POST", reeds, body, fieldManager="poster")
    keyed: Any = {".": {}, 'k:{"name":"x"}': {".": {}, "f:name": {}}}
    found = managed(made)["poster Update"]["f:spec"]
    assert {**found, "f:isGreen": {}} == {".": {}, "f:height": {}, "f:isGreen": {}, "f:stalks": keyed}
    mapped = server.request("POST", maps, {"metadata": {"name": "c"}, "data": {"a": "b"}}, {"User-Agent": "me/1.0 x"})
    assert managed(mapped) == {"me Update": {"f:data": {".": {}, "f:a": {}}}}


def test_lists_are_merged_as_their_kind_says(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(tags=["a", "b"], stalks=[{"name": "s1", "length": 1}, {"name": "s2"}]))
    both = applied(
        server, f"{reeds}/r", reed(tags=["b", "c"], stalks=[{"name": "s2", "length": 9}, {"name": "s3"}]), "b"
    )
    stalks = [{"name": "s1", "length": 1}, {"name": "s2", "length": 9}, {"name": "s3"}]
    assert spec_of(both) == {"tags": ["a", "b", "c"], "stalks": stalks}
    assert managed(both)["b Apply"]["f:spec"] == {
        "f:stalks": {
            'k:{"name":"s2"}': {".": {}, "f:length": {}, "f:name": {}},
            'k:{"name":"s3"}': {".": {}, "f:name": {}},
        },
        "f:tags": {'v:"b"': {}, 'v:"c"': {}},
    }
    less = applied(server, f"{reeds}/r", reed(tags=["a"], stalks=[{"name": "s1", "length": 1}]))
    assert spec_of(less) == {"tags": ["a", "b", "c"], "stalks": stalks}, "b states them too"
    conflict = applied(server, f"{reeds}/r", reed(stalks=[{"name": "s2", "length": 8}]), "c")
    assert conflict.body["message"].endswith('conflict with "b": .spec.stalks[name="s2"].length')
    left = applied(server, f"{reeds}/r", reed(tags=["c"]), "b")
    assert spec_of(left) == {"tags": ["a", "c"], "stalks": [{"name": "s1", "length": 1}]}


def test_without_a_schema_objects_are_merged_and_lists_replaced(server: Server, ponds: str) -> None:
    made = applied(server, f"{ponds}/p", pond(a={"b": 1}, l=[1, {"x": 2}], e={}))
    assert managed(made) == {"a Apply": {"f:spec": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:e": {}, "f:l": {}}}}
    both = applied(server, f"{ponds}/p", pond(a={"c": 1}), "b")
    assert spec_of(both)["a"] == {"b": 1, "c": 1}
    changed = server.request("PATCH", f"{ponds}/p", {"spec": {"a": {"b": 2}}}, MERGE, fieldManager="u")
    assert managed(changed)["u Update"] == {"f:spec": {"f:a": {"f:b": {}}}}
    gone = server.request("PATCH", f"{ponds}/p", {"spec": {"a": None}}, MERGE, fieldManager="u2")
    assert managed(gone) == {
        "a Apply": {"f:spec": {".": {}, "f:e": {}, "f:l": {}}},
        "b Apply": {"f:spec": {}},
    }


def test_a_status_is_applied_apart(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=3) | {"status": {"cut": "no"}})
    status = {"apiVersion": "pond.test/v1", "kind": "Reed", "metadata": {"name": "r"}, "status": {"cut": "x"}}
    answer = applied(server, f"{reeds}/r/status", status, "st")
    assert answer.body["status"] == {"cut": "x"}
    assert managed(answer) == {"a Apply": {"f:spec": {"f:height": {}}}, "st Apply status": {"f:status": {"f:cut": {}}}}
    assert applied(server, f"{reeds}/none/status", status | {"metadata": {"name": "none"}}).status == 404


def test_core_kinds_are_applied(server: Server, namespace: str, maps: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    applied(server, f"{maps}/c", body | {"data": {"a": "b"}})
    both = applied(server, f"{maps}/c", body | {"data": {"c": "d"}}, "b")
    assert managed(both) == {"a Apply": {"f:data": {"f:a": {}}}, "b Apply": {"f:data": {"f:c": {}}}}
    assert applied(server, f"{maps}/c", body).body["data"] == {"c": "d"}
    services = f"/api/v1/namespaces/{namespace}/services"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    one = {"spec": {"ports": [{"port": 80, "name": "a"}], "selector": {"a": "b"}}}
    made = applied(server, f"{services}/s", service | one)
    port: Any = {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}}
    assert managed(made) == {"a Apply": {"f:spec": {"f:ports": port, "f:selector": {}}}}
    more = applied(server, f"{services}/s", service | {"spec": {"ports": [{"port": 81, "name": "b"}]}}, "b")
    assert [found["name"] for found in more.body["spec"]["ports"]] == ["a", "b"]


def test_an_owner_that_a_client_named_without_a_time_stays_without_one(server: Server, reeds: str) -> None:
    body = server.request("POST", reeds, reed(height=1)).body
    entry: dict[str, Any] = {"manager": "m", "operation": "Update", "apiVersion": "pond.test/v1"}
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:height": {}}}}
    body["metadata"]["managedFields"] = [entry]
    assert server.request("PUT", f"{reeds}/r", body).body["metadata"]["managedFields"] == [entry]
    assert applied(server, f"{reeds}/r", reed(colour="green")).body["metadata"]["managedFields"][-1] == entry


def test_what_was_there_before_the_first_apply_has_an_owner(server: Server, reeds: str) -> None:
    server.request("POST", reeds, reed(height=1))
    reset = server.request("PATCH", f"{reeds}/r", {"metadata": {"managedFields": [{}]}}, MERGE)
    assert "managedFields" not in reset.body["metadata"]
    answer = applied(server, f"{reeds}/r", reed(height=2))
    assert answer.body["message"] == (
        'Apply failed with 1 conflict: conflict with "before-first-apply" using pond.test/v1: .spec.height'
    )


def test_an_apply_of_another_revision_is_a_conflict(server: Server, reeds: str) -> None:
    applied(server, f"{reeds}/r", reed(height=1))
    body = reed(height=1)
    body["metadata"]["resourceVersion"] = "3"
    answer = applied(server, f"{reeds}/r", body)
    assert answer.status == 409
    assert answer.body["message"].startswith(
        'Operation cannot be fulfilled on reeds.pond.test "r": the object has been modified; please apply your changes'
    )


def test_a_dry_run_of_an_apply_stores_nothing(server: Server, reeds: str) -> None:
    answer = applied(server, f"{reeds}/r", reed(height=1), dryRun="All")
    assert (answer.status, spec_of(answer)) == (201, {"height": 1})
    assert server.request("GET", f"{reeds}/r").status == 404


OPTIONS = 'PatchOptions.meta.k8s.io "" is invalid: '


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        ({}, reed(), 422, f"{OPTIONS}fieldManager: Required value: is required for apply patch"),
        (
            {"fieldManager": "m" * 129},
            reed(),
            422,
            f"{OPTIONS}fieldManager: Too long: may not be more than 128 bytes",
        ),
        (
            {"fieldManager": "m\n"},
            reed(),
            422,
            f'{OPTIONS}fieldManager: Invalid value: "m\\n": invalid character U+000A (at position 1)',
        ),
        (
            {"fieldManager": "a"},
            reed() | {"metadata": {"name": "r", "managedFields": [{"manager": "x"}]}},
            400,
            "metadata.managedFields must be nil",
        ),
        ({"fieldManager": "a"}, reed("q"), 400, "the name of the object (q) does not match the name on the URL (r)"),
        ({"fieldManager": "a"}, {"metadata": {"name": "r"}}, 400, "invalid object type: /, Kind="),
        ({"fieldManager": "a"}, b"a: [", 400, ""),
        ({"fieldManager": "a"}, [], 400, "error decoding YAML"),
    ],
)
def test_an_apply_that_cannot_be_is_refused(
    server: Server, reeds: str, query: dict[str, str], body: Any, status: int, message: str
) -> None:
    applied(server, f"{reeds}/r", reed(height=1))
    answer = server.request("PATCH", f"{reeds}/r", body, APPLY, **query)
    assert answer.status == status, answer.body
    assert answer.body["message"].startswith(message)


def test_force_is_for_applies_only(server: Server, reeds: str) -> None:
    answer = server.request("PATCH", f"{reeds}/r", {}, MERGE, force="true")
    assert (answer.status, answer.body["message"]) == (
        422,
        f"{OPTIONS}force: Forbidden: may not be specified for non-apply patch",
    )


# --- JSON patches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operations", "status", "expected"),
    [
        ([{"op": "replace", "path": "/spec/height", "value": 4}], 200, {"height": 4, "tags": ["a"]}),
        ([{"op": "add", "path": "/spec/weight", "value": 1}], 200, {"height": 3, "weight": 1, "tags": ["a"]}),
        ([{"op": "add", "path": "/spec/tags/-", "value": "b"}], 200, {"height": 3, "tags": ["a", "b"]}),
        ([{"op": "remove", "path": "/spec/tags"}], 200, {"height": 3}),
        ([{"op": "move", "from": "/spec/height", "path": "/spec/weight"}], 200, {"weight": 3, "tags": ["a"]}),
        (
            [{"op": "copy", "from": "/spec/height", "path": "/spec/weight"}],
            200,
            {"height": 3, "weight": 3, "tags": ["a"]},
        ),
        (
            [{"op": "test", "path": "/spec/height", "value": 3}, {"op": "remove", "path": "/spec/height"}],
            200,
            {"tags": ["a"]},
        ),
        ([{"op": "test", "path": "/spec/height", "value": 9}], 422, None),
        ([{"op": "remove", "path": "/spec/none"}], 422, None),
        ([{"op": "add", "path": "/spec/tags/9", "value": "c"}], 422, None),
        ([{"op": "bogus", "path": "/x"}], 422, None),
        ([{"op": "add", "path": "spec", "value": 1}], 422, None),
        ({}, 400, None),
        (b"{", 400, None),
    ],
)
def test_a_json_patch_is_all_or_nothing(
    server: Server, reeds: str, operations: Any, status: int, expected: dict[str, Any] | None
) -> None:
    before = server.request("POST", reeds, reed(height=3, tags=["a"]))
    answer = server.request("PATCH", f"{reeds}/r", operations, JSON_PATCH)
    assert answer.status == status, answer.body
    if expected is not None:
        assert spec_of(answer) == expected
    else:
        assert server.request("GET", f"{reeds}/r").body == before.body
        assert answer.body["message"].startswith("the server rejected our request" if status == 422 else "")


def test_null_in_a_merge_patch_removes(server: Server, reeds: str) -> None:
    server.request("POST", reeds, reed(height=3, tags=["a"]))
    answer = server.request("PATCH", f"{reeds}/r", {"spec": {"height": None, "none": None, "tags": ["b"]}}, MERGE)
    assert spec_of(answer) == {"tags": ["b"]}


# --- kubectl ----------------------------------------------------------------------------------------------------------

MANIFEST = """
apiVersion: pond.test/v1
kind: Reed
metadata: {name: r, labels: {app: x}}
spec: {height: %d}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {a: "%d"}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: %d, name: web}]}
"""
SAID = "reed.pond.test/r {0}\nconfigmap/c {0}\nservice/s {0}\n"


def test_kubectl_applies_on_the_client(server: Server, namespace: str, reeds: str) -> None:
    apply = ("apply", "-n", namespace, "-f", "-")
    assert server.kubectl(*apply, stdin=MANIFEST % (1, 1, 80)) == SAID.format("created")
    assert server.kubectl(*apply, stdin=MANIFEST % (1, 1, 80)) == SAID.format("unchanged")
    assert server.kubectl(*apply, stdin=MANIFEST % (2, 2, 81)) == SAID.format("configured")
    found = server.request("GET", f"/api/v1/namespaces/{namespace}/services/s").body["spec"]["ports"]
    assert [(port["port"], port["name"]) for port in found] == [(81, "web")]
    less = (MANIFEST % (2, 2, 81)).replace("labels: {app: x}", "labels: {}")
    assert server.kubectl(*apply, stdin=less).startswith("reed.pond.test/r configured\n")
    assert "labels" not in server.request("GET", f"{reeds}/r").body["metadata"]


def test_kubectl_applies_a_list(server: Server, namespace: str) -> None:
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}, reed("b", height=1)]
    apply = ("apply", "-n", namespace, "-f", "-")
    said = server.kubectl(*apply, stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert said == "configmap/a created\nreed.pond.test/b created\n"
    bad = {"apiVersion": "v1", "kind": "List", "items": [reed("c", heigth=1)]}
    refused = server.kubectl_run(*apply, stdin=json.dumps(bad))
    assert refused.returncode == 1
    assert re.search(r'unknown field "(spec\.)?heigth"', refused.stderr), "of a list kubectl may look itself"


def test_kubectl_applies_on_the_server(server: Server, namespace: str, reeds: str) -> None:
    apply = ("apply", "--server-side", "-n", namespace, "-f", "-")
    assert server.kubectl(*apply, stdin=MANIFEST % (1, 1, 80)) == SAID.format("serverside-applied")
    other = (*apply, "--field-manager=other")
    refused = server.kubectl_run(*other, stdin=MANIFEST % (2, 1, 80))
    assert refused.returncode == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.height' in refused.stderr
    assert server.kubectl(*other, "--force-conflicts", stdin=MANIFEST % (2, 1, 80)) == SAID.format("serverside-applied")
    shown = server.kubectl("get", "reed", "r", "-n", namespace, "-o", "yaml", "--show-managed-fields")
    assert "manager: other" in shown
    assert "managedFields" not in server.kubectl("get", "reed", "r", "-n", namespace, "-o", "yaml")


def test_kubectl_goes_over_from_the_client_to_the_server(server: Server, namespace: str, reeds: str) -> None:
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST % (1, 1, 80))
    server.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=MANIFEST % (5, 5, 80))
    found = managed(server.request("GET", f"{reeds}/r"))
    assert "kubectl-client-side-apply Update" not in found
    assert "f:height" in found["kubectl Apply"]["f:spec"]
    assert server.request("GET", f"{reeds}/r").body["spec"]["height"] == 5


LAST = "kubectl.kubernetes.io/last-applied-configuration"


def with_last(text: str, **spec: Any) -> dict[str, Any]:
    whole = reed(**spec)
    whole["metadata"]["annotations"] = {LAST: text, "b": "c"}
    return whole


def last_of(server: Server, reeds: str, stated: Any, manager: str = "kubectl", **query: str) -> Any:
    answer = applied(server, f"{reeds}/r", stated, manager, force="true", **query)
    assert answer.status == 200, answer.body
    return answer.body["metadata"]["annotations"].get(LAST)


def test_kubectl_may_go_back_to_applying_on_the_client(server: Server, namespace: str, reeds: str) -> None:
    apply = ("apply", "-n", namespace, "-f", "-")
    server.kubectl(*apply, stdin=MANIFEST % (1, 1, 80))
    more = (MANIFEST % (1, 1, 80)).replace("height: 1", "height: 1, colour: brown")
    server.kubectl(*apply, "--server-side", stdin=more)
    server.kubectl(*apply, stdin=MANIFEST % (1, 1, 80))
    assert "colour" not in server.request("GET", f"{reeds}/r").body["spec"]


def test_an_apply_by_kubectl_keeps_up_what_it_applied_on_the_client(server: Server, reeds: str) -> None:
    server.request("POST", reeds, with_last("{}", height=1))
    stated = reed(height=2)
    stated["metadata"] |= {"namespace": reeds.split("/")[-2], "annotations": {"b": "<green> & \u2028"}}
    text = last_of(server, reeds, stated)
    assert json.loads(text) == stated
    assert '{"b":"\\u003cgreen\\u003e \\u0026 \\u2028"}' in text
    assert text.endswith('"spec":{"height":2}}\n')
    assert last_of(server, reeds, stated | {"spec": {"height": 3}}, "somebody") == text
    assert last_of(server, reeds, stated | {"spec": {"height": 3}}, dryRun="All") != text
    assert last_of(server, reeds, stated) == text
    stated["metadata"]["annotations"] = None
    assert "annotations" not in json.loads(last_of(server, reeds, stated))["metadata"]


def test_what_is_kept_up_says_nothing_of_itself(server: Server, reeds: str) -> None:
    server.request("POST", reeds, with_last("{}", height=1))
    stated = reed(height=2)
    for rest in ({"b": "c"}, {}):
        stated["metadata"]["annotations"] = {LAST: "{}"} | rest
        assert json.loads(last_of(server, reeds, stated))["metadata"]["annotations"] == rest
    assert applied(server, f"{reeds}/r", with_last("", height=2), "kubectl", force="true").status == 200
    assert last_of(server, reeds, reed(height=2)) is None, "there is nothing to keep up"


@pytest.mark.parametrize("annotations", ["x", {LAST: 3}, {LAST: {}}, [LAST]])
def test_what_cannot_be_annotations_is_refused_to_kubectl_too(server: Server, reeds: str, annotations: Any) -> None:
    server.request("POST", reeds, with_last("{}", height=1))
    stated = reed(height=2)
    stated["metadata"]["annotations"] = annotations
    answer = applied(server, f"{reeds}/r", stated, "kubectl", force="true")
    assert answer.status == (422 if server.is_local else 500), answer.body
    assert "annotations" in answer.body["message"]


def test_what_would_be_too_long_is_not_kept_up(server: Server, reeds: str) -> None:
    server.request("POST", reeds, with_last("{}", height=1))
    long = reed(height=1)
    long["metadata"]["annotations"] = {"b": "x" * (200 << 10)}
    assert last_of(server, reeds, long) is None


@pytest.mark.parametrize(
    "prune",
    [
        ("-l", "app=x", "--prune-allowlist=pond.test/v1/Reed", "--prune-allowlist=core/v1/ConfigMap"),
        ("--applyset=mine",),
    ],
)
def test_kubectl_prunes(server: Server, namespace: str, reeds: str, prune: tuple[str, ...]) -> None:
    both = [labelled_reed(name, {"app": "x"}, height=1) for name in ("r", "s")]
    apply = ("apply", "-n", namespace, "--prune", *prune, "-f", "-")
    for items, left in ((both, ["r", "s"]), (both[:1], ["r"])):
        done = server.kubectl_run(*apply, stdin="\n".join(map(json.dumps, items)), env={"KUBECTL_APPLYSET": "true"})
        assert done.returncode == 0, done.stderr
        assert [one["metadata"]["name"] for one in server.request("GET", reeds).body["items"]] == left


def test_kubectl_patches_labels_annotates_and_replaces(server: Server, namespace: str, reeds: str) -> None:
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST % (1, 1, 80))
    on = ("reed", "r", "-n", namespace)
    said = server.kubectl("patch", *on, "--type=merge", "-p", '{"spec": {"height": 2}}')
    assert said == "reed.pond.test/r patched\n"
    operations = json.dumps([{"op": "replace", "path": "/spec/height", "value": 3}])
    server.kubectl("patch", *on, "--type=json", "-p", operations)
    server.kubectl("patch", *on, "--subresource=status", "--type=merge", "-p", '{"status": {"cut": "x"}}')
    server.kubectl("patch", "cm", "c", "-n", namespace, "-p", '{"data": {"b": "c"}}')
    assert server.kubectl("label", *on, "x=y") == "reed.pond.test/r labeled\n"
    assert server.kubectl("label", *on, "app-") == "reed.pond.test/r unlabeled\n"
    assert server.kubectl("annotate", *on, "note=n") == "reed.pond.test/r annotated\n"
    whole = server.request("GET", f"{reeds}/r").body
    assert (whole["spec"]["height"], whole["status"], whole["metadata"]["labels"]) == (3, {"cut": "x"}, {"x": "y"})
    assert whole["metadata"]["annotations"]["note"] == "n"
    assert server.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/c").body["data"] == {"a": "1", "b": "c"}
    whole["spec"]["height"] = 9
    assert server.kubectl("replace", "-f", "-", stdin=json.dumps(whole)) == "reed.pond.test/r replaced\n"
    assert server.request("GET", f"{reeds}/r").body["spec"]["height"] == 9


def test_kubectl_edits(server: Server, namespace: str, reeds: str, tmp_path: Path) -> None:
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST % (1, 1, 80))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/height: 1/height: 7/; s/port: 80$/port: 90/" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IEXEC)
    for what in ("reed/r", "service/s"):
        done = server.kubectl_run("edit", what, "-n", namespace, env={"KUBE_EDITOR": str(editor)})
        assert done.returncode == 0, done.stderr
    assert server.request("GET", f"{reeds}/r").body["spec"]["height"] == 7
    ports = server.request("GET", f"/api/v1/namespaces/{namespace}/services/s").body["spec"]["ports"]
    assert [port["port"] for port in ports] == [90]


def test_kubectl_shows_differences(server: Server, namespace: str, reeds: str) -> None:
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST % (1, 1, 80))
    assert server.kubectl_run("diff", "-n", namespace, "-f", "-", stdin=MANIFEST % (1, 1, 80)).returncode == 0
    done = server.kubectl_run("diff", "-n", namespace, "-f", "-", stdin=MANIFEST % (2, 1, 80))
    assert done.returncode == 1, done.stderr
    assert "-  height: 1" in done.stdout
    assert "+  height: 2" in done.stdout
    assert server.request("GET", f"{reeds}/r").body["spec"]["height"] == 1


def test_kubectl_waits(server: Server, namespace: str, reeds: str) -> None:
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST % (1, 1, 80))
    on = ("reed/r", "-n", namespace, "--timeout=10s")
    assert server.kubectl("wait", "--for=jsonpath={.spec.height}=1", *on) == "reed.pond.test/r condition met\n"
    late = server.kubectl_run("wait", "--for=condition=Ready", "reed/r", "-n", namespace, "--timeout=1s")
    assert "timed out waiting for the condition on reeds/r" in late.stderr
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    server.request("PATCH", f"{reeds}/r/status", ready, MERGE)
    assert server.kubectl("wait", "--for=condition=Ready", *on) == "reed.pond.test/r condition met\n"
