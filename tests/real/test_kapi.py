"""The API server that the other tests use is a genuine one, and keeps what it answered when it is killed."""

from __future__ import annotations

import json

import pytest

from tests.support.realkube import VERSION, Kube, kube
from tests.support.waiting import eventually

pytestmark = pytest.mark.real


def test_the_api_server_is_kubernetes_own(cluster: Kube) -> None:
    said = json.loads(cluster.kubectl("version", "-o", "json"))
    assert said["serverVersion"]["gitVersion"] == VERSION
    kinds = cluster.kubectl("api-resources", "-o", "name").split()
    assert {"services", "leases.coordination.k8s.io", "clusterroles.rbac.authorization.k8s.io"} <= set(kinds)


async def test_a_deleted_namespace_takes_its_objects_along(cluster: Kube) -> None:
    cluster.kubectl("create", "namespace", "going")
    cluster.kubectl("create", "configmap", "-n", "going", "one")
    cluster.kubectl("delete", "namespace", "going", "--wait=false")
    await eventually(
        lambda: "NotFound" in cluster.kubectl_run("get", "namespace", "going").stderr,
        "namespace gone",
        within_s=30,
    )


def test_a_killed_server_comes_back_at_its_address_with_what_it_had() -> None:
    with kube() as one:
        one.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        one.kill()
        one.restart()
        assert one.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
