"""Series go with the Brokers and Triggers they are about, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, Counter, Gauge

from scaup.core.bus.kv import Entry, Reloaded, dumps
from scaup.core.model import names
from scaup.core.model.definitions import Complete, Definition, to_json
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.series import Series
from tests.support.events import BROKER, a_broker, a_trigger
from tests.support.waiting import eventually

AT_ONCE = 0.0


@pytest.fixture
def of_trigger() -> Iterator[Counter]:
    made = Counter("test_series_events_total", "For this test.", ["namespace", "broker", "trigger", "outcome"])
    yield made
    REGISTRY.unregister(made)


@pytest.fixture
def of_broker() -> Iterator[Gauge]:
    made = Gauge("test_series_lag", "For this test.", ["namespace", "broker"])
    yield made
    REGISTRY.unregister(made)


def entry(key: str, value: Definition | None, revision: int) -> Entry:
    return Entry(key, None if value is None else dumps(to_json(value)), revision)


def loaded(after_s: float, *triggers: str) -> Definitions:
    """A Broker ``one`` with these Triggers."""
    found = Definitions()
    Series(found, after_s)
    values: dict[str, Definition] = {names.broker_key(a_broker(BROKER).uid): a_broker(BROKER)}
    values |= {names.trigger_key(uid): a_trigger(uid) for uid in triggers}
    values[names.COMPLETE_KEY] = Complete(1, 1, len(triggers), 0)
    entries = {key: entry(key, value, number) for number, (key, value) in enumerate(values.items(), 1)}
    found.apply(Reloaded(entries, len(entries), "2026-01-01T00:00:00Z"))
    return found


def there(metric: Counter | Gauge) -> set[tuple[str, ...]]:
    return {tuple(sample.labels.values()) for family in metric.collect() for sample in family.samples}


async def test_the_series_of_a_deleted_trigger_go_and_the_others_stay(of_trigger: Counter, of_broker: Gauge) -> None:
    found = loaded(AT_ONCE, "kept", "gone")
    for name in ("kept", "gone"):
        of_trigger.labels("default", "one", name, "accepted").inc()
        of_trigger.labels("default", "one", name, "refused").inc()
    of_broker.labels("default", "one").set(1)
    of_trigger.labels("default", "", "nowhere", "accepted").inc()
    found.apply(entry(names.trigger_key("gone"), None, 9))
    left = {("default", "one", "kept", outcome) for outcome in ("accepted", "refused")}
    await eventually(lambda: there(of_trigger) == left | {("default", "", "nowhere", "accepted")}, "they are removed")
    assert there(of_broker) == {("default", "one")}


async def test_all_series_of_a_deleted_broker_go(of_trigger: Counter, of_broker: Gauge) -> None:
    found = loaded(AT_ONCE, "t")
    of_trigger.labels("default", "one", "t", "accepted").inc()
    of_broker.labels("default", "one").set(1)
    found.apply(entry(names.broker_key(a_broker(BROKER).uid), None, 9))
    await eventually(lambda: not there(of_broker) and not there(of_trigger), "they are removed")


async def test_what_was_made_anew_under_the_same_name_keeps_its_series(of_trigger: Counter) -> None:
    found = loaded(AT_ONCE, "t")
    of_trigger.labels("default", "one", "t", "accepted").inc()
    of_trigger.labels("default", "one", "never", "accepted").inc()
    found.apply(entry(names.trigger_key("t"), None, 9))
    found.apply(entry(names.trigger_key("u"), replace(a_trigger("u"), name="t"), 10))
    left = {("default", "one", "t", "accepted")}
    await eventually(lambda: there(of_trigger) == left, "what is not there is removed, and this is not")


async def test_series_are_there_for_a_while_after_the_deletion(of_trigger: Counter) -> None:
    found = loaded(60.0, "t")
    of_trigger.labels("default", "one", "t", "accepted").inc()
    found.apply(entry(names.trigger_key("t"), None, 9))
    assert there(of_trigger) == {("default", "one", "t", "accepted")}
