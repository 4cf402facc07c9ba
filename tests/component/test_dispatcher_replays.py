"""The dispatcher: events that a person has sent to a Trigger again."""

from __future__ import annotations

import pytest

from scaup.core.bus.deadletters import DeadLetter
from scaup.core.bus.replays import send_again
from scaup.core.codec import stored
from scaup.core.codec.kept import Facts, Replay
from scaup.core.model.definitions import Destination
from scaup.core.model.names import Lane, TriggerUid
from tests.support.dataplane import World, delivery, working
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, answer, sink
from tests.support.waiting import eventually

LONG_AGO = "2001-01-01T00:00:00.000Z"


async def _replay(there: World, letter: DeadLetter, replay_id: str = "r1", at: str = LONG_AGO) -> None:
    facts = Facts(letter.facts.sequence, letter.facts.accepted, replay=Replay(replay_id, at, letter.sequence))
    lane = Lane(there.broker.uid, TriggerUid("t"))
    await send_again(there.bus, lane, stored.to_headers(letter.event), letter.event.data or b"", facts)


async def test_replayed_dead_letter_goes_when_the_trigger_that_failed_has_it_and_nobody_else_gets_it(
    nats: NatsServer,
) -> None:
    async with working(nats.url, {"max_wait_s": 1e12}) as here, sink(answer(400), OK) as there, sink() as other:
        await here.trigger("t", there.url)
        await here.trigger("other", other.url)
        sent = await here.send(b"data")
        [letter] = await here.dead_letters(1)
        await _replay(here, letter)
        await eventually(lambda: there.ids == [sent, sent], "it is delivered")
        await here.until_queues_hold(0)
        assert not await here.dead_letters()
        assert other.ids == [sent]


async def test_replay_that_fails_again_leaves_one_dead_letter_and_it_is_the_new_one(nats: NatsServer) -> None:
    settings = {"max_wait_s": 1e12}
    async with working(nats.url, settings) as here, sink(answer(400), answer(500), answer(422)) as there:
        await here.trigger("t", there.url)
        await here.send()
        [letter] = await here.dead_letters(1)
        await _replay(here, letter)
        await here.until_queues_hold(0)
        [again] = await here.dead_letters(1)
        assert again.sequence > letter.sequence
        assert (again.facts.status, again.facts.attempts) == (422, 2)
        assert again.facts.accepted == letter.facts.accepted


async def test_replayed_dead_letter_goes_when_the_dead_letter_sink_has_it(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400)) as there, sink() as dead:
        await here.trigger("t", there.url)
        sent = await here.send()
        [letter] = await here.dead_letters(1)
        await here.trigger("t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        await _replay(here, letter, at="2999-01-01T00:00:00.000Z")
        await eventually(lambda: dead.ids == [sent], "it is at the dead letter sink")
        await here.until_queues_hold(0)
        assert not await here.dead_letters()


@pytest.mark.parametrize(("at", "is_tried"), [(LONG_AGO, False), ("2999-01-01T00:00:00.000Z", True)])
async def test_a_replay_waits_as_long_as_if_the_event_were_new(nats: NatsServer, at: str, is_tried: bool) -> None:
    async with working(nats.url, {"max_wait_s": 3600}) as here, sink(answer(400)) as there:
        await here.trigger("t", there.url)
        await here.send()
        [letter] = await here.dead_letters(1)
        await _replay(here, letter, at=at)
        await here.until_queues_hold(0)
        await eventually(lambda: here.dead_letters(1), "it is kept again")
        assert len(there.requests) == 1 + int(is_tried)


async def test_the_same_replay_of_an_event_is_queued_once_and_another_one_once_more(nats: NatsServer) -> None:
    async with working(nats.url, {"max_wait_s": 1e12}) as here, sink(answer(400), OK) as there:
        await here.trigger("t", there.url)
        await here.send()
        [letter] = await here.dead_letters(1)
        for replay_id in ("r1", "r1", "r2"):
            await _replay(here, letter, replay_id)
        await here.until_queues_hold(0)
        assert len(there.requests) == 3
