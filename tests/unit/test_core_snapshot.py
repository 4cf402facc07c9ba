"""What the data plane makes of the changes of the definitions bucket."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.core.bus.kv import Entry, Reloaded, dumps
from scaup.core.model.definitions import Address, AddressBookEntry, Complete, Definition, to_json
from scaup.core.model.errors import NotLoadedError
from scaup.core.runtime.definitions import Definitions
from tests.support.events import a_broker, a_trigger

BROKER = a_broker("b1")
ONE, TWO = a_trigger("t1", broker="b1"), a_trigger("t2", broker="b1")
ADDRESS = AddressBookEntry((Address("http://x/"),))


def entries(revision: int = 10, **values: Definition | None) -> dict[str, Entry]:
    """Keyword ``trigger_t1`` is the key ``trigger.t1``; None the mark of its deletion."""
    found = {}
    for name, value in values.items():
        key = name.replace("address_", "address/").replace("_", ".")
        found[key] = Entry(key, None if value is None else dumps(to_json(value)), revision)
    return found


def reloaded(revision: int = 10, created: str = "first", **values: Definition | None) -> Reloaded:
    return Reloaded(entries(revision, **values), revision, created)


def entry(revision: int = 11, **values: Definition | None) -> Entry:
    return next(iter(entries(revision, **values).values()))


FULL: dict[str, Any] = {
    "broker_b1": BROKER,
    "trigger_t1": ONE,
    "trigger_t2": TWO,
    "address_a": ADDRESS,
    "complete": Complete(1, 1, 2, 1),
}


class Following:
    """Definitions, and what their listener was told."""

    def __init__(self) -> None:
        self.told: list[set[str]] = []
        self.held = Definitions()
        self.held.on_change(self.told.append)


@pytest.fixture
def loaded() -> Following:
    following = Following()
    following.held.apply(reloaded(**FULL))
    following.told.clear()
    return following


def test_nothing_is_loaded_before_the_first_complete_snapshot() -> None:
    following = Following()
    held = following.held
    with pytest.raises(NotLoadedError):
        held.require_loaded()
    for change in (reloaded(), reloaded(**{**FULL, "complete": Complete(1, 2, 2, 1)}), reloaded(broker_b1=BROKER)):
        held.apply(change)
        assert not held.is_loaded
        assert held.why_not_ready()
    assert following.told == []
    held.apply(reloaded(**FULL))
    held.require_loaded()
    assert held.loaded.is_set()
    assert held.why_not_ready() is None
    assert following.told == [{"broker.b1", "trigger.t1", "trigger.t2", "address/a", "complete"}]


def test_an_empty_snapshot_is_complete_when_the_controller_says_so() -> None:
    held = Definitions()
    held.apply(reloaded(complete=Complete(1, 0, 0, 0)))
    assert held.is_loaded


def test_a_snapshot_that_is_completed_by_single_changes_is_loaded_with_the_last() -> None:
    following = Following()
    held = following.held
    held.apply(reloaded(broker_b1=BROKER, trigger_t1=ONE))
    held.apply(entry(11, complete=Complete(1, 1, 2, 0)))
    assert not held.is_loaded
    held.apply(entry(12, trigger_t2=TWO))
    assert held.is_loaded
    assert held.revision == 12
    assert len(following.told) == 1


def test_everything_is_found_by_its_key(loaded: Following) -> None:
    held = loaded.held
    assert held.brokers == {"b1": BROKER}
    assert held.brokers_by_name == {("default", "one"): BROKER}
    assert held.triggers == {"t1": ONE, "t2": TWO}
    assert held.address_book == {"address/a": ADDRESS}
    assert (held.revision, held.created) == (10, "first")


def test_a_change_is_applied_and_told_and_an_equal_value_is_only_a_revision(loaded: Following) -> None:
    loaded.held.apply(entry(11, trigger_t1=ONE))
    assert (loaded.told, loaded.held.revision) == ([], 11)
    newer = a_trigger("t1", broker="b1", generation=2)
    loaded.held.apply(entry(12, trigger_t1=newer))
    assert loaded.told == [{"trigger.t1"}]
    assert loaded.held.triggers["t1"] == newer  # type: ignore[index]


def test_a_deletion_is_applied_told_and_remembered(loaded: Following) -> None:
    held = loaded.held
    held.apply(entry(11, trigger_t1=None))
    held.apply(entry(12, broker_b1=None))
    held.apply(entry(13, address_a=None))
    assert (set(held.triggers), held.brokers, held.brokers_by_name, held.address_book) == ({"t2"}, {}, {}, {})
    assert held.deleted_triggers == {"t1"}
    assert loaded.told == [{"trigger.t1"}, {"broker.b1"}, {"address/a"}]


def test_deletions_during_an_interruption_are_seen_by_their_marks(loaded: Following) -> None:
    loaded.held.apply(reloaded(20, **{**FULL, "trigger_t1": None}))
    assert set(loaded.held.triggers) == {"t2"}
    assert loaded.held.deleted_triggers == {"t1"}
    assert loaded.told == [{"trigger.t1"}]


def test_a_bucket_that_shrinks_without_marks_takes_nothing_away(loaded: Following) -> None:
    loaded.held.apply(reloaded(20, broker_b1=BROKER, complete=Complete(1, 1, 2, 1)))
    assert set(loaded.held.triggers) == {"t1", "t2"}
    assert loaded.told == []
    loaded.held.apply(reloaded(1, "second"))
    assert loaded.held.brokers
    assert (loaded.held.revision, loaded.held.created) == (1, "second")
    assert loaded.held.is_loaded


def test_a_bucket_that_shrinks_with_the_controllers_word_is_believed(loaded: Following) -> None:
    loaded.held.apply(reloaded(20, broker_b1=BROKER, trigger_t2=TWO, complete=Complete(2, 1, 1, 0)))
    assert set(loaded.held.triggers) == {"t2"}
    assert loaded.held.deleted_triggers == {"t1"}


def test_what_was_kept_goes_when_a_bucket_made_anew_is_complete_without_it(loaded: Following) -> None:
    held = loaded.held
    held.apply(reloaded(0, "second"))
    held.apply(entry(1, broker_b1=BROKER))
    held.apply(entry(2, trigger_t2=TWO))
    assert set(held.triggers) == {"t1", "t2"}
    assert loaded.told == []
    held.apply(entry(3, complete=Complete(1, 1, 1, 0)))
    assert set(held.triggers) == {"t2"}
    assert held.address_book == {}
    assert held.deleted_triggers == {"t1"}
    assert loaded.told == [{"complete", "trigger.t1", "address/a"}]
    assert held.brokers_by_name == {("default", "one"): BROKER}


@pytest.mark.parametrize("order", [("b1", "b2"), ("b2", "b1")])
def test_a_broker_made_anew_under_its_name_is_never_missing(order: tuple[str, str]) -> None:
    held = Definitions()
    old, new = a_broker("b1"), a_broker("b2")
    values: dict[str, Any] = {"broker_" + uid: {"b1": old, "b2": new}[uid] for uid in order}
    held.apply(reloaded(**values, complete=Complete(1, 2, 0, 0)))
    held.apply(entry(11, broker_b1=None))
    assert held.brokers_by_name == {("default", "one"): new}
    held.apply(entry(12, broker_b2=None))
    assert held.brokers_by_name == {}


def test_keys_of_a_newer_version_are_passed_over(loaded: Following) -> None:
    before = dict(loaded.held.triggers)
    loaded.held.apply(Entry("gateway.x", b"no JSON of ours", 11))
    assert loaded.held.triggers == before
    assert loaded.held.revision == 11
