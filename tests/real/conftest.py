"""Fixtures of the tests with real tools."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.contract import Server, genuine_server, local_server
from tests.support.realkube import Kube, kube


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
