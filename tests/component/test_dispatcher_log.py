"""The dispatcher and the event log: what is passed over, handed back, trimmed; and life without a filter."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from scaup.core.bus import topology
from scaup.core.bus.connection import Msg
from scaup.core.codec import stored
from scaup.core.model import names
from scaup.core.model.errors import LogFullError
from tests.support.dataplane import World, metric, working, world
from tests.support.events import an_event
from tests.support.natsserver import NatsServer
from tests.support.sinks import sink
from tests.support.waiting import eventually


async def _state(here: World) -> dict[str, int]:
    state: dict[str, int] = (await here.bus.api(f"STREAM.INFO.{names.log_stream(here.broker.uid)}"))["state"]
    return state


async def test_entries_that_are_no_events_are_passed_over(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        subject = names.event_subject(here.broker.uid)
        await here.bus.acked.store(subject, b"no headers at all")
        await here.bus.acked.store(subject, b"", {"ce-id": "%FF", "ce-type": "x"})
        await here.bus.acked.store(subject, b"", {"ce-id": "1", "ce-type": "x", "ce-specversion": "1.0"})
        sent = await here.send()
        await here.until_settled()
        assert there.ids == [sent]


async def test_entries_wait_while_there_is_no_filter_and_are_delivered_when_one_comes(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.dispatcher()
        ids = await here.send_many(50)
        await eventually(lambda: metric("scaup_dispatcher_in_flight") >= 50, "they are pulled")
        assert not there.requests
        await here.filter()
        await eventually(lambda: sorted(there.ids) == sorted(ids), "all are delivered")
        await here.until_settled()


async def test_entries_are_handed_back_when_no_filter_answers_for_long(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = metric("scaup_handed_back_events_total", reason="no_match_answer")
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.dispatcher()
        monkeypatch.setattr("scaup.dispatcher.worker._LEASE_S", 0.3)
        sent = await here.send()
        await eventually(
            lambda: metric("scaup_handed_back_events_total", reason="no_match_answer") > before, "it is handed back"
        )
        monkeypatch.undo()
        await here.filter()
        await eventually(lambda: there.ids == [sent], "it is delivered")


async def test_filter_that_answers_nonsense_is_asked_again(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        answers = [b"{", b"[]", b'{"triggers": 1}', b'{"revision":1,"triggers":[],"events":[],"retry":""}']

        async def nonsense(msg: Msg) -> None:
            if answers:
                await here.bus.publish(msg.reply, answers.pop())

        end = await here.bus.subscribe(names.MATCH_SUBJECTS, nonsense)
        await here.dispatcher()
        sent = await here.send()
        await eventually(lambda: not answers, "all nonsense was heard")
        await end()
        await here.filter()
        await eventually(lambda: there.ids == [sent], "it is delivered")


async def test_answer_of_a_later_revision_is_waited_for_and_never_taken_for_a_deletion(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.dispatcher()
        questions: list[str] = []

        async def ahead(msg: Msg) -> None:
            questions.append(msg.subject)
            revision = 10_000_000 if not there.requests else 1
            value = {"revision": revision, "triggers": [["t", 1]], "events": [[0]], "retry": ""}
            await here.bus.publish(msg.reply, orjson.dumps(value))

        await here.bus.subscribe(names.MATCH_SUBJECTS, ahead)
        sent = await here.send()
        await eventually(lambda: len(questions) >= 2, "it waited to catch up, in vain, and asks again")
        assert await here.unsettled() == 1
        await here.trigger("t", there.url)
        await eventually(lambda: there.ids == [sent], "it is delivered")
        await here.until_settled()


async def test_log_made_anew_under_the_same_name_loses_nothing_to_what_is_remembered_of_the_old(
    nats: NatsServer,
) -> None:
    """A server that lost its disk: sequences begin at 1 again, and these are other events."""
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        first = await here.send_many(5)
        await here.until_settled()
        await topology.remove_broker(here.bus, here.broker.uid)
        await topology.ensure_broker(here.bus, here.broker)
        second = await here.send_many(5)
        await eventually(lambda: sorted(there.ids) == sorted(first + second), "all are delivered")
        await here.until_settled()


async def test_redelivered_entry_that_was_settled_is_acknowledged_and_not_delivered_again(nats: NatsServer) -> None:
    """A consumer made anew begins at the first entry again, as if all acknowledgements had got lost."""
    async with working(nats.url) as here, sink() as there:
        stream = names.log_stream(here.broker.uid)
        await here.trigger("t", there.url)
        await here.send()
        await here.until_settled()
        await here.bus.api(f"CONSUMER.DELETE.{stream}.{names.DISPATCH_CONSUMER}")
        await topology.ensure_broker(here.bus, here.broker)
        sent = await here.send()
        await eventually(lambda: sent in there.ids, "the next one comes")
        await here.until_settled()
        assert there.ids == ["e-1", "e-2"]


async def test_log_is_trimmed_by_size_and_what_is_not_settled_stays(nats: NatsServer) -> None:
    async with working(nats.url, log_max_bytes=1_000_000) as here, sink() as there:
        await here.trigger("t", there.url)
        for _ in range(4):
            await here.send_many(20, data=b"x" * 10_000)
            await here.until_settled()

        async def is_trimmed() -> bool:
            return (await _state(here))["bytes"] <= 800_000

        await here.send_many(10, data=b"x" * 10_000)
        await eventually(is_trimmed, "the log is trimmed")
        assert (await _state(here))["bytes"] > 600_000


async def test_full_log_refuses_then_takes_again_when_its_entries_are_settled(nats: NatsServer) -> None:
    async with world(nats.url, log_max_bytes=500_000) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.filter()
        refused = False
        stored_ids = []
        for _ in range(60):
            try:
                stored_ids.append(await here.send(data=b"x" * 10_000))
            except LogFullError:
                refused = True
                break
        assert refused
        first = (await _state(here))["first_seq"]
        assert first == 1
        await here.dispatcher()
        await here.until_settled()

        async def takes_again() -> bool:
            try:
                await here.send(data=b"x" * 10_000, id="more")
            except LogFullError:
                return False
            return True

        await eventually(takes_again, "there is room again")
        await eventually(lambda: "more" in there.ids, "it is delivered")
        assert set(stored_ids) <= set(there.ids)


async def test_unsettled_entries_are_never_trimmed_by_age(nats: NatsServer) -> None:
    async with world(nats.url, history_max_age_s=0.2) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.dispatcher()  # without a filter nothing can be settled
        ids = await here.send_many(10)
        await asyncio.sleep(0.5)  # they are old now
        await here.bus.publish(names.trim_hint(here.broker.uid))
        await eventually(
            lambda: metric("scaup_log_lag_events", namespace="default", broker="one") >= 10, "a round is made"
        )
        assert (await _state(here))["messages"] == 10
        await here.filter()
        await eventually(lambda: sorted(there.ids) == sorted(ids), "all are delivered")

        async def is_empty() -> bool:
            return (await _state(here))["messages"] == 0

        await eventually(is_empty, "what is settled and old is gone")


async def test_history_younger_than_its_age_stays(nats: NatsServer) -> None:
    async with working(nats.url, history_max_age_s=3600) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.send_many(10)
        await here.until_settled()
        await here.bus.publish(names.trim_hint(here.broker.uid))
        await eventually(
            lambda: metric("scaup_log_lag_events", namespace="default", broker="one") == 0, "a round is made"
        )
        assert (await _state(here))["messages"] == 10


async def test_only_what_is_older_than_the_age_is_trimmed(nats: NatsServer) -> None:
    async with working(nats.url, history_max_age_s=2.5) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.send_many(10)
        await here.until_settled()
        await asyncio.sleep(2.6)  # they are old now
        await here.send_many(5)
        await here.bus.publish(names.trim_hint(here.broker.uid))

        async def has_five() -> bool:
            return (await _state(here))["messages"] == 5

        await eventually(has_five, "the old ones are gone, the young ones stay")


async def test_events_are_delivered_whatever_their_order_and_however_many(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        ids = await here.send_many(3000)
        await here.until_settled()
        assert sorted(there.ids) == sorted(ids)


async def test_plain_client_can_write_an_entry_that_is_delivered(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        subject = names.event_subject(here.broker.uid)
        await here.bus.client.publish(subject, b"hi", headers=stored.to_headers(an_event(id="plain")))
        await eventually(lambda: there.ids == ["plain"], "it is delivered")
        assert there.requests[0].body == b"hi"
