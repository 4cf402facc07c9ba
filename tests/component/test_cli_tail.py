"""``scaup tail``: events as they are accepted, what fires, how deliveries end; and that watching holds up nobody."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scaup.cli.problems import FailedError, UsageError
from scaup.cli.tail import telling
from scaup.cli.tail.wanted import read_filters
from scaup.cli.trace.fates import State
from scaup.core.bus import topology
from scaup.core.model import names
from scaup.core.model.definitions import Destination
from tests.support.dataplane import delivery, metric, working, world
from tests.support.natsserver import NatsServer
from tests.support.sinks import HANG, OK, answer, reply, sink
from tests.support.tailing import tailing
from tests.support.waiting import eventually

TYPED = {"exact": {"type": "com.example.test"}}


async def test_events_are_shown_as_they_are_accepted_and_nothing_from_before(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.send()
        async with tailing(here) as tail:
            await here.send(b'{\r\n  "n": 1}', datacontenttype="application/json", subject="a")
            await here.send(b"\xff" * 8)
            await tail.until_shown("e-2", "e-3")
            assert [line.position for line in tail.seen] == [2, 3]
            assert [line.fired for line in tail.seen] == [None, None]
            in_json = telling.as_json(tail.seen[0])
            assert len(in_json.splitlines()) == 1
            value = json.loads(in_json)
            assert (value["kind"], value["position"], value["fired"]) == ("Event", 2, None)
            assert value["event"]["data"] == {"n": 1}
            assert "knativebrokerttl" not in value["event"]
            first, second = tail.text.splitlines()
            assert first.endswith('Z  com.example.test  /tests  #e-2  { "n": 1}')
            assert second.endswith("#e-3  (8 bytes)")


async def test_what_fired_is_named_also_of_triggers_that_are_made_while_it_watches_and_of_replies(
    nats: NatsServer,
) -> None:
    async with working(nats.url) as here, sink(reply("the-reply", kind="an.answer")) as there, sink() as other:
        await here.trigger("t", there.url, filters=(TYPED,))
        await here.trigger("data", other.url, filters=({"cel": "data.n > 3"},))
        async with tailing(here, shows_fired=True) as tail:
            await here.send(b'{"n": 4}', datacontenttype="application/json")
            await tail.until_shown("e-1", "the-reply")
            assert [line.fired for line in tail.seen] == [("data", "t"), ()]
            assert tail.seen[1].reply_of == "t"
            await here.trigger("new", other.url, filters=({"exact": {"type": "later"}},))
            await here.send(type="later")
            await tail.until_shown("e-1", "the-reply", "e-2")
            assert tail.seen[2].fired == ("new",)
            first, second, third = tail.text.splitlines()
            assert first.endswith("→ data, t")
            assert second.endswith("(a reply of t)  → nobody")
            assert third.endswith("→ new")


async def test_with_no_filter_running_what_fires_is_not_known_and_the_event_is_shown(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.trigger("t", "http://127.0.0.1:9/")
        async with tailing(here, shows_fired=True) as tail:
            await here.send()
            await tail.until_shown("e-1")
            assert "no filter says so: nobody answers" in tail.seen[0].unknown
            assert json.loads(telling.as_json(tail.seen[0]))["fired"] is None
            assert "→ not known (no filter says so" in tail.text


async def test_a_filter_shows_only_what_matches_it(nats: NatsServer, tmp_path: Path) -> None:
    file = tmp_path / "trigger.yaml"
    file.write_text(
        "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n"
        "spec: {broker: one, filter: {attributes: {type: wanted}}}\n"
    )
    async with world(nats.url) as here:
        for text in ('{"exact": {"type": "wanted"}}', '[{"prefix": {"type": "want"}}]', str(file), "type = 'wanted'"):
            async with tailing(here, wanted=read_filters([text]), count=1) as tail:
                await here.send(type="other")
                sent = await here.send(type="wanted")
                assert await tail.ended() == 0
                assert tail.ids == [sent]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "an empty filter says nothing"),
        ('{"exakt": {"type": "a"}}', "did you mean exact?"),
        ("{", "neither JSON nor YAML"),
        ("type ==== 1", "at column"),
        ("missing.yaml", "missing.yaml"),
    ],
)
def test_a_filter_that_is_none_is_refused_with_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=r"--filter|missing") as error:
        read_filters([text])
    assert says in str(error.value)


async def test_with_a_trigger_only_what_it_wants_is_shown_and_how_each_delivery_ended(nats: NatsServer) -> None:
    policy = delivery(retry=1)
    async with working(nats.url) as here, sink(OK, answer(503), OK, answer(400), OK) as there:
        await here.trigger("t", there.url, filters=(TYPED,), delivery=policy)
        await here.trigger("u", there.url, filters=({"exact": {"type": "other"}},), paused=True)
        async with tailing(here, trigger="t", count=3) as tail:
            await here.send()
            await eventually(lambda: tail.ends, "the first has ended")
            await here.send(type="other")
            await here.send()
            await eventually(lambda: len(tail.ends) == 2, "the retried one has ended")
            await here.send()
            assert await tail.ended() == 0
            assert tail.ids == ["e-1", "e-3", "e-4"]
            states = [(one.trigger, one.ending.state, one.ending.attempts) for one in tail.ends.values()]
            assert states == [("t", State.DELIVERED, 1), ("t", State.DELIVERED, 2), ("t", State.DEAD_LETTER, 1)]
            assert "at the first attempt" in tail.ends["e-1"].ending.why
            assert "at attempt 2" in tail.ends["e-3"].ending.why
            assert "given up after 1 attempt: the sink answered 400" in tail.ends["e-4"].ending.why
            assert "└ #e-4  t dead letter: given up" in tail.text
            value = json.loads(telling.as_json(tail.ends["e-3"]))
            assert (value["kind"], value["trigger"], value["state"], value["attemptsMade"]) == (
                "End",
                "t",
                "Delivered",
                2,
            )


async def test_what_goes_to_a_dead_letter_sink_is_followed_there_and_what_takes_too_long_is_given_up(
    nats: NatsServer,
) -> None:
    async with working(nats.url) as here, sink(answer(400)) as there, sink() as dead, sink(HANG) as silent:
        policy = delivery(dead_letter_sink=Destination(uri=dead.url))
        await here.trigger("t", there.url, delivery=policy)
        await here.trigger("slow", silent.url)
        async with tailing(here, trigger="default/t", count=1) as tail:
            await here.send()
            assert await tail.ended() == 0
            assert tail.ends["e-1"].ending.state is State.DEAD_LETTER_SINK
            assert "its dead letter sink has it (202 after" in tail.ends["e-1"].ending.why
        async with tailing(here, trigger="slow", count=1, patience_s=0.3) as tail:
            await here.send()
            assert await tail.ended() == 0
            ending = tail.ends["e-2"].ending
            assert ending.state is State.UNDER_WAY
            assert ending.why.startswith("no end within 300 ms")
            assert "`scaup trace e-2`" in ending.why


async def test_where_more_come_than_can_be_shown_it_says_how_many_it_left_out(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        async with tailing(here, rate=10, for_s=0.6) as tail:
            await here.send_many(60)
            assert await tail.ended() == 0
            assert len(tail.ids) + sum(one.number for one in tail.left_out) == 60
            assert "left out: at most 10 a second are shown (--rate)" in tail.text
        async with tailing(here, most=5, rate=1000, count=5) as tail:
            tail_of = here.broker.uid
            await here.send_many(40)
            assert await tail.ended() == 0
            assert len(tail.ids) == 5
            last = (await here.bus.api(f"STREAM.INFO.{names.log_stream(tail_of)}"))["state"]["last_seq"]
            assert last == 100
            assert tail.notes[-1].startswith("5 events shown")


async def test_of_very_many_deliveries_some_are_followed_and_the_others_counted(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, paused=True)
        async with tailing(here, trigger="t", rate=1000, count=300, patience_s=0.1) as tail:
            await here.send_many(300)
            await eventually(lambda: tail.left_out or len(tail.ids) == 300, "it is too much at once")
            tail.stop.set()
            assert await tail.ended() == 0
            not_followed = sum(one.number for one in tail.left_out if one.what == "deliveries")
            assert len(tail.ends) + not_followed == len(tail.ids)


async def test_watching_makes_no_consumer_asks_nobody_and_holds_back_no_trimming(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.send()
        await here.until_settled()
        stream = names.log_stream(here.broker.uid)
        asked = metric("scaup_filter_events_total", namespace="default", broker="one")
        async with tailing(here) as tail:
            await here.send_many(20)
            await eventually(lambda: len(tail.ids) == 20, "all are shown")
            consumers = (await here.bus.api(f"CONSUMER.LIST.{stream}"))["consumers"]
            assert [one["name"] for one in consumers] == [names.DISPATCH_CONSUMER]
            await here.until_settled()
            of_dispatcher = metric("scaup_filter_events_total", namespace="default", broker="one") - asked
            assert of_dispatcher == 20
            await here.bus.api(f"STREAM.PURGE.{stream}", {"seq": 22})
            await here.send()
            await eventually(lambda: tail.ids[-1:] == ["e-22"], "it goes on after the log is trimmed")


async def test_a_broker_that_is_not_there_or_goes_and_an_unknown_trigger_are_said(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.trigger("t", "http://127.0.0.1:9/")
        async with tailing(here, trigger="x") as tail:
            with pytest.raises(FailedError, match="default/one has no Trigger x") as error:
                await tail.ended()
            assert error.value.hint == "it has t"
        async with tailing(here) as tail:
            await topology.remove_broker(here.bus, here.broker.uid)
            with pytest.raises(FailedError, match="default/one was deleted"):
                await tail.ended()
        await here.bucket.delete(names.broker_key(here.broker.uid))
        async with tailing(here) as tail:
            with pytest.raises(FailedError, match="knows no Broker default/one"):
                await tail.ended()


async def test_a_nats_that_is_started_anew_costs_no_event(nats: NatsServer) -> None:
    async with world(nats.url) as here, tailing(here) as tail:
        await here.send()
        await tail.until_shown("e-1")
        nats.kill()
        await eventually(lambda: any("trying again" in note for note in tail.notes), "it is said")
        nats.start()
        await eventually(lambda: here.bus.is_connected, "the test is connected again")
        await here.send()
        await tail.until_shown("e-1", "e-2")
        assert tail.notes[1:] == [tail.notes[1], "NATS answers again"]


async def test_the_last_events_of_the_log_can_be_seen_first_and_how_they_ended(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, filters=(TYPED,))
        await here.send_many(3)
        await here.send(type="other")
        await here.until_settled()
        async with tailing(here, trigger="t", last=3, count=3) as tail:
            await tail.until_shown("e-2", "e-3")
            await here.send()
            assert await tail.ended() == 0
            assert tail.ids == ["e-2", "e-3", "e-5"]
            assert {one.ending.state for one in tail.ends.values()} == {State.DELIVERED}
        async with tailing(here, last=100, count=5) as tail:
            assert await tail.ended() == 0
            assert len(tail.ids) == 5


async def test_scripts_are_told_whether_enough_came_in_time(nats: NatsServer) -> None:
    async with world(nats.url) as here, tailing(here, count=2, for_s=0.4) as tail:
        await here.send()
        assert await tail.ended() == 1
        assert tail.ids == ["e-1"]


async def test_ctrl_c_ends_the_command_as_it_should_end(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        watching = start("one", "--nats-url", nats.url, "-o", "json")
        assert watching.stderr is not None
        assert watching.stdout is not None
        said = await asyncio.to_thread(watching.stderr.readline)
        assert said == "scaup tail: events of default/one from now on (Ctrl-C ends it)\n"
        await here.send()
        line = await asyncio.to_thread(watching.stdout.readline)
        assert json.loads(line)["event"]["id"] == "e-1"
        watching.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(watching.communicate, None, 10)
        assert (watching.returncode, out, err) == (0, "", "scaup tail: 1 event shown\n")


async def test_a_reader_that_has_seen_enough_ends_it_as_well(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.send()
        watching = start("one", "--nats-url", nats.url, "--last", "1")
        assert watching.stdout is not None
        assert "#e-1" in await asyncio.to_thread(watching.stdout.readline)
        watching.stdout.close()
        await here.send()
        assert await asyncio.to_thread(watching.wait, 10) == 0
        assert watching.stderr is not None
        with watching.stderr as said:
            assert "Broken" not in said.read()


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scaup.cli", "tail", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("SCAUP_")},
    )
