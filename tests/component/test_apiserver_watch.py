"""Watches: everything from a revision on, in order, once; and how they end."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from scaup.apiserver import watch as watching
from tests.support.apiserver import BROKERS, CONFIG_MAPS, EVENTING, api_server, broker, config_map
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually


async def test_a_watch_without_a_revision_shows_what_is_there_and_then_every_change(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(BROKERS, broker("a"))
        async with api.watch(f"{EVENTING}/brokers") as watch:
            assert await watch.names(1) == [("ADDED", "a")]
            await api.made(BROKERS, broker("b"))
            await api.patch(f"{BROKERS}/a", {"metadata": {"labels": {"x": "y"}}})
            await api("DELETE", f"{BROKERS}/b")
            await api.made(CONFIG_MAPS, config_map())
            await api.made(f"{EVENTING}/namespaces/other/brokers", broker("c"))
            assert await watch.names(4) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b"), ("ADDED", "c")]


async def test_a_watch_goes_on_from_a_revision_without_a_gap(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(BROKERS, broker("a"))
        revision = (await api("GET", BROKERS)).revision
        await api.made(BROKERS, broker("b"))
        gone = (await api("DELETE", f"{BROKERS}/a")).status
        assert gone == 200
        async with api.watch(BROKERS, resourceVersion=revision) as watch:
            assert await watch.names(1) == [("ADDED", "b")]
            deleted = await watch.next()
            assert deleted is not None
            assert deleted[0] == "DELETED"
            last = deleted[1]["metadata"]["resourceVersion"]
        assert int(last) > int(revision) + 1
        async with api.watch(BROKERS, resourceVersion=last) as watch:
            await api.made(BROKERS, broker("c"))
            assert await watch.names(1) == [("ADDED", "c")]


async def test_a_watch_with_a_selector_adds_and_deletes_what_begins_and_ends_to_match(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        async with api.watch(CONFIG_MAPS, labelSelector="on=yes") as watch:
            await api.made(CONFIG_MAPS, config_map("quiet"))
            await api.made(CONFIG_MAPS, config_map("c"))
            await api.patch(f"{CONFIG_MAPS}/c", {"metadata": {"labels": {"on": "yes"}}})
            await api.patch(f"{CONFIG_MAPS}/c", {"data": {"a": "b"}})
            off = await api.patch(f"{CONFIG_MAPS}/c", {"metadata": {"labels": {"on": "no"}}, "data": {"a": "c"}})
            await api("DELETE", f"{CONFIG_MAPS}/c")
            assert await watch.names(2) == [("ADDED", "c"), ("MODIFIED", "c")]
            ended = await watch.next()
            assert ended is not None
            assert ended[0] == "DELETED"
            assert ended[1]["data"] == {"a": "b"}, "the object as it matched last"
            assert ended[1]["metadata"]["resourceVersion"] == off.revision
        async with api.watch(CONFIG_MAPS, fieldSelector="metadata.name=quiet") as watch:
            assert await watch.names(1) == [("ADDED", "quiet")]


async def test_a_watch_from_a_revision_that_is_forgotten_or_of_another_store_ends_with_410(nats: NatsServer) -> None:
    async with api_server(nats.url, kept_changes=5) as api:
        await api.made(CONFIG_MAPS, config_map())
        for number in range(10):
            await api.patch(f"{CONFIG_MAPS}/c", {"data": {"n": str(number)}})
        for revision in ("2", "999999"):
            async with api.watch(CONFIG_MAPS, resourceVersion=revision) as watch:
                event = await watch.next()
                assert event is not None
                assert (event[0], event[1]["code"], event[1]["reason"]) == ("ERROR", 410, "Expired")
                assert await watch.next() is None


async def test_a_watcher_that_does_not_read_is_ended_and_holds_nothing(nats: NatsServer) -> None:
    async with api_server(nats.url, kept_changes=50) as api:
        await api.made(CONFIG_MAPS, config_map())
        revision = (await api("GET", CONFIG_MAPS)).revision
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1 << 16)
        query = f"{CONFIG_MAPS}?watch=1&resourceVersion={revision}"
        writer.write(f"GET {query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        transport = writer.transport
        transport.pause_reading()  # type: ignore[attr-defined]
        big = "x" * 200_000
        for number in range(120):
            await api.patch(f"{CONFIG_MAPS}/c", {"data": {"n": f"{number}{big}"}})
        transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            text = await _until_last_chunk(reader)
        assert b'"type":"ERROR"' in text
        assert b'"code":410' in text
        writer.close()


async def _until_last_chunk(reader: asyncio.StreamReader) -> bytes:
    text = b""
    while not text.endswith(b"0\r\n\r\n"):
        text = text[-2000:] + await reader.read(1 << 20)
    return text


async def test_a_watch_ends_at_its_timeout_and_bookmarks_say_how_far_it_is(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(BROKERS, broker())
        with patch.object(watching, "BOOKMARK_S", 0.2):
            query = {"timeoutSeconds": "1", "allowWatchBookmarks": "true", "resourceVersion": "0"}
            async with api.watch(BROKERS, **query) as watch:
                assert await watch.names(1) == [("ADDED", "b")]
                await api.made(CONFIG_MAPS, config_map())
                revision = (await api("GET", CONFIG_MAPS)).revision
                seen = []
                while event := await watch.next():
                    assert event[0] == "BOOKMARK"
                    assert set(event[1]) == {"kind", "apiVersion", "metadata"}
                    seen.append(event[1]["metadata"]["resourceVersion"])
                assert seen[-1] == revision


async def test_a_streamed_list_ends_with_a_bookmark_that_says_so(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker())
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        async with api.watch(BROKERS, **query) as watch:
            assert await watch.names(1) == [("ADDED", "b")]
            mark = await watch.next()
            assert mark is not None
            assert mark[0] == "BOOKMARK"
            assert mark[1]["metadata"] == {
                "resourceVersion": made["metadata"]["resourceVersion"],
                "annotations": {"k8s.io/initial-events-end": "true"},
            }


async def test_a_client_that_leaves_is_noticed_and_too_many_are_told_to_wait(nats: NatsServer) -> None:
    async with api_server(nats.url, max_watches=1) as api:

        async def watches() -> str:
            text = (await api("GET", "/metrics")).body
            return next(line for line in str(text).splitlines() if line.startswith("scaup_apiserver_watches "))

        async with api.watch(BROKERS):
            assert await watches() == "scaup_apiserver_watches 1.0"
            second = await api("GET", BROKERS, watch="1")
            assert (second.status, second.headers["retry-after"]) == (429, "1")
        await eventually(lambda: _is(watches, "scaup_apiserver_watches 0.0"), "the watch is over")


async def _is(ask: object, wanted: str) -> bool:
    return bool(await ask() == wanted)  # type: ignore[operator]


async def test_a_hundred_watchers_see_every_change_once(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        revision = (await api("GET", CONFIG_MAPS)).revision

        async def follow() -> list[tuple[str, str]]:
            async with api.watch(CONFIG_MAPS, resourceVersion=revision) as watch:
                return await watch.names(50)

        watchers = [asyncio.create_task(follow()) for _ in range(100)]
        for number in range(50):
            await api.made(CONFIG_MAPS, config_map(f"c{number}"))
        wanted = [("ADDED", f"c{number}") for number in range(50)]
        assert all(seen == wanted for seen in await asyncio.gather(*watchers))


async def test_watches_end_when_the_api_stops(nats: NatsServer) -> None:
    async with api_server(nats.url) as api, api.watch(BROKERS) as watch:
        api.life.stop()
        assert await watch.next() is None
