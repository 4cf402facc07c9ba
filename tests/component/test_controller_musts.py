"""What stays as it was made, and what may be changed (control-plane.md), with the local API and the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaup.controller.kube import ApiRefusedError
from tests.support.controlplane import condition_of, data_plane, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

SINK = {"uri": "http://sink.test/"}
CLASS = "eventing.knative.dev/broker.class"
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "name": "one", "namespace": "default"}


async def test_class_and_config_of_a_broker_stay(nats: NatsServer, tmp_path: Path) -> None:
    """CP-8, MUST: both are immutable; the Broker goes on."""
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        broker = await w.broker(config=CONFIG)
        await w.until(broker, "Ready", "True")
        changes: list[dict[str, Any]] = [
            {"metadata": {"annotations": {CLASS: "Kafka"}}},
            {"spec": {"config": CONFIG | {"name": "other"}}},
            {"spec": {"config": None}},
        ]
        for change in changes:
            with pytest.raises(ApiRefusedError) as caught:
                await w.patch(broker, change)
            assert caught.value.status in {400, 422}
        value = await w.patch(broker, {"metadata": {"annotations": {CLASS: None}}})  # it is defaulted again
        assert value["metadata"]["annotations"] == {CLASS: "Scaup"}
        assert value["spec"]["config"] == CONFIG
        assert condition_of(value, "Ready")["status"] == "True"


async def test_the_broker_of_a_trigger_stays_and_everything_else_may_change(nats: NatsServer, tmp_path: Path) -> None:
    """CP-14, MUST NOT: update ``spec.broker``. CP-15, SHOULD: all else takes effect. CP-11, CP-38, MUST."""
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker()
        await w.broker("other")
        trigger = await w.trigger("t", SINK)
        await w.until(trigger, "Ready", "True")
        with pytest.raises(ApiRefusedError, match="broker") as caught:
            await w.patch(trigger, {"spec": {"broker": "other"}})
        assert caught.value.status in {400, 422}
        changed = {
            "subscriber": {"uri": "http://moved.test/"},
            "filter": {"attributes": {"type": "b"}},
            "delivery": {"retry": 5, "deadLetterSink": {"uri": "http://dead.test/"}},
        }
        await w.patch(trigger, {"spec": changed})
        await eventually(lambda: [t.delivery.retry for t in plane.triggers.values()] == [5], "it is in effect")
        (definition,) = plane.triggers.values()
        assert definition.filters == ({"attributes": {"type": "b"}},)

        async def is_told() -> dict[str, Any]:
            found = await w.get(trigger) or {}
            return found if found["status"]["observedGeneration"] == found["metadata"]["generation"] == 2 else {}

        value = await eventually(is_told, "the status speaks of the change")
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["subscriberUri"] == "http://moved.test/"
        assert value["status"]["deadLetterSinkUri"] == "http://dead.test/"


async def test_a_trigger_is_not_ready_and_never_merely_unknown_while_its_broker_is(
    nats: NatsServer, tmp_path: Path
) -> None:
    """CP-10, MUST: False, with the Broker's own reason. CP-9, MAY: the Trigger was there first."""
    async with world(tmp_path, nats.url) as w:
        w.start_controller()
        trigger = await w.trigger("t", SINK)
        await w.until(trigger, "BrokerReady", "False", "BrokerDoesNotExist")
        broker = await w.broker()
        value = await w.until(broker, "Ready", "Unknown", "WaitingForDataPlane")
        why = condition_of(value, "Ready")["message"]
        value = await w.until(trigger, "Ready", "False", "WaitingForDataPlane")
        assert condition_of(value, "BrokerReady")["message"] == f"Broker default is not Ready: {why}"
