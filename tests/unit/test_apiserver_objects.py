"""What writes make of objects, by Kubernetes' rules: shape, metadata, generation, status, finalizers."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from scaup.apiserver import metadata
from scaup.apiserver.answers import ApiError
from scaup.apiserver.kinds import BROKERS, BUILT_IN, NAMESPACES, Kind
from scaup.apiserver.objects import (
    Moment,
    Preconditions,
    Put,
    Remove,
    checked_shape,
    created,
    deleted,
    is_same,
    replaced,
    settled,
    with_status,
)

CONFIG_MAP = next(k for k in BUILT_IN if k.kind == "ConfigMap")
PLAIN = Kind("example.com", "v1", "sinks", "Sink")
NOW = Moment("2026-01-01T00:00:00Z", "u-1")


def present(**more: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {
            "name": "b",
            "namespace": "d",
            "uid": "u-0",
            "creationTimestamp": "2025-01-01T00:00:00Z",
            "generation": 3,
            "resourceVersion": "7",
        },
        "spec": {"delivery": {"retry": 1}},
        "status": {"observedGeneration": 3},
    }
    return whole | more


def edited(**more: Any) -> dict[str, Any]:
    return copy.deepcopy(present()) | more


def with_metadata(**more: Any) -> dict[str, Any]:
    whole = edited()
    whole["metadata"] |= more
    return whole


def status_of(error: pytest.ExceptionInfo[ApiError]) -> tuple[int, str]:
    return error.value.status, error.value.reason


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "not an object"),
        ({"kind": "Broker"}, "Object 'apiVersion' is missing"),
        ({"apiVersion": "eventing.knative.dev/v1"}, "Object 'Kind' is missing"),
        ({"apiVersion": "v1", "kind": "Broker"}, "does not match the expected API version"),
        ({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": 3}, "metadata is not an object"),
        (with_metadata(namespace="other"), "namespace of the provided object does not match"),
        (with_metadata(name="other"), "does not match the name on the URL"),
    ],
)
def test_a_body_that_is_not_what_the_path_says_is_a_bad_request(body: Any, words: str) -> None:
    with pytest.raises(ApiError, match=words) as error:
        checked_shape(BROKERS, body, namespace="d", name="b")
    assert status_of(error) == (400, "BadRequest")


def test_a_body_of_another_kind_is_invalid() -> None:
    with pytest.raises(ApiError, match='kind: Invalid value: "Trigger": must be Broker') as error:
        checked_shape(BROKERS, {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger"}, namespace="d")
    assert status_of(error) == (422, "Invalid")


def test_a_body_of_a_core_kind_may_leave_out_what_the_path_says_and_is_not_changed_itself() -> None:
    body: dict[str, Any] = {"metadata": {"name": "c"}, "data": {}}
    assert checked_shape(CONFIG_MAP, body, namespace="d", name="c") == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "d"},
        "data": {},
    }
    assert body == {"metadata": {"name": "c"}, "data": {}}
    with pytest.raises(ApiError, match="name must be provided") as error:
        checked_shape(CONFIG_MAP, {"data": {}}, namespace="d", name="c")
    assert status_of(error) == (400, "BadRequest")


def test_a_new_object_gets_system_metadata_of_ours_and_no_status_of_its_own() -> None:
    body = with_metadata(resourceVersion="", managedFields=[], selfLink="x", labels={"a": "b"})
    made = created(BROKERS, body, NOW)
    assert made["metadata"] == {
        "name": "b",
        "namespace": "d",
        "uid": "u-1",
        "creationTimestamp": NOW.now,
        "generation": 1,
        "labels": {"a": "b"},
    }
    assert "status" not in made
    assert created(PLAIN, body, NOW)["status"] == {"observedGeneration": 3}


def test_a_new_object_with_a_resource_version_is_refused() -> None:
    with pytest.raises(ApiError, match="resourceVersion should not be set") as error:
        created(BROKERS, present(), NOW)
    assert status_of(error) == (400, "BadRequest")


def test_an_ordinary_write_leaves_status_and_system_metadata_as_they_are() -> None:
    body = with_metadata(uid="u-0", creationTimestamp="1999-01-01T00:00:00Z", generation=99, labels={"a": "b"})
    body["status"] = {"forged": True}
    made = replaced(BROKERS, present(), body)
    assert made["status"] == {"observedGeneration": 3}
    assert made["metadata"]["creationTimestamp"] == "2025-01-01T00:00:00Z"
    assert made["metadata"]["generation"] == 3
    assert made["metadata"]["labels"] == {"a": "b"}


def test_a_kind_without_status_subresource_takes_status_from_ordinary_writes() -> None:
    assert replaced(PLAIN, present(), edited(status={"address": {"url": "http://a"}}))["status"] == {
        "address": {"url": "http://a"}
    }


@pytest.mark.parametrize(
    ("changed", "generation"),
    [
        ({"spec": {"delivery": {"retry": 2}}}, 4),
        ({"spec": {"delivery": {"retry": True}}}, 4),
        ({"spec": {"delivery": {"retry": 1}}}, 3),
        ({"status": {"other": 1}}, 3),
    ],
)
def test_only_a_change_of_the_content_makes_a_new_generation(changed: dict[str, Any], generation: int) -> None:
    decision = settled(BROKERS, present(), replaced(BROKERS, present(), edited(**changed)))
    assert decision.object["metadata"]["generation"] == generation


def test_labels_make_no_new_generation_and_status_does_where_it_is_not_apart() -> None:
    labelled = replaced(BROKERS, present(), with_metadata(labels={"a": "b"}))
    assert settled(BROKERS, present(), labelled).object["metadata"]["generation"] == 3
    with_other = replaced(PLAIN, present(), edited(status={"other": 1}))
    assert settled(PLAIN, present(), with_other).object["metadata"]["generation"] == 4


def test_a_write_to_the_status_changes_nothing_else() -> None:
    body = with_metadata(labels={"a": "b"})
    body |= {"spec": {}, "status": {"new": 1}}
    decision = settled(BROKERS, present(), with_status(BROKERS, present(), body))
    assert is_same(decision.object, present(status={"new": 1}))


def test_a_status_that_is_no_object_is_invalid() -> None:
    with pytest.raises(ApiError, match="status: Invalid value") as error:
        with_status(BROKERS, present(), edited(status="ready"))
    assert status_of(error) == (422, "Invalid")


def test_an_older_resource_version_or_another_uid_is_a_conflict() -> None:
    with pytest.raises(ApiError, match="the object has been modified") as error:
        replaced(BROKERS, present(), with_metadata(resourceVersion="6"))
    assert status_of(error) == (409, "Conflict")
    with pytest.raises(ApiError, match="UID in precondition: u-9") as error:
        replaced(BROKERS, present(), with_metadata(uid="u-9"))
    assert status_of(error) == (409, "Conflict")


def test_custom_kinds_need_a_resource_version_to_be_replaced_and_core_kinds_do_not() -> None:
    body = with_metadata(resourceVersion="")
    with pytest.raises(ApiError, match="must be specified for an update") as error:
        replaced(BROKERS, present(), body)
    assert status_of(error) == (422, "Invalid")
    assert replaced(CONFIG_MAP, present(), body)


def test_an_object_without_finalizers_is_removed_at_once_and_one_with_them_is_marked() -> None:
    assert isinstance(deleted(BROKERS, present(), Preconditions(), NOW), Remove)
    held = with_metadata(finalizers=["a/b"])
    marked = deleted(BROKERS, held, Preconditions(), NOW)
    assert isinstance(marked, Put)
    assert marked.object["metadata"]["deletionTimestamp"] == NOW.now
    assert marked.object["metadata"]["generation"] == 4
    again = deleted(BROKERS, marked.object, Preconditions(), Moment("later", "x"))
    assert is_same(again.object, marked.object)


def test_the_last_finalizer_of_a_deleted_object_removes_it_and_none_can_be_added() -> None:
    held = with_metadata(finalizers=["a/b"], deletionTimestamp=NOW.now)
    released = copy.deepcopy(held)
    released["metadata"]["finalizers"] = []
    assert isinstance(settled(BROKERS, held, replaced(BROKERS, held, released)), Remove)
    added = copy.deepcopy(held)
    added["metadata"]["finalizers"] = ["a/b", "c/d"]
    with pytest.raises(ApiError, match="no new finalizers can be added") as error:
        settled(BROKERS, held, replaced(BROKERS, held, added))
    assert status_of(error) == (422, "Invalid")


@pytest.mark.parametrize("asked", [Preconditions(uid="u-9"), Preconditions(resource_version="6")])
def test_a_deletion_of_another_object_than_was_meant_is_a_conflict(asked: Preconditions) -> None:
    with pytest.raises(ApiError, match=r"in the precondition .* does not match") as error:
        deleted(BROKERS, present(), asked, NOW)
    assert status_of(error) == (409, "Conflict")


@pytest.mark.parametrize(
    ("about", "field"),
    [
        ({}, "metadata.name"),
        ({"name": "Upper"}, "metadata.name"),
        ({"name": "a..b"}, "metadata.name"),
        ({"name": "a" * 254}, "metadata.name"),
        ({"name": 3}, "metadata.name"),
        ({"name": "a", "namespace": "x.y"}, "metadata.namespace"),
        ({"name": "a", "labels": {"a": 1}}, "metadata.labels"),
        ({"name": "a", "labels": {"a b": "c"}}, "metadata.labels"),
        ({"name": "a", "labels": {"a": "b c"}}, "metadata.labels"),
        ({"name": "a", "labels": []}, "metadata.labels"),
        ({"name": "a", "annotations": {"a": {}}}, "metadata.annotations"),
        ({"name": "a", "annotations": {"a": "x" * 270_000}}, "metadata.annotations"),
        ({"name": "a", "finalizers": "x"}, "metadata.finalizers"),
        ({"name": "a", "ownerReferences": [1]}, "metadata.ownerReferences"),
        (
            {"name": "a", "ownerReferences": [{"kind": "A", "name": "a", "uid": "u"}]},
            "metadata.ownerReferences.apiVersion",
        ),
    ],
)
def test_metadata_that_kubernetes_refuses_is_refused_with_its_path(about: dict[str, Any], field: str) -> None:
    assert field in [problem.path for problem in metadata.problems(BROKERS, {"metadata": about})]


def test_good_metadata_has_no_problems_and_names_of_namespaces_are_labels() -> None:
    about: dict[str, Any] = {
        "name": "a.b-c.9",
        "namespace": "d",
        "labels": {"a/b": "", "kubernetes.io/name": "X_y.z"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "Some/Key": "any text\n"},
        "finalizers": ["a/b"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u"}],
    }
    assert metadata.problems(BROKERS, {"metadata": about}) == []
    assert metadata.problems(NAMESPACES, {"metadata": {"name": "a.b"}})
