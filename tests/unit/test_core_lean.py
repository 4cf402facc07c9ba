"""What processes leave out of the libraries they load, so that they are there sooner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scaup.core.lean import LEFT_OUT
from tests.support.natsserver import nats_server


def loaded(code: str) -> set[str]:
    """The packages that a new process has loaded after ``code``."""
    code += "; import sys; print(*{name.partition('.')[0] for name, module in sys.modules.items() if module})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("homes", "without"),
    [
        ("ingress, filter, apiserver", {"aiohttp", "pydantic", "kubernetes"}),
        ("dispatcher", {"pydantic", "kubernetes"}),
        ("controller", set[str]()),
    ],
)
def test_a_service_loads_nothing_that_it_does_not_use(homes: str, without: set[str]) -> None:
    modules = ", ".join(f"scaup.{home}.__main__" for home in homes.split(", "))
    assert not loaded(f"import {modules}") & (without | {"rich", "watchfiles", "lark", "opentelemetry"})


@pytest.mark.parametrize(
    ("commands", "without"),
    [
        ("app, definitions, up.story, send", {"nats", "structlog"}),
        ("deadletters, deadletterreplay, replay, trace.story, tail.story, top.story", set[str]()),
    ],
)
def test_a_command_loads_nothing_that_it_does_not_use(commands: str, without: set[str]) -> None:
    modules = ", ".join(f"scaup.cli.{command}" for command in commands.split(", "))
    assert not loaded(f"import {modules}") & (without | {"rich", "pydantic", "lark", "opentelemetry", "kubernetes"})


def test_whoever_wants_what_was_left_out_has_it() -> None:
    wanted = {*LEFT_OUT, *(name for left in LEFT_OUT.values() for name in left if name != "better_exceptions")}
    assert loaded(f"import scaup.core, {', '.join(wanted)}") >= wanted
    assert loaded("import scaup.core, rich.console, structlog; assert structlog.dev.rich") >= {"rich"}


CONNECT = """
import asyncio, sys
from scaup.core.bus.connection import BusAccess, connect
async def main():
    async with asyncio.timeout(20), connect(BusAccess(sys.argv[1]), "test") as bus:
        print((await bus.api("INFO"))["type"])
asyncio.run(main())
"""


def test_websockets_are_loaded_for_an_address_that_asks_for_them(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats", 'websocket { listen: "127.0.0.1:-1", no_tls: true }') as server:
        done = subprocess.run(
            [sys.executable, "-c", CONNECT, server.websocket], capture_output=True, text=True, check=False
        )
    assert done.stdout.endswith("account_info_response\n"), done.stderr
