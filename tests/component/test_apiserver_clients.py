"""The official Python client works unmodified: custom objects, typed core objects, watches, dynamic discovery."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio import client

from tests.support.apiserver import api_server, broker, trigger
from tests.support.natsserver import NatsServer

# The halves of the client that have no types.
dynamic: Any = importlib.import_module("kubernetes.aio.dynamic")
watch: Any = importlib.import_module("kubernetes.aio.watch")
KNATIVE = ("eventing.knative.dev", "v1", "default")


def configured(url: str) -> Any:
    configuration = client.Configuration()
    configuration.host = url
    return client.ApiClient(configuration)


async def test_custom_objects_are_made_listed_patched_and_deleted(nats: NatsServer) -> None:
    async with api_server(nats.url) as api, configured(api.url) as connected:
        objects: Any = client.CustomObjectsApi(connected)
        made = await objects.create_namespaced_custom_object(*KNATIVE, "brokers", broker())
        assert made["metadata"]["uid"]
        status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        ready = await objects.patch_namespaced_custom_object_status(*KNATIVE, "brokers", "b", status)
        assert ready["status"] == status["status"]
        made["spec"] = {"delivery": {"retry": 1}}
        with pytest.raises(client.ApiException) as conflict:
            await objects.replace_namespaced_custom_object(*KNATIVE, "brokers", "b", made)
        assert conflict.value.status == 409
        patched = await objects.patch_namespaced_custom_object(*KNATIVE, "brokers", "b", {"spec": made["spec"]})
        assert patched["metadata"]["generation"] == 2
        listed = await objects.list_cluster_custom_object(*KNATIVE[:2], "brokers")
        assert [item["metadata"]["name"] for item in listed["items"]] == ["b"]
        await objects.delete_namespaced_custom_object(*KNATIVE, "brokers", "b")
        with pytest.raises(client.ApiException) as missing:
            await objects.get_namespaced_custom_object(*KNATIVE, "brokers", "b")
        assert missing.value.status == 404


async def test_a_watch_of_the_client_sees_what_happens_after_its_list(nats: NatsServer) -> None:
    async with api_server(nats.url) as api, configured(api.url) as connected:
        objects: Any = client.CustomObjectsApi(connected)
        await objects.create_namespaced_custom_object(*KNATIVE, "triggers", trigger("before"))
        listed = await objects.list_cluster_custom_object(*KNATIVE[:2], "triggers")
        await objects.create_namespaced_custom_object(*KNATIVE, "triggers", trigger("after"))
        seen = []
        async with asyncio.timeout(10), watch.Watch() as watcher:
            async for event in watcher.stream(
                objects.list_cluster_custom_object,
                *KNATIVE[:2],
                "triggers",
                resource_version=listed["metadata"]["resourceVersion"],
                allow_watch_bookmarks=True,
                timeout_seconds=5,
            ):
                seen.append((event["type"], event["object"]["metadata"]["name"]))
                if event["type"] == "ADDED":
                    await objects.delete_namespaced_custom_object(*KNATIVE, "triggers", "after")
                else:
                    break
        assert seen == [("ADDED", "after"), ("DELETED", "after")]


async def test_a_watch_of_the_client_is_told_of_an_expired_revision(nats: NatsServer) -> None:
    async with api_server(nats.url) as api, configured(api.url) as connected:
        objects: Any = client.CustomObjectsApi(connected)
        watcher = watch.Watch()
        query = {"resource_version": "999", "timeout_seconds": 5}
        stream = watcher.stream(objects.list_cluster_custom_object, *KNATIVE[:2], "triggers", **query)
        with pytest.raises(client.ApiException) as expired:
            await asyncio.wait_for(anext(stream), 10)
        assert expired.value.status == 410


async def test_typed_clients_read_and_write_core_kinds(nats: NatsServer) -> None:
    async with api_server(nats.url) as api, configured(api.url) as connected:
        core: Any = client.CoreV1Api(connected)
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "b"})
        made = await core.create_namespaced_config_map("default", body)
        assert made.metadata.creation_timestamp is not None
        patched = await core.patch_namespaced_config_map("c", "default", {"data": {"a": "c"}})
        assert patched.data == {"a": "c"}
        spaces = await core.list_namespace()
        assert [space.metadata.name for space in spaces.items] == ["default"]
        deleted = await core.delete_namespaced_config_map("c", "default")
        assert deleted["status"] == "Success"
        leases: Any = client.CoordinationV1Api(connected)
        spec = client.V1LeaseSpec(holder_identity="me", lease_duration_seconds=15)
        lease = await leases.create_namespaced_lease(
            "default", client.V1Lease(metadata=client.V1ObjectMeta(name="l"), spec=spec)
        )
        lease.spec.holder_identity = "you"
        assert (await leases.replace_namespaced_lease("l", "default", lease)).spec.holder_identity == "you"
        version = await client.VersionApi(connected).get_code()
        assert version.git_version.endswith("+scaup")


async def test_a_crd_made_with_the_client_is_found_by_its_dynamic_discovery(nats: NatsServer, tmp_path: Path) -> None:
    async with api_server(nats.url) as api, configured(api.url) as connected:
        names = client.V1CustomResourceDefinitionNames(plural="ducks", kind="Duck", singular="duck", short_names=["dk"])
        version = client.V1CustomResourceDefinitionVersion(name="v1", served=True, storage=True)
        spec = client.V1CustomResourceDefinitionSpec(
            group="example.com", scope="Namespaced", names=names, versions=[version]
        )
        body = client.V1CustomResourceDefinition(
            api_version="apiextensions.k8s.io/v1",
            kind="CustomResourceDefinition",
            metadata=client.V1ObjectMeta(name="ducks.example.com"),
            spec=spec,
        )
        await client.ApiextensionsV1Api(connected).create_custom_resource_definition(body)
        found = await dynamic.DynamicClient(connected, cache_file=str(tmp_path / "discovery.json"))
        ducks = await found.resources.get(api_version="example.com/v1", kind="Duck")
        body_of_duck = {"apiVersion": "example.com/v1", "kind": "Duck", "metadata": {"name": "donald"}}
        await ducks.create(body=body_of_duck | {"status": {"address": {"url": "http://pond/"}}}, namespace="default")
        got = await ducks.get(name="donald", namespace="default")
        assert got.status.address.url == "http://pond/"
        change = {"metadata": {"labels": {"a": "b"}}}
        form = "application/merge-patch+json"
        patched = await ducks.patch(name="donald", namespace="default", body=change, content_type=form)
        assert patched.metadata.labels.a == "b"
        brokers = await found.resources.get(api_version="eventing.knative.dev/v1", kind="Broker")
        assert brokers.namespaced
        assert "status" in brokers.subresources
        events = ducks.watch(namespace="default", timeout=1)
        seen = [(event["type"], event["object"].metadata.name) async for event in events]
        assert seen == [("ADDED", "donald")]
        await ducks.delete(name="donald", namespace="default")


async def test_what_kubectl_apply_sends_works(nats: NatsServer) -> None:
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    async with api_server(nats.url) as api:
        path = "/apis/eventing.knative.dev/v1/namespaces/default/triggers"
        assert (await api("GET", f"{path}/t")).status == 404
        body = trigger() | {"metadata": {"name": "t", "annotations": {applied: "{}"}}}
        query: dict[str, Any] = {"fieldManager": "kubectl-client-side-apply", "fieldValidation": "Strict"}
        made = await api("POST", path, body, **query)
        assert made.status == 201
        change = {
            "metadata": {"annotations": {applied: '{"spec":{}}'}},
            "spec": {"filter": {"attributes": {"type": "x"}}},
        }
        headers = {"Content-Type": "application/merge-patch+json", "Accept": "application/json"}
        changed = await api("PATCH", f"{path}/t", change, headers, **query)
        assert changed.body["spec"]["filter"] == {"attributes": {"type": "x"}}
        assert changed.body["metadata"]["generation"] == 2
        table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        assert (await api("GET", path, headers={"Accept": table}, limit="500")).body["kind"] == "Table"
        assert (await api("DELETE", f"{path}/t", {"propagationPolicy": "Background"})).body["status"] == "Success"
        assert (await api("GET", path, fieldSelector="metadata.name=t")).body["items"] == []
