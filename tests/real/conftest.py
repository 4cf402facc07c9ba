"""Fixtures of the tests with real tools."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.contract import ROOT, Server, genuine_server, local_server
from tests.support.ponds import full_namespace
from tests.support.realkube import Kube, kube
from tests.support.waiting import wait_for


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kube]:
    """A genuine API server, shared by the session's tests: each makes namespaces of its own."""
    with kube() as running:
        yield running


@pytest.fixture(scope="session", params=["local", "genuine"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The local API and a genuine API server in turn: both have to answer the same."""
    with local_server() if request.param == "local" else genuine_server() as running:
        yield running


@pytest.fixture
def namespace(server: Server) -> str:
    """A fresh namespace of the server's."""
    return server.namespace()


@pytest.fixture
def reeds(namespace: str) -> str:
    """Where the Reeds of a fresh namespace are."""
    return f"/apis/pond.test/v1/namespaces/{namespace}/reeds"


@pytest.fixture
def ponds(namespace: str) -> str:
    """Where the Ponds of a fresh namespace are."""
    return f"/apis/pond.test/v1/namespaces/{namespace}/ponds"


@pytest.fixture
def maps(namespace: str) -> str:
    """Where the ConfigMaps of a fresh namespace are."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture(scope="module")
def full(server: Server) -> str:
    """A namespace with things of every kind in it, which no test changes."""
    return full_namespace(server)


@pytest.fixture(scope="session")
def lakes(server: Server) -> Server:
    """The server, with a kind that has one field for each thing that a schema can say."""
    server.kubectl("apply", "-f", str(ROOT / "tests/support/schemakinds.yaml"))
    server.kubectl("wait", "--for=condition=Established", "crd/lakes.pond.test")
    wait_for(lambda: server.request("GET", "/apis/pond.test/v1/lakes").status == 200, "lakes are served")
    return server
