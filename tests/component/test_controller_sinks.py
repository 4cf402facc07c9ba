"""Sinks by reference: any kind, found when first referred to, followed while it is, and told where it cannot be."""

from __future__ import annotations

from pathlib import Path

from tests.support.controlplane import EVENTING, World, condition_of, data_plane, pond_kind, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

DUCKS = "/apis/pond.test/v1/namespaces/default/ducks"
DUCK = {"apiVersion": "pond.test/v1", "kind": "Duck", "name": "donald"}
CRD = pond_kind("Duck")


async def register(w: World) -> None:
    await w.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)


async def duck(w: World, url: str | None) -> str:
    value = {"apiVersion": "pond.test/v1", "kind": "Duck", "metadata": {"name": "donald", "namespace": "default"}}
    await w.create(DUCKS, value | {"spec": {}})
    if url:
        await w.patch(f"{DUCKS}/donald/status", {"status": {"address": {"url": url}}})
    return f"{DUCKS}/donald"


async def test_a_kind_is_found_when_it_is_registered_and_its_object_when_it_is_made(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", {"ref": DUCK, "uri": "/in"})
        value = await w.until(trigger, "SubscriberResolved", "False", "SubscriberKindNotFound")
        assert "Duck" in condition_of(value, "Ready")["message"]
        assert value["status"]["subscriberUri"] == ""
        await eventually(lambda: plane.triggers, "the definition is there all the same, for events to wait")
        await register(w)
        await w.until(trigger, "SubscriberResolved", "False", "SubscriberNotFound")
        donald = await duck(w, None)
        await w.until(trigger, "SubscriberResolved", "False", "SubscriberHasNoAddress")
        await w.patch(f"{donald}/status", {"status": {"address": {"url": "http://donald.test/x"}}})
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["subscriberUri"] == "http://donald.test/in"
        await w.delete(donald)
        value = await w.until(trigger, "Ready", "False", "SubscriberNotFound")
        assert value["status"]["subscriberUri"] == ""
        (entry,) = plane.address_book.values()
        assert not entry.addresses


async def test_a_changed_address_takes_effect_without_touching_the_trigger(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await register(w)
        donald = await duck(w, "http://one.test/")
        await w.broker(delivery={"deadLetterSink": {"ref": DUCK}})
        trigger = await w.trigger("t", {"ref": DUCK})
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["deadLetterSinkUri"] == value["status"]["subscriberUri"] == "http://one.test/"
        (definition,) = plane.triggers.values()
        await w.patch(f"{donald}/status", {"status": {"address": {"url": "http://two.test/"}}})

        def moved() -> bool:
            return [a.url for entry in plane.address_book.values() for a in entry.addresses] == ["http://two.test/"]

        await eventually(moved, "the dispatcher has the new address")
        assert plane.triggers[definition.uid] is definition

        async def told() -> bool:
            found = await w.get(trigger) or {}
            return bool(found["status"]["subscriberUri"] == "http://two.test/")

        _: bool = await eventually(told, "the status has the new address")


async def test_a_kind_is_left_alone_when_nobody_refers_to_it_any_more(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        controller = w.start_controller()
        await register(w)
        await duck(w, "http://one.test/")
        await w.broker()
        trigger = await w.trigger("t", {"ref": DUCK})
        await w.until(trigger, "Ready", "True")
        observed = controller._observed
        assert observed is not None
        assert ("pond.test/v1", "Duck") in observed._following
        await w.patch(trigger, {"spec": {"subscriber": {"ref": None, "uri": "http://sink.test/"}}})
        await eventually(lambda: ("pond.test/v1", "Duck") not in observed._following, "the kind is left")
        await eventually(lambda: not plane.address_book, "its address is forgotten")
        await w.patch(trigger, {"spec": {"subscriber": {"ref": DUCK, "uri": None}}})
        await eventually(lambda: plane.address_book, "it is found again")


async def test_a_broker_is_a_sink_like_any_other_its_own_included(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        own = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}
        broker = await w.broker(delivery={"deadLetterSink": {"ref": own}})
        await w.broker("other")
        trigger = await w.trigger("t", {"ref": own | {"name": "other"}})
        value = await w.until(broker, "Ready", "True")
        assert value["status"]["deadLetterSinkUri"] == "http://127.0.0.1:8080/default/default"
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["subscriberUri"] == "http://127.0.0.1:8080/default/other"


async def test_a_service_has_its_address_by_name(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", {"ref": {"apiVersion": "v1", "kind": "Service", "name": "web"}})
        await w.until(trigger, "Ready", "False", "SubscriberNotFound")
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
        await w.create("/api/v1/namespaces/default/services", service | {"spec": {"ports": [{"port": 80}]}})
        value = await w.until(trigger, "Ready", "True")
        assert value["status"]["subscriberUri"] == "http://web.default.svc.cluster.local"


async def test_a_trigger_waits_for_its_dependency(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        await register(w)
        await w.broker()
        annotation = '{"apiVersion":"pond.test/v1","kind":"Duck","name":"donald"}'
        sink = {"uri": "http://sink.test/"}
        trigger = await w.trigger("t", sink, annotations={"knative.dev/dependency": annotation})
        await w.until(trigger, "DependencyReady", "False", "DependencyDoesNotExist")
        donald = await duck(w, None)
        await w.until(trigger, "DependencyReady", "Unknown", "DependencyNotConfigured")
        await w.patch(f"{donald}/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
        await w.until(trigger, "Ready", "True")


async def test_what_one_author_breaks_is_no_other_authors_business(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        await register(w)
        donald = await duck(w, "http://one.test/")
        await w.broker()
        broken = await w.trigger("broken", {"ref": DUCK})
        fine = await w.trigger("fine", {"uri": "http://sink.test/"})
        await w.until(broken, "Ready", "True")
        ready = await w.until(fine, "Ready", "True")
        for status in ({"address": "text"}, {"address": {"url": "::"}}, {"addresses": [1, None]}, {"conditions": 7}):
            await w.patch(f"{donald}/status", {"status": {"address": None, "addresses": None, **status}})
            await w.until(broken, "SubscriberResolved", "False", "SubscriberHasNoAddress")
        assert await w.get(fine) == ready
        assert len((await w.api.list(f"{EVENTING}/triggers"))[0]) == 2
