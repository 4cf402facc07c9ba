"""The metrics port says what a process can do, and the controller's what the data plane does."""

from __future__ import annotations

import asyncio

from scaup.controller.metrics import show_fleet
from scaup.controller.readiness import Applied, Fleet, Role
from scaup.core.http.server import HttpServer, bind
from scaup.core.runtime.health import Health
from scaup.core.runtime.observe import metrics_app
from tests.support import rawhttp
from tests.support.dataplane import metric
from tests.support.waiting import eventually


async def test_each_check_of_readiness_is_a_series_that_follows_it() -> None:
    health, problems = Health(), ["no room"]
    health.add("a check", lambda: problems[0] if problems else None)
    health.add("another", lambda: None)
    server = HttpServer(metrics_app(health), bind("127.0.0.1", 0))
    serving = asyncio.create_task(server.run())
    await eventually(lambda: server._server.started, "the server listens")
    for value in ("0.0", "1.0"):
        text = (await rawhttp.send(server.port, "GET", "/metrics")).body.decode()
        assert f'scaup_ready{{check="a check"}} {value}\n' in text
        assert 'scaup_ready{check="another"} 1.0\n' in text
        problems.clear()
    server.stop()
    await serving


def test_replicas_and_those_that_are_behind_are_counted_by_role() -> None:
    filters = Role("filter", (Applied("filter.a", 7), Applied("filter.b", 6)))
    show_fleet(Fleet((Role("ingress"), filters, Role("dispatcher", (Applied("dispatcher.a", 9),)))), 7)
    found = [
        (metric("scaup_controller_replicas", role=role), metric("scaup_controller_replicas_behind", role=role))
        for role in ("ingress", "filter", "dispatcher")
    ]
    assert found == [(0, 0), (2, 1), (1, 0)]
    assert metric("scaup_controller_snapshot_revision") == 7
