"""The controller as a process: settings, health, metrics, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.support.controlplane import data_plane, world
from tests.support.natsserver import NatsServer
from tests.support.ports import Port
from tests.support.waiting import eventually


def start(log: Path, **settings: str) -> subprocess.Popen[bytes]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SCAUP_")} | settings
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "scaup.controller"], env=environ, stderr=file)


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.wait_for(asyncio.to_thread(process.wait), 15)


async def fetch(url: str) -> tuple[int, str]:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientError:
        return 0, ""


async def test_the_process_makes_things_ready_shows_itself_and_ends_at_once(nats: NatsServer, tmp_path: Path) -> None:
    port = Port()
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        process = start(
            tmp_path / "log",
            SCAUP_KUBECONFIG=w.server.kubeconfig(),
            SCAUP_NATS_URL=nats.url,
            SCAUP_PUBLIC_URL="http://events.test/",
            SCAUP_METRICS_LISTEN=f"127.0.0.1:{port}",
        )
        try:
            value = await w.until(await _broker(w), "Ready", "True")
            assert value["status"]["address"]["url"] == "http://events.test/default/default"
            await w.until(await w.trigger("t", {"uri": "http://sink.test/"}), "Ready", "True")
            base = f"http://127.0.0.1:{port}"
            assert (await fetch(f"{base}/healthz"))[0] == 200
            assert (await fetch(f"{base}/readyz"))[0] == 200
            status, metrics = await fetch(f"{base}/metrics")
            assert status == 200
            assert 'scaup_controller_definitions{kind="trigger"} 1.0' in metrics
            assert "scaup_controller_reconcile_seconds_bucket" in metrics
            w.server.kill()

            async def not_ready() -> bool:
                status, body = await fetch(f"{base}/readyz")
                return status == 503 and "Kubernetes API" in orjson.loads(body)["problems"]["controller"]

            _not_ready: bool = await eventually(not_ready, "it says that the API is away")
            process.send_signal(signal.SIGTERM)
            assert await ended(process) == 0
            assert "Traceback" not in (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait()


async def _broker(w: Any) -> str:
    path: str = await w.broker()
    return path


async def test_it_says_what_it_waits_for_while_nats_is_not_there_and_still_ends_when_asked(tmp_path: Path) -> None:
    port = Port()
    config = tmp_path / "config"
    config.write_text(
        '{"clusters": [{"name": "t", "cluster": {"server": "http://127.0.0.1:1"}}], "current-context": "t",'
        '"contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}], "users": [{"name": "t", "user": {}}]}'
    )
    process = start(
        tmp_path / "log",
        SCAUP_KUBECONFIG=str(config),
        SCAUP_NATS_URL="nats://127.0.0.1:1",
        SCAUP_METRICS_LISTEN=f"127.0.0.1:{port}",
    )
    try:

        async def says() -> bool:
            status, body = await fetch(f"http://127.0.0.1:{port}/readyz")
            return status == 503 and "NATS" in body

        _: bool = await eventually(says, "it is not ready, for want of NATS")
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


async def test_wrong_settings_end_it_with_a_clear_line(tmp_path: Path) -> None:
    process = start(tmp_path / "log", SCAUP_KUBCONFIG="x")
    assert await ended(process) == 2
    assert "did you mean SCAUP_KUBECONFIG?" in (tmp_path / "log").read_text()
    port = Port()
    process = start(tmp_path / "log", SCAUP_KUBECONFIG=str(tmp_path / "none"), SCAUP_METRICS_LISTEN=f"127.0.0.1:{port}")
    assert await ended(process) == 1
    text = (tmp_path / "log").read_text()
    assert "no usable Kubernetes API" in text
    assert "Traceback" not in text
