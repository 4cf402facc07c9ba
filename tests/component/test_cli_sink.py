"""``scaup sink`` over real sockets: what it remembers and how it answers."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from scaup.cli import sink as sinks
from scaup.cli.sink import Behaviour, Sink
from scaup.cli.sinkcommand import quiet
from scaup.core.model.event import Event
from tests.support.waiting import eventually

BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/me", "ce-type": "t", "content-type": "application/json"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
EVENT = b'{"specversion":"1.0","id":"2","source":"/me","type":"t","data":"x"}'


@asynccontextmanager
async def running(behaviour: Behaviour) -> AsyncIterator[tuple[str, aiohttp.ClientSession, Sink, list[Event]]]:
    quiet()
    received: list[Event] = []
    sink = Sink(behaviour, received.append, "s")
    server = sinks.serve(sink, 0)
    task = asyncio.create_task(server.run())
    try:
        async with aiohttp.ClientSession() as session:
            yield f"http://127.0.0.1:{server.port}", session, sink, received
    finally:
        sink.stopping.set()
        server.stop()
        await task


async def test_events_of_every_mode_are_listed_oldest_first_until_they_are_forgotten() -> None:
    async with running(Behaviour()) as (url, session, _, received):
        for path, headers, body in (("/", BINARY, b'{"a":1}'), ("/any/path", STRUCTURED, EVENT)):
            async with session.post(url + path, headers=headers, data=body) as answer:
                assert answer.status == 202
        async with session.post(
            url, headers={"content-type": "application/cloudevents-batch+json"}, data=b"[%b]" % EVENT
        ) as answer:
            assert answer.status == 202
        async with session.get(url + "/events") as answer:
            listed = await answer.json()
        assert [event["id"] for event in listed] == ["1", "2", "2"]
        assert [event["data"] for event in listed] == [{"a": 1}, "x", "x"]
        assert len(received) == 3
        async with session.delete(url + "/events") as answer:
            assert answer.status == 204
        async with session.get(url + "/events") as answer:
            assert await answer.json() == []


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "KEPT", 2)
    async with running(Behaviour()) as (url, session, _, _):
        for number in range(3):
            async with session.post(url, headers={**BINARY, "ce-id": str(number)}) as answer:
                assert answer.status == 202
        async with session.get(url + "/events") as answer:
            assert [event["id"] for event in await answer.json()] == ["1", "2"]


async def test_the_first_requests_fail_as_told_and_are_remembered_all_the_same() -> None:
    async with running(Behaviour(status=200, fail_first=2)) as (url, session, _, received):
        statuses = []
        for _ in range(3):
            async with session.post(url, headers=BINARY) as answer:
                statuses.append(answer.status)
        assert statuses == [503, 503, 200]
        assert len(received) == 3


async def test_a_reply_is_an_event_of_the_given_type_with_the_same_data() -> None:
    async with (
        running(Behaviour(reply="answered")) as (url, session, _, _),
        session.post(url, headers=BINARY, data=b'{"a": 1}') as answer,
    ):
        assert answer.status == 202
        assert answer.headers["ce-type"] == "answered"
        assert answer.headers["ce-source"] == "/scaup/sink/s"
        assert answer.headers["ce-id"] != "1"
        assert await answer.read() == b'{"a": 1}'


async def test_a_status_of_failure_is_answered_without_a_reply() -> None:
    async with (
        running(Behaviour(status=500, reply="answered")) as (url, session, _, _),
        session.post(url, headers=BINARY) as answer,
    ):
        assert answer.status == 500
        assert "ce-type" not in answer.headers


async def test_a_delay_is_kept() -> None:
    async with running(Behaviour(delay_s=0.2)) as (url, session, _, _):
        begun = asyncio.get_running_loop().time()
        async with session.post(url, headers=BINARY) as answer:
            assert answer.status == 202
        assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_a_hanging_sink_takes_the_event_never_answers_and_still_stops() -> None:
    async with running(Behaviour(hang=True)) as (url, session, sink, received):
        asking = asyncio.create_task(session.post(url, headers=BINARY))
        await eventually(lambda: received, "the event is received")
        assert not asking.done()
        sink.stopping.set()
        await asking


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/", {"content-type": "text/plain"}, b"no event", 400),
        ("POST", "/", STRUCTURED, b"{", 400),
        ("GET", "/", {}, b"", 405),
        ("PUT", "/events", {}, b"", 405),
        ("OPTIONS", "/", {}, b"", 200),
    ],
)
async def test_what_is_no_event_is_told_so(
    method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    async with running(Behaviour()) as (url, session, _, received):
        async with session.request(method, url + path, headers=headers, data=body) as answer:
            assert answer.status == status
        assert received == []


async def test_a_body_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "MAX_BODY", 10)
    async with (
        running(Behaviour()) as (url, session, _, _),
        session.post(url, headers=BINARY, data=b"x" * 11) as answer,
    ):
        assert answer.status == 413


def test_the_command_prints_events_and_ends_at_a_signal() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "scaup.cli", "sink", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        url = next(word for word in first.split() if word.startswith("http://"))
        with urllib.request.urlopen(urllib.request.Request(url, b'{"a":1}', BINARY), timeout=10) as answer:
            assert answer.status == 202
        assert process.stdout.readline().decode().endswith('  sink  t  /me  #1  {"a":1}\n')
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b""
        assert process.wait(10) == 0
