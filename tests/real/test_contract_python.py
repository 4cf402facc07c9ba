"""One contract, two servers: the official Python client, unmodified, does the same with both."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes.aio import client as aio

from tests.support.contract import Server
from tests.support.killable import Killable, killable
from tests.support.waiting import eventually, wait_for

# The parts of the client that have no types.
client: Any = importlib.import_module("kubernetes.client")
config: Any = importlib.import_module("kubernetes.config")
dynamic: Any = importlib.import_module("kubernetes.dynamic")
informers: Any = importlib.import_module("kubernetes.informer")
creating: Any = importlib.import_module("kubernetes.utils")
watching: Any = importlib.import_module("kubernetes.watch")
aio_config: Any = importlib.import_module("kubernetes.aio.config")
aio_dynamic: Any = importlib.import_module("kubernetes.aio.dynamic")
aio_watch: Any = importlib.import_module("kubernetes.aio.watch")
election: Any = importlib.import_module("kubernetes.aio.leaderelection.leaderelection")
election_config: Any = importlib.import_module("kubernetes.aio.leaderelection.electionconfig")
lease_lock: Any = importlib.import_module("kubernetes.aio.leaderelection.resourcelock.leaselock")

# The client leaves connections that a killed server broke to the garbage collector, which says so at any time.
pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

EVENTING = ("eventing.knative.dev", "v1")
TRIGGER_SPEC = {"broker": "default", "subscriber": {"uri": "http://127.0.0.1:9/"}}


def trigger(name: str, **spec: Any) -> dict[str, Any]:
    whole = TRIGGER_SPEC | spec
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": name}, "spec": whole}


def config_map(name: str, **data: str) -> dict[str, Any]:
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return whole | ({"data": data} if data else {})


def reason(refusal: Any) -> tuple[int, str]:
    """Code and reason of an ApiException, as programs look at them."""
    return refusal.status, json.loads(refusal.body)["reason"]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()  # so that no later test hears of it


@pytest.fixture
def connected(server: Server) -> Iterator[Any]:
    """The client, configured from the server's kubeconfig as users do it."""
    with config.new_client_from_config(config_file=server.kubeconfig) as made:
        yield made


@pytest.fixture
def core(connected: Any) -> Any:
    return client.CoreV1Api(connected)


@pytest.fixture
def objects(connected: Any) -> Any:
    return client.CustomObjectsApi(connected)


@contextlib.asynccontextmanager
async def aio_connected(server: Server) -> AsyncIterator[Any]:
    async with await aio_config.new_client_from_config(config_file=server.kubeconfig) as made:
        yield made


def test_a_typed_object_is_made_read_changed_and_deleted(core: Any, namespace: str) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c", labels={"a": "b"}), data={"x": "1"})
    made = core.create_namespaced_config_map(namespace, body)
    assert made.metadata.creation_timestamp.tzinfo is not None
    assert core.read_namespaced_config_map("c", namespace).metadata.uid == made.metadata.uid
    made.data["x"] = "2"
    changed = core.replace_namespaced_config_map("c", namespace, made)
    assert changed.data == {"x": "2"}
    patched = core.patch_namespaced_config_map("c", namespace, {"data": {"x": None, "y": "3"}})
    assert patched.data == {"y": "3"}
    assert core.delete_namespaced_config_map("c", namespace)["status"] == "Success"
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_config_map("c", namespace)
    assert reason(missing.value) == (404, "NotFound")


def test_what_was_changed_by_others_is_a_conflict_and_what_is_there_already_too(core: Any, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("c"))
    core.patch_namespaced_config_map("c", namespace, {"data": {"x": "1"}})
    with pytest.raises(client.ApiException) as stale:
        core.replace_namespaced_config_map("c", namespace, made)
    assert reason(stale.value) == (409, "Conflict")
    assert json.loads(stale.value.body)["message"] == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    with pytest.raises(client.ApiException) as again:
        core.create_namespaced_config_map(namespace, config_map("c"))
    assert reason(again.value) == (409, "AlreadyExists")


def test_secrets_services_and_leases_are_typed_too(connected: Any, core: Any, namespace: str) -> None:
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), data={"k": "dg=="})
    assert core.create_namespaced_secret(namespace, secret).data == {"k": "dg=="}
    ports = [client.V1ServicePort(port=80)]
    service = client.V1Service(metadata=client.V1ObjectMeta(name="s"), spec=client.V1ServiceSpec(ports=ports))
    assert core.create_namespaced_service(namespace, service).spec.ports[0].port == 80
    leases = client.CoordinationV1Api(connected)
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="l"), spec=client.V1LeaseSpec(holder_identity="me"))
    made = leases.create_namespaced_lease(namespace, lease)
    made.spec.holder_identity = "you"
    assert leases.replace_namespaced_lease("l", namespace, made).spec.holder_identity == "you"


def test_long_lists_are_read_in_parts_that_belong_together(core: Any, namespace: str) -> None:
    for number in range(7):
        core.create_namespaced_config_map(namespace, config_map(f"part-{number}", a="b") | {"immutable": False})
    names, revisions, following = [], set(), None
    options = {"field_selector": "metadata.name!=kube-root-ca.crt"}
    while following != "":
        part = core.list_namespaced_config_map(namespace, limit=3, _continue=following, **options)
        names += [one.metadata.name for one in part.items]
        revisions.add(part.metadata.resource_version)
        following = part.metadata._continue or ""
        if len(names) == 3:
            core.create_namespaced_config_map(namespace, config_map("part-9"))
    assert names == [f"part-{number}" for number in range(7)], "as it was when the first part was read"
    assert len(revisions) == 1


def test_lists_are_selected_by_labels_and_fields(core: Any, namespace: str) -> None:
    for name, labels in (("a", {"tier": "x"}), ("b", {"tier": "y"}), ("c", {})):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": name, "labels": labels}})

    def names(**options: str) -> list[str]:
        return [one.metadata.name for one in core.list_namespaced_config_map(namespace, **options).items]

    assert names(label_selector="tier") == ["a", "b"]
    assert names(label_selector="tier in (x, z)") == ["a"]
    assert names(label_selector="tier,tier!=x") == ["b"]
    assert names(field_selector="metadata.name=c") == ["c"]


def test_a_dry_run_answers_and_stores_nothing(core: Any, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("c", x="1"), dry_run="All")
    assert made.data == {"x": "1"}
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_config_map("c", namespace)
    assert missing.value.status == 404


def test_names_can_be_made_by_the_server(core: Any, namespace: str) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="many-"))
    names = {core.create_namespaced_config_map(namespace, body).metadata.name for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("many-") and len(name) == len("many-") + 5 for name in names)


def test_custom_objects_have_a_status_of_their_own(objects: Any, namespace: str) -> None:
    where = (*EVENTING, namespace, "triggers")
    made = objects.create_namespaced_custom_object(*where, trigger("t"))
    assert made["metadata"]["generation"] == 1
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    ready = objects.patch_namespaced_custom_object_status(*where, "t", status)
    assert ready["status"]["conditions"][0]["status"] == "True"
    assert ready["metadata"]["generation"] == 1
    with pytest.raises(client.ApiException) as stale:
        objects.replace_namespaced_custom_object(*where, "t", made)
    assert reason(stale.value) == (409, "Conflict")
    change = {"spec": {"filter": {"attributes": {"type": "a"}}}, "status": {"conditions": []}}
    patched = objects.patch_namespaced_custom_object(*where, "t", change)
    assert patched["metadata"]["generation"] == 2
    assert patched["status"] == ready["status"]
    assert objects.get_namespaced_custom_object_status(*where, "t")["status"] == ready["status"]
    assert objects.delete_namespaced_custom_object(*where, "t")["status"] == "Success"


def test_custom_objects_are_patched_by_json_patch(objects: Any, namespace: str) -> None:
    where = (*EVENTING, namespace, "triggers")
    objects.create_namespaced_custom_object(*where, trigger("t", filter={"attributes": {"type": "a"}}))
    steps = [{"op": "replace", "path": "/spec/filter/attributes/type", "value": "b"}]
    patched = objects.patch_namespaced_custom_object(*where, "t", steps, _content_type="application/json-patch+json")
    assert patched["spec"]["filter"] == {"attributes": {"type": "b"}}
    steps[0]["path"] = "/spec/none/there"
    with pytest.raises(client.ApiException) as wrong:
        objects.patch_namespaced_custom_object(*where, "t", steps, _content_type="application/json-patch+json")
    assert wrong.value.status == 422


def test_objects_of_all_namespaces_are_listed_and_a_collection_is_deleted(
    server: Server, objects: Any, namespace: str
) -> None:
    other = server.namespace()
    for where, name in ((namespace, "one"), (namespace, "two"), (other, "three")):
        objects.create_namespaced_custom_object(*EVENTING, where, "triggers", trigger(name))
    everywhere = objects.list_cluster_custom_object(*EVENTING, "triggers")["items"]
    found = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in everywhere}
    assert {(namespace, "one"), (namespace, "two"), (other, "three")} <= found
    objects.delete_collection_namespaced_custom_object(*EVENTING, namespace, "triggers")
    assert objects.list_namespaced_custom_object(*EVENTING, namespace, "triggers")["items"] == []
    assert len(objects.list_namespaced_custom_object(*EVENTING, other, "triggers")["items"]) == 1


def test_a_watch_sees_every_change_after_a_list_and_goes_on_where_it_ended(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("before"))
    since = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("c"))
    core.patch_namespaced_config_map("c", namespace, {"data": {"x": "1"}})
    query = {"namespace": namespace, "field_selector": "metadata.name=c", "timeout_seconds": 5}
    seen = []
    watch = watching.Watch()
    for event in watch.stream(core.list_namespaced_config_map, resource_version=since, **query):
        seen.append((event["type"], event["object"].data))
        if len(seen) == 2:
            watch.stop()
    core.delete_namespaced_config_map("c", namespace)
    following = watching.Watch()
    for event in following.stream(core.list_namespaced_config_map, resource_version=watch.resource_version, **query):
        seen.append((event["type"], event["object"].data))
        following.stop()
    assert seen == [("ADDED", None), ("MODIFIED", {"x": "1"}), ("DELETED", {"x": "1"})]


def test_the_dynamic_client_finds_kinds_and_does_all_with_them(connected: Any, namespace: str, tmp_path: Path) -> None:
    found = dynamic.DynamicClient(connected, cache_file=str(tmp_path / "discovery.json"))
    reeds = found.resources.get(api_version="pond.test/v1", kind="Reed")
    assert (reeds.namespaced, reeds.short_names, reeds.categories) == (True, ["rd"], ["wetland"])
    assert "status" in reeds.subresources
    body = {"apiVersion": "pond.test/v1", "kind": "Reed", "metadata": {"name": "r"}, "spec": {"height": 3}}
    made = reeds.create(body=body, namespace=namespace)
    assert made.spec.height == 3
    change = {"metadata": {"labels": {"a": "b"}}}
    merge = "application/merge-patch+json"
    patched = reeds.patch(name="r", namespace=namespace, body=change, content_type=merge)
    assert patched.metadata.labels.a == "b"
    status = {"status": {"cut": "2026-01-01T00:00:00Z"}}
    reeds.status.patch(name="r", namespace=namespace, body=status, content_type=merge)
    assert reeds.get(name="r", namespace=namespace).status.cut == "2026-01-01T00:00:00Z"
    assert [one.metadata.name for one in reeds.get(namespace=namespace, label_selector="a=b").items] == ["r"]
    events = reeds.watch(namespace=namespace, timeout=1)
    assert [(event["type"], event["object"].metadata.name) for event in events] == [("ADDED", "r")]
    reeds.delete(name="r", namespace=namespace)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        reeds.get(name="r", namespace=namespace)
    with pytest.raises(dynamic.exceptions.ResourceNotFoundError):
        found.resources.get(api_version="pond.test/v1", kind="Frog")


def test_our_kinds_and_the_built_in_ones_are_found_by_kind(connected: Any, tmp_path: Path) -> None:
    found = dynamic.DynamicClient(connected, cache_file=str(tmp_path / "discovery.json"))
    for version, kind in (
        ("eventing.knative.dev/v1", "Broker"),
        ("v1", "ConfigMap"),
        ("coordination.k8s.io/v1", "Lease"),
    ):
        resource = found.resources.get(api_version=version, kind=kind)
        assert resource.namespaced
        assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= set(resource.verbs)
    assert not found.resources.get(api_version="v1", kind="Namespace").namespaced


def test_a_file_of_objects_is_made_by_the_client(connected: Any, core: Any, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [config_map("a"), config_map("b")]}))
    creating.create_from_yaml(connected, str(file), namespace=namespace)
    names = {one.metadata.name for one in core.list_namespaced_config_map(namespace).items}
    assert {"a", "b"} <= names


def test_an_informer_keeps_a_copy_and_tells_of_every_change(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("before"))
    told: list[tuple[str, str]] = []

    def tell(what: str) -> Callable[[Any], None]:
        return lambda one: told.append((what, one.metadata.name))

    only = "metadata.name!=kube-root-ca.crt"
    informer = informers.SharedInformer(core.list_namespaced_config_map, namespace=namespace, field_selector=only)
    for what in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(what, tell(what))
    informer.start()
    try:
        wait_for(lambda: told == [("ADDED", "before")], "what was there is told")
        core.create_namespaced_config_map(namespace, config_map("c"))
        core.patch_namespaced_config_map("c", namespace, {"data": {"x": "1"}})
        wait_for(lambda: len(told) == 3, "the changes are told")
        assert informer.cache.get_by_key(f"{namespace}/c").data == {"x": "1"}
        core.delete_namespaced_config_map("before", namespace)
        wait_for(lambda: len(told) == 4, "the deletion is told")
        assert told[1:] == [("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "before")]
        assert informer.cache.list_keys() == [f"{namespace}/c"]
    finally:
        core.create_namespaced_config_map(namespace, config_map("end"))  # wakes it, so that it sees that it is stopped
        informer.stop()


async def test_the_asynchronous_half_does_the_same(server: Server, namespace: str, tmp_path: Path) -> None:
    where = (*EVENTING, namespace, "triggers")
    async with aio_connected(server) as connected, asyncio.timeout(20):
        objects: Any = aio.CustomObjectsApi(connected)
        listed = await objects.list_namespaced_custom_object(*where)
        await objects.create_namespaced_custom_object(*where, trigger("t"))
        await objects.patch_namespaced_custom_object(*where, "t", {"metadata": {"labels": {"a": "b"}}})
        seen = []
        async with aio_watch.Watch() as watch:
            since = {"resource_version": listed["metadata"]["resourceVersion"], "timeout_seconds": 10}
            async for event in watch.stream(objects.list_namespaced_custom_object, *where, **since):
                seen.append(event["type"])
                if event["type"] == "MODIFIED":
                    await objects.delete_namespaced_custom_object(*where, "t")
                if event["type"] == "DELETED":
                    break
        assert seen == ["ADDED", "MODIFIED", "DELETED"]
        found = await aio_dynamic.DynamicClient(connected, cache_file=str(tmp_path / "discovery.json"))
        brokers = await found.resources.get(api_version="eventing.knative.dev/v1", kind="Broker")
        assert brokers.namespaced


async def test_of_two_candidates_one_leads_and_the_other_follows_it(server: Server, namespace: str) -> None:
    led: list[str] = []

    async def candidate(connected: Any, name: str) -> None:
        async def lead() -> None:
            led.append(name)
            await asyncio.Event().wait()

        async def stop() -> None:
            led.append(f"{name} stopped")

        lock = lease_lock.LeaseLock("lead", namespace, name, connected)
        settings = election_config.Config(lock, 3, 2, 1, lead, stop)
        await election.LeaderElection(settings).run()

    async with aio_connected(server) as connected:
        leases: Any = aio.CoordinationV1Api(connected)
        empty = aio.V1Lease(metadata=aio.V1ObjectMeta(name="lead"))
        await leases.create_namespaced_lease(namespace, empty)  # version 37's own lock fails at making one
        candidates = [asyncio.create_task(candidate(connected, "first"))]
        try:
            await eventually(lambda: led == ["first"], "the first leads")
            candidates.append(asyncio.create_task(candidate(connected, "second")))
            assert (await leases.read_namespaced_lease("lead", namespace)).spec.holder_identity == "first"
            candidates[0].cancel()
            await eventually(lambda: led == ["first", "second"], "the second follows it", within_s=15)
            assert (await leases.read_namespaced_lease("lead", namespace)).spec.holder_identity == "second"
        finally:
            for one in candidates:
                one.cancel()
            await asyncio.gather(*candidates, return_exceptions=True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("which", ["local", "genuine"])
def test_after_a_kill_an_informer_ends_with_what_the_server_has_and_an_old_revision_with_410(which: str) -> None:
    with killable(which) as one, config.new_client_from_config(config_file=str(one.kubeconfig)) as connected:
        core = client.CoreV1Api(connected)
        made = core.create_namespaced_config_map("default", config_map("kept"))
        core.patch_namespaced_config_map("kept", "default", {"data": {"x": "1"}})
        informer = informers.SharedInformer(core.list_namespaced_config_map, namespace="default")
        informer.start()
        try:
            wait_for(lambda: informer.cache.get_by_key("default/kept"), "it is listed")
            _kill_and_change(one, core)
            wanted = {one.metadata.name: one.data for one in core.list_namespaced_config_map("default").items}
            wait_for(lambda: {o.metadata.name: o.data for o in informer.cache.list()} == wanted, "it is as the server")
            assert "kept" not in wanted
            assert wanted["later"] == {"y": "2"}
        finally:
            core.create_namespaced_config_map("default", config_map("end"))
            informer.stop()
        query = {"resource_version": made.metadata.resource_version, "timeout_seconds": 5}
        with pytest.raises(client.ApiException) as expired:
            list(watching.Watch().stream(core.list_namespaced_config_map, "default", **query))
        assert expired.value.status == 410


def _kill_and_change(one: Killable, core: Any) -> None:
    one.kill()
    one.start()

    def is_deleted() -> bool:
        try:
            core.delete_namespaced_config_map("kept", "default")
        except (urllib3.exceptions.HTTPError, client.ApiException):  # connections of before are broken
            return False
        return True

    wait_for(is_deleted, "it can be written again")
    core.create_namespaced_config_map("default", config_map("later", y="2"))
