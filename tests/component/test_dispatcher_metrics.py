"""The dispatcher's gauges say how things stand: for as long as it is so, and by who knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from scaup.core.bus.kv import Entry, Reloaded, dumps
from scaup.core.bus.replays import send_again
from scaup.core.codec import stored
from scaup.core.codec.kept import Facts, Replay
from scaup.core.model import names
from scaup.core.model.definitions import Complete, Destination, to_json
from scaup.core.model.names import Lane, TriggerUid
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher import keeper as module
from scaup.dispatcher import metrics
from scaup.dispatcher.counts import Counts
from scaup.dispatcher.keeper import Keeper
from scaup.dispatcher.settle import now_text
from tests.support.dataplane import World, delivery, metric, of_trigger, working, world
from tests.support.events import a_trigger, an_event
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, Sink, answer, sink
from tests.support.waiting import eventually

BROKER = {"namespace": "default", "broker": "one"}
LONG_AGO = "2026-01-02T03:04:05.678901Z"


def shown(name: str, **labels: str) -> float | None:
    """A sample of this process's metrics; None where there is none."""
    return REGISTRY.get_sample_value(name, labels)


async def test_a_breaker_shows_while_it_is_open_and_no_longer(nats: NatsServer) -> None:
    there = Sink()
    await there.start()
    await there.stop()
    async with working(nats.url) as here:
        await here.trigger("breaking", there.url, delivery=delivery(retry=50))
        labels = of_trigger("breaking", lane="subscriber")
        ids = await here.send_many(20)
        await eventually(lambda: metric("scaup_trigger_breaker_open", **labels) == 1, "it shows as open")
        await there.start()
        await here.until_queues_hold(0)
        await eventually(lambda: metric("scaup_trigger_breaker_open", **labels) == 0, "it shows as closed")
        assert set(there.ids) == set(ids)
        await there.stop()


async def test_attempts_under_way_show_and_those_of_a_deleted_trigger_do_not(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(HANG) as there:
        await here.trigger("hanging", there.url)
        labels = of_trigger("hanging", lane="subscriber")
        await here.send_many(3)
        await eventually(lambda: metric("scaup_trigger_in_flight", **labels) == 3, "they show")
        await here.delete_trigger("hanging")
        await eventually(lambda: metric("scaup_trigger_in_flight", **labels) == 0, "they show no more")


async def test_an_event_that_waits_in_the_log_shows_by_its_age(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.dispatcher()  # without a filter nothing can be settled
        await here.send()
        await eventually(lambda: metric("scaup_log_oldest_seconds", **BROKER) > 1, "it shows, and grows")
        assert metric("scaup_log_lag_events", **BROKER) == 1
        assert 0 < metric("scaup_log_bytes", **BROKER) < metric("scaup_log_max_bytes", **BROKER)
        await here.filter()
        await here.until_settled()
        await eventually(lambda: metric("scaup_log_oldest_seconds", **BROKER) == 0, "nothing waits any more")


async def test_latency_counts_every_event_once_for_a_trigger_and_from_its_replay(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400)) as bad, sink(OK) as dead:
        name = "scaup_delivery_seconds"
        await here.trigger("t", bad.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        before = [metric(f"{name}_{what}", **BROKER) for what in ("count", "sum")]
        await here.send()
        await eventually(lambda: dead.ids, "it is with the dead letter sink")
        await here.until_queues_hold(0)
        assert metric(f"{name}_count", **BROKER) - before[0] == 1
        bad.then(OK)
        event = an_event(b"{}", id="again")
        facts = Facts(1, LONG_AGO, replay=Replay("r1", now_text()))
        await send_again(here.bus, Lane(here.broker.uid, TriggerUid("t")), stored.to_headers(event, None), b"{}", facts)
        await eventually(lambda: metric(f"{name}_count", **BROKER) - before[0] == 2, "it is counted")
        assert metric(f"{name}_sum", **BROKER) - before[1] < 60


@asynccontextmanager
async def kept(here: World, *triggers: str) -> AsyncIterator[tuple[Keeper, Counts, Definitions]]:
    """A keeper of its own, which knows these Triggers."""
    definitions = Definitions()
    values = [(names.broker_key(here.broker.uid), to_json(here.broker))]
    values += [(names.trigger_key(uid), to_json(a_trigger(uid))) for uid in triggers]
    values.append((names.COMPLETE_KEY, to_json(Complete(1, 1, len(triggers), 0))))
    entries = {key: Entry(key, dumps(value), number) for number, (key, value) in enumerate(values, 1)}
    definitions.apply(Reloaded(entries, len(entries), "2026-01-01T00:00:00Z"))
    counts = Counts(here.bus, 1000)
    yield Keeper(here.bus, definitions, counts), counts, definitions


async def queue(here: World, uid: str, accepted: str = LONG_AGO, replay: Replay | None = None) -> None:
    lane = Lane(here.broker.uid, TriggerUid(uid))
    headers = stored.to_headers(an_event(b"{}"), None)
    assert await send_again(here.bus, lane, headers, b"{}", Facts(1, accepted, replay=replay))


async def test_who_looks_after_a_broker_no_longer_shows_nothing_of_its_log(nats: NatsServer) -> None:
    async with world(nats.url) as here, kept(here) as (keeper, _, _):
        await here.send()
        await keeper.look_after_log(here.broker)
        await keeper.show_dead_letters(here.broker)
        gauges = ["lag_events", "oldest_seconds", "bytes", "max_bytes"]
        of_log = [f"scaup_log_{name}" for name in gauges]
        assert None not in [shown(name, **BROKER) for name in (*of_log, "scaup_dead_letters")]
        assert keeper.standstills()
        keeper.leave(here.broker)
        assert {shown(name, **BROKER) for name in (*of_log, "scaup_dead_letters")} == {None}
        assert not keeper.standstills()  # it would not be ready for what is another's to mend


async def test_the_age_of_a_queue_is_that_of_its_event_or_of_its_replay(nats: NatsServer) -> None:
    async with world(nats.url) as here, kept(here, "old", "replayed") as (keeper, counts, _):
        await queue(here, "old")
        await queue(here, "replayed", replay=Replay("r1", now_text()))
        await counts.sweep(here.broker.uid)
        await keeper.show_queues(here.broker)
        ages = [shown("scaup_trigger_queue_oldest_seconds", **of_trigger(uid)) for uid in ("old", "replayed")]
        assert (ages[0] or 0) > 86_400
        assert ages[1] is not None
        assert ages[1] < 60
        assert shown("scaup_trigger_paused", **of_trigger("old")) == 0


async def test_where_very_many_queues_are_in_use_each_has_its_turn(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OLDEST_OF", 2)
    uids = [f"turn-{number}" for number in range(5)]
    async with world(nats.url) as here, kept(here, *uids) as (keeper, counts, _):
        await asyncio.gather(*(queue(here, uid) for uid in uids))
        await counts.sweep(here.broker.uid)

        def ages() -> list[float | None]:
            return [shown("scaup_trigger_queue_oldest_seconds", **of_trigger(uid)) for uid in uids]

        await keeper.show_queues(here.broker)
        assert len([age for age in ages() if age is None]) == 3  # not known is not 0
        await keeper.show_queues(here.broker)
        await keeper.show_queues(here.broker)
        assert all((age or 0) > 86_400 for age in ages())


async def test_the_gauges_of_a_deleted_trigger_are_set_once_more_and_then_left_alone(nats: NatsServer) -> None:
    async with world(nats.url) as here, kept(here, "gone") as (keeper, counts, definitions):
        await queue(here, "gone")
        await counts.sweep(here.broker.uid)
        await keeper.show_queues(here.broker)
        labels = of_trigger("gone")
        assert shown("scaup_trigger_queue_events", **labels) == 1
        definitions.apply(Entry(names.trigger_key("gone"), None, 9))
        await keeper.show_queues(here.broker)
        assert shown("scaup_trigger_queue_events", **labels) == 0
        metrics.QUEUE_EVENTS.remove("default", "one", "gone")
        await keeper.show_queues(here.broker)
        assert shown("scaup_trigger_queue_events", **labels) is None
