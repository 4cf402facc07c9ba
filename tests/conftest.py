"""Fixtures for all tests. Coroutine tests run on a loop of their own (``asyncio.run``)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.natsserver import NatsServer, nats_server

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_LONGEST_FIRST = ("chaos", "ordering", "system", "docs", "component")
"""Directories whose tests take seconds: begun first, so that none of them is what everybody waits for in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in the order in which they are given to the workers."""

    def rank(item: pytest.Item) -> int:
        directory = item.path.parent.name
        return _LONGEST_FIRST.index(directory) if directory in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=rank)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**wanted))
    return True


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A real nats-server of this test's own."""
    with nats_server(tmp_path / "nats") as server:
        yield server
