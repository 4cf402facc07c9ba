"""One contract, two servers: objects are made, read, changed and deleted."""

from __future__ import annotations

import pytest

from tests.support.contract import Server

pytestmark = pytest.mark.real


def test_an_object_that_is_made_can_be_read(server: Server, namespace: str) -> None:
    path = f"/apis/pond.test/v1/namespaces/{namespace}/ponds"
    body = {"apiVersion": "pond.test/v1", "kind": "Pond", "metadata": {"name": "one"}, "depth": 3}
    made = server.request("POST", path, body)
    assert made.status == 201
    assert server.request("GET", f"{path}/one").body == made.body
    with server.watch(path, timeoutSeconds="2") as events:
        assert next(events)["object"] == made.body
    assert server.kubectl("get", "ponds", "-n", namespace, "-o", "name") == "pond.pond.test/one\n"
