"""The controller with the real local API and a real NATS: objects become definitions, and definitions Ready."""

from __future__ import annotations

from pathlib import Path

from scaup.core.bus.kv import Bucket
from scaup.core.model.definitions import Destination
from scaup.core.model.errors import BusRequestError
from tests.support.controlplane import EVENTING, World, condition_of, data_plane, replica, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

SINK = {"uri": "http://sink.test/"}


async def streams(w: World) -> set[str]:
    names = (await w.bus.api("STREAM.NAMES"))["streams"] or []
    return {name for name in names if name.startswith("scaup-")}


async def test_a_broker_and_its_trigger_become_ready_and_reach_the_data_plane(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        broker = await w.broker()
        trigger = await w.trigger("t", SINK, filter={"attributes": {"type": "a"}})
        value = await w.until(broker, "Ready", "True")
        assert value["status"]["address"]["url"] == "http://127.0.0.1:8080/default/default"
        assert value["status"]["observedGeneration"] == value["metadata"]["generation"]
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["subscriberUri"] == "http://sink.test/"
        assert condition_of(value, "DeadLetterSinkResolved")["reason"] == "DeadLetterSinkNotConfigured"
        definition = next(iter(plane.triggers.values()))
        assert definition.filters == ({"attributes": {"type": "a"}},)
        assert definition.subscriber == Destination(uri="http://sink.test/")
        assert definition.uid == value["metadata"]["uid"]
        assert await w.bus.api(f"STREAM.INFO.scaup-log-{definition.broker}")


async def test_a_trigger_may_come_before_its_broker(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        trigger = await w.trigger("t", SINK)
        value = await w.until(trigger, "Ready", "False", "BrokerDoesNotExist")
        assert "'default'" in condition_of(value, "Ready")["message"]
        await w.broker()
        await w.until(trigger, "Ready", "True")


async def test_nothing_is_ready_before_the_data_plane_has_it(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w:
        w.start_controller()
        broker = await w.broker()
        trigger = await w.trigger("t", SINK)
        await w.until(broker, "IngressReady", "Unknown", "WaitingForDataPlane")
        value = await w.until(trigger, "SubscriptionReady", "Unknown", "WaitingForDataPlane")
        assert condition_of(value, "Ready")["status"] == "False"
        async with data_plane(w.bus):
            await w.until(trigger, "Ready", "True")
            await w.until(broker, "Ready", "True")
        # All replicas have said goodbye. That is no news before they have had the time to come back.
        await w.until(broker, "IngressReady", "False", "NoIngress")
        await w.until(broker, "FilterReady", "False", "NoFilter")
        await w.until(trigger, "Ready", "False")


async def test_a_change_is_ready_only_when_all_live_replicas_have_it(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", SINK)
        await w.until(trigger, "Ready", "True")
        replicas = Bucket(w.bus, "replicas")
        created = (await w.bus.api("STREAM.INFO.KV_definitions"))["created"]
        await replicas.put("filter.slow", b'{"revision":1,"created":"%s"}' % created.encode())
        await w.patch(trigger, {"spec": {"subscriber": {"uri": "http://moved.test/"}}})
        value = await w.until(trigger, "SubscriptionReady", "Unknown", "WaitingForDataPlane")
        assert condition_of(value, "SubscriptionReady")["message"].startswith("filter.slow has applied revision 1 of")
        await replicas.put("filter.slow", b'{"revision":999,"created":"%s"}' % created.encode())
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["subscriberUri"] == "http://moved.test/"
        assert value["status"]["observedGeneration"] == value["metadata"]["generation"] == 2


async def test_one_replica_that_restarts_takes_no_readiness_back(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, replica(w.bus, "ingress"), replica(w.bus, "dispatcher"):
        w.start_controller()
        broker = await w.broker()
        trigger = await w.trigger("t", SINK)
        async with replica(w.bus, "filter", "first"):
            ready = await w.until(trigger, "Ready", "True")
        async with replica(w.bus, "filter", "second") as again:
            await eventually(lambda: again.is_loaded, "the new filter has loaded")
            await w.patch(trigger, {"metadata": {"annotations": {"a": "b"}}})
            since = condition_of(ready, "Ready")["lastTransitionTime"]
            value = await w.until(trigger, "Ready", "True")
            assert condition_of(value, "Ready")["lastTransitionTime"] == since
            assert condition_of(await w.get(broker), "Ready")["status"] == "True"


async def test_a_deleted_broker_leaves_nothing_on_the_bus(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        broker = await w.broker()
        trigger = await w.trigger("t", SINK)
        await w.until(trigger, "Ready", "True")
        assert len(await streams(w)) == 3
        await w.delete(broker)
        await w.until(trigger, "Ready", "False", "BrokerDoesNotExist")
        await eventually(lambda: not plane.brokers and not plane.triggers, "the definitions are gone")

        async def gone() -> bool:
            return not await streams(w)

        _: bool = await eventually(gone, "the streams are gone")
        await w.broker()
        await w.until(trigger, "Ready", "True")
        (uid,) = plane.brokers
        assert {t.broker for t in plane.triggers.values()} == {uid}
        assert await streams(w) == {f"scaup-{what}-{uid}" for what in ("log", "queue", "dead")}


async def test_what_was_deleted_and_made_anew_meanwhile_is_found_at_the_start(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        first, second = await w.broker("first"), await w.broker("second")
        gone = await w.trigger("gone", SINK, "second")
        await w.until(gone, "Ready", "True")
        await w.until(first, "Ready", "True")
        before = {b.name: b.uid for b in plane.brokers.values()}
        await w.stop_controller()
        await w.delete(gone)
        await w.delete(first)
        await w.delete(second)
        await w.broker("second")
        w.start_controller()
        await w.until(second, "Ready", "True")
        after = {b.name: b.uid for b in plane.brokers.values()}
        assert after.keys() == {"second"}
        assert after["second"] != before["second"]
        assert not plane.triggers

        async def only_new() -> bool:
            return await streams(w) == {f"scaup-{what}-{after['second']}" for what in ("log", "queue", "dead")}

        _: bool = await eventually(only_new, "the streams of the former Brokers are gone")


async def test_a_restart_writes_nothing_where_nothing_has_changed(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", SINK)
        before = await w.until(trigger, "Ready", "True")
        revision = (await w.bus.api("STREAM.INFO.KV_definitions"))["state"]["last_seq"]
        await w.stop_controller()
        again = w.start_controller()
        await eventually(lambda: again.published, "the snapshot is published")
        other = await w.trigger("other", SINK)
        await w.until(other, "Ready", "True")  # by then the restart has had its say about the first one
        assert await w.get(trigger) == before
        state = (await w.bus.api("STREAM.INFO.KV_definitions"))["state"]
        assert state["last_seq"] == revision + 2  # the other Trigger and the new counts


async def test_a_status_that_somebody_else_changes_is_put_right(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", SINK)
        await w.until(trigger, "Ready", "True")
        wrong = {
            "conditions": [{"type": "Ready", "status": "False", "reason": "X"}],
            "subscriberUri": "http://evil.test",
        }
        await w.patch(f"{trigger}/status", {"status": wrong})
        value = await w.until(trigger, "SubscriptionReady", "True")
        assert value["status"]["subscriberUri"] == "http://sink.test/"
        assert condition_of(value, "Ready")["status"] == "True"


async def test_mistakes_become_conditions_and_stop_nobody_else(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker()
        bad = await w.broker("bad", annotations={"scaup.dev/log-max-bytes": "lots"})
        refused = await w.broker("refused", annotations={"scaup.dev/replicas": "3"})
        dialect = await w.trigger("dialect", SINK, filters=[{"exact": {"type": ""}}])
        good = await w.trigger("good", SINK)
        value = await w.until(bad, "TriggerChannelReady", "False", "AnnotationInvalid")
        assert "scaup.dev/log-max-bytes" in condition_of(value, "Ready")["message"]
        await w.until(refused, "TriggerChannelReady", "False", "ChannelFailure")  # no cluster here
        value = await w.until(dialect, "Ready", "False", "FilterInvalid")
        assert "spec.filters[0].exact" in condition_of(value, "Ready")["message"]
        await w.until(good, "Ready", "True")
        assert {b.name for b in plane.brokers.values()} == {"default"}
        assert {t.name: t.matching for t in plane.triggers.values()} == {"good": True, "dialect": False}
        await w.patch(bad, {"metadata": {"annotations": {"scaup.dev/log-max-bytes": "10Mi"}}})
        await w.until(bad, "Ready", "True")
        await w.patch(bad, {"metadata": {"annotations": {"scaup.dev/log-max-bytes": "lots"}}})
        await w.until(bad, "Ready", "False", "AnnotationInvalid")
        assert {b.log_max_bytes for b in plane.brokers.values() if b.name == "bad"} == {10 << 20}


async def test_a_changed_delivery_of_a_broker_reaches_the_triggers_that_inherit_it(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        broker = await w.broker(delivery={"retry": 1, "deadLetterSink": {"uri": "http://dead.test/"}})
        trigger = await w.trigger("t", SINK)
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["deadLetterSinkUri"] == "http://dead.test/"
        value = await w.until(broker, "Ready", "True")
        assert value["status"]["deadLetterSinkUri"] == "http://dead.test/"
        await w.patch(broker, {"spec": {"delivery": {"retry": 2, "deadLetterSink": None}}})
        await eventually(lambda: [t.delivery.retry for t in plane.triggers.values()] == [2], "the change is in effect")

        async def without() -> bool:
            found = await w.get(trigger) or {}
            return "deadLetterSinkUri" not in found["status"]

        _: bool = await eventually(without, "the Trigger's status has no dead letter sink any more")


async def test_hundreds_of_triggers_become_ready(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        await w.broker()
        for number in range(300):
            await w.trigger(f"t{number}", SINK)
        w.start_controller()

        async def all_ready() -> bool:
            items, _ = await w.api.list(f"{EVENTING}/triggers")
            return all(condition_of(item, "Ready").get("status") == "True" for item in items)

        _: bool = await eventually(all_ready, "300 Triggers are Ready", within_s=60)


async def test_what_the_bus_does_not_take_is_told_and_holds_nobody_up(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        controller = w.start_controller()
        await w.broker()
        snapshot, real = controller._snapshot._bucket, controller._snapshot._bucket.put

        async def refusing(
            key: str, value: bytes, *, expected: int | None = None, fence: tuple[str, int] | None = None
        ) -> int:
            if b'"name":"bad"' in value:
                msg = "larger than the bus takes"
                raise BusRequestError(msg)
            return await real(key, value, expected=expected, fence=fence)

        snapshot.put = refusing  # type: ignore[method-assign]
        bad, good = await w.trigger("bad", SINK), await w.trigger("good", SINK)
        value = await w.until(bad, "SubscriptionReady", "False", "DefinitionNotStored")
        assert condition_of(value, "SubscriptionReady")["message"] == "larger than the bus takes"
        await w.until(good, "Ready", "True")
        assert {t.name for t in plane.triggers.values()} == {"good"}
