"""Who may talk to an API without credentials, and what it takes."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import aiohttp
import orjson
import pytest

from scaup.apiserver import app
from scaup.apiserver.__main__ import serve
from scaup.apiserver.body import LIMIT
from scaup.apiserver.settings import ApiServerSettings
from scaup.core.http.server import bind
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.settings import BusSettings
from tests.support.apiserver import BROKERS, CONFIG_MAPS, ApiClient, api_server, broker
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

EVENTS = "/api/v1/namespaces/default/events"


def event(message: str) -> dict[str, Any]:
    """An Event, whose message may be of any length."""
    about = {"kind": "Broker", "name": "b", "namespace": "default"}
    return {"metadata": {"name": "e"}, "involvedObject": about, "message": message}


async def test_requests_of_web_pages_and_under_foreign_names_are_forbidden(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        for path in ("/healthz", "/version", "/metrics", "/apis", BROKERS):
            for headers in ({"Origin": "http://localhost"}, {"Host": "evil.example"}, {"Host": "10.0.0.1:8081"}):
                answer = await api("GET", path, headers=headers)
                assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
            for host in ("localhost:1", "127.3.2.1", "[::1]:8081"):
                assert (await api("GET", path, headers={"Host": host})).status == 200


async def test_more_writes_than_can_be_under_way_are_told_to_wait(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_MAX_WRITES", 0)
    async with api_server(nats.url) as api:
        answer = await api("POST", BROKERS, broker())
        assert (answer.status, answer.body["reason"], answer.headers["retry-after"]) == (429, "TooManyRequests", "1")


async def test_writes_that_a_form_could_send_are_not_taken(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        for form in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
            for method, path in (
                ("POST", BROKERS),
                ("PUT", f"{BROKERS}/b"),
                ("PATCH", f"{BROKERS}/b"),
                ("DELETE", BROKERS),
            ):
                answer = await api(method, path, broker(), {"Content-Type": form})
                assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_a_body_may_be_large_and_not_larger(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        frame = len(orjson.dumps(event("")))
        over = await api("POST", EVENTS, event("x" * (LIMIT - frame + 1)))
        assert (over.status, over.body["reason"]) == (413, "RequestEntityTooLarge")
        at_limit = await api("POST", EVENTS, event("x" * (LIMIT - frame)))
        assert at_limit.status == 413, "the body is within the limit, the bus does not take such an object"
        assert "larger than the bus takes" in at_limit.body["message"]
        assert (await api("POST", EVENTS, event("x" * 1_900_000))).status == 201


async def test_a_body_without_a_length_is_cut_off_at_the_limit(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        head = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(LIMIT // 0x10000 + 1):
            writer.write(chunk)
        async with asyncio.timeout(10):
            assert b" 413 " in await reader.readline()
        writer.close()


async def test_a_port_that_others_could_reach_is_refused(nats: NatsServer) -> None:
    environment = {**os.environ, "SCAUP_NATS_URL": nats.url, "SCAUP_LISTEN": "0.0.0.0:0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scaup.apiserver", env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"loopback only" in said


async def test_it_says_why_it_is_not_ready_before_nats_is_there(nats: NatsServer) -> None:
    nats.kill()
    life, sock = Life(), bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    running = asyncio.create_task(serve(ApiServerSettings(bus=BusSettings(url=nats.url)), life, sock))
    async with aiohttp.ClientSession() as session:
        api = ApiClient(port, session)
        await eventually(api.answers, "the port answers")
        problems = (await api("GET", "/readyz")).body["problems"]
        assert problems["objects"] == "the objects are not loaded yet"
        answer = await api("GET", BROKERS)
        assert (answer.status, answer.body["reason"]) == (503, "ServiceUnavailable")
        nats.start()
        await eventually(api.is_ready, "the API is ready once NATS is there")
    life.stop()
    await running
