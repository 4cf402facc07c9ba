"""Whether an existing NATS can carry Scaup, asked of real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaup.core.bus import check
from scaup.core.bus.connection import BusAccess
from tests.support.natsserver import NatsServer, nats_server


async def test_a_server_as_it_should_be_has_no_problems(nats: NatsServer) -> None:
    assert await check.problems(BusAccess(nats.url)) == []


async def test_every_problem_is_one_sentence(tmp_path: Path) -> None:
    extra = (
        "max_payload: 1024\naccounts {\nA { users: [{user: a, password: b}] }\n"
        "B { jetstream: {max_file: 1024, max_streams: 2}, users: [{user: c, password: d}] }\n}"
    )
    with nats_server(tmp_path / "n", extra) as server:
        host = server.url.removeprefix("nats://")
        without = await check.problems(BusAccess(f"nats://a:b@{host}"))
        limited = await check.problems(BusAccess(f"nats://c:d@{host}"))
    assert without[0] == "its max_payload is 1024 bytes; at least 65536 are needed"
    assert "JetStream" in without[1]
    assert limited[1:] == [
        "the account may store 1024 bytes on disk; at least 67108864 are needed",
        "the account may have 2 streams; at least 6 are needed",
    ]


async def test_an_old_server_is_named_with_the_version_needed(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MIN_SERVER_VERSION", (99, 0, 0))
    (problem,) = await check.problems(BusAccess(nats.url))
    assert problem.endswith("; 99.0.0 or newer is needed")


async def test_a_server_that_is_away_or_closed_to_us_says_why(tmp_path: Path) -> None:
    (away,) = await check.problems(BusAccess("nats://user:secret@127.0.0.1:1"))
    assert away == "NATS at nats://127.0.0.1:1 cannot be reached: connection refused"
    with nats_server(tmp_path / "n", 'authorization { token: "t" }') as server:
        (closed,) = await check.problems(BusAccess(server.url, token="wrong"))
        assert "uthorization" in closed
        assert await check.problems(BusAccess(server.url, token="t")) == []
