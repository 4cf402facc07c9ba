"""``scaup replay`` as a process, against the local API, a real NATS and the real data plane."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scaup.cli.up.datadir import DataDirectory
from scaup.core.bus import topology
from scaup.core.codec import kept
from scaup.core.model import names
from scaup.core.model.definitions import Destination
from tests.support import warm
from tests.support.apiserver import TRIGGERS, ApiClient, api_server, trigger
from tests.support.dataplane import World, delivery, working, world
from tests.support.natsserver import NatsServer
from tests.support.scaupup import scaup
from tests.support.services import service, short_queue_waits
from tests.support.sinks import OK, answer, sink
from tests.support.waiting import eventually


@dataclass
class Place:
    """A data plane, the API beside it, and where commands are run."""

    world: World
    api: ApiClient
    directory: Path
    kubeconfig: Path
    uids: dict[str, str] = field(default_factory=dict)

    async def trigger(self, name: str, uri: str, **changes: Any) -> None:
        """Make or change a Trigger, in the API and for the data plane."""
        if name not in self.uids:
            self.uids[name] = (await self.api.made(TRIGGERS, trigger(name, broker="one")))["metadata"]["uid"]
        await self.world.trigger(self.uids[name], uri, name=name, **changes)

    async def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(scaup, "replay", *arguments, cwd=self.directory, kubeconfig=self.kubeconfig)

    async def told(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """What the command says for programs."""
        done = await self.command(*arguments, "-o", "json")
        assert done.returncode == status, done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    def start(self, *arguments: str, stderr: int | None = None) -> warm.Command:
        """Start it and do not wait."""
        env = {**os.environ, "SCAUP_KUBECONFIG": str(self.kubeconfig)}
        return warm.Command("cli", ["replay", *arguments], env=env, cwd=self.directory, stderr=stderr)


@asynccontextmanager
async def place(nats: NatsServer, directory: Path, *, has_dispatcher: bool = True) -> AsyncIterator[Place]:
    plane = working(nats.url) if has_dispatcher else world(nats.url)
    async with plane as made, api_server(nats.url) as api:
        if not has_dispatcher:
            await made.filter()
        data = DataDirectory(directory / "data")
        data.open()
        data.note(api=api.url, nats=nats.url, embedded=False)
        data.close()
        yield Place(made, api, directory, data.kubeconfig)


async def test_history_is_sent_to_one_trigger_through_its_filter_and_to_nobody_else(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with place(nats, tmp_path) as here, sink() as there, sink() as other:
        await here.trigger("other", other.url)
        wanted = await here.world.send_many(300, type="a")
        await here.world.send_many(300, type="b")
        await eventually(lambda: len(other.ids) == 600, "the other Trigger has them")
        await here.trigger("t", there.url, filters=({"exact": {"type": "a"}},))
        dry = await here.command("t", "--all", "--dry-run")
        assert dry.stdout == "300 of 600 events of Broker default/one would be sent to Trigger default/t again\n"
        assert (dry.returncode, dry.stderr, there.ids) == (0, "", [])
        done = await here.command("t", "--all", "--wait")
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(
            r"300 of 600 events of Broker default/one were sent to Trigger default/t again "
            r"\(replay [0-9a-f]{8}\): 300 delivered\n",
            done.stdout,
        )
        assert sorted(there.ids) == sorted(wanted)
        assert len(other.ids) == 600
        assert await here.world.queue_size() == 0


async def test_what_is_sent_again_is_the_event_as_it_came_the_first_time(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.world.send(b'{"a": 1}', {"x-request-id": "r"}, subject="Zoë 1", datacontenttype="application/json")
        await eventually(lambda: len(there.requests) == 1, "it is delivered")
        assert (await here.told("t", "--all", "--wait"))["queued"] == 1
        first, second = there.requests
        assert (first.headers, first.body) == (second.headers, second.body)


async def test_times_id_source_and_limit_choose_the_events(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        await here.trigger("t", there.url)
        early = await here.world.send_many(20)
        await here.world.until_settled()
        info = await here.world.bus.api(f"STREAM.INFO.{names.log_stream(here.world.broker.uid)}")
        between = info["ts"]
        await here.world.send(source="/else", id=early[0])
        await here.world.send_many(20)
        await here.world.until_settled()
        for arguments, number in (
            (["--since", "1h"], 41),
            (["--since", "PT1H"], 41),
            (["--since", between], 21),
            (["--since", "1h", "--until", between], 20),
            (["--since", "0s"], 0),
            (["--all", "--limit", "7"], 7),
            (["--id", early[0]], 2),
            (["--id", early[0], "--since", between], 1),
            (["--id", early[0], "--source", "/tests"], 1),
            (["--all", "--source", "/else"], 1),
        ):
            assert (await here.told("t", *arguments, "--dry-run"))["wanted"] == number, arguments
        there.requests.clear()
        told = await here.told("t", "--since", "1h", "--limit", "7", "--wait")
        assert (told["queued"], told["givenUp"], told["state"]) == (7, 0, "Done")
        assert sorted(there.ids) == sorted(early[:7])  # they go out together


async def test_filters_on_data_are_asked_with_the_data(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        for number in range(40):
            await here.world.send(b'{"n": %d}' % number, datacontenttype="application/json")
        await here.world.until_settled()
        await here.trigger("t", there.url, filters=({"cel": "data.n >= 30"},))
        assert (await here.told("t", "--all", "--wait"))["queued"] == 10
        assert len(there.ids) == 10


async def test_what_no_filter_survived_is_passed_over(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        sent = await here.world.send_many(5)
        await here.world.until_settled()
        broker = here.world.broker.uid
        await here.world.bus.acked.store(names.dead_subject(broker, None), b"", kept.to_headers(kept.Facts(2)))
        await here.trigger("t", there.url)
        assert (await here.told("t", "--all", "--wait"))["queued"] == 4
        assert sorted(there.ids) == sorted(sent[:1] + sent[2:])


async def test_it_is_said_where_the_history_begins_later_than_asked(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.world.send_many(10)
        await here.world.until_settled()
        stream = names.log_stream(here.world.broker.uid)
        assert (await here.command("t", "--since", "1h", "--dry-run")).stderr == ""  # nothing is missing
        await here.world.bus.api(f"STREAM.PURGE.{stream}", {"seq": 4})
        done = await here.command("t", "--since", "1h", "--dry-run")
        assert done.stdout.startswith("7 of 7 events ")
        assert re.fullmatch(r"history begins at \S+: older events are no longer kept\n", done.stderr)
        assert (await here.command("t", "--since", "0s", "--dry-run")).stderr == ""
        await here.world.bus.api(f"STREAM.PURGE.{stream}", {"seq": 11})
        done = await here.command("t", "--all")
        assert done.stdout.startswith("0 of 0 events ")
        assert done.stderr.startswith("the history is empty: older events are no longer kept\n")


async def test_events_that_are_given_up_again_are_counted_and_kept(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink(OK, OK, OK, OK, answer(400), OK, answer(503), OK) as there:
        await here.trigger("t", there.url)
        await here.world.send_many(4)
        await eventually(lambda: len(there.ids) == 4, "they are delivered")
        done = await here.command("t", "--all", "--wait")
        assert done.returncode == 1, done.stderr
        assert done.stdout.endswith(": 3 delivered, 1 given up: see `scaup deadletters list --trigger t`\n")
        assert len(await here.world.dead_letters()) == 1
        told = yaml.safe_load((await here.command("t", "--all", "--wait", "-o", "yaml")).stdout)
        assert (told["queued"], told["givenUp"], told["kind"]) == (4, 0, "Replay")


async def test_waiting_lasts_until_retries_have_their_end(nats: NatsServer, tmp_path: Path) -> None:
    slow = delivery(backoff_delay_s=1.5, retry=1)
    async with place(nats, tmp_path) as here, sink(OK, answer(503), OK) as there:
        await here.trigger("t", there.url, delivery=slow)
        await here.world.send()
        await eventually(lambda: len(there.ids) == 1, "it is delivered")
        assert (await here.told("t", "--all", "--wait"))["givenUp"] == 0
        assert len(there.ids) == 3


async def test_a_dead_letter_sink_gets_what_fails_again(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink(answer(400)) as there, sink() as dead:
        await here.trigger("t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        sent = await here.world.send()
        await eventually(lambda: dead.ids == [sent], "it is at the dead letter sink")
        done = await here.command("t", "--all", "--wait")
        assert (done.returncode, done.stdout.split(": ")[1]) == (0, "1 delivered, or at its dead letter sink\n")
        await eventually(lambda: dead.ids == [sent, sent], "it is there again")


async def test_ctrl_c_stops_it_safely_and_going_on_repeats_nothing(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        sent = await here.world.send_many(300)
        await here.world.until_settled()
        await here.trigger("t", there.url)
        process = here.start("t", "--all", "--rate", "100")
        await eventually(lambda: len(there.ids) > 20, "some are delivered")
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(process.communicate, timeout=20)
        assert (process.returncode, out) == (130, "")
        found = re.search(r"^stopped: (\d+) events are queued; go on with `scaup (replay .*)`$", err, re.MULTILINE)
        assert found
        assert "Traceback" not in err
        rest = await here.told(*found[2].split()[1:], "--wait")
        assert (rest["queued"], rest["lookedAt"], rest["missing"]) == (300, 300, 0)
        assert Counter(there.ids) == Counter(sent)
        again = await here.told(*found[2].split()[1:])
        assert (again["queued"], again["state"]) == (300, "Done")
        assert len(there.ids) == 300


async def test_progress_is_shown_on_a_terminal_and_nowhere_else(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        await here.world.send_many(100)
        await here.world.until_settled()
        await here.trigger("t", there.url)
        ours, theirs = pty.openpty()
        process = here.start("t", "--all", "--rate", "50", stderr=theirs)
        os.close(theirs)
        shown = await asyncio.to_thread(read_all, ours)
        await asyncio.to_thread(process.communicate, 20)
        assert process.returncode == 0
        assert re.search(r"\rreplay [0-9a-f]{8}: \d+ events, \d+% of the history, \d+/s", shown)
        assert re.search(r"\r +\r$", shown)
        done = await here.command("t", "--all", "--rate", "50")
        assert re.fullmatch(r"replay [0-9a-f]{8} for Trigger default/t: events 1 to 100 of Broker \S+\n", done.stderr)


def read_all(terminal: int) -> str:
    """Everything that is written to a terminal until nobody has it open any more."""
    came = b""
    with suppress(OSError):  # how Linux says that
        while part := os.read(terminal, 4096):
            came += part
    os.close(terminal)
    return came.decode()


async def test_a_killed_command_is_gone_on_with_and_repeats_nothing(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        sent = await here.world.send_many(400)
        await here.world.until_settled()
        await here.trigger("t", there.url)
        process = here.start("t", "--all", "--rate", "200")
        await eventually(lambda: len(there.ids) > 150, "some are delivered")
        process.kill()
        _, err = await asyncio.to_thread(process.communicate, timeout=20)
        replay = err.split()[1]
        rest = await here.told("t", "--resume", replay, "--wait")
        assert rest["queued"] == 400
        assert Counter(there.ids) == Counter(sent)


async def test_nothing_is_lost_when_nats_is_killed_in_the_middle(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        sent = await here.world.send_many(400)
        await here.world.until_settled()
        await here.trigger("t", there.url)
        process = here.start("t", "--all", "--rate", "200", "--wait", "-o", "json")
        await eventually(lambda: len(there.ids) > 100, "some are delivered")
        nats.kill()
        await asyncio.sleep(0.5)  # how long it is away, not how long something takes
        nats.start()
        out, err = await asyncio.to_thread(process.communicate, timeout=40)
        assert process.returncode == 0, err
        assert json.loads(out)["queued"] == 400
        assert set(there.ids) == set(sent)


async def test_nothing_is_lost_when_the_dispatcher_is_killed_in_the_middle(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path, has_dispatcher=False) as here, sink() as there:
        sent = await here.world.send_many(400)
        with service("dispatcher", tmp_path, nats.url, **short_queue_waits(tmp_path / "short")) as first:
            await first.until_ready()
            await here.world.until_settled()
            await here.trigger("t", there.url)
            process = here.start("t", "--all", "--rate", "200", "--wait", "-o", "json")
            await eventually(lambda: len(there.ids) > 100, "some are delivered")
            first.process.kill()
        with service("dispatcher", tmp_path, nats.url, **short_queue_waits(tmp_path / "short")) as second:
            await second.until_ready()
            out, err = await asyncio.to_thread(process.communicate, timeout=80)
        assert process.returncode == 0, err
        assert json.loads(out)["queued"] == 400
        assert set(there.ids) == set(sent)


async def test_a_trigger_that_is_deleted_meanwhile_ends_it_with_an_error(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        await here.world.send_many(1500)
        await here.world.until_settled()
        await here.trigger("t", there.url)
        process = here.start("t", "--all", "--rate", "400")
        await eventually(lambda: there.ids, "some are delivered")
        await here.world.delete_trigger(here.uids["t"])
        _, err = await asyncio.to_thread(process.communicate, timeout=40)
        assert process.returncode == 1
        assert "the data plane does not know the Trigger: it is deleted, or was never Ready; go on with" in err


async def test_a_broker_that_is_deleted_meanwhile_ends_it_with_an_error(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        await here.world.send_many(1500)
        await here.world.until_settled()
        await here.trigger("t", there.url)
        process = here.start("t", "--all", "--rate", "400")
        await eventually(lambda: there.ids, "some are delivered")
        await topology.remove_broker(here.world.bus, here.world.broker.uid)
        _, err = await asyncio.to_thread(process.communicate, timeout=40)
        assert process.returncode == 1
        assert re.search(r"replay [0-9a-f]{8} stopped after \d+ events: the Broker of this Trigger is no more; ", err)


REFUSED = [
    (["t"], 2, "say what to replay: --since, --id, or --all"),
    (["t", "--all", "--since", "1h"], 2, "--all and --since exclude each other"),
    (["t", "--since", "yesterday"], 2, "--since 'yesterday': expected a time such as 2026-05-04T10:00:00Z, or"),
    (["t", "--since", "2026-05-04T10:00:00"], 2, "--since '2026-05-04T10:00:00': expected a time"),
    (["t", "--since", "1h", "--until", "2h"], 2, "--until 2h is not after --since 1h"),
    (["t", "--all", "--resume", "x"], 2, "--resume goes on with what was asked for then"),
    (["t", "--all", "--dry-run", "--wait"], 2, "--dry-run queues nothing"),
    (["t", "--resume", "0000"], 1, "there is no replay 0000; how far a replay is, is kept for a week"),
    (["t", "--resume", "../x"], 1, "there is no replay ../x"),
    (["none", "--all"], 1, "there is no Trigger default/none"),
    (["unready", "--all"], 1, "Trigger default/unready cannot be sent anything: the data plane does not know"),
    (["broken", "--all"], 1, "Trigger default/broken cannot be sent anything: the filters of the Trigger did not"),
    (["t", "--all", "--nats-url", "nats://127.0.0.1:1"], 3, ""),
]


async def test_what_cannot_be_replayed_is_said(nats: NatsServer, tmp_path: Path) -> None:
    async with place(nats, tmp_path) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.trigger("broken", there.url, matching=False)
        await here.api.made(TRIGGERS, trigger("unready", broker="one"))
        for arguments, status, said in REFUSED:
            done = await here.command(*arguments)
            assert (done.returncode, done.stdout) == (status, ""), arguments
            assert done.stderr.startswith(f"scaup replay: {said}"), arguments
