"""``scaup trace``: each end that an event can come to, and what is still said of it after restarts."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from scaup.cli.problems import FailedError, NotReachableError, exit_code
from scaup.cli.trace import story
from scaup.cli.trace.command import where
from scaup.core.bus import topology
from scaup.core.bus.deadletters import remove
from scaup.core.bus.replays import send_again
from scaup.core.codec.kept import Facts, Replay
from scaup.core.model import names
from scaup.core.model.definitions import Destination
from scaup.core.model.errors import BusError
from scaup.core.model.names import Lane
from scaup.dispatcher.settle import now_text
from tests.support.dataplane import delivery, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, answer, reply, sink
from tests.support.tracing import trace, traced_as
from tests.support.waiting import eventually


async def test_what_is_delivered_shows_each_attempt_with_status_duration_and_why_another_was_made(
    nats: NatsServer,
) -> None:
    first = answer(503, delay_s=0.05)
    async with working(nats.url) as here, sink(first, answer(500, b"no"), OK) as there, sink() as well:
        await here.trigger("retried", there.url)
        await here.trigger("t", well.url)
        event = await here.send()
        found = await traced_as(here, event, "Delivered", "retried")
        await here.until_settled()
        found = await trace(here, event)
        fate = found.of("t")
        assert (fate["state"], fate["attemptsMade"], fate["nextAttemptAt"], fate["deadLetter"]) == (
            "Delivered",
            1,
            None,
            None,
        )
        assert [(a["number"], a["status"], a["delivered"]) for a in fate["attempts"]] == [(1, 202, True)]
        log = found.value["log"]
        assert (log["position"], log["stage"]) == (1, "Settled")
        assert datetime.fromisoformat(log["acceptedAt"]) <= datetime.fromisoformat(fate["at"])
        assert "at the first attempt" in found.text
        assert "kept as history until" in found.text
        attempts = found.of("retried")["attempts"]
        assert [(a["number"], a["status"], a["delivered"]) for a in attempts] == [
            (1, 503, False),
            (2, 500, False),
            (3, 202, True),
        ]
        assert attempts[0]["why"] == "the sink answered 503"
        assert 0.05 <= attempts[0]["seconds"] < 5
        due, came = (datetime.fromisoformat(at) for at in (attempts[0]["nextAt"], attempts[1]["at"]))
        assert abs((due - came).total_seconds()) < 10


async def test_what_is_filtered_out_says_by_which_part_of_the_filter(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.trigger(
            "typed", there.url, filters=({"all": [{"prefix": {"type": "com."}}, {"exact": {"id": "x"}}]},)
        )
        await here.trigger("data", there.url, filters=({"cel": "data.n > 3"},))
        event = await here.send(b'{"n": 2}', datacontenttype="application/json")
        found = await traced_as(here, event, "Delivered")
        assert found.states == {"t": "Delivered", "typed": "NotWanted", "data": "NotWanted"}
        assert found.of("typed")["why"] == f"exact id: 'x' (the event has '{event}')"
        assert found.of("data")["why"] == "cel data.n > 3"
        assert any("the filters of now" in text for text in found.value["notKnown"])


async def test_what_waits_says_for_what_and_until_when(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(503)) as there, sink() as other:
        await here.trigger("retried", there.url, delivery=delivery(backoff_delay_s=60))
        await here.trigger("paused", other.url, paused=True)
        await here.address("address/v1/Service/default/web", None)
        await here.trigger("homeless", Destination(address="address/v1/Service/default/web"))
        event = await here.send()
        found = await traced_as(here, event, "Waiting", "homeless")
        found = await traced_as(here, event, "Waiting", "paused")
        assert found.states == {"retried": "Waiting", "paused": "Waiting", "homeless": "Waiting"}
        fate = found.of("retried")
        wait = datetime.fromisoformat(fate["nextAttemptAt"]) - datetime.fromisoformat(fate["attempts"][0]["at"])
        assert 50 < wait.total_seconds() < 80
        assert fate["why"] == "the sink answered 503; another attempt is due"
        assert "its Trigger is paused (`scaup trigger resume paused` ends that)" in found.of("paused")["why"]
        assert "its sink has no address now: v1/Service/default/web: it is not ready" in found.of("homeless")["why"]
        await here.trigger("breaks", there.url, delivery=delivery(retry=100))
        event = (await here.send_many(20))[0]
        found = await traced_as(here, event, "Waiting", "breaks")

        async def says_so() -> bool:
            return "the breaker is open" in (await trace(here, event)).of("breaks")["why"]

        await eventually(says_so, "the trace speaks of the breaker")


async def test_what_is_given_up_is_followed_to_where_it_is_kept_or_to_its_dead_letter_sink(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400)) as there, sink(answer(503), OK) as dead:
        await here.trigger("t", there.url)
        policy = delivery(retry=1, dead_letter_sink=Destination(uri=dead.url))
        await here.trigger("with-sink", "http://127.0.0.1:9/", delivery=policy)
        event = await here.send()
        await eventually(lambda: len(dead.requests) == 2, "the dead letter arrives")
        found = await traced_as(here, event, "DeadLetterSink", "with-sink")
        attempts = found.of("with-sink")["attempts"]
        assert [(a["sink"], a["number"], a["status"]) for a in attempts] == [
            ("subscriber", 1, None),
            ("subscriber", 2, None),
            ("deadLetterSink", 1, 503),
            ("deadLetterSink", 2, 202),
        ]
        fate = found.of("t")
        assert (fate["state"], fate["why"]) == ("DeadLetter", "the sink answered 400, which is final")
        assert fate["deadLetter"] == "broker-1-1"
        assert "`scaup deadletters show broker-1-1`" in found.text
        await remove(here.bus, here.broker.uid, [1])
        assert "is gone now: replayed with success, or purged" in (await trace(here, event)).of("t")["why"]


async def test_a_reply_is_found_from_the_event_and_the_event_from_the_reply(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(reply("the-reply", kind="an.answer")) as there, sink() as other:
        await here.trigger("t", there.url, filters=({"exact": {"type": "com.example.test"}},))
        await here.trigger("other", other.url, filters=({"exact": {"type": "an.answer"}},))
        found = await traced_as(here, await here.send(), "Delivered")
        assert "with a reply" in found.of("t")["why"]
        assert found.value["replies"] == [{"trigger": "t", "position": 2, "id": "the-reply", "type": "an.answer"}]
        back = await traced_as(here, "the-reply", "Delivered", "other")
        assert back.value["replyTo"] == {"position": 1, "trigger": "t"}
        assert "it is what the sink of Trigger t replied to the event at position 1" in back.text


async def test_a_replay_has_a_fate_of_its_own(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(400), OK) as there:
        await here.trigger("t", there.url)
        await here.send()
        (letter,) = await here.dead_letters(1)
        lane = Lane(here.broker.uid, names.TriggerUid("t"))
        at = now_text()
        for facts in (
            Facts(1, letter.facts.accepted, replay=Replay("abcd", at)),
            Facts(1, letter.facts.accepted, replay=Replay("d1", at, letter.sequence)),
        ):
            await send_again(here.bus, lane, letter.headers, letter.event.data or b"", facts)
        await here.until_queues_hold(0)

        async def is_told() -> bool:
            found = await trace(here, "e-1")
            return {one["replay"] for one in found.value["triggers"]} == {None, "abcd", "dead-letter"}

        await eventually(is_told, "all three are told")
        found = await trace(here, "e-1")
        assert [found.of("t", name)["state"] for name in ("abcd", "dead-letter")] == ["Delivered", "Delivered"]
        assert "replayed with success" in found.of("t")["why"]
        assert "t (dead letter replayed)" in found.text
        assert "t (replay abcd)" in found.text


async def test_what_is_dropped_says_by_which_policy(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(503)) as there:
        await here.trigger("t", there.url, delivery=delivery(backoff_delay_s=60))
        # It just fits; with the facts of a delivery beside it it does not.
        large = await here.send(b"x" * (here.bus.max_payload - 330))
        found = await traced_as(here, large, "Dropped")
        assert found.of("t")["why"] == "with the facts of its delivery it is larger than the bus takes"
        small = await here.send()
        await here.until_queues_hold(1)
        await here.delete_trigger("t")
        await here.until_queues_hold(0)
        found = await traced_as(here, small, "Dropped", "t (deleted)")
        assert "its Trigger was deleted while it waited" in found.of("t (deleted)")["why"]


async def test_what_is_under_way_says_in_whose_hands_it_is(nats: NatsServer) -> None:
    async with world(nats.url) as here, sink(HANG) as there:
        await here.trigger("t", there.url)
        event = await here.send()
        found = await trace(here, event)
        assert (found.value["log"]["stage"], found.states) == ("Waits", {"t": "InLog"})
        await here.filter()
        await here.dispatcher(replica="one", slow_s=60.0)
        await eventually(lambda: there.requests, "the attempt is under way")
        found = await trace(here, event)
        assert (found.value["log"]["stage"], found.value["log"]["heldBy"]) == ("Held", ["one"])
        assert found.states == {"t": "UnderWay"}
        assert "in the hands of one" in found.text


async def test_an_attempt_that_takes_long_is_under_way_while_the_event_waits_in_its_queue(nats: NatsServer) -> None:
    async with working(nats.url, {"slow_s": 0.1}) as here, sink(HANG) as there:
        await here.trigger("t", there.url)
        event = await here.send()
        await here.until_queues_hold(1)
        fate = (await traced_as(here, event, "UnderWay")).of("t")
        assert (fate["attemptsMade"], fate["attempts"][0]["why"]) == (1, "no answer yet")
        assert "its sink takes long to answer" in fate["why"]


async def test_events_in_bundles_are_found(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, paused=True)
        sent = await here.send_many(40)
        await here.until_queues_hold(40)
        assert len(await here.queue_entries()) < 40
        await here.bus.api(f"STREAM.PURGE.{names.log_stream(here.broker.uid)}", {"seq": 41})
        found = await trace(here, sent[17])
        assert (found.value["log"]["stage"], found.states) == ("Trimmed", {"t": "Waiting"})


async def test_what_expired_from_history_is_said_to_be_looked_for_in_vain(nats: NatsServer) -> None:
    async with working(nats.url, history_max_age_s=7200.0) as here, sink() as there, sink(answer(400)) as bad:
        await here.trigger("t", there.url, filters=({"exact": {"type": "com.example.test"}},))
        await here.trigger("bad", bad.url, filters=({"exact": {"type": "bad"}},))
        gone, dead = await here.send(), await here.send(type="bad")
        await here.send()
        await here.until_settled()
        await here.dead_letters(1)
        await here.bus.api(f"STREAM.PURGE.{names.log_stream(here.broker.uid)}", {"seq": 3})
        with pytest.raises(FailedError) as error:
            await trace(here, gone)
        assert str(error.value) == "nothing is known of an event with id 'e-1'"
        (detail,) = error.value.details
        assert "it is not in the log, which begins at 2" in detail
        assert "settled events are kept for 2h" in detail
        found = await trace(here, dead)  # its dead letter is kept, with the facts of its delivery
        assert (found.value["log"]["stage"], found.value["log"]["position"]) == ("Trimmed", 2)
        assert found.of("bad")["attempts"][0]["status"] == 400
        await here.bucket.delete(names.broker_key(here.broker.uid))
        await topology.remove_broker(here.bus, here.broker.uid)
        found = await trace(here, dead)  # and outlives its Broker
        assert (found.value["broker"], found.of("bad")["state"]) == ("one (deleted)", "DeadLetter")


async def test_after_a_restart_what_is_stored_is_still_said_and_the_rest_is_said_to_be_forgotten(
    nats: NatsServer,
) -> None:
    again = answer(503, headers={"retry-after": "60"})
    async with world(nats.url) as here, sink() as well, sink(answer(503), again) as ill:
        await here.filter()
        first = await here.dispatcher(replica="first")
        await here.trigger("well", well.url)
        await here.trigger("ill", ill.url)
        event = await here.send()
        await eventually(lambda: len(ill.requests) == 2, "it was tried twice")
        before = await traced_as(here, event, "Delivered", "well")
        assert [a["seconds"] is None for a in before.of("ill")["attempts"]] == [False, False]
        await first.stop()
        silent = await trace(here, event)
        assert silent.of("well")["state"] == "NotKnown"
        assert "no dispatcher runs that would know" in silent.of("well")["why"]
        await here.dispatcher(replica="second")
        after = await trace(here, event)
        assert after.states == {"well": "NotKnown", "ill": "Waiting"}
        assert "dispatchers remember what ended since" in after.of("well")["why"]
        kept = [(a["number"], a["status"], a["seconds"]) for a in after.of("ill")["attempts"]]
        assert kept[:2] == [(1, None, None), (2, 503, None)]
        assert any(
            text.startswith("what second did before ") and text.endswith("it was started then")
            for text in after.value["notKnown"]
        )
        later = await here.send(id="later")
        await traced_as(here, later, "Delivered", "well")
        nats.kill()
        nats.start()

        async def is_same() -> bool:
            with suppress(BusError, NotReachableError):
                states = (await trace(here, event)).states, (await trace(here, later)).states
                return states == ({"well": "NotKnown", "ill": "Waiting"}, {"well": "Delivered", "ill": "Waiting"})
            return False

        await eventually(is_same, "a restart of NATS takes nothing away")


async def test_dispatchers_that_are_told_to_remember_nothing_or_do_not_answer_are_named(nats: NatsServer) -> None:
    async with working(nats.url, {"trail": False, "replica": "mute"}) as here, sink() as there:
        await here.trigger("t", there.url)
        event = await here.send()
        await here.until_settled()
        found = await trace(here, event)
        assert "SCAUP_TRAIL is off" in found.of("t")["why"]
        assert found.value["dispatchers"][0]["remembersSince"] is None
        assert "what mute did: its setting SCAUP_TRAIL is off" in found.value["notKnown"]
        bucket = f"$KV.{names.REPLICAS_BUCKET}.{names.replica_key('dispatcher', 'away')}"
        await here.bus.acked.store(bucket, b'{"revision": 1, "created": ""}')
        found = await trace(here, event)
        assert "away did not say which" in found.of("t")["why"]
        assert "what away remembers: it did not answer" in found.value["notKnown"]


async def test_the_newest_of_several_is_traced_and_a_source_or_a_broker_says_which(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        for source in ("/one", "/two", "/one"):
            await here.send(id="same", source=source)
        await here.send_many(5)
        await here.until_settled()
        assert (await trace(here, "same")).value["log"]["position"] == 3
        assert (await trace(here, "same", source="/two", broker="one")).value["log"]["position"] == 2
        with pytest.raises(FailedError) as error:
            await trace(here, "same", limit=5)
        assert "--limit looks at more" in error.value.details[0]
        with pytest.raises(FailedError, match="the data plane knows no Broker default/two"):
            await trace(here, "same", broker="two")


async def test_the_command_works_with_nats_alone_prints_nothing_raw_and_exits_with_1_in_vain(
    nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SCAUP_KUBECONFIG", "SCAUP_NATS_URL", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotReachableError, match="there is no API to talk to"):
        where(None, None, None)
    access, named = where(nats.url, None, None)
    assert (access, named.url) == (None, nats.url)
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        event = await here.send(source="/te\x1b[31msts")
        await here.until_settled()
        text = await asyncio.to_thread(story.run, access, named, story.Asked(event, "default"), "table")
        assert text.startswith(f"Event:      {event} of /te\N{REPLACEMENT CHARACTER}[31msts, com.example.test\n")
        assert "Not known:  when Triggers were made, and which are not Ready: the API was not asked" in text
        listed = json.loads(await asyncio.to_thread(story.run, access, named, story.Asked(event, "default"), "json"))
        assert (listed["kind"], [one["kind"] for one in listed["items"]]) == ("List", ["Trace"])
        with pytest.raises(FailedError) as vain:
            await asyncio.to_thread(story.run, access, named, story.Asked("none", "default"), "table")
        assert exit_code(vain.value) == 1
