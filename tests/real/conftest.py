"""Fixtures of the tests with real tools."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.realkube import Kube, kube


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kube]:
    """A genuine API server, shared by the session's tests: each makes namespaces of its own."""
    with kube() as running:
        yield running
