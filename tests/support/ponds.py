"""What the contract's tests make on either server: Ponds and Reeds, changed, owned and deleted."""

from __future__ import annotations

from typing import Any

from tests.support.contract import MERGE, Answer, Server
from tests.support.waiting import wait_for

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def version(schema: Any = ANYTHING, name: str = "v1", **more: Any) -> dict[str, Any]:
    """A version of a definition; ``v1`` is the one that is stored."""
    return {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}} | more


def definition(group: str, kind: str, plural: str, *versions: Any) -> dict[str, Any]:
    """A definition of a kind with namespaces, of one version that takes anything where none is given."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": list(versions) or [version()],
        },
    }


def pond(name: str = "p", about: Any = None, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "pond.test/v1", "kind": "Pond", "metadata": {"name": name} | (about or {})} | more


def reed(name: str = "r", about: Any = None, **more: Any) -> dict[str, Any]:
    return pond(name, about) | {"kind": "Reed", "spec": {}} | more


def made(server: Server, path: str, body: Any) -> Any:
    answer = server.request("POST", path, body)
    assert answer.status == 201, answer.body
    return answer.body


def patched(server: Server, path: str, change: Any) -> Answer:
    return server.request("PATCH", path, change, MERGE)


def is_gone(server: Server, path: str) -> bool:
    return server.request("GET", path).status == 404


def until_gone(server: Server, path: str) -> None:
    wait_for(lambda: is_gone(server, path), f"{path} is gone", within_s=30)


def owner_of(whole: Any, **more: Any) -> dict[str, Any]:
    about = whole["metadata"]
    return {"apiVersion": whole["apiVersion"], "kind": whole["kind"], "name": about["name"], "uid": about["uid"]} | more


def until_collector_knows(server: Server, reeds: str, owner: Any) -> None:
    """Wait until what collects garbage has seen all Reeds that there are: a cluster's hears of them a little later."""
    lost = owner_of(owner, uid="11111111-1111-1111-1111-111111111111")
    made(server, reeds, reed("lost", {"ownerReferences": [lost]}))
    until_gone(server, f"{reeds}/lost")


def labelled_reed(name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "pond.test/v1", "kind": "Reed", "metadata": {"name": name, "labels": labels}, "spec": spec}


def reeds_of(namespace: str) -> str:
    return f"/apis/pond.test/v1/namespaces/{namespace}/reeds"


def full_namespace(server: Server) -> str:
    """A fresh namespace with things of every kind in it."""
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
        (reeds, labelled_reed("r", {"a": "1", "both": "x"}, height=3, weight=1.5, isGreen=True)),
        (reeds, labelled_reed("r2", {"a": "2", "both": "x"}, isGreen=False)),
        (reeds, labelled_reed("r3", {}, height=70, isGreen=True)),
        (f"/apis/pond.test/v1/namespaces/{namespace}/ponds", _of("pond.test/v1", "Pond", "p", depth=3)),
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
            _of(
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


def _of(version: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}} | more


def names(found: Any) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]
