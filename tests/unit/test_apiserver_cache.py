"""The cache and its window of changes: what the bucket's changes and reloads make of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scaup.apiserver.answers import ApiError
from scaup.apiserver.kinds import BROKERS, CRDS, Kinds
from scaup.apiserver.objects import Put
from scaup.apiserver.store import Place, Store
from scaup.apiserver.window import BATCH, Change, Window
from scaup.core.bus.kv import Entry, Reloaded, dumps
from scaup.core.model.errors import NotLoadedError

KEY = "object/eventing.knative.dev/brokers/d/{}"


def whole(name: str, uid: str = "u", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "d", "uid": uid}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": metadata} | more


def entry(name: str, revision: int, value: dict[str, Any] | None = None) -> Entry:
    return Entry(KEY.format(name), None if value is None else dumps(value), revision)


def reloaded(*entries: Entry, revision: int = 0, created: str = "c1") -> Reloaded:
    return Reloaded({e.key: e for e in entries}, revision or max((e.revision for e in entries), default=0), created)


def loaded(*entries: Entry, kept: int = 100) -> Store:
    store = Store(Kinds(), kept)
    store.apply(reloaded(*entries))
    return store


def names(store: Store) -> list[str]:
    return sorted(name for _, name in store.shelf(BROKERS.resource).objects)


def since(store: Store, revision: int) -> list[tuple[int, bool, bool]]:
    window = store.shelf(BROKERS.resource).window
    return [(c.revision, c.old is not None, c.new is not None) for c in window.after(window.position_after(revision))]


def test_nothing_is_served_before_the_first_load() -> None:
    store = Store(Kinds(), 10)
    with pytest.raises(NotLoadedError):
        store.require_loaded()
    assert store.why_not_ready()
    store.apply(reloaded())
    store.require_loaded()
    assert store.why_not_ready() is None


def test_changes_are_applied_in_order_with_old_and_new_object() -> None:
    store = loaded(entry("a", 3, whole("a")), entry("gone", 4))
    assert (names(store), store.revision) == (["a"], 4)
    store.apply(entry("b", 5, whole("b")))
    store.apply(entry("b", 6, whole("b", spec={})))
    store.apply(entry("a", 7))
    assert since(store, 4) == [(5, False, True), (6, True, True), (7, True, False)]
    assert since(store, 6) == [(7, True, False)]
    found = store.get(Place(BROKERS.resource, "d", "b"))
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "6"


def test_what_was_before_the_load_is_expired() -> None:
    store = loaded(entry("a", 3, whole("a")))
    assert since(store, 3) == []
    with pytest.raises(ApiError) as error:
        since(store, 2)
    assert (error.value.status, error.value.reason) == (410, "Expired")


def test_another_uid_under_the_same_name_is_a_deletion_and_a_new_object() -> None:
    store = loaded(entry("a", 3, whole("a", "one")))
    store.apply(entry("a", 5, whole("a", "two")))
    assert since(store, 3) == [(5, True, False), (5, False, True)]


def test_a_reload_of_the_same_bucket_becomes_the_changes_that_were_missed() -> None:
    store = loaded(entry("a", 1, whole("a")), entry("b", 2, whole("b")), entry("c", 3, whole("c")))
    changed = (entry("d", 7, whole("d")), entry("a", 1, whole("a")), entry("b", 6), entry("c", 5, whole("c", spec={})))
    store.apply(reloaded(*changed, revision=8))
    assert since(store, 3) == [(5, True, True), (6, True, False), (7, False, True)]
    assert (names(store), store.revision) == (["a", "c", "d"], 8)


def test_marks_of_deletions_that_were_swept_are_forgotten_without_a_word() -> None:
    store = loaded(entry("a", 1, whole("a")), entry("b", 2))
    store.apply(reloaded(entry("a", 1, whole("a")), revision=3))
    assert (names(store), since(store, 2)) == (["a"], [])


@pytest.mark.parametrize(
    ("created", "revision"), [("c2", 9), ("c1", 2), ("c1", 6)], ids=["made anew", "gone back", "objects vanished"]
)
def test_a_bucket_that_is_not_the_one_we_knew_ends_every_watch(created: str, revision: int) -> None:
    store = loaded(entry("a", 5, whole("a")), entry("b", 6, whole("b")))
    window = store.shelf(BROKERS.resource).window
    position = window.position_after(6)
    store.apply(reloaded(entry("b", 2, whole("b")), revision=revision, created=created))
    assert (names(store), store.revision) == (["b"], revision)
    with pytest.raises(ApiError) as error:
        window.after(position)
    assert error.value.status == 410
    assert since(store, revision) == []


def test_a_crd_is_learnt_when_it_is_applied_and_forgotten_with_its_bucket() -> None:
    spec: dict[str, Any] = {"group": "e.com", "scope": "Cluster", "names": {"plural": "ducks", "kind": "Duck"}}
    spec["versions"] = [{"name": "v1", "served": True, "storage": True}]
    value = {"metadata": {"name": "ducks.e.com", "uid": "u"}, "spec": spec}
    key = "object/apiextensions.k8s.io/customresourcedefinitions/-/ducks.e.com"
    store = loaded(Entry(key, dumps(value), 1))
    assert store.kinds.find("e.com", "v1", "ducks")
    store.apply(reloaded(created="c2"))
    assert store.kinds.find("e.com", "v1", "ducks") is None
    store.apply(Entry(key, dumps({"metadata": {"name": "ducks.e.com"}, "spec": {}}), 2))
    assert store.get(Place(CRDS.resource, "", "ducks.e.com")), "a CRD that nobody could have written here is kept"


def test_what_others_wrote_into_the_bucket_does_not_stop_it() -> None:
    store = loaded(entry("a", 1, whole("a")))
    store.apply(Entry("nothing of ours", b"x", 2))
    store.apply(Entry(KEY.format("bad"), b"{", 3))
    store.apply(Entry(KEY.format("worse"), b"[]", 4))
    assert (names(store), store.revision) == (["a"], 4)


async def test_a_change_without_a_bus_is_refused_and_a_change_of_nothing_needs_none() -> None:
    store = loaded(entry("a", 1, whole("a")))
    place = Place(BROKERS.resource, "d", "a")
    with pytest.raises(ApiError, match="NATS is away") as error:
        await store.change(place, lambda _: Put(whole("a", spec={})))
    assert (error.value.status, error.value.details["retryAfterSeconds"]) == (503, 1)
    assert await store.change(place, lambda _: Put(whole("a"))) == Put(store.get(place) or {})


def filled(changes: int, kept: int) -> Window:
    window = Window(kept, 0)
    for revision in range(1, changes + 1):
        window.append(Change(revision, None, whole(f"n{revision}")))
    return window


def test_a_window_is_bounded_and_says_what_it_forgot() -> None:
    window = filled(250, 100)
    assert window.oldest >= 150
    assert window.end == 250
    assert [c.revision for c in window.after(window.position_after(248))] == [249, 250]
    with pytest.raises(ApiError, match="too old resource version"):
        window.position_after(window.oldest - 1)
    with pytest.raises(ApiError, match="fell behind"):
        window.after(10)


def test_a_reader_gets_so_many_changes_at_a_time() -> None:
    assert len(filled(2 * BATCH, 5000).after(0)) == BATCH


def test_an_older_state_is_made_from_the_changes_since() -> None:
    window = Window(100, 0)
    window.append(Change(1, None, whole("a")))
    window.append(Change(2, whole("a"), whole("a", spec={})))
    window.append(Change(3, None, whole("b")))
    window.append(Change(4, whole("a", spec={}), None))
    now = {("d", "b"): whole("b")}
    assert window.as_of(now, 4) is now
    assert window.as_of(now, 2) == {("d", "a"): whole("a", spec={})}
    assert window.as_of(now, 1) == {("d", "a"): whole("a")}
    assert window.as_of(now, 0) == {}


async def test_listeners_hear_of_every_change_until_they_leave() -> None:
    window = Window(10, 0)
    with window.listening() as event:
        window.append(Change(1, None, whole("a")))
        await asyncio.wait_for(event.wait(), 20)
        event.clear()
    window.append(Change(2, None, whole("b")))
    assert not event.is_set()
