"""``scaup deadletters replay`` against a real data plane: each end a replay can have, and what interrupts it."""

from __future__ import annotations

import asyncio

import pytest

from scaup.cli import deadletterreplay
from scaup.cli.deadletterplans import WhyNot
from scaup.cli.deadletterreplay import Done, How, Replaying
from scaup.cli.deadletterselect import Scope, Wanted, name_of
from scaup.cli.longwork import Stop
from scaup.core.bus import deadletters
from scaup.core.codec import kept, stored
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.definitions import Destination
from tests.support.dataplane import World, delivery, working, world
from tests.support.events import an_event
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, answer, sink
from tests.support.waiting import eventually

SETTINGS = {"max_wait_s": 1e12}
WAITING = How(rate=10_000, waits=True)
QUEUEING = How(rate=10_000)


async def replay(here: World, wanted: Wanted | None = None, how: How = WAITING, stop: Stop | None = None) -> Done:
    """As the command does it, once it knows the Brokers and Triggers that are there."""
    uid = here.broker.uid
    scope = Scope(uid, "one", await deadletters.last_sequence(here.bus, uid), {name: name for name in here.triggers})
    work = Replaying(here.bus, wanted or Wanted("default", limit=None), how, Stop() if stop is None else stop)
    await work.run([scope])
    return work.done


async def keep(here: World, count: int, trigger: str = "t") -> None:
    """Dead letters of a Trigger that nobody had to try to deliver."""
    for number in range(count):
        event = an_event(b"{}", id=f"d-{number}")
        headers = stored.to_headers(event) | kept.to_headers(Facts(number + 1, reason="status 400"))
        await here.bus.acked.store(names.dead_subject(here.broker.uid, names.TriggerUid(trigger)), b"{}", headers)


async def test_delivered_and_died_again_are_told_apart_and_only_the_trigger_that_failed_is_asked(
    nats: NatsServer,
) -> None:
    answers = (answer(400), answer(400), OK, answer(422))
    async with working(nats.url, SETTINGS) as here, sink(*answers) as there, sink() as other:
        await here.trigger("t", there.url)
        await here.trigger("other", other.url)
        await here.send()
        await here.dead_letters(1)
        await here.send()
        await here.dead_letters(2)
        done = await replay(here)
        assert done.ends is not None
        assert (done.ends["delivered"], done.ends["diedAgain"], done.ends["stayed"]) == (1, 1, 0)
        assert [letter.facts.status for letter in await here.dead_letters()] == [422]
        assert len(other.requests) == 2


async def test_what_failed_at_the_dead_letter_sink_goes_to_the_subscriber_as_it_was_accepted(nats: NatsServer) -> None:
    async with working(nats.url, SETTINGS) as here, sink(answer(400)) as there, sink(answer(400)) as dead:
        await here.trigger("t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        await here.send()
        await here.dead_letters(1)
        assert "ce-knativeerrorcode" in {name.lower() for name in dead.requests[0].headers}
        await replay(here)
        first, again = there.requests
        assert set(again.headers) == set(first.headers)
        assert again.body == first.body


async def test_what_has_no_trigger_to_go_to_is_counted_and_left(nats: NatsServer) -> None:
    async with working(nats.url, SETTINGS) as here, sink() as there:
        await here.trigger("t", there.url)
        await keep(here, 2, "deleted")
        headers = stored.to_headers(an_event()) | kept.to_headers(Facts(1))
        await here.bus.acked.store(names.dead_subject(here.broker.uid, None), b"{}", headers)
        done = await replay(here)
        assert done.not_replayable == {WhyNot.TRIGGER_DELETED: 2, WhyNot.NO_TRIGGER: 1}
        assert len(await here.dead_letters()) == 3
        assert not there.requests


async def test_a_second_replay_queues_nothing_that_waits_even_after_the_duplicate_window(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await keep(here, 20)
        assert (await replay(here, Wanted("default", limit=12), QUEUEING)).queued == {"t": 12}
        config = (await here.bus.api(f"STREAM.INFO.{names.queue_stream(here.broker.uid)}"))["config"]
        config["duplicate_window"] = 100_000_000
        await here.bus.api(f"STREAM.UPDATE.{config['name']}", config)
        await asyncio.sleep(0.2)  # longer than the window
        done = await replay(here, how=QUEUEING)
        assert (done.waiting_already, done.queued) == (12, {"t": 8})
        assert await here.queue_size() == 20
        await here.filter()
        await here.dispatcher(max_wait_s=1e12)
        await here.until_queues_hold(0)
        assert sorted(there.ids) == sorted(f"d-{number}" for number in range(20))
        assert not await here.dead_letters()


async def test_no_more_than_the_bound_waits_at_once_and_a_stop_loses_nothing(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletterreplay, "MAX_WAITING", 5)
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await keep(here, 12)
        stop = Stop()
        running = asyncio.create_task(replay(here, how=WAITING, stop=stop))
        await here.until_queues_hold(5)
        stop.set()
        done = await running
        assert (done.is_stopped, done.queued) == (True, {"t": 5})
        assert len(await here.dead_letters()) == 12
        await here.filter()
        await here.dispatcher(max_wait_s=1e12)
        done = await replay(here)
        assert done.ends is not None
        assert not await here.dead_letters()
        assert sorted(there.ids) == sorted(f"d-{number}" for number in range(12))


async def test_a_dry_run_and_a_limit_and_names_do_what_they_say(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await keep(here, 4)
        assert (await replay(here, how=How(is_dry=True))).queued == {"t": 4}
        assert await here.queue_size() == 0
        letters = await here.dead_letters()
        chosen = (name_of(letters[2]), f"{here.broker.uid}-999")
        done = await replay(here, Wanted("default", names=chosen), QUEUEING)
        assert (done.queued, done.gone) == ({"t": 1}, 1)
        assert (await deadletters.waiting(here.bus, here.broker.uid, names.TriggerUid("t"))).letters == {3}


@pytest.mark.long
async def test_the_dispatcher_that_works_the_replays_is_replaced_and_nothing_is_lost(nats: NatsServer) -> None:
    async with working(nats.url, SETTINGS) as here, sink(*[answer(delay_s=0.02)] * 40) as there:
        await here.trigger("t", there.url)
        await keep(here, 60)
        running = asyncio.create_task(replay(here))
        await eventually(lambda: len(there.requests) > 5, "some are delivered")
        here.dispatchers[0].task.cancel()
        await asyncio.gather(here.dispatchers[0].task, return_exceptions=True)
        await here.dispatcher(max_wait_s=1e12)
        done = await asyncio.wait_for(running, 60)
        assert done.ends == {"delivered": 60}
        assert set(there.ids) == {f"d-{number}" for number in range(60)}
        assert not await here.dead_letters()
