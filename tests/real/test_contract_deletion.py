"""One contract, two servers: what deletions ask and of what, one after another, and owners that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import MERGE, Server
from tests.support.ponds import (
    CRDS,
    definition,
    is_gone,
    made,
    owner_of,
    patched,
    pond,
    reed,
    until_collector_knows,
    until_gone,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real


@pytest.mark.parametrize("in_query", [True, False])
def test_many_are_deleted_as_is_asked(server: Server, ponds: str, reeds: str, in_query: bool) -> None:
    owner = made(server, ponds, pond("owner"))
    made(server, reeds, reed("kept", {"ownerReferences": [owner_of(owner)]}))
    until_collector_knows(server, reeds, owner)
    orphan = {"propagationPolicy": "Orphan"}
    refused = server.request("DELETE", ponds, {"propagationPolicy": "Never"})
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    other = server.request("DELETE", ponds, {"preconditions": {"uid": "other"}})
    assert (other.status, server.request("GET", f"{ponds}/owner").status) == (409, 200)
    query = orphan if in_query else {}
    assert server.request("DELETE", ponds, None if in_query else orphan, None, **query).status == 200
    until_gone(server, f"{ponds}/owner")
    assert "ownerReferences" not in server.request("GET", f"{reeds}/kept").body["metadata"]


def test_a_deletion_without_a_policy_does_not_undo_one_that_waits(server: Server, ponds: str, reeds: str) -> None:
    owner = made(server, ponds, pond("owner"))
    about = {"ownerReferences": [owner_of(owner, blockOwnerDeletion=True)], "finalizers": ["a.test/x"]}
    made(server, reeds, reed("held", about))
    until_collector_knows(server, reeds, owner)
    server.request("DELETE", f"{ponds}/owner", {"propagationPolicy": "Foreground"})
    again = server.request("DELETE", f"{ponds}/owner").body
    assert (again["kind"], again["metadata"]["finalizers"]) == ("Pond", ["foregroundDeletion"])
    patched(server, f"{reeds}/held", {"metadata": {"finalizers": None}})
    until_gone(server, f"{ponds}/owner")


def test_the_last_deletion_says_what_becomes_of_dependents(server: Server, ponds: str, reeds: str) -> None:
    owner = made(server, ponds, pond("owner", {"finalizers": ["a.test/x"]}))
    made(server, reeds, reed("kept", {"ownerReferences": [owner_of(owner)]}))
    until_collector_knows(server, reeds, owner)
    server.request("DELETE", f"{ponds}/owner")
    again = server.request("DELETE", f"{ponds}/owner", {"propagationPolicy": "Orphan"}).body
    assert again["metadata"]["finalizers"] == ["a.test/x", "orphan"]
    wait_for(
        lambda: "ownerReferences" not in server.request("GET", f"{reeds}/kept").body.get("metadata", {}),
        "the dependent knows no owner",
    )
    patched(server, f"{ponds}/owner", {"metadata": {"finalizers": None}})
    until_gone(server, f"{ponds}/owner")
    assert server.request("GET", f"{reeds}/kept").status == 200


def test_owners_in_a_circle_do_not_wait_for_each_other(server: Server, ponds: str) -> None:
    one = made(server, ponds, pond("one"))
    other = made(server, ponds, pond("other", {"ownerReferences": [owner_of(one, blockOwnerDeletion=True)]}))
    back = {"metadata": {"ownerReferences": [owner_of(other, blockOwnerDeletion=True)]}}
    assert patched(server, f"{ponds}/one", back).status == 200
    server.request("DELETE", f"{ponds}/one", {"propagationPolicy": "Foreground"})
    until_gone(server, f"{ponds}/one")
    until_gone(server, f"{ponds}/other")


def test_what_holds_a_namespace_is_not_the_clients_to_take(server: Server, namespace: str, maps: str) -> None:
    path, mine = f"/api/v1/namespaces/{namespace}", {"metadata": {"name": namespace}}
    free: dict[str, Any] = mine | {"spec": {"finalizers": []}}
    assert server.request("PUT", path, free).body["spec"] == {"finalizers": ["kubernetes"]}
    made(server, maps, {"metadata": {"name": "held", "finalizers": ["a.test/x"]}})
    server.request("DELETE", path)
    for body in (mine, free):
        assert server.request("PUT", path, body).body["spec"] == {"finalizers": ["kubernetes"]}
        assert server.request("GET", path).body["status"]["phase"] == "Terminating"
    patched(server, f"{maps}/held", {"metadata": {"finalizers": None}})
    until_gone(server, path)


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"dryRun": "All"},
        {"dryRun": [5]},
        {"orphanDependents": []},
        {"orphanDependents": "true"},
        {"propagationPolicy": 5},
        {"preconditions": []},
        {"preconditions": {"uid": 5}},
        {"gracePeriodSeconds": "x"},
        {"gracePeriodSeconds": 1.5},
        {"kind": 5},
        {"kind": "DeleteOptions", "apiVersion": 5},
    ],
)
def test_options_that_are_none_delete_nothing(server: Server, ponds: str, options: Any) -> None:
    made(server, ponds, pond())
    for path in (f"{ponds}/p", ponds):
        answer = server.request("DELETE", path, options)
        assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert not is_gone(server, f"{ponds}/p")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"dryRun": ""}, 422),
        ({"propagationPolicy": ""}, 422),
        ({"gracePeriodSeconds": "abc"}, 400),
        ({"resourceVersion": "1"}, 409),
    ],
)
def test_a_query_that_cannot_be_deletes_nothing(server: Server, ponds: str, query: dict[str, str], status: int) -> None:
    made(server, ponds, pond())
    assert server.request("DELETE", f"{ponds}/p", None, None, **query).status == status
    assert not is_gone(server, f"{ponds}/p")


def test_a_dry_run_shows_the_revision_that_there_is(server: Server, ponds: str) -> None:
    revision = made(server, ponds, pond(about={"finalizers": ["a.test/x"]}))["metadata"]["resourceVersion"]
    for method, body, sent in (("PATCH", {"depth": 3}, MERGE), ("DELETE", None, None)):
        answer = server.request(method, f"{ponds}/p", body, sent, dryRun="All")
        assert answer.body["metadata"]["resourceVersion"] == revision


def test_what_is_going_says_so(server: Server, ponds: str, maps: str) -> None:
    for path, body, called in ((ponds, pond(), "ponds.pond.test"), (maps, {"metadata": {"name": "p"}}, "configmaps")):
        made(server, path, body | {"metadata": {"name": "p", "finalizers": ["a.test/x", "a.test/x"]}})
        marked = server.request("DELETE", f"{path}/p").body["metadata"]
        assert (marked["deletionGracePeriodSeconds"], marked["finalizers"]) == (0, ["a.test/x", "a.test/x"])
        again = server.request("POST", path, body)
        assert (again.status, again.body["message"]) == (
            409,
            f'object is being deleted: {called} "p" already exists',
        )
        patched(server, f"{path}/p", {"metadata": {"finalizers": None}})


def test_nobody_but_a_deletion_says_that_an_object_goes(server: Server, ponds: str, maps: str) -> None:
    for path, body, kind in ((ponds, pond(), "Pond.pond.test"), (maps, {"metadata": {"name": "p"}}, "ConfigMap")):
        made(server, path, body)
        for field, value in (("deletionTimestamp", "2020-01-01T00:00:00Z"), ("uid", "other")):
            answer = patched(server, f"{path}/p", {"metadata": {field: value}})
            assert (answer.status, answer.body["message"]) == (
                422,
                f'{kind} "p" is invalid: metadata.{field}: Invalid value: "{value}": field is immutable',
            )


# --- owners ---------------------------------------------------------------------------------------


def test_an_owner_is_named_once(server: Server, ponds: str, reeds: str) -> None:
    owner = owner_of(made(server, ponds, pond()))
    other = owner | {"blockOwnerDeletion": True}
    whole = made(server, reeds, reed("r", {"ownerReferences": [owner, other, owner]}))
    assert whole["metadata"]["ownerReferences"] == [owner, other]


def test_dependents_cannot_both_stay_and_go_first(server: Server, ponds: str) -> None:
    both = ["foregroundDeletion", "orphan"]
    answer = server.request("POST", ponds, pond(about={"finalizers": both}))
    assert answer.status == 422
    assert answer.body["message"] == (
        'Pond.pond.test "p" is invalid: metadata.finalizers: Invalid value: ["foregroundDeletion","orphan"]: '
        "finalizer orphan and foregroundDeletion cannot be both set"
    )


def test_what_has_an_owner_of_an_unknown_kind_stays_as_it_is(server: Server, namespace: str, ponds: str) -> None:
    nobody = {"apiVersion": "egret.test/v1", "kind": "Egret", "name": "e", "uid": "of-nobody"}
    none = {"apiVersion": "pond.test/v1", "kind": "Pond", "name": "none", "uid": "of-none"}
    made(server, ponds, pond("kept", {"ownerReferences": [none, nobody]}))
    made(server, ponds, pond("gone", {"ownerReferences": [none]}))
    until_gone(server, f"{ponds}/gone")
    owners = server.request("GET", f"{ponds}/kept").body["metadata"]["ownerReferences"]
    assert [one["name"] for one in owners] == ["none", "e"]


# --- namespaces and definitions -------------------------------------------------------------------


def test_a_namespace_is_deleted_as_it_was_meant_and_stays_going(server: Server, namespace: str, maps: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    uid = server.request("GET", path).body["metadata"]["uid"]
    refused = server.request("DELETE", path, {"preconditions": {"uid": "other"}})
    assert refused.status == 409
    assert refused.body["message"] == (
        f'Operation cannot be fulfilled on namespaces "{namespace}": '
        f"Precondition failed: UID in precondition: other, UID in object meta: {uid}"
    )
    made(server, maps, {"metadata": {"name": "held", "finalizers": ["a.test/x"]}})
    for phase, only in (
        ("Terminating", "'Active' if `deletionTimestamp` is empty"),
        ("Active", "'Terminating' if `deletionTimestamp` is not empty"),
    ):
        other = patched(server, f"{path}/status", {"status": {"phase": phase}})
        why = f'status.Phase: Invalid value: "{phase}": may only be {only}'
        assert (other.status, other.body["message"]) == (422, f'Namespace "{namespace}" is invalid: {why}')
        server.request("DELETE", path)
    patched(server, f"{maps}/held", {"metadata": {"finalizers": None}})
    until_gone(server, path)


def defined(server: Server, namespace: str, plural: str, kind: str, about: Any = None) -> tuple[str, str, Any]:
    """A new kind with one object: paths of the definition and of the objects, and the object."""
    objects = f"/apis/{plural}.test/v1/namespaces/{namespace}/{plural}"
    made(server, CRDS, definition(f"{plural}.test", kind, plural))
    body = {"apiVersion": f"{plural}.test/v1", "kind": kind, "metadata": {"name": "o"} | (about or {})}
    wait_for(lambda: server.request("POST", objects, body).status == 201, "the kind is there")
    return f"{CRDS}/{plural}.{plural}.test", objects, server.request("GET", f"{objects}/o").body


def test_nothing_is_made_of_a_kind_that_goes(server: Server, namespace: str) -> None:
    crd, bitterns, whole = defined(server, namespace, "bitterns", "Bittern", {"finalizers": ["a.test/x"]})
    marked = server.request("DELETE", crd).body
    about = {"type": "Terminating", "status": "True", "reason": "InstanceDeletionPending"}
    assert about.items() <= marked["status"]["conditions"][-1].items()
    assert (marked["metadata"]["generation"], "deletionGracePeriodSeconds" in marked["metadata"]) == (1, False)
    body = {"apiVersion": whole["apiVersion"], "kind": whole["kind"], "metadata": {"name": "late"}}

    def is_refused() -> bool:
        return server.request("POST", bitterns, body | {"metadata": {"name": "late"}}, None, dryRun="All").status == 403

    wait_for(is_refused, "the definition is known to go")
    assert server.request("POST", bitterns, body).body["message"] == (
        'bitterns.bitterns.test "late" is forbidden: create not allowed while custom resource definition is terminating'
    )
    patched(server, f"{bitterns}/o", {"metadata": {"finalizers": None}})
    until_gone(server, crd)


def test_objects_that_are_not_served_go_with_their_definition(server: Server, namespace: str) -> None:
    crd, grebes, _ = defined(server, namespace, "grebes", "Grebe")
    unserved = [{"op": "replace", "path": "/spec/versions/0/served", "value": False}]
    sent = {"Content-Type": "application/json-patch+json"}
    assert server.request("PATCH", crd, unserved, sent).status == 200
    wait_for(lambda: server.request("GET", grebes).status == 404, "the kind is not served")
    server.request("DELETE", crd)
    until_gone(server, crd)
    made(server, CRDS, definition("grebes.test", "Grebe", "grebes"))
    wait_for(lambda: server.request("GET", grebes).status == 200, "the kind is there again")
    assert server.request("GET", grebes).body["items"] == []
    server.request("DELETE", crd)
    until_gone(server, crd)


def test_dependents_go_though_the_kind_of_their_owner_went_too(server: Server, namespace: str, ponds: str) -> None:
    crd, _, owner = defined(server, namespace, "rails", "Rail")
    reference = owner_of(owner)
    for number in range(20):
        made(server, ponds, pond(f"p{number}", {"ownerReferences": [reference]}))
    server.request("DELETE", crd)
    until_gone(server, crd)
    wait_for(lambda: server.request("GET", ponds).body["items"] == [], "the dependents are gone", within_s=30)
