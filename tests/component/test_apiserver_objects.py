"""The local API over HTTP: objects are made, read, changed and deleted as in Kubernetes."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.apiserver import (
    BROKERS,
    CONFIG_MAPS,
    EVENTING,
    TRIGGERS,
    Answer,
    api_server,
    broker,
    config_map,
    trigger,
)
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DUCKS = "/apis/example.com/v1/namespaces/pond/ducks"


def crd(**version: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ducks.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "ducks", "kind": "Duck"},
            "versions": [
                {"name": "v1", "served": True, "storage": True} | version,
                {"name": "v1beta1", "served": True, "storage": False} | version,
            ],
        },
    }


def duck(name: str = "donald", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Duck", "metadata": {"name": name}} | more


def refused(answer: Answer) -> tuple[int, str]:
    if answer.body == "404 page not found\n":  # Kubernetes' own, where no such group or kind is; clients read NotFound
        return answer.status, "NotFound"
    assert answer.body["kind"] == "Status"
    assert answer.body["code"] == answer.status
    return answer.status, answer.body["reason"]


async def test_an_object_lives_through_create_get_replace_patch_and_delete(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker())
        assert made["metadata"]["generation"] == 1
        assert made["metadata"]["namespace"] == "default"
        assert made["metadata"]["annotations"] == {"eventing.knative.dev/broker.class": "Scaup"}
        assert (await api("GET", f"{BROKERS}/b")).body == made

        changed = await api("PUT", f"{BROKERS}/b", made | {"spec": {"delivery": {"retry": 3}}})
        assert (changed.status, changed.body["metadata"]["generation"]) == (200, 2)
        assert refused(await api("PUT", f"{BROKERS}/b", made)) == (409, "Conflict")

        labelled = await api.patch(f"{BROKERS}/b", {"metadata": {"labels": {"a": "b"}}})
        assert labelled.body["metadata"]["generation"] == 2
        assert int(labelled.revision) > int(changed.revision)

        gone = await api("DELETE", f"{BROKERS}/b")
        assert (gone.status, gone.body["status"], gone.body["details"]["kind"]) == (200, "Success", "brokers")
        assert refused(await api("GET", f"{BROKERS}/b")) == (404, "NotFound")
        again = await api.made(BROKERS, broker())
        assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def test_what_is_not_there_or_there_already_is_said_so(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(BROKERS, broker())
        assert refused(await api("POST", BROKERS, broker())) == (409, "AlreadyExists")
        for answer in (
            await api("GET", f"{BROKERS}/x"),
            await api("DELETE", f"{BROKERS}/x"),
            await api.patch(f"{BROKERS}/x", {}),
            await api("PUT", f"{BROKERS}/x", broker("x")),
        ):
            assert refused(answer) == (404, "NotFound")
            assert answer.body["message"] == 'brokers.eventing.knative.dev "x" not found'
        for path in (
            f"{EVENTING}/geese",
            f"{EVENTING}/brokers/b",
            f"{BROKERS}/b/scale",
            "/openapi/v3/x",
            "/",
        ):
            assert refused(await api("GET", path)) == (404, "NotFound")
        for method, path in (
            ("PUT", BROKERS),
            ("POST", f"{BROKERS}/b"),
            ("POST", f"{EVENTING}/brokers"),
            ("POST", "/apis"),
        ):
            assert refused(await api(method, path, {})) == (405, "MethodNotAllowed")


async def test_a_change_of_nothing_is_not_written(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker(spec={"delivery": {"retry": 1}}))
        revision = made["metadata"]["resourceVersion"]
        assert (await api("PUT", f"{BROKERS}/b", made)).revision == revision
        assert (await api.patch(f"{BROKERS}/b", {"spec": {"delivery": {"retry": 1}}})).revision == revision
        assert (await api("GET", BROKERS)).revision == revision


async def test_the_status_is_changed_by_its_subresource_only(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker(status={"forged": True}))
        assert "status" not in made
        ready = await api.patch(f"{BROKERS}/b/status", {"status": {"address": {"url": "http://b/"}}, "spec": {"x": 1}})
        assert ready.body["status"] == {"address": {"url": "http://b/"}}
        assert ready.body["spec"] == {}
        assert ready.body["metadata"]["generation"] == 1
        assert (await api("GET", f"{BROKERS}/b/status")).body == ready.body
        put = await api("PUT", f"{BROKERS}/b/status", ready.body | {"status": {"observedGeneration": 1}})
        assert put.body["status"] == {"observedGeneration": 1}
        kept = await api.patch(f"{BROKERS}/b", {"status": {"forged": True}, "spec": {"delivery": {"retry": 1}}})
        assert kept.body["status"] == {"observedGeneration": 1}
        assert refused(await api("DELETE", f"{BROKERS}/b/status")) == (405, "MethodNotAllowed")
        assert refused(await api("GET", f"{CONFIG_MAPS}/c/status")) == (404, "NotFound")


async def test_a_broken_trigger_is_invalid_with_field_paths(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        answer = await api("POST", TRIGGERS, trigger(subscriber=None, filters=[{"exact": {"A": "x"}}]))
        assert refused(answer) == (422, "Invalid")
        assert answer.body["message"].startswith('Trigger.eventing.knative.dev "t" is invalid: [spec.subscriber: ')
        causes = {(cause["field"], cause["reason"]) for cause in answer.body["details"]["causes"]}
        assert causes == {("spec.subscriber", "FieldValueInvalid"), ("spec.filters[0].exact", "FieldValueInvalid")}
        denied = await api("POST", TRIGGERS, trigger(unknown={"kept": True}))
        assert refused(denied) == (422, "Invalid")
        assert "denied request: spec.unknown: unknown field; known are broker" in denied.body["message"]
        newer = [{"any": [{"newer": {"kept": True}}]}]
        made = await api.made(TRIGGERS, trigger(filters=newer))
        assert made["metadata"]["labels"] == {"eventing.knative.dev/broker": "default"}
        assert made["spec"]["filters"] == newer
        other = await api.patch(f"{TRIGGERS}/t", {"spec": {"broker": "other"}})
        assert refused(other) == (422, "Invalid")
        assert "a Trigger stays with its Broker" in other.body["message"]


PATCHES: list[tuple[str, Any, int]] = [
    ("json-patch", [{"op": "replace", "path": "/data/a", "value": "2"}], 200),
    ("json-patch", [{"op": "test", "path": "/data/a", "value": "2"}], 422),
    ("json-patch", {"op": "add"}, 400),
    ("json-patch", [{"op": "replace", "path": "", "value": 3}], 400),
    ("strategic-merge-patch", {"data": {"a": "2"}}, 200),
    ("strategic-merge-patch", {"metadata": {"ownerReferences": [{}]}}, 422),
    ("merge-patch", {"data": {"a": "2"}}, 200),
    ("merge-patch", [], 400),
    ("merge-patch", {"metadata": {"name": "other"}}, 400),
    ("merge-patch", {"metadata": {"resourceVersion": "1"}}, 409),
    ("apply-patch", {}, 415),
]


async def test_patches_of_core_kinds_are_applied_or_refused_whole(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        for form, patch, status in PATCHES:
            made = await api.made(CONFIG_MAPS, config_map(a="1"))
            answer = await api.patch(f"{CONFIG_MAPS}/c", patch, form)
            assert answer.status == status, (form, patch, answer.body)
            now = await api("GET", f"{CONFIG_MAPS}/c")
            assert now.body["data"] == {"a": "2" if status == 200 else "1"}
            assert now.body["metadata"]["uid"] == made["metadata"]["uid"]
            await api("DELETE", f"{CONFIG_MAPS}/c")


async def test_strategic_patches_of_custom_kinds_are_refused_as_kubernetes_does(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(BROKERS, broker())
        answer = await api.patch(f"{BROKERS}/b", {}, "strategic-merge-patch")
        assert refused(answer) == (415, "UnsupportedMediaType")
        assert "application/merge-patch+json" in answer.body["message"]


async def test_an_object_with_finalizers_stays_until_the_last_is_gone(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(BROKERS, broker(metadata={"name": "b", "finalizers": ["a/x", "a/y"]}))
        marked = await api("DELETE", f"{BROKERS}/b", {"propagationPolicy": "Background"})
        assert marked.body["kind"] == "Broker"
        assert marked.body["metadata"]["deletionTimestamp"]
        assert (await api("DELETE", f"{BROKERS}/b")).revision == marked.revision
        assert (await api.patch(f"{BROKERS}/b", {"metadata": {"finalizers": ["a/y"]}})).status == 200
        last = await api.patch(f"{BROKERS}/b", {"metadata": {"finalizers": None}})
        assert last.status == 200
        assert refused(await api("GET", f"{BROKERS}/b")) == (404, "NotFound")


async def test_a_deletion_can_ask_for_the_very_object(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker())
        wrong = await api("DELETE", f"{BROKERS}/b", {"preconditions": {"uid": "other"}})
        assert refused(wrong) == (409, "Conflict")
        assert refused(await api("DELETE", f"{BROKERS}/b", [])) == (400, "BadRequest")
        right = {
            "preconditions": {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
        }
        assert (await api("DELETE", f"{BROKERS}/b", right)).status == 200


async def test_names_can_be_generated_and_bad_ones_are_invalid(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = [await api.made(BROKERS, broker(metadata={"generateName": "b-"})) for _ in range(3)]
        found = {one["metadata"]["name"] for one in made}
        assert len(found) == 3
        assert all(name.startswith("b-") and len(name) == 7 for name in found)
        for metadata in ({}, {"name": "No_Name"}, {"generateName": "UP-"}):
            assert refused(await api("POST", BROKERS, broker(metadata=metadata))) == (422, "Invalid")
        answer = await api("POST", BROKERS, broker(metadata={"generateName": 3}))
        assert refused(answer) == (400, "BadRequest")
        assert (
            "cannot unmarshal number into Go struct field ObjectMeta.generateName of type string"
            in answer.body["message"]
        )


async def test_yaml_is_taken_too(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata:\n  when: 2026-01-01\n"
        answer = await api("POST", CONFIG_MAPS, text, {"Content-Type": "application/yaml"})
        assert (answer.status, answer.body["data"]) == (201, {"when": "2026-01-01"})


async def test_a_dry_run_answers_and_stores_nothing(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        answer = await api("POST", "/api/v1/namespaces/new/configmaps", config_map(), dryRun="All")
        assert (answer.status, answer.body["metadata"]["namespace"]) == (201, "new")
        assert refused(await api("GET", "/api/v1/namespaces/new")) == (404, "NotFound")
        await api.made(CONFIG_MAPS, config_map())
        assert (await api("DELETE", f"{CONFIG_MAPS}/c", {"dryRun": ["All"]})).status == 200
        assert (await api("DELETE", CONFIG_MAPS, dryRun="All")).status == 200
        assert (await api("GET", f"{CONFIG_MAPS}/c")).status == 200
        assert refused(await api("POST", CONFIG_MAPS, config_map(), dryRun="x")) == (422, "Invalid")


async def test_namespaces_exist_when_first_used_and_go_with_what_is_in_them(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(f"{EVENTING}/namespaces/team-a/brokers", broker())
        listed = await api("GET", "/api/v1/namespaces")
        assert [item["metadata"]["name"] for item in listed.body["items"]] == ["default", "team-a"]
        assert listed.body["items"][1]["status"] == {"phase": "Active"}
        held = broker("held", metadata={"name": "held", "finalizers": ["a/x"]})
        await api.made(f"{EVENTING}/namespaces/team-a/brokers", held)
        waits = await api("DELETE", "/api/v1/namespaces/team-a")
        assert (waits.status, waits.body["status"]) == (200, {"phase": "Terminating"})
        await api.until_gone(f"{EVENTING}/namespaces/team-a/brokers/b")
        assert (await api("GET", "/api/v1/namespaces/team-a")).status == 200
        await api.patch(f"{EVENTING}/namespaces/team-a/brokers/held", {"metadata": {"finalizers": None}})
        await api.until_gone("/api/v1/namespaces/team-a")
        assert (await api("GET", f"{EVENTING}/brokers")).body["items"] == []
        assert refused(await api("DELETE", "/api/v1/namespaces/default")) == (403, "Forbidden")
        assert refused(await api("POST", "/api/v1/namespaces/No/configmaps", config_map())) == (422, "Invalid")


async def test_who_finds_the_api_ready_finds_the_namespace_default(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        assert (await api("GET", "/api/v1/namespaces/default")).status == 200


async def test_nothing_is_in_a_namespace_that_is_not_there(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        path = "/api/v1/namespaces/busy"

        async def make(worker: int) -> None:
            for number in range(20):
                answer = await api("POST", f"{path}/configmaps", config_map(f"c{worker}-{number}"))
                assert answer.status in {201, 403}

        async def remove() -> None:
            for _ in range(10):
                await api("DELETE", path)

        await asyncio.gather(*map(make, range(4)), remove())

        async def is_right() -> bool:
            found = await api("GET", path)
            held = (await api("GET", f"{path}/configmaps")).body["items"]
            return not held if found.status == 404 else "deletionTimestamp" not in found.body["metadata"]

        await eventually(is_right, "the Namespace is there, or nothing is in it")


async def test_owners_take_what_they_own_with_them_also_after_a_restart(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        owner = await api.made(CONFIG_MAPS, config_map("owner"))
        about = owner["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": about["uid"]}
        for name in ("one", "two"):
            await api.made(CONFIG_MAPS, config_map(name) | {"metadata": {"name": name, "ownerReferences": [reference]}})
        held = {
            "name": "held",
            "ownerReferences": [reference | {"blockOwnerDeletion": True}],
            "finalizers": ["a.test/x"],
        }
        await api.made(CONFIG_MAPS, config_map("held") | {"metadata": held})
        await api("DELETE", f"{CONFIG_MAPS}/owner", {"propagationPolicy": "Foreground"})
        await api.until_gone(f"{CONFIG_MAPS}/one")
        await api.until_gone(f"{CONFIG_MAPS}/two")
        assert (await api("GET", f"{CONFIG_MAPS}/owner")).status == 200, "it waits for what is held"
    async with api_server(nats.url) as api:
        await api.patch(f"{CONFIG_MAPS}/held", {"metadata": {"finalizers": None}})
        await api.until_gone(f"{CONFIG_MAPS}/owner")


async def test_a_crd_makes_its_kind_at_once_and_takes_it_away_with_its_objects(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        assert refused(await api("POST", DUCKS, duck())) == (404, "NotFound")
        made = await api.made(CRDS, crd())
        assert {c["type"] for c in made["status"]["conditions"]} == {"NamesAccepted", "Established"}
        donald = await api.made(DUCKS, duck(status={"address": {"url": "http://pond/"}}))
        assert donald["status"] == {"address": {"url": "http://pond/"}}
        moved = await api.patch(f"{DUCKS}/donald", {"status": {"address": {"url": "http://sea/"}}})
        assert moved.body["status"]["address"]["url"] == "http://sea/"
        assert refused(await api("GET", f"{DUCKS}/donald/status")) == (404, "NotFound")
        other = await api("GET", "/apis/example.com/v1beta1/namespaces/pond/ducks/donald")
        assert other.body == moved.body | {"apiVersion": "example.com/v1beta1"}
        patched = await api.patch("/apis/example.com/v1beta1/namespaces/pond/ducks/donald", {"spec": {"a": 1}})
        assert patched.body["apiVersion"] == "example.com/v1beta1"
        assert (await api("DELETE", f"{CRDS}/ducks.example.com")).status == 200

        async def is_gone() -> bool:
            return (await api("GET", DUCKS)).status == 404

        _: bool = await eventually(is_gone, "its kind is gone")
        await api.made(CRDS, crd(subresources={"status": {}}))
        assert (await api("GET", DUCKS)).body["items"] == []
        assert "status" not in await api.made(DUCKS, duck(status={"forged": True}))
        assert refused(await api("POST", CRDS, crd() | {"spec": {}})) == (422, "Invalid")


async def test_everything_of_a_namespace_can_be_deleted_by_selector(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        for number in range(5):
            labels = {"odd": str(number % 2)}
            await api.made(BROKERS, broker(metadata={"name": f"b{number}", "labels": labels}))
        gone = await api("DELETE", BROKERS, labelSelector="odd=1")
        assert [item["metadata"]["name"] for item in gone.body["items"]] == ["b1", "b3"]
        assert len((await api("GET", BROKERS)).body["items"]) == 3
        await api("DELETE", BROKERS)
        assert (await api("GET", BROKERS)).body["items"] == []


async def test_lists_are_selected_sorted_and_come_in_parts_of_one_state(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        for name in ("d", "a", "c", "b", "e"):
            await api.made(CONFIG_MAPS, config_map(name))
        await api.made("/api/v1/namespaces/other/configmaps", config_map("a"))
        whole = await api("GET", "/api/v1/configmaps")
        assert (whole.body["kind"], whole.body["apiVersion"]) == ("ConfigMapList", "v1")
        assert len(whole.body["items"]) == 6
        one = await api("GET", CONFIG_MAPS, fieldSelector="metadata.name=c")
        assert [item["metadata"]["name"] for item in one.body["items"]] == ["c"]

        first = await api("GET", CONFIG_MAPS, limit="2")
        assert first.body["metadata"]["remainingItemCount"] == 3
        await api("DELETE", f"{CONFIG_MAPS}/d")
        await api.made(CONFIG_MAPS, config_map("bb"))
        second = await api("GET", CONFIG_MAPS, limit="2", continue_=first.body["metadata"]["continue"])
        third = await api("GET", CONFIG_MAPS, limit="2", continue_=second.body["metadata"]["continue"])
        names = [item["metadata"]["name"] for part in (first, second, third) for item in part.body["items"]]
        assert names == ["a", "b", "c", "d", "e"]
        assert first.revision == second.revision == third.revision
        assert "continue" not in third.body["metadata"]
        exact = await api("GET", CONFIG_MAPS, resourceVersion=first.revision, resourceVersionMatch="Exact")
        assert [item["metadata"]["name"] for item in exact.body["items"]] == ["a", "b", "c", "d", "e"]
        future = await api("GET", CONFIG_MAPS, resourceVersion="999999")
        assert refused(future) == (504, "Timeout")
        assert future.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_a_list_that_goes_on_too_late_is_gone(nats: NatsServer) -> None:
    async with api_server(nats.url, kept_changes=10) as api:
        for number in range(3):
            await api.made(CONFIG_MAPS, config_map(f"c{number}"))
        first = await api("GET", CONFIG_MAPS, limit="1")
        for number in range(15):
            await api.patch(f"{CONFIG_MAPS}/c0", {"data": {"n": str(number)}})
        late = await api("GET", CONFIG_MAPS, limit="1", continue_=first.body["metadata"]["continue"])
        assert refused(late) == (410, "Expired")


async def test_patches_at_the_same_time_are_all_applied(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        await api.made(CONFIG_MAPS, config_map())
        answers = await asyncio.gather(*(api.patch(f"{CONFIG_MAPS}/c", {"data": {f"k{n}": "v"}}) for n in range(30)))
        assert {answer.status for answer in answers} == {200}
        assert len((await api("GET", f"{CONFIG_MAPS}/c")).body["data"]) == 30


async def test_of_replacements_at_the_same_time_one_wins(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        made = await api.made(BROKERS, broker())
        bodies = [made | {"spec": {"delivery": {"retry": n}}} for n in range(1, 9)]
        answers = await asyncio.gather(*(api("PUT", f"{BROKERS}/b", one) for one in bodies))
        assert sorted(answer.status for answer in answers) == [200] + [409] * 7
        created = await asyncio.gather(*(api("POST", BROKERS, broker("same")) for _ in range(8)))
        assert sorted(answer.status for answer in created) == [201] + [409] * 7


async def test_a_thousand_objects_are_made_side_by_side_and_listed_at_once(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        names = iter(range(1000))

        async def work() -> None:
            for number in names:
                await api.made(TRIGGERS, trigger(f"t{number}"))

        await asyncio.gather(*(work() for _ in range(16)))
        assert len((await api("GET", TRIGGERS)).body["items"]) == 1000
