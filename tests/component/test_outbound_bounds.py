"""HTTP out: what a sink can make the client hold is bounded, and what it takes slowly it gets whole."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import uvloop

from scaup.core.http.outbound import NoAnswerError, Outbound
from tests.component.test_outbound_pool import outbound, post
from tests.support.sinks import HANG, raw, sink
from tests.support.waiting import eventually

_HEAD = b"HTTP/1.1 200 OK\r\n"
_MIB = 1 << 20

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@contextmanager
def taking_at_most(size: int) -> Iterator[None]:
    """No more memory is held at once than ``size``, of what is taken in here."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size, f"{peak / _MIB:.1f} MiB"


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """A sink that is a function; its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Coroutine[None, None, None]], None]]:
    """Runs a coroutine on either loop: they hold what is to be sent in ways of their own."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


Run = Callable[[Coroutine[None, None, None]], None]


def test_sink_that_never_reads_holds_little_of_large_bodies_and_ends_at_the_deadline(run: Run) -> None:
    body = b"x" * (16 * _MIB)

    async def attempts(client: Outbound, url: str) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        results = await asyncio.gather(
            *(post(client, url, body, timeout_s=1.0) for _ in range(20)), return_exceptions=True
        )
        assert {type(result) for result in results} == {TimeoutError}
        assert loop.time() - start < 15

    async def scenario() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(100)  # connections are made, and nobody takes them
            async with outbound() as client:
                with taking_at_most(20 * _MIB // 2):
                    await attempts(client, f"http://127.0.0.1:{listening.getsockname()[1]}/")

    run(scenario())


def test_sink_that_reads_slowly_gets_a_large_body_whole(run: Run) -> None:
    body = bytes(range(256)) * (8 * _MIB // 256)
    got = bytearray()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while len(got) < len(body):
            got.extend(await reader.read(300_000))
            await asyncio.sleep(0.001)
        writer.write(_HEAD + b"content-length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async def scenario() -> None:
        async with serving(slow) as url, outbound() as client:
            assert (await post(client, url, body, timeout_s=20)).status == 200
            assert bytes(got) == body
            assert len(client._idle) == 1

    run(scenario())


def test_sink_that_answers_before_it_has_read_the_body_is_not_sent_another_request_on_that_connection(run: Run) -> None:
    """Whether it will ever read on is not to be found out by the next event."""
    connections = 0

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD + b"content-length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(30)

    async def scenario() -> None:
        async with serving(early) as url, outbound() as client:
            for _ in range(2):
                assert (await post(client, url, b"x" * (32 * _MIB), timeout_s=5)).status == 200
            assert connections == 2
            assert not client._idle

    run(scenario())


def test_answer_that_comes_as_the_connection_is_made_is_taken(run: Run) -> None:
    async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Full\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfull")
        await writer.drain()
        await reader.read()

    async def scenario() -> None:
        async with serving(full) as url, outbound() as client:
            for _ in range(10):
                got = await post(client, url, b"x")
                assert (got.status, got.body) == (503, b"full")

    run(scenario())


def test_endless_answer_is_read_to_its_bound_and_no_further(run: Run) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD + b"content-length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async def scenario() -> None:
        async with serving(endless) as url, outbound() as client:
            with taking_at_most(4 * _MIB):
                got = await post(client, url, limit=_MIB)
            assert (got.is_cut, len(got.body)) == (True, _MIB)
            assert sent < 32 * _MIB  # what fits between the two, in the system's buffers
            assert not client._idle

    run(scenario())


async def test_answer_in_tiny_chunks_takes_no_more_than_its_bytes() -> None:
    body = raw(_HEAD + b"transfer-encoding: chunked\r\n\r\n", *[b"2\r\nxy\r\n" * 8192] * 64, b"0\r\n\r\n")
    async with sink(body) as there, outbound() as client:
        with taking_at_most(8 * _MIB):
            got = await post(client, there.url, limit=2 * _MIB, timeout_s=30)
        assert got.body == b"xy" * (8192 * 64)


async def test_thousands_of_tiny_headers_are_no_answer() -> None:
    async with sink(raw(_HEAD, b"a:\r\n" * 10_000, end="hang")) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match="headers are too large"):
            await post(client, there.url)
        assert not client._idle


async def test_hundreds_of_headers_are_an_answer() -> None:
    lines = b"".join(b"x-%d: %d\r\n" % (number, number) for number in range(900))
    async with sink(raw(_HEAD + lines + b"content-length: 2\r\n\r\nok")) as there, outbound() as client:
        got = await post(client, there.url)
        assert (len(got.headers), got.body) == (901, b"ok")


async def test_dripping_interim_answers_end_at_the_deadline() -> None:
    drip: list[bytes | float] = [b"HTTP/1.1 102 Processing\r\n\r\n", 0.03] * 2000
    async with sink(raw(*drip)) as there, outbound() as client:
        with pytest.raises(TimeoutError):
            await post(client, there.url, timeout_s=0.2)


async def test_sink_that_reads_and_says_nothing_ends_at_the_deadline_for_all_at_once() -> None:
    async with sink(HANG) as there, outbound() as client:
        loop = asyncio.get_running_loop()
        start = loop.time()
        results = await asyncio.gather(
            *(post(client, there.url, timeout_s=0.3) for _ in range(100)), return_exceptions=True
        )
        assert {type(result) for result in results} == {TimeoutError}
        assert loop.time() - start < 20
        await eventually(lambda: not there._open, "no connection is left")


def usable(client: Outbound) -> int:
    return sum(connection.is_usable for idle in client._idle.values() for connection in idle)


_FORGED = b"HTTP/1.1 418 NO\r\ncontent-length: 6\r\n\r\nforged"


@pytest.mark.parametrize("size", range(1, len(_FORGED) + 1))
async def test_no_part_of_a_second_answer_gets_into_the_next(size: int) -> None:
    """Sent with the first, or a moment later, whole or cut anywhere."""
    first = _HEAD + b"content-length: 5\r\n\r\nfirst"
    real = raw(_HEAD + b"content-length: 4\r\n\r\nreal")
    for sent in (raw(first + _FORGED[:size]), raw(first, 0.001, _FORGED[:size])):
        async with sink(sent, real) as there, outbound() as client:
            assert (await post(client, there.url)).body == b"first"
            await eventually(lambda: not usable(client), "it is not used again")
            assert (await post(client, there.url)).body == b"real"
            assert there.connections == 2
