"""One contract, two servers: how objects are deleted, held and owned, and what goes with what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import Server
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


# --- deletion -------------------------------------------------------------------------------------


def test_a_deletion_says_what_it_deleted(server: Server, ponds: str) -> None:
    uid = made(server, ponds, pond())["metadata"]["uid"]
    answer = server.request("DELETE", f"{ponds}/p")
    assert (answer.status, answer.body["kind"], answer.body["status"]) == (200, "Status", "Success")
    assert answer.body["details"] == {"name": "p", "group": "pond.test", "kind": "ponds", "uid": uid}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"uid": "other"},
            "the UID in the precondition (other) does not match the UID in record ({uid}). {was}",
        ),
        (
            {"resourceVersion": "1"},
            "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({rv}). {last}",
        ),
    ],
)
def test_a_deletion_is_of_the_object_that_was_meant(server: Server, ponds: str, asked: Any, words: str) -> None:
    about = made(server, ponds, pond())["metadata"]
    answer = server.request("DELETE", f"{ponds}/p", {"preconditions": asked})
    might = "The object might have been"
    said = {"was": f"{might} deleted and then recreated", "last": f"{might} modified"}
    why = words.format(uid=about["uid"], rv=about["resourceVersion"], **said)
    assert (answer.status, answer.body["message"]) == (
        409,
        f'Operation cannot be fulfilled on Pond.pond.test "p": {why}',
    )
    right = {"uid": about["uid"], "resourceVersion": about["resourceVersion"]}
    assert server.request("DELETE", f"{ponds}/p", {"preconditions": right}).status == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"propagationPolicy": "Never"},
            'Unsupported value: "Never": supported values: "Foreground", "Background", "Orphan", "nil"',
        ),
        (
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            'Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set',
        ),
    ],
)
def test_a_policy_that_there_is_not_is_refused(server: Server, ponds: str, options: Any, words: str) -> None:
    made(server, ponds, pond())
    answer = server.request("DELETE", f"{ponds}/p", options)
    assert (answer.status, answer.body["message"]) == (
        422,
        f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: {words}',
    )


def test_finalizers_hold_an_object_until_the_last_is_gone(server: Server, ponds: str) -> None:
    made(server, ponds, pond(about={"finalizers": ["a.test/x", "a.test/y"]}))
    marked = server.request("DELETE", f"{ponds}/p").body
    assert (marked["kind"], marked["metadata"]["generation"], marked["metadata"]["deletionGracePeriodSeconds"]) == (
        "Pond",
        2,
        0,
    )
    again = server.request("DELETE", f"{ponds}/p").body["metadata"]
    assert again["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    more = patched(server, f"{ponds}/p", {"metadata": {"finalizers": ["a.test/x", "a.test/z"]}})
    why = "no new finalizers can be added if the object is being deleted, found new finalizers"
    assert more.status == 422
    assert f'metadata.finalizers: Forbidden: {why} []string{{"a.test/z"}}' in more.body["message"]
    assert patched(server, f"{ponds}/p", {"depth": 1}).body["depth"] == 1
    assert patched(server, f"{ponds}/p", {"metadata": {"finalizers": ["a.test/y"]}}).status == 200
    assert patched(server, f"{ponds}/p", {"metadata": {"finalizers": None}}).status == 200
    assert is_gone(server, f"{ponds}/p")


def test_many_are_deleted_by_selector(server: Server, ponds: str) -> None:
    for number in range(4):
        made(server, ponds, pond(f"p{number}", {"labels": {"odd": str(number % 2)}}))
    gone = server.request("DELETE", ponds, labelSelector="odd=1").body
    assert (gone["kind"], [one["metadata"]["name"] for one in gone["items"]]) == ("PondList", ["p1", "p3"])
    left = server.request("GET", ponds).body["items"]
    assert [one["metadata"]["name"] for one in left] == ["p0", "p2"]


# --- owners ---------------------------------------------------------------------------------------


def test_what_is_owned_goes_after_its_owner(server: Server, ponds: str, reeds: str, maps: str) -> None:
    owner = made(server, ponds, pond())
    middle = made(server, reeds, reed("r", {"ownerReferences": [owner_of(owner)]}))
    made(server, maps, {"metadata": {"name": "c", "ownerReferences": [owner_of(middle)]}})
    assert server.request("DELETE", f"{ponds}/p").body["kind"] == "Status"
    until_gone(server, f"{reeds}/r")
    until_gone(server, f"{maps}/c")


def test_what_has_another_owner_stays(server: Server, ponds: str, reeds: str) -> None:
    first, second = made(server, ponds, pond("a")), made(server, ponds, pond("b"))
    made(server, reeds, reed("r", {"ownerReferences": [owner_of(first), owner_of(second)]}))
    server.request("DELETE", f"{ponds}/a")

    def owners() -> list[str]:
        return [one["name"] for one in server.request("GET", f"{reeds}/r").body["metadata"]["ownerReferences"]]

    wait_for(lambda: owners() == ["b"], "only the owner that is there is left")
    server.request("DELETE", f"{ponds}/b")
    until_gone(server, f"{reeds}/r")


def test_what_never_had_its_owner_goes(server: Server, ponds: str, reeds: str) -> None:
    owner = made(server, ponds, pond())
    made(server, reeds, reed("r", {"ownerReferences": [owner_of(owner, uid="of-another-one")]}))
    until_gone(server, f"{reeds}/r")
    assert not is_gone(server, f"{ponds}/p")


def test_an_owner_waits_for_what_blocks_it(server: Server, ponds: str, reeds: str) -> None:
    owner = made(server, ponds, pond())
    reference = owner_of(owner, blockOwnerDeletion=True)
    made(server, reeds, reed("held", {"ownerReferences": [reference], "finalizers": ["a.test/x"]}))
    made(server, reeds, reed("free", {"ownerReferences": [reference]}))
    until_collector_knows(server, reeds, owner)
    answer = server.request("DELETE", f"{ponds}/p", {"propagationPolicy": "Foreground"}).body
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    until_gone(server, f"{reeds}/free")

    def is_marked() -> bool:
        return "deletionTimestamp" in server.request("GET", f"{reeds}/held").body["metadata"]

    wait_for(is_marked, "the other is being deleted")
    assert not is_gone(server, f"{ponds}/p")
    patched(server, f"{reeds}/held", {"metadata": {"finalizers": None}})
    until_gone(server, f"{ponds}/p")


def test_orphans_stay_and_know_no_owner(server: Server, ponds: str, reeds: str) -> None:
    owner = made(server, ponds, pond())
    made(server, reeds, reed("r", {"ownerReferences": [owner_of(owner)]}))
    until_collector_knows(server, reeds, owner)
    server.request("DELETE", f"{ponds}/p", {"propagationPolicy": "Orphan"})
    until_gone(server, f"{ponds}/p")
    assert "ownerReferences" not in server.request("GET", f"{reeds}/r").body["metadata"]


def test_the_policy_may_stand_in_the_query(server: Server, ponds: str, reeds: str) -> None:
    owner = made(server, ponds, pond())
    made(server, reeds, reed("r", {"ownerReferences": [owner_of(owner)]}))
    answer = server.request("DELETE", f"{ponds}/p", propagationPolicy="Foreground").body
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    until_gone(server, f"{reeds}/r")
    until_gone(server, f"{ponds}/p")


# --- namespaces and definitions -------------------------------------------------------------------


def test_a_namespace_goes_with_what_is_in_it(server: Server, namespace: str, ponds: str, maps: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    found = server.request("GET", path).body
    assert (found["spec"], found["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}
    made(server, ponds, pond())
    made(server, maps, {"metadata": {"name": "held", "finalizers": ["a.test/x"]}})
    answer = server.request("DELETE", path)
    assert (answer.status, answer.body["status"]["phase"]) == (200, "Terminating")
    refused = server.request("POST", ponds, pond("late"))
    assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
    assert refused.body["message"] == (
        f'ponds.pond.test "late" is forbidden: unable to create new content in namespace {namespace} because '
        "it is being terminated"
    )
    cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
    assert refused.body["details"]["causes"] == [cause | {"field": "metadata.namespace"}]
    until_gone(server, f"{ponds}/p")
    assert server.request("GET", path).body["status"]["phase"] == "Terminating"
    patched(server, f"{maps}/held", {"metadata": {"finalizers": None}})
    until_gone(server, path)


def test_a_namespace_whose_status_is_written_stays_active(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    answer = server.request("PUT", f"{path}/status", {"metadata": {"name": namespace}})
    assert (answer.status, answer.body["status"]) == (200, {"phase": "Active"})
    assert server.request("GET", path).body["status"] == {"phase": "Active"}


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_stay(server: Server, name: str) -> None:
    answer = server.request("DELETE", f"/api/v1/namespaces/{name}")
    assert (answer.status, answer.body["message"]) == (
        403,
        f'namespaces "{name}" is forbidden: this namespace may not be deleted',
    )


def test_a_namespace_that_is_not_there_exists_when_first_used_on_the_local_api(server: Server) -> None:
    answer = server.request("POST", "/apis/pond.test/v1/namespaces/never-made/ponds", pond())
    if server.is_local:
        assert answer.status == 201
        server.request("DELETE", "/api/v1/namespaces/never-made")
        until_gone(server, "/api/v1/namespaces/never-made")
    else:
        assert (answer.status, answer.body["message"]) == (404, 'namespaces "never-made" not found')


def test_a_definition_goes_with_its_objects(server: Server, namespace: str) -> None:
    body = definition("life.test", "Heron", "herons")
    made(server, CRDS, body)
    herons = f"/apis/life.test/v1/namespaces/{namespace}/herons"
    heron = {"apiVersion": "life.test/v1", "kind": "Heron", "metadata": {"name": "h"}}
    wait_for(lambda: server.request("POST", herons, heron).status == 201, "the kind is there")
    server.request("DELETE", f"{CRDS}/herons.life.test")
    until_gone(server, f"{CRDS}/herons.life.test")
    made(server, CRDS, body)
    wait_for(lambda: server.request("GET", herons).status == 200, "the kind is there again")
    assert server.request("GET", herons).body["items"] == []
    server.request("DELETE", f"{CRDS}/herons.life.test")


# --- kubectl --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "gone", "left"),
    [
        (("pond", "a"), {"a"}, {"b"}),
        (("pond", "a", "b", "--wait=false"), {"a", "b"}, set()),
        (("ponds", "-l", "x=1"), {"a"}, {"b"}),
        (("ponds", "--all"), {"a", "b"}, set()),
        (("pond", "a", "--cascade=foreground"), {"a"}, {"b"}),
        (("pond", "a", "--cascade=orphan"), {"a"}, {"b"}),
        (("pond", "a", "--grace-period=0", "--now=false"), {"a"}, {"b"}),
        (("pond", "none", "--ignore-not-found"), set(), {"a", "b"}),
        (("pond", "a", "--dry-run=server"), {"a"}, {"a", "b"}),
    ],
)
def test_kubectl_deletes(
    server: Server, namespace: str, ponds: str, arguments: tuple[str, ...], gone: set[str], left: set[str]
) -> None:
    made(server, ponds, pond("a", {"labels": {"x": "1"}}))
    made(server, ponds, pond("b"))
    said = server.kubectl("delete", *arguments, "-n", namespace)
    assert {name for name in ("a", "b") if f'"{name}" deleted' in said} == gone
    assert {one["metadata"]["name"] for one in server.request("GET", ponds).body["items"]} == left


def test_kubectl_makes_and_deletes_a_namespace(server: Server, namespace: str) -> None:
    name = f"{namespace}-more"
    assert server.kubectl("create", "namespace", name) == f"namespace/{name} created\n"
    server.kubectl("create", "configmap", "c", "--from-literal=a=b", "-n", name)
    server.kubectl("create", "secret", "generic", "s", "--from-literal=a=b", "-n", name)
    server.kubectl("create", "service", "externalname", "v", "--external-name=e.test", "-n", name)
    assert f'namespace "{name}" deleted' in server.kubectl("delete", "namespace", name, "--timeout=60s")
    assert is_gone(server, f"/api/v1/namespaces/{name}")
