"""Neighbours that go away: the API, NATS, and the bucket itself. Nothing is taken away, and everything is made good."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.controlplane import condition_of, data_plane, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

SINK = {"uri": "http://sink.test/"}


async def test_an_api_that_is_killed_takes_nothing_away_and_is_followed_when_it_is_back(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        controller = w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", SINK)
        await w.until(trigger, "Ready", "True")
        w.server.kill()
        why = await eventually(controller.why_not_ready, "the controller says that the API is away")
        assert "Kubernetes API" in str(why)
        assert len(plane.triggers) == 1
        await w.start_api()
        await eventually(lambda: controller.why_not_ready() is None, "the controller is ready again")
        other = await w.trigger("other", SINK)
        await w.until(other, "Ready", "True")
        assert len(plane.triggers) == 2


async def test_nats_that_is_killed_and_back_is_written_on(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", SINK)
        before = await w.until(trigger, "Ready", "True")
        nats.kill()
        await eventually(lambda: not w.bus.is_connected, "the connection is lost")
        await asyncio.to_thread(nats.start)

        async def made() -> bool:
            try:
                await w.trigger("other", SINK)
            except Exception:  # noqa: BLE001 - the local API waits for NATS, too
                return False
            return True

        _: bool = await eventually(made, "the local API takes writes again")
        other = trigger.removesuffix("/t") + "/other"
        await w.until(other, "Ready", "True")
        assert {t.name for t in plane.triggers.values()} == {"t", "other"}
        assert condition_of(await w.get(trigger), "Ready") == condition_of(before, "Ready")


async def test_a_bucket_that_was_lost_is_written_anew_and_the_streams_with_it(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w:
        w.start_controller()
        async with data_plane(w.bus) as plane:
            await w.broker()
            trigger = await w.trigger("t", SINK)
            await w.until(trigger, "Ready", "True")
            (uid,) = plane.brokers
        await w.bus.api("STREAM.DELETE.KV_definitions")
        await w.bus.api(f"STREAM.DELETE.scaup-log-{uid}")

        async def there() -> bool:
            try:
                await w.bus.api(f"STREAM.INFO.scaup-log-{uid}")
            except Exception:  # noqa: BLE001 - not yet
                return False
            return True

        _: bool = await eventually(there, "the Broker's streams are made again")
        async with data_plane(w.bus) as plane:
            await eventually(lambda: plane.is_loaded, "the data plane finds a complete snapshot")
            assert len(plane.triggers) == len(plane.brokers) == 1
            await w.until(trigger, "Ready", "True")


async def test_a_write_into_a_lost_bucket_is_made_good_at_once(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w:
        controller = w.start_controller()
        await w.broker()
        await eventually(lambda: controller._snapshot.keys("broker."), "the Broker is in the snapshot")
        await w.bus.api("STREAM.DELETE.KV_definitions")
        await w.trigger("t", SINK)
        async with data_plane(w.bus) as plane:
            await eventually(lambda: plane.is_loaded and plane.triggers, "the snapshot is complete again")
            assert len(plane.brokers) == 1


async def test_a_controller_waits_for_an_api_that_is_not_there_yet(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        await w.broker()
        trigger = await w.trigger("t", SINK)
        w.server.kill()
        controller = w.start_controller()
        await eventually(lambda: "Cannot connect" in str(controller.why_not_ready()), "it says what it waits for")
        assert not controller.published
        await w.start_api()
        await w.until(trigger, "Ready", "True")
