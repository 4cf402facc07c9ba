"""One contract, two servers: what a watch shows, and how it begins and ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.contract import MERGE, Server

pytestmark = pytest.mark.real

META = "v=v1;g=meta.k8s.io"


def make(server: Server, path: str, name: str, **labels: str) -> Any:
    body = {"apiVersion": "pond.test/v1", "kind": "Reed", "metadata": {"name": name, "labels": labels}, "spec": {}}
    answer = server.request("POST", path, body)
    assert answer.status == 201, answer.body
    return answer.body


def label(server: Server, path: str, name: str, **labels: str | None) -> Any:
    return server.request("PATCH", f"{path}/{name}", {"metadata": {"labels": labels}}, MERGE).body


def next_of(events: Iterator[Any], count: int) -> list[tuple[str, str]]:
    found = [next(events) for _ in range(count)]
    return [(event["type"], event["object"]["metadata"]["name"]) for event in found]


def revision(whole: Any) -> str:
    return str(whole["metadata"]["resourceVersion"])


def test_a_watch_begins_with_what_there_is_and_goes_on(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    with server.watch(reeds) as events:
        assert next_of(events, 1) == [("ADDED", "a")]
        make(server, reeds, "b")
        label(server, reeds, "a", x="1")
        server.request("DELETE", f"{reeds}/b")
        assert next_of(events, 3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


def test_a_watch_goes_on_after_a_revision(server: Server, reeds: str) -> None:
    first = make(server, reeds, "a")
    make(server, reeds, "b")
    with server.watch(reeds, resourceVersion=revision(first)) as events:
        assert next_of(events, 1) == [("ADDED", "b")]
        server.request("DELETE", f"{reeds}/a")
        gone = next(events)
        assert (gone["type"], gone["object"]["metadata"]["name"]) == ("DELETED", "a")
        assert int(revision(gone["object"])) > int(revision(first))


def test_a_watch_from_nought_begins_with_what_there_is(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    with server.watch(reeds, resourceVersion="0") as events:
        assert next_of(events, 1) == [("ADDED", "a")]


def test_a_watch_of_a_forgotten_revision_ends_with_410(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    with server.watch(reeds, resourceVersion="1") as events:
        first = next(events)
    if server.is_local:  # it has forgotten nothing yet
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    else:
        assert (first["type"], first["object"]["code"], first["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_watch_by_label_sees_what_enters_and_leaves(server: Server, reeds: str) -> None:
    make(server, reeds, "a", tall="no")
    with server.watch(reeds, labelSelector="tall=yes") as events:
        label(server, reeds, "a", tall="yes")
        label(server, reeds, "a", more="1")
        label(server, reeds, "a", tall="no")
        label(server, reeds, "a", tall="yes")
        server.request("DELETE", f"{reeds}/a")
        assert [kind for kind, _ in next_of(events, 5)] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]


def test_a_watch_of_one_name_sees_only_that(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    with server.watch(reeds, fieldSelector="metadata.name=b") as events:
        label(server, reeds, "a", x="1")
        make(server, reeds, "b")
        assert next_of(events, 1) == [("ADDED", "b")]


def test_a_watch_over_all_namespaces_sees_each(server: Server, reeds: str, namespace: str) -> None:
    start = server.request("GET", reeds).body
    other = server.namespace()
    with server.watch("/apis/pond.test/v1/reeds", resourceVersion=revision(start)) as events:
        make(server, reeds, "a")
        make(server, reeds.replace(namespace, other), "a")
        found = [next(events)["object"]["metadata"]["namespace"] for _ in range(2)]
    assert found == [namespace, other]


def test_a_watch_ends_when_its_time_is_over(server: Server, reeds: str) -> None:
    with server.watch(reeds, timeoutSeconds="1") as events:
        assert list(events) == []


def test_initial_events_end_with_a_bookmark(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    with server.watch(reeds, None, **query) as events:
        assert next_of(events, 1) == [("ADDED", "a")]
        mark = next(events)
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert (mark["object"]["kind"], mark["object"]["apiVersion"]) == ("Reed", "pond.test/v1")
        make(server, reeds, "b")
        assert next_of(events, 1) == [("ADDED", "b")]


@pytest.mark.parametrize("revision", [{}, {"resourceVersion": "0"}])
def test_a_watch_that_wants_no_initial_events_begins_now(server: Server, reeds: str, revision: dict[str, str]) -> None:
    make(server, reeds, "a")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"} | revision
    with server.watch(reeds, None, **query) as events:
        make(server, reeds, "b")
        assert next_of(events, 1) == [("ADDED", "b")]


def test_a_watch_of_old_clients_says_too_where_the_initial_events_end(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    with server.watch(reeds, None, allowWatchBookmarks="true") as events:
        assert next_of(events, 1) == [("ADDED", "a")]
        mark = next(events)
    assert (mark["type"], "k8s.io/initial-events-end" in mark["object"]["metadata"]["annotations"]) == (
        "BOOKMARK",
        True,
    )


def test_initial_events_are_never_older_than_asked_for(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "999999999"}
    with server.watch(reeds, None, **query) as events:
        refusal = next(events)
    assert refusal["type"] == "ERROR"
    assert refusal["object"]["reason"] == "Timeout"
    assert refusal["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_a_watch_is_shown_as_a_table(server: Server, reeds: str) -> None:
    accept = {"Accept": f"application/json;as=Table;{META},application/json"}
    make(server, reeds, "a")
    with server.watch(reeds, accept) as events:
        first = next(events)
        make(server, reeds, "b")
        second = next(events)
    assert [event["object"]["kind"] for event in (first, second)] == ["Table", "Table"]
    assert first["object"]["columnDefinitions"][1]["name"] == "Height"
    assert second["object"]["columnDefinitions"] is None, "only the first has them"
    assert second["object"]["rows"][0]["cells"][0] == "b"
    assert second["object"]["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_watch_is_not_to_be_had_in_yaml_and_that_is_said_in_yaml(server: Server, reeds: str) -> None:
    answer = server.request("GET", reeds, None, {"Accept": "application/yaml"}, watch="1", timeoutSeconds="1")
    assert (answer.status, answer.headers["content-type"]) == (406, "application/yaml")
    assert "\nreason: NotAcceptable\n" in answer.body
    answer = server.request("GET", f"{reeds}/none", None, {"Accept": "application/yaml"})
    assert (answer.status, answer.headers["content-type"]) == (404, "application/yaml")


def test_a_watch_is_shown_as_metadata(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    with server.watch(reeds, {"Accept": f"application/json;as=PartialObjectMetadata;{META}"}) as events:
        found = next(events)["object"]
    assert (found["kind"], found["metadata"]["name"], "spec" in found) == ("PartialObjectMetadata", "a", False)


def test_one_object_is_not_watched_in_its_own_path(server: Server, reeds: str) -> None:
    make(server, reeds, "a")
    answer = server.request("GET", f"{reeds}/a", watch="1", timeoutSeconds="1")
    assert (answer.status, answer.body["kind"]) == (200, "Reed")
    assert server.request("GET", f"{reeds}/none", watch="1").status == 404


def test_a_watch_by_the_name_of_one_object_sees_it(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    server.request("POST", path, {"metadata": {"name": "a"}})
    server.request("POST", path, {"metadata": {"name": "b"}})
    with server.watch(path, fieldSelector="metadata.name=b") as events:
        assert next_of(events, 1) == [("ADDED", "b")]


def test_a_status_that_changes_is_seen(server: Server, reeds: str) -> None:
    made = make(server, reeds, "a")
    with server.watch(reeds, resourceVersion=revision(made)) as events:
        server.request("PATCH", f"{reeds}/a/status", {"status": {"cut": "2026-01-01T00:00:00Z"}}, MERGE)
        event = next(events)
    assert (event["type"], event["object"]["status"]) == ("MODIFIED", {"cut": "2026-01-01T00:00:00Z"})


def test_a_write_that_changes_nothing_is_not_seen(server: Server, reeds: str) -> None:
    made = make(server, reeds, "a", x="1")
    with server.watch(reeds, resourceVersion=revision(made)) as events:
        assert revision(label(server, reeds, "a", x="1")) == revision(made)
        make(server, reeds, "b")
        assert next_of(events, 1) == [("ADDED", "b")]
