"""One contract, two servers: deletions of many, deletions after one another, owners in a circle, held namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract import Server
from tests.support.ponds import made, owner_of, patched, pond, reed, until_gone
from tests.support.waiting import wait_for

pytestmark = pytest.mark.real


@pytest.mark.parametrize("in_query", [True, False])
def test_many_are_deleted_as_is_asked(server: Server, ponds: str, reeds: str, in_query: bool) -> None:
    owner = made(server, ponds, pond("owner"))
    made(server, reeds, reed("kept", {"ownerReferences": [owner_of(owner)]}))
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
    server.request("DELETE", f"{ponds}/owner", {"propagationPolicy": "Foreground"})
    again = server.request("DELETE", f"{ponds}/owner").body
    assert (again["kind"], again["metadata"]["finalizers"]) == ("Pond", ["foregroundDeletion"])
    patched(server, f"{reeds}/held", {"metadata": {"finalizers": None}})
    until_gone(server, f"{ponds}/owner")


def test_the_last_deletion_says_what_becomes_of_dependents(server: Server, ponds: str, reeds: str) -> None:
    owner = made(server, ponds, pond("owner", {"finalizers": ["a.test/x"]}))
    made(server, reeds, reed("kept", {"ownerReferences": [owner_of(owner)]}))
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
