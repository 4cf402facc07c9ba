"""The ConfigMap with the defaults of Brokers, in the local API: it is followed, and no slip changes what runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from scaup.controller.app import Controller, Mandate
from scaup.core.model.errors import SettingsError
from tests.support.controlplane import PUBLIC_URL, World, condition_of, data_plane, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

MAPS = "/api/v1/namespaces/default/configmaps"
SINK = {"uri": "http://sink.test/"}


def start(w: World) -> None:
    mandate = Mandate(PUBLIC_URL, defaults="default/config-br-defaults")
    w.running.append(asyncio.create_task(Controller(w.bus, w.api, mandate).run()))


async def write(w: World, text: str | None) -> None:
    """Put this text into the ConfigMap; None: delete it."""
    path = f"{MAPS}/config-br-defaults"
    if text is None:
        await w.delete(path)
    elif await w.get(path) is None:
        value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config-br-defaults"}}
        await w.create(MAPS, value | {"data": {"default-br-config": text}})
    else:  # in place, for between two there would be none, which is a state of its own
        await w.patch(path, {"data": {"default-br-config": text}})


async def test_default_deliveries_reach_the_data_plane_and_a_slip_leaves_the_last_good_ones(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:

        def retries() -> list[int]:
            return [one.delivery.retry for one in plane.triggers.values()]

        await write(w, "clusterDefault: {delivery: {retry: 4, deadLetterSink: {uri: 'http://dead.test/'}}}")
        start(w)
        broker, trigger = await w.broker(), await w.trigger("t", SINK)
        assert (await w.until(broker, "Ready", "True"))["status"]["deadLetterSinkUri"] == "http://dead.test/"
        assert (await w.until(trigger, "Ready", "True"))["status"]["deadLetterSinkUri"] == "http://dead.test/"
        assert retries() == [4]

        await write(w, "clusterDefault: {delivery: {retry: many}}")
        value = await w.until(broker, "DefaultsKnown", "False", "DefaultsInvalid")
        said = condition_of(value, "DefaultsKnown")
        assert said["severity"] == "Warning"
        assert (
            "ConfigMap default/config-br-defaults: default-br-config.clusterDefault.delivery.retry" in said["message"]
        )
        assert condition_of(value, "Ready")["status"] == "True"
        assert retries() == [4]

        await w.stop_controller()  # the next one never saw the good text, and changes nothing
        start(w)
        value = await w.until(trigger, "SubscriptionReady", "False", "DefaultsInvalid")
        assert retries() == [4]

        await write(w, "namespaceDefaults: {default: {brokerClass: Scaup, delivery: {retry: 6}}}")
        await w.until(trigger, "Ready", "True")
        assert retries() == [6]
        value = await w.until(broker, "Ready", "True")
        assert condition_of(value, "DefaultsKnown") == {}

        await write(w, None)
        await eventually(lambda: retries() == [10], "without a ConfigMap there are no defaults but those built in")


async def test_a_wrong_name_of_the_config_map_is_a_wrong_setting(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w:
        for wrong in ("config-br-defaults", "a/b/c", "/x", "x/"):
            with pytest.raises(SettingsError, match="expected namespace/name"):
                Controller(w.bus, w.api, Mandate(PUBLIC_URL, defaults=wrong))
