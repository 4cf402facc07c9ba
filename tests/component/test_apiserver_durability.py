"""What was answered is kept: kill -9 of the API and of NATS, NATS away, the bucket gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from scaup.apiserver import store as stores
from scaup.core.bus.connection import BusAccess, connect
from tests.support.answered import KINDS, Answered, Copy, are_alike, stored
from tests.support.apiserver import BROKERS, CONFIG_MAPS, ApiClient, api_server, broker, config_map
from tests.support.natsserver import NatsServer
from tests.support.ports import Port
from tests.support.waiting import eventually


@asynccontextmanager
async def process(nats: NatsServer, port: int) -> AsyncIterator[tuple[ApiClient, asyncio.subprocess.Process]]:
    environment = {**os.environ, "SCAUP_NATS_URL": nats.url, "SCAUP_LISTEN": f"127.0.0.1:{port}"}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scaup.apiserver", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as session:
            api = ApiClient(port, session)
            await eventually(api.is_ready, "the process is ready")
            yield api, child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            await child.wait()


async def test_every_answered_write_is_there_after_a_kill_and_older_watches_end_with_410(nats: NatsServer) -> None:
    port = Port()
    answered: set[str] = set()
    async with process(nats, port) as (api, child):
        first = await api.made(CONFIG_MAPS, config_map("first"))

        async def write(worker: int) -> None:
            for number in range(10_000):
                name = f"w{worker}-{number}"
                try:
                    if (await api("POST", CONFIG_MAPS, config_map(name))).status == 201:
                        answered.add(name)
                except (aiohttp.ClientError, OSError):
                    return

        writers = [asyncio.create_task(write(worker)) for worker in range(8)]
        await eventually(lambda: len(answered) > 100, "some writes are answered")
        child.kill()
        await asyncio.gather(*writers)
    async with process(nats, port) as (api, child):
        stored = {item["metadata"]["name"] for item in (await api("GET", CONFIG_MAPS)).body["items"]}
        assert answered <= stored
        assert len(stored - answered) <= 9, "the first one, and at most one unanswered write of each writer"
        async with api.watch(CONFIG_MAPS, resourceVersion=first["metadata"]["resourceVersion"]) as watch:
            event = await watch.next()
            assert event is not None
            assert (event[0], event[1]["code"]) == ("ERROR", 410)
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await child.wait() == 0


@pytest.mark.timeout(120)
async def test_nothing_that_was_answered_is_lost_or_comes_back_and_every_copy_ends_as_the_api(nats: NatsServer) -> None:
    port = Port()
    serving = asyncio.Event()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        api = ApiClient(port, session)
        answered = Answered(api)
        copies = [Copy(api, kind, serving) for kind in KINDS for _ in range(2)]
        following = [group.create_task(copy.follow()) for copy in copies]
        for life in range(3):  # the last one only looks
            async with process(nats, port) as (_, child):
                found = await stored(api)
                assert answered.lost(found) == []
                serving.set()
                if life == 2:
                    await are_alike(copies, found)
                    break
                writers = [group.create_task(answered.write(f"w{life}-{worker}")) for worker in range(6)]
                await answered.more(250)
                serving.clear()
                child.kill()
                await asyncio.gather(*writers)
        for copy in copies:
            assert copy.gaps(answered.revisions[copy.kind]) == []
            assert len(copy.stretches) <= 3, "listed again only because it was told to"
            assert len(copy.seen) > 50
        assert len(answered.unanswered) <= 12
        for task in following:
            task.cancel()


async def test_while_nats_is_away_reading_goes_on_and_writing_says_so(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker())
        async with api.watch(BROKERS, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
            nats.kill()

            async def is_away() -> bool:
                return (await api("GET", "/readyz")).status == 503

            await eventually(is_away, "the loss is noticed")
            refused = await api("POST", BROKERS, broker("c"))
            assert (refused.status, refused.body["reason"]) == (503, "ServiceUnavailable")
            assert "nothing was stored" in refused.body["message"]
            assert refused.headers["retry-after"] == "1"
            assert (await api("GET", f"{BROKERS}/b")).body == made
            nats.start()

            async def is_written() -> bool:
                return (await api("POST", BROKERS, broker("c"))).status == 201

            await eventually(is_written, "writing goes on")
            assert await watch.names(1) == [("ADDED", "c")], "the watch goes on over the interruption"


async def test_a_store_that_was_lost_is_made_anew_and_ends_every_watch(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker())
        async with api.watch(BROKERS, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
            nats.kill()
            shutil.rmtree(nats.directory / "js")
            nats.start()
            event = await watch.next(20)
            assert event is not None
            assert (event[0], event[1]["code"]) == ("ERROR", 410)
            assert await watch.next() is None
        assert (await api("GET", BROKERS)).body["items"] == []

        async def is_there() -> bool:
            return (await api("GET", "/api/v1/namespaces/default")).status == 200

        await eventually(is_there, "the default namespace is made again")
        await api.made(BROKERS, broker())


async def test_changes_that_others_make_in_the_bucket_are_followed(nats: NatsServer) -> None:
    async with api_server(nats.url) as one, api_server(nats.url) as other:
        made = await one.made(BROKERS, broker())

        async def is_seen() -> bool:
            return (await other("GET", f"{BROKERS}/b")).status == 200

        await eventually(is_seen, "the other server sees it")
        both = [
            api.patch(f"{BROKERS}/b", {"metadata": {"labels": {f"l{n}": "x"}}})
            for n, api in enumerate([one, other] * 10)
        ]
        assert {answer.status for answer in await asyncio.gather(*both)} == {200}
        await eventually(is_seen, "still there")
        late = await other("PUT", f"{BROKERS}/b", made | {"spec": {"delivery": {"retry": 1}}})
        assert late.status == 409


async def test_marks_of_deletions_are_swept_and_names_can_be_used_again(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MARKS_KEPT", 2)
    monkeypatch.setattr(stores, "_SWEEP_S", 0.05)
    async with api_server(nats.url) as api, connect(BusAccess(nats.url), "test") as bus:
        for number in range(6):
            await api.made(CONFIG_MAPS, config_map(f"c{number}"))
            await api("DELETE", f"{CONFIG_MAPS}/c{number}")

        async def kept() -> int:
            state = (await bus.api("STREAM.INFO.KV_objects"))["state"]
            return int(state["messages"])

        async def are_swept() -> bool:
            return await kept() == 3  # two marks and the default namespace

        await eventually(are_swept, "the oldest marks are gone")
        again = await api.made(CONFIG_MAPS, config_map("c0"))
        revision = int(again["metadata"]["resourceVersion"])
    async with api_server(nats.url) as api:
        assert int((await api("GET", CONFIG_MAPS)).revision) == revision
        assert [i["metadata"]["name"] for i in (await api("GET", CONFIG_MAPS)).body["items"]] == ["c0"]
