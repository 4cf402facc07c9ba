"""Events sent again to a Broker with ``scaup.dev/dedupe-window``: stored once, whatever happened in between."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from scaup.core.bus import topology
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.model.definitions import BrokerDefinition, to_json
from scaup.core.model.errors import BusError
from scaup.core.model.names import broker_key, log_stream
from tests.support.dataplane import metric
from tests.support.events import BROKER, a_broker
from tests.support.natsserver import NatsServer, cluster
from tests.support.rawhttp import BINARY, connection, post, send
from tests.support.services import InProcess, define, entries, ingress_here, service
from tests.support.waiting import eventually

ONCE = a_broker(dedupe_window_s=120.0)
BATCH = {"content-type": "application/cloudevents-batch+json"}


@asynccontextmanager
async def an_ingress(url: str, broker: BrokerDefinition = ONCE) -> AsyncIterator[tuple[Bus, InProcess]]:
    async with connect(BusAccess(url), "test") as bus:
        await define(bus, [broker])
        async with ingress_here(bus) as ingress:
            yield bus, ingress


def counted(result: str) -> float:
    return metric("scaup_ingress_events_total", namespace="default", broker="one", result=result)


async def stored_ids(bus: Bus) -> list[str]:
    return [(entry.headers or {})["ce-id"] for entry in await entries(bus, BROKER)]


async def until_accepted(ingress: InProcess) -> None:
    async def is_accepted() -> bool:
        return (await post(ingress.port)).status == 202

    _: bool = await eventually(is_accepted, "the event is accepted")


async def test_an_event_that_is_sent_again_is_answered_202_counted_and_not_stored(nats: NatsServer) -> None:
    async with an_ingress(nats.url) as (bus, ingress):
        before = counted("accepted"), counted("duplicate")
        assert [(await post(ingress.port, body=b"x")).status for _ in range(3)] == [202, 202, 202]
        assert await stored_ids(bus) == ["1"]
        assert (counted("accepted") - before[0], counted("duplicate") - before[1]) == (1, 2)


async def test_source_and_id_together_make_the_event(nats: NatsServer) -> None:
    pairs = [("/a", "1"), ("/b", "1"), ("/a", "2"), ("/a1", "1"), ("/a", "11")]
    async with an_ingress(nats.url) as (bus, ingress):
        for source, event in pairs * 2:
            assert (await post(ingress.port, ce_source=source, ce_id=event)).status == 202
        assert await stored_ids(bus) == [event for _, event in pairs]


async def test_a_broker_that_does_not_ask_for_it_stores_what_is_sent(nats: NatsServer) -> None:
    async with an_ingress(nats.url, a_broker()) as (bus, ingress):
        assert [(await post(ingress.port)).status for _ in range(2)] == [202, 202]
        assert await stored_ids(bus) == ["1", "1"]
        assert all("Nats-Msg-Id" not in (entry.headers or {}) for entry in await entries(bus, BROKER))


async def test_the_same_event_twice_in_a_batch_is_stored_once(nats: NatsServer) -> None:
    whole = {"specversion": "1.0", "source": "/tests", "type": "t"}
    body = json.dumps([whole | {"id": one} for one in ("1", "2", "1")]).encode()
    async with an_ingress(nats.url) as (bus, ingress):
        before = counted("accepted"), counted("duplicate")
        assert (await send(ingress.port, "POST", "/default/one", BATCH, body)).status == 202
        assert sorted(await stored_ids(bus)) == ["1", "2"]
        assert (counted("accepted") - before[0], counted("duplicate") - before[1]) == (2, 1)
        assert (await send(ingress.port, "POST", "/default/one", BATCH, body)).status == 202
        assert sorted(await stored_ids(bus)) == ["1", "2"]


async def test_an_event_that_was_refused_is_stored_when_it_is_sent_again(nats: NatsServer) -> None:
    small = a_broker(log_max_bytes=20_000, dedupe_window_s=120.0)
    async with an_ingress(nats.url, small) as (bus, ingress):
        # What the ingress counts does not refuse it: the log itself does.
        ingress.definitions.brokers_by_name["default", "one"] = a_broker(log_max_bytes=10**9, dedupe_window_s=120.0)
        statuses = [(await post(ingress.port, body=b"x" * 8_000, ce_id=str(n))).status for n in range(3)]
        assert statuses == [202, 202, 507]
        await bus.api(f"STREAM.PURGE.{log_stream(BROKER)}", {"keep": 1})
        assert [(await post(ingress.port, body=b"x" * 8_000, ce_id="2")).status for _ in range(2)] == [202, 202]
        assert await stored_ids(bus) == ["1", "2"]


@dataclass
class Relay:
    """Between an ingress and NATS; what the server says is held back while ``is_mute``."""

    port: int
    is_mute: bool = False
    held: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def cut(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, back]
        with suppress(OSError):
            await asyncio.gather(self.copy(reader, back, is_server=False), self.copy(there, writer, is_server=True))

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_server: bool) -> None:
        while data := await reader.read(65_536):
            if is_server and self.is_mute:
                self.held += len(data)
            else:
                writer.write(data)
                await writer.drain()


async def test_an_event_whose_acknowledgement_was_lost_is_known_when_it_is_sent_again(nats: NatsServer) -> None:
    relay = Relay(nats.port)
    async with await asyncio.start_server(relay.connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with an_ingress(f"nats://127.0.0.1:{port}") as (_, ingress), connect(BusAccess(nats.url), "t") as bus:
            relay.is_mute = True
            sending = asyncio.create_task(post(ingress.port))

            async def is_there() -> bool:
                return await stored_ids(bus) == ["1"]

            _there: bool = await eventually(is_there, "the event is in the log")
            await eventually(lambda: relay.held, "its acknowledgement is held back")
            relay.cut()
            assert (await sending).status == 503
            relay.is_mute = False
            before = counted("duplicate")
            await until_accepted(ingress)
            assert await stored_ids(bus) == ["1"]
            assert counted("duplicate") == before + 1
        relay.cut()


async def test_what_is_known_outlives_a_killed_nats_and_a_killed_ingress(nats: NatsServer, tmp_path: Path) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [ONCE])
        for restart in range(2):
            with service("ingress", tmp_path, nats.url) as ingress:
                await ingress.until_ready()
                assert (await post(ingress.port)).status == 202
                nats.kill()
                await asyncio.to_thread(nats.start)

                async def is_accepted(port: int = ingress.port) -> bool:
                    return (await post(port)).status == 202

                _: bool = await eventually(is_accepted, "events are accepted again")
                await eventually(lambda: bus.is_connected, "the test is connected again")
                assert await stored_ids(bus) == ["1"], restart
                await ingress.stopped(signal.SIGKILL)


async def test_ingresses_side_by_side_store_an_event_once(nats: NatsServer) -> None:
    async with an_ingress(nats.url) as (bus, one), ingress_here(bus) as other:
        for event in range(20):
            both = await asyncio.gather(*(post(at.port, ce_id=str(event)) for at in (one, other)))
            assert [answer.status for answer in both] == [202, 202]
        assert sorted(await stored_ids(bus), key=int) == [str(event) for event in range(20)]


async def test_the_window_can_be_changed_taken_away_and_put_back_and_nothing_is_lost(nats: NatsServer) -> None:
    async with an_ingress(nats.url) as (bus, ingress):
        bucket = Bucket(bus, "definitions")

        async def change(window_s: float) -> None:
            changed = a_broker(dedupe_window_s=window_s)
            await topology.ensure_broker(bus, changed)
            await bucket.put(broker_key(BROKER), dumps(to_json(changed)))
            known = ingress.definitions.brokers
            await eventually(lambda: known[BROKER].dedupe_window_s == window_s, "the ingress has the change")

        async def window() -> float:
            config = (await bus.api(f"STREAM.INFO.{log_stream(BROKER)}"))["config"]
            return float(config["duplicate_window"] / 1e9)

        assert (await post(ingress.port)).status == 202
        assert await window() == topology.DUPLICATE_WINDOW_S
        await change(3600.0)
        assert await window() == 3600.0
        assert (await post(ingress.port)).status == 202
        assert await stored_ids(bus) == ["1"]
        await change(0.0)
        assert await window() == topology.DUPLICATE_WINDOW_S
        assert (await post(ingress.port)).status == 202
        assert await stored_ids(bus) == ["1", "1"]
        await change(1.0)
        assert (await post(ingress.port)).status == 202
        assert (await post(ingress.port, ce_id="2")).status == 202
        assert await stored_ids(bus) == ["1", "1", "2"]


async def test_a_window_that_is_over_is_over(nats: NatsServer) -> None:
    """No shorter one than replies need is set, so the stream's is made short by hand."""
    async with an_ingress(nats.url) as (bus, ingress):
        config = (await bus.api(f"STREAM.INFO.{log_stream(BROKER)}"))["config"]
        await bus.api(f"STREAM.UPDATE.{log_stream(BROKER)}", config | {"duplicate_window": 200_000_000})

        async def is_stored_twice() -> bool:
            assert (await post(ingress.port)).status == 202
            return len(await stored_ids(bus)) == 2

        _: bool = await eventually(is_stored_twice, "the event is a new one")


async def test_on_three_servers_an_event_is_stored_once_whoever_leads(tmp_path: Path) -> None:
    thrice = a_broker(dedupe_window_s=120.0, replicas=3)
    whole = {"specversion": "1.0", "source": "/tests", "type": "t"}
    body = json.dumps([whole | {"id": "same"}] * 50).encode()
    with cluster(tmp_path) as servers:
        async with an_ingress(servers.url, thrice) as (bus, ingress):
            # All at once: while one is being stored, JetStream refuses the others as "in process".
            assert (await send(ingress.port, "POST", "/default/one", BATCH, body)).status == 202
            assert (await post(ingress.port)).status == 202
            assert await stored_ids(bus) == ["same", "1"]
            leader = (await bus.api(f"STREAM.INFO.{log_stream(BROKER)}"))["cluster"]["leader"]
            servers.nodes[leader].kill()

            async def is_accepted() -> bool:
                with suppress(BusError):
                    return (await post(ingress.port)).status == 202
                return False

            _: bool = await eventually(is_accepted, "another leads", within_s=30)
            async with connection(ingress.port) as one:
                assert (await one.request("POST", "/default/one", BINARY | {"ce-id": "new"})).status == 202
            assert await stored_ids(bus) == ["same", "1", "new"]
