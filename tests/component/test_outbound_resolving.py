"""HTTP out: names are looked up without one of them keeping another waiting, and every wait has an end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

import pytest

from scaup.core.http import resolving
from scaup.core.http.outbound import NoAnswerError, Outbound
from scaup.core.http.resolving import Resolver
from scaup.core.model.definitions import Address
from scaup.dispatcher.attempt import Attempts, Outgoing
from scaup.dispatcher.judge import NoAnswer
from tests.component.test_outbound_pool import post
from tests.support.lookups import Lookups, lookups
from tests.support.sinks import Sink, answer, sink
from tests.support.waiting import eventually

SHARE = 32  # names that may be looked up at once of those that were never looked up
SLOW_SHARE = 8  # and of those whose last lookup took long
GONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NOT_NOW = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@asynccontextmanager
async def client_of(names: Lookups) -> AsyncIterator[tuple[Outbound, Resolver]]:
    resolver = Resolver(names)
    client = Outbound(resolver=resolver)
    try:
        yield client, resolver
    finally:
        await client.close()


class Asking:
    """Requests under way to names that do not answer; given up at the end."""

    def __init__(self, client: Outbound, timeout_s: float = 30.0) -> None:
        self.client = client
        self.timeout_s = timeout_s
        self.tasks: list[asyncio.Task[object]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def ask(self, *hosts: str) -> None:
        for host in hosts:
            asked = post(self.client, f"http://{host}:1/", timeout_s=self.timeout_s)
            self.tasks.append(asyncio.create_task(asked))


def many(count: int, word: str = "silent") -> list[str]:
    return [f"{word}-{number}" for number in range(count)]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes a part of one."""
    monkeypatch.setattr(resolving, "SLOW_S", 0.1)
    monkeypatch.setattr(resolving, "PATIENCE_S", 0.05)
    monkeypatch.setattr(resolving, "SHORTEST_FAILURE_S", 0.05)
    monkeypatch.setattr(resolving, "LONGEST_FAILURE_S", 0.1)


@pytest.fixture
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new connection asks again."""
    monkeypatch.setattr(resolving, "FRESH_S", 0.0)


def standing(resolver: Resolver, host: str) -> resolving.Standing:
    return resolver._names[host].standing


async def is_delivered(client: Outbound, url: str) -> bool:
    try:
        return (await post(client, url)).status == 202
    except NoAnswerError:
        return False


def each_time(there: Sink) -> None:
    """Have the sink close its connections, so that every request needs a new one."""
    there.script = lambda _request: answer(202, headers={"connection": "close"})


async def test_localhost_is_found_by_the_system() -> None:
    async with sink() as there, AsyncExitStack() as stack:
        client = Outbound()
        stack.push_async_callback(client.close)
        assert (await post(client, f"http://localhost:{there.port}/")).status == 202
        assert there.requests[0].headers["host"] == f"localhost:{there.port}"


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0x7f000001"])
async def test_odd_spellings_of_an_address_are_read_by_the_system(host: str) -> None:
    async with sink() as there, AsyncExitStack() as stack:
        client = Outbound()
        stack.push_async_callback(client.close)
        assert (await post(client, f"http://{host}:{there.port}/")).status == 202


async def test_address_in_a_url_is_not_looked_up() -> None:
    with lookups() as names:
        async with sink() as there, client_of(names) as (client, _):
            assert (await post(client, there.url)).status == 202
            with pytest.raises(NoAnswerError, match="cannot connect"):
                await post(client, "http://[::1]:1/")
            assert not names.asked


async def test_name_is_looked_up_once_however_many_ask() -> None:
    with lookups() as names:
        async with sink() as there, client_of(names) as (client, _):
            waiting = [asyncio.create_task(post(client, f"http://a:{there.port}/{n}")) for n in range(50)]
            await eventually(lambda: names.silent == 1, "it is being looked up")
            names.known["a"] = ("127.0.0.1",)
            names.end_silence()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert names.asked == {"a": 1}
            assert {str(result) for result in results} == {
                "cannot connect: no address for a: Temporary failure in name resolution"
            }


async def test_what_was_found_is_used_again_and_after_a_while_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "FRESH_S", 0.3)
    with lookups(a="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, _):
            each_time(there)
            for _ in range(5):
                await post(client, f"http://a:{there.port}/")
            assert (names.asked["a"], there.connections) == (1, 5)
            names.known["a"] = ("127.0.0.9",)  # nobody is there

            async def is_asked_again() -> bool:
                try:
                    await post(client, f"http://a:{there.port}/")
                except NoAnswerError:
                    return True
                return False

            await eventually(is_asked_again, "the new address is used")
            assert names.asked["a"] == 2


async def test_deadline_holds_while_a_name_is_looked_up() -> None:
    with lookups() as names:
        async with client_of(names) as (client, _):
            loop = asyncio.get_running_loop()
            start = loop.time()
            hosts = many(3 * SHARE)  # so that most of them wait for a thread
            results = await asyncio.gather(
                *(post(client, f"http://{host}/", timeout_s=0.3) for host in hosts), return_exceptions=True
            )
            assert {repr(result) for result in results} == {"TimeoutError('its name is still being looked up')"}
            assert 0.29 < loop.time() - start < 20


async def test_outcome_of_a_lookup_that_hangs_says_so() -> None:
    with lookups() as names:
        async with client_of(names) as (client, _):
            attempts = Attempts(client, 1000)
            outcome = await attempts.make(Outgoing({}, b""), Address("http://a/"), b"", timeout_s=0.1)
            why = "no answer from http://a/ within 0.1 s: its name is still being looked up"
            assert outcome == NoAnswer(why, timed_out=True)


async def test_request_that_is_given_up_leaves_the_lookup_to_the_others() -> None:
    with lookups() as names:
        async with sink() as there, client_of(names) as (client, resolver):
            first = asyncio.create_task(post(client, f"http://a:{there.port}/"))
            await eventually(lambda: names.silent == 1, "it is being looked up")
            second = asyncio.create_task(resolver.addresses("a", asyncio.get_running_loop().time() + 10))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            names.end_silence()
            with pytest.raises(resolving.UnresolvedNameError):
                await second


async def test_names_that_are_silent_delay_no_name_that_is_known(
    never_fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "SLOW_S", 30.0)  # until then none of the silent ones makes room
    with lookups(well="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, resolver), Asking(client) as asking:
            each_time(there)
            await post(client, f"http://well:{there.port}/")
            asking.ask(*many(200))
            await eventually(lambda: names.silent == SHARE, "silent names have all threads of their kind")
            async with asyncio.timeout(20):
                for _ in range(10):
                    await post(client, f"http://well:{there.port}/")
            assert names.asked["well"] == 11
            assert resolver.waiting >= 200 - SHARE


async def test_name_that_was_never_heard_of_waits_behind_silent_ones_for_a_moment_only(soon: None) -> None:
    with lookups(new="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, _), Asking(client) as asking:
            asking.ask(*many(5 * SHARE))
            await eventually(lambda: names.silent >= SHARE, "silent names have all threads of their kind")
            assert (await post(client, f"http://new:{there.port}/")).status == 202
            assert names.silent == 5 * SHARE


async def test_there_are_never_more_lookups_than_the_bound(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "MAX_HANGING", 10)
    with lookups() as names:
        async with client_of(names) as (client, resolver), Asking(client, timeout_s=1.0) as asking:
            asking.ask(*many(500))
            await eventually(lambda: names.silent == SHARE + 10, "as many as may be hang")
            await asyncio.gather(*asking.tasks, return_exceptions=True)
            assert names.most == SHARE + 10 == resolver.under_way
            assert resolver.waiting == 500 - SHARE - 10


async def test_names_known_to_hang_have_few_threads_and_leave_the_others_alone(soon: None) -> None:
    with lookups(new="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, resolver), Asking(client) as asking:
            hosts = many(SHARE)
            asking.ask(*hosts)
            await eventually(lambda: resolver._hanging.running == SHARE, "they hang")
            names.end_silence()
            await asyncio.gather(*asking.tasks, return_exceptions=True)
            await eventually(lambda: resolver.under_way == 0, "they are over, and what came of them is noted")
            await asyncio.sleep(2 * resolving.LONGEST_FAILURE_S)  # for half as long the answer is no without asking
            asking.ask(*hosts)
            await eventually(lambda: names.silent == SLOW_SHARE, "some are asked for again")
            assert (await post(client, f"http://new:{there.port}/")).status == 202
            await asyncio.sleep(3 * resolving.SLOW_S)  # they get no more with time
            assert names.silent == SLOW_SHARE == resolver.under_way


async def test_name_that_answers_quickly_again_is_no_longer_among_the_slow(soon: None, never_fresh: None) -> None:
    with lookups() as names:
        async with sink() as there, client_of(names) as (client, resolver):
            each_time(there)
            first = asyncio.create_task(post(client, f"http://a:{there.port}/"))
            await eventually(lambda: resolver._hanging.running == 1, "it hangs")
            names.end_silence()
            with pytest.raises(NoAnswerError):
                await first
            await eventually(lambda: standing(resolver, "a") is resolving.Standing.SLOW, "its lookup is over")
            names.known["a"] = ("127.0.0.1",)
            assert await eventually(
                lambda: is_delivered(client, f"http://a:{there.port}/"), "it is asked for again and found"
            )
            assert standing(resolver, "a") is resolving.Standing.KNOWN


async def test_last_known_addresses_are_used_while_a_lookup_hangs(never_fresh: None) -> None:
    with lookups(a="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, _):
            each_time(there)
            await post(client, f"http://a:{there.port}/")
            del names.known["a"]
            loop = asyncio.get_running_loop()
            start = loop.time()
            for _ in range(20):
                await post(client, f"http://a:{there.port}/")
            assert loop.time() - start < 4.5  # the first waited a quarter of a second, the others not at all
            assert (names.asked["a"], names.silent, there.connections) == (2, 1, 21)


async def test_last_known_addresses_are_not_used_for_ever(never_fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "LAST_KNOWN_S", 0.2)
    with lookups(a="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, _):
            each_time(there)
            await post(client, f"http://a:{there.port}/")
            del names.known["a"]

            async def are_forgotten() -> bool:
                try:
                    await post(client, f"http://a:{there.port}/", timeout_s=0.5)
                except TimeoutError:
                    return True
                return False

            assert await eventually(are_forgotten, "nothing is known any more")


async def test_last_known_addresses_are_used_while_the_name_server_fails_but_not_once_it_says_no(
    soon: None, never_fresh: None
) -> None:
    with lookups(a="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, _):
            each_time(there)
            await post(client, f"http://a:{there.port}/")
            names.failing["a"] = NOT_NOW
            await post(client, f"http://a:{there.port}/")
            names.failing["a"] = GONE

            async def is_gone() -> bool:
                try:
                    await post(client, f"http://a:{there.port}/")
                except NoAnswerError as error:
                    return str(error) == "cannot connect: no address for a: Name or service not known"
                return False

            assert await eventually(is_gone, "the name is gone")


async def test_failure_is_remembered_for_a_moment_and_then_asked_about_again(soon: None) -> None:
    with lookups() as names:
        names.failing["a"] = GONE
        async with sink() as there, client_of(names) as (client, _):
            for _ in range(5):
                with pytest.raises(NoAnswerError):
                    await post(client, f"http://a:{there.port}/")
            assert names.asked["a"] <= 2
            del names.failing["a"]
            names.known["a"] = ("127.0.0.1",)
            assert await eventually(lambda: is_delivered(client, f"http://a:{there.port}/"), "it is found")


async def test_no_more_names_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "MAX_NAMES", 10)
    with lookups(**dict.fromkeys(many(50, "well"), "127.0.0.1")) as names:
        async with sink() as there, client_of(names) as (client, resolver), Asking(client) as asking:
            for host in many(50, "well"):
                await post(client, f"http://{host}:{there.port}/")
            assert len(resolver._names) == 10
            asking.ask(*many(10))
            await eventually(lambda: names.silent == 10, "all that are remembered are being looked up")
            with pytest.raises(NoAnswerError, match="too many names"):
                await post(client, f"http://one-more:{there.port}/")
            assert len(resolver._names) == 10


@pytest.mark.parametrize(
    "wrong", [UnicodeError("label too long"), RuntimeError("broken"), OSError(5, "input/output error")]
)
async def test_resolver_that_breaks_is_no_answer(wrong: Exception) -> None:
    with lookups(nothing="") as names:
        names.failing["a"] = wrong
        async with client_of(names) as (client, _):
            for host in ("a", "nothing"):
                with pytest.raises(NoAnswerError, match=f"cannot connect: no address for {host}: "):
                    await post(client, f"http://{host}/")


async def test_system_that_has_no_thread_left_is_no_answer(monkeypatch: pytest.MonkeyPatch, soon: None) -> None:
    with lookups(a="127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, resolver):
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", _no_thread)
                with pytest.raises(NoAnswerError, match="can't start new thread"):
                    await post(client, f"http://a:{there.port}/")
            assert resolver.under_way == 0
            await asyncio.sleep(resolving.SHORTEST_FAILURE_S)
            assert (await post(client, f"http://a:{there.port}/")).status == 202


def _no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_address_where_nobody_listens_leaves_the_next_its_turn_at_once() -> None:
    with lookups(a="::1 127.0.0.9 127.0.0.1") as names:
        async with sink() as there, client_of(names) as (client, _):
            assert (await post(client, f"http://a:{there.port}/", timeout_s=1)).status == 202


async def test_address_that_does_not_answer_takes_no_more_than_a_moment_of_the_timeout() -> None:
    with lookups(a="127.0.0.9 127.0.0.1") as names, socket.socket() as full:
        async with sink() as there, client_of(names) as (client, _), AsyncExitStack() as stack:
            full.bind(("127.0.0.9", there.port))
            full.listen(0)
            for _ in range(4):  # more than its backlog: connecting hangs from now on
                filling = stack.enter_context(socket.socket())
                filling.setblocking(False)
                filling.connect_ex(("127.0.0.9", there.port))
            loop = asyncio.get_running_loop()
            start = loop.time()
            assert (await post(client, f"http://a:{there.port}/", timeout_s=10)).status == 202
            assert loop.time() - start < 8


async def test_address_with_a_zone_is_left_out() -> None:
    with lookups(a="fe80::1%7 127.0.0.1", b="fe80::1%7") as names:
        async with sink() as there, client_of(names) as (client, _):
            assert (await post(client, f"http://a:{there.port}/")).status == 202
            with pytest.raises(NoAnswerError, match="no address for b: the resolver knows none"):
                await post(client, f"http://b:{there.port}/")


async def test_connection_that_comes_second_in_the_race_is_closed() -> None:
    slow_start = "127.0.0.9 127.0.0.1"
    with lookups(a=slow_start) as names, socket.socket() as full:
        async with sink() as there, client_of(names) as (client, _), AsyncExitStack() as stack:
            full.bind(("127.0.0.9", there.port))
            full.listen(0)
            for _ in range(4):
                filling = stack.enter_context(socket.socket())
                filling.setblocking(False)
                filling.connect_ex(("127.0.0.9", there.port))
            await post(client, f"http://a:{there.port}/", timeout_s=10)
            await asyncio.sleep(0)
            names_of_tasks = {task.get_name() for task in asyncio.all_tasks()}
            assert "connecting" not in names_of_tasks
            assert (len(client._idle), there.connections) == (1, 1)


async def test_all_addresses_that_fail_are_one_failure_that_says_why() -> None:
    with lookups(a="127.0.0.8 127.0.0.9") as names:
        async with client_of(names) as (client, _):
            with pytest.raises(NoAnswerError, match=r"^cannot connect: 127\.0\.0\.8: .+; 127\.0\.0\.9: ."):
                await post(client, "http://a:1/")
