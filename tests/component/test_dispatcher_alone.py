"""Events that end the process that works them are set aside; an outage sets nothing aside."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from textwrap import dedent

import pytest

from scaup.core.bus.connection import Msg
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.model import names
from scaup.core.model.definitions import Destination
from tests.support import rawhttp
from tests.support.dataplane import World, delivery, metric, world
from tests.support.events import BROKER
from tests.support.natsserver import NatsServer
from tests.support.services import Service, service
from tests.support.sinks import HANG, OK, answer, sink
from tests.support.waiting import eventually

POISON = "test.crash"
_SHORT = """
    import os, signal
    from scaup.core.bus import topology
    topology.QUEUE_ACK_WAIT_S = 2.0
    from scaup.dispatcher import attempt, worker
    worker._LEASE_S = 3.0
"""
_DIES_AT_AN_ATTEMPT = """
    make = attempt.Attempts.make

    async def crashing(self, outgoing, *arguments, **named):
        if outgoing.headers.get("ce-type") == "test.crash":
            os.kill(os.getpid(), signal.SIGKILL)
        return await make(self, outgoing, *arguments, **named)

    attempt.Attempts.make = crashing
"""
_DIES_AT_A_RETRY = """
    make = attempt.Attempts.make
    mark = os.path.join(os.path.dirname(__file__), "tried")

    async def crashing(self, outgoing, *arguments, **named):
        if outgoing.headers.get("ce-type") == "test.crash":
            if os.path.exists(mark):
                os._exit(139)
            open(mark, "w").close()
        return await make(self, outgoing, *arguments, **named)

    attempt.Attempts.make = crashing
"""
_DIES_AT_DECODING = """
    decode = attempt.from_headers

    def crashing(headers, data):
        if headers.get("ce-type") == "test.crash":
            os.abort()
        return decode(headers, data)

    attempt.from_headers = crashing
"""
_FILTER_DIES = """
    from scaup.filter.index import BrokerIndex
    match = BrokerIndex.match

    def crashing(self, subject, *arguments):
        if subject.attributes["type"] == "test.crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        return match(self, subject, *arguments)

    BrokerIndex.match = crashing
"""


class Supervised:
    """A service that is started again each time it dies."""

    def __init__(self) -> None:
        self.deaths = 0
        self.running: Service | None = None

    async def supervise(self, home: str, directory: Path, url: str, environ: dict[str, str]) -> None:
        while True:
            with service(home, directory, url, **environ) as self.running:
                while self.running.process.poll() is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                self.deaths += 1

    async def kill(self) -> None:
        """Kill -9 what runs now, and wait until it is noticed."""
        assert self.running is not None
        before = self.deaths
        self.running.process.kill()
        await eventually(lambda: self.deaths > before, "its death is noticed")


@asynccontextmanager
async def supervised(
    home: str, directory: Path, url: str, crash: str = "", **environ: str
) -> AsyncIterator[Supervised]:
    """A service under a supervisor; ``crash`` is what Python runs in it, and in its children, at their start."""
    place = directory / home
    place.mkdir()
    (place / "sitecustomize.py").write_text(dedent(_SHORT) + dedent(crash))
    made = Supervised()
    work = made.supervise(home, place, url, {"PYTHONPATH": str(place), **environ})
    task = asyncio.create_task(work)
    try:
        await eventually(lambda: made.running or task.done(), "it is started")
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what a dead dispatcher held comes again soon."""
    monkeypatch.setattr("scaup.core.bus.topology.ACK_WAIT_S", 1.5)


async def until_kept(here: World, within_s: float = 45.0) -> list[DeadLetter]:
    """Until a dead letter is kept. The log may not be acknowledged before."""

    async def is_kept() -> list[DeadLetter] | None:
        unsettled = await here.unsettled() + await here.queue_size()
        found = await here.dead_letters()
        assert found or unsettled, "it was acknowledged, and is kept nowhere"
        return found

    return await eventually(is_kept, "it is kept", within_s=within_s) or []


async def held_twice(here: World, count: int) -> None:
    """Entries of the log as two dispatchers leave them that were killed: delivered twice, and not acknowledged."""
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{names.log_stream(BROKER)}.{names.DISPATCH_CONSUMER}"
    for number in range(2):
        held: list[str] = []
        inbox = here.bus.client.new_inbox()

        async def receive(msg: Msg, held: list[str] = held) -> None:
            if msg.reply:
                held.append(msg.reply)

        end = await here.bus.subscribe(inbox, receive)
        await here.bus.publish(subject, b'{"batch":%d,"expires":5000000000}' % count, inbox)

        def all_came(held: list[str] = held) -> bool:
            return len(held) == count

        await eventually(all_came, f"{count} entries come, time {number + 1}")
        await end()
        for reply in held:
            await here.bus.publish(reply, b"-NAK")


def children(parent: int) -> list[int]:
    """The processes in which a dispatcher tries suspects."""
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    lines = (line.split(None, 2) for line in listed.splitlines())
    return [int(line[0]) for line in lines if int(line[1]) == parent and "scaup.dispatcher.alone" in line[2]]


def is_gone(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not state.strip() or state.strip().startswith("Z")


@pytest.mark.parametrize(
    ("crash", "how", "trigger"),
    [
        (_DIES_AT_AN_ATTEMPT, "signal 9", "t"),
        pytest.param(_DIES_AT_DECODING, "signal 6", None, marks=pytest.mark.long),
    ],
)
async def test_an_event_that_ends_dispatchers_is_set_aside_and_all_others_are_delivered(
    nats: NatsServer, tmp_path: Path, crash: str, how: str, trigger: str | None
) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.filter()
        ids = await here.send_many(20)
        await here.send(type=POISON)
        ids += await here.send_many(20)
        async with supervised("dispatcher", tmp_path, nats.url, crash) as dispatcher:
            [letter] = await until_kept(here)
            assert letter.event.attributes["type"] == POISON
            assert letter.trigger == trigger
            assert letter.facts.reason == f"it ended two dispatchers that ran nothing else ({how})"
            assert letter.facts.sequence == 21
            await here.until_settled()
            deaths = dispatcher.deaths
            assert deaths <= 2
            assert dispatcher.running is not None
            seen = await rawhttp.send(dispatcher.running.metrics_port, "GET", "/metrics")
            assert b'scaup_set_aside_events_total{broker="one",namespace="default"} 1.0' in seen.body
            ids += await here.send_many(20)
            await here.until_settled()
            assert set(there.ids) == set(ids)
            assert dispatcher.deaths == deaths
            assert len(await here.dead_letters()) == 1


@pytest.mark.long
async def test_an_event_that_ends_dispatchers_when_it_is_tried_again_is_set_aside(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(nats.url) as here, sink() as there:
        there.script = lambda request: answer(500) if request.headers["ce-type"] == POISON else OK
        await here.trigger("t", there.url)
        await here.filter()
        await here.send(type=POISON)
        ids = await here.send_many(20)
        async with supervised("dispatcher", tmp_path, nats.url, _DIES_AT_A_RETRY) as dispatcher:
            [letter] = await until_kept(here)
            assert letter.event.attributes["type"] == POISON
            assert letter.trigger == "t"
            assert letter.facts.reason == "it ended two dispatchers that ran nothing else (exit status 139)"
            assert (letter.facts.sequence, letter.facts.attempts) == (1, 1)
            await here.until_queues_hold(0)
            await here.until_settled()
            deaths = dispatcher.deaths
            ids += await here.send_many(20)
            await eventually(lambda: set(ids) <= set(there.ids), "all others are delivered")
            assert dispatcher.deaths == deaths


@pytest.mark.long
async def test_an_event_that_ends_dispatchers_out_of_a_bundle_is_set_aside_and_the_others_are_delivered(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.filter()
        key = "address/v1/Service/default/web"
        await here.address(key, None)
        await here.trigger("t", Destination(address=key))
        ids = await here.send_many(20)
        await here.send(type=POISON)
        ids += await here.send_many(20)
        async with supervised("dispatcher", tmp_path, nats.url, _DIES_AT_AN_ATTEMPT) as dispatcher:
            await here.until_settled()
            assert len(await here.queue_entries()) < 20
            await here.address(key, there.url)
            [letter] = await until_kept(here)
            assert (letter.event.attributes["type"], letter.trigger) == (POISON, "t")
            assert letter.facts.reason == "it ended two dispatchers that ran nothing else (signal 9)"
            assert letter.facts.sequence == 21
            await here.until_queues_hold(0, within_s=30)
            assert set(there.ids) == set(ids)
            assert dispatcher.deaths <= 2


@pytest.mark.long
async def test_an_event_that_no_filter_survives_is_set_aside(nats: NatsServer, tmp_path: Path) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        ids = await here.send_many(5)
        await here.send(type=POISON)
        ids += await here.send_many(5)
        async with (
            supervised("filter", tmp_path, nats.url, _FILTER_DIES) as filters,
            supervised("dispatcher", tmp_path, nats.url) as dispatcher,
        ):
            [letter] = await until_kept(here, within_s=90)
            assert letter.event.attributes["type"] == POISON
            assert letter.trigger is None
            assert letter.facts.reason == "no filter survives it: asked about it alone, none answered"
            await here.until_settled()
            deaths = filters.deaths
            ids += await here.send_many(5)
            await here.until_settled()
            assert set(there.ids) == set(ids)
            assert filters.deaths == deaths
            assert dispatcher.deaths == 0
            assert len(await here.dead_letters()) == 1


@pytest.mark.long
async def test_the_one_among_many_suspects_that_is_to_blame_is_found(nats: NatsServer, tmp_path: Path) -> None:
    async with world(nats.url) as here, sink() as there:
        await here.trigger("t", there.url)
        await here.trigger("other", there.url, attributes={"type": "other"})
        await here.filter()
        ids = await here.send_many(25)
        await here.send(type=POISON)
        ids += await here.send_many(24)
        await held_twice(here, 50)
        async with supervised("dispatcher", tmp_path, nats.url, _DIES_AT_AN_ATTEMPT) as dispatcher:
            [letter] = await until_kept(here)
            await here.until_settled()
            assert (letter.facts.sequence, letter.trigger) == (26, "t")
            assert set(there.ids) == set(ids)
            assert dispatcher.deaths == 0


async def test_suspects_that_do_no_harm_are_delivered_once(nats: NatsServer) -> None:
    before = metric("scaup_set_aside_events_total", namespace="default", broker="one")
    async with world(nats.url) as here, sink() as there, sink(answer(400)) as broken:
        await here.trigger("t", there.url)
        await here.trigger("broken", broken.url, delivery=delivery(retry=0))
        await here.filter()
        ids = await here.send_many(100)
        await held_twice(here, 100)
        await here.dispatcher()
        ids += await here.send_many(20)
        await here.until_settled(within_s=30)
        assert sorted(there.ids) == sorted(ids)
        letters = await here.dead_letters(len(ids))
        assert {letter.facts.status for letter in letters} == {400}  # refused by the sink, as ever
        assert metric("scaup_set_aside_events_total", namespace="default", broker="one") == before


@pytest.mark.long
async def test_dispatchers_that_are_killed_again_and_again_set_nothing_aside(nats: NatsServer, tmp_path: Path) -> None:
    async with world(nats.url) as here, sink(HANG) as there:
        await here.trigger("t", there.url, delivery=delivery(timeout_s=60))
        await here.filter()
        ids = await here.send_many(40)
        slow = {"SCAUP_DISPATCHER_SLOW_SECONDS": "60"}  # all of them stay in the hands of whoever is killed
        async with supervised("dispatcher", tmp_path, nats.url, **slow) as dispatcher:
            tried: list[int] = []
            for _ in range(10):
                seen = len(there.requests)

                def more_came(seen: int = seen) -> bool:
                    return len(there.requests) > seen

                await eventually(more_came, "they are tried", within_s=30)
                assert dispatcher.running is not None
                tried += children(dispatcher.running.process.pid)
                await dispatcher.kill()
            assert tried, "they were suspects"
            await eventually(lambda: all(is_gone(pid) for pid in tried), "no child outlives its parent")
            there.script = lambda _request: OK
            await here.until_settled(within_s=60)
            assert set(there.ids) == set(ids)
            assert await here.dead_letters() == []


async def test_nats_that_is_killed_during_a_trial_sets_nothing_aside(nats: NatsServer, tmp_path: Path) -> None:
    async with world(nats.url) as here, sink(HANG) as there:
        await here.trigger("t", there.url, delivery=delivery(timeout_s=60))
        await here.filter()
        ids = await here.send_many(3)
        await held_twice(here, 3)
        slow = {"SCAUP_DISPATCHER_SLOW_SECONDS": "60"}
        async with supervised("dispatcher", tmp_path, nats.url, **slow) as dispatcher:
            await eventually(lambda: len(there.requests) == 3, "they are tried")
            assert dispatcher.running is not None
            [child] = children(dispatcher.running.process.pid)
            nats.kill()
            await eventually(lambda: is_gone(child), "a child that loses the bus ends")
            there.script = lambda _request: OK
            await asyncio.to_thread(nats.start)
            await eventually(lambda: here.bus.is_connected, "the test is connected again")
            await here.until_settled(within_s=40)
            assert set(there.ids) == set(ids)
            assert await here.dead_letters() == []
            assert dispatcher.deaths == 0


async def test_a_dispatcher_that_stops_ends_its_child_and_hands_its_suspects_back(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(nats.url) as here, sink(HANG) as there:
        await here.trigger("t", there.url, delivery=delivery(timeout_s=60))
        await here.filter()
        sent = await here.send()
        await held_twice(here, 1)
        slow = {"SCAUP_DISPATCHER_SLOW_SECONDS": "60"}
        with service("dispatcher", tmp_path, nats.url, **slow) as first:
            await eventually(lambda: there.requests, "it is tried")
            [child] = children(first.process.pid)
            assert await first.stopped(signal.SIGTERM) == 0
            assert is_gone(child)
        there.script = lambda _request: OK
        await here.dispatcher()
        await here.until_settled()
        assert set(there.ids) == {sent}
        assert await here.dead_letters() == []
