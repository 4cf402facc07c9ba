"""HTTP out against sinks that break the rules: every wait has an end, every read a bound."""

from __future__ import annotations

import asyncio
import socket

import pytest

from scaup.core.http.outbound import NoAnswerError
from tests.component.test_outbound_pool import outbound, post
from tests.support.sinks import Reaction, raw, sink

_HEAD = b"HTTP/1.1 200 OK\r\n"
_DRIPS: list[bytes | float] = [b"x", 0.03] * 2000  # for a minute


async def test_dripping_body_ends_at_the_deadline() -> None:
    drip = raw(_HEAD + b"content-length: 2000\r\n\r\n", *_DRIPS)
    async with sink(drip) as there, outbound() as client:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(TimeoutError):
            await post(client, there.url, timeout_s=0.2)
        assert loop.time() - start < 20


async def test_dripping_headers_end_at_the_deadline() -> None:
    async with sink(raw(*_DRIPS)) as there, outbound() as client:
        with pytest.raises((TimeoutError, NoAnswerError)):
            await post(client, there.url, timeout_s=0.2)


async def test_connecting_ends_at_the_deadline() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        urls = [f"http://127.0.0.1:{listening.getsockname()[1]}/"] * 8  # more than its backlog: connecting hangs
        async with asyncio.timeout(20), outbound() as client:
            results = await asyncio.gather(*(post(client, url, timeout_s=0.3) for url in urls), return_exceptions=True)
        assert {type(result) for result in results} == {TimeoutError}
        assert "still connecting" in {str(result) for result in results}


async def test_no_more_of_a_body_is_read_than_asked_for() -> None:
    huge = raw(_HEAD + b"content-length: 50000000\r\n\r\n", *[b"x" * 65536] * 800)
    async with sink(huge) as there, outbound() as client:
        got = await post(client, there.url, limit=1000)
        assert (got.status, got.is_cut, got.body) == (200, True, b"x" * 1000)


async def test_endless_body_without_a_length_is_cut() -> None:
    async with sink(raw(_HEAD + b"\r\n", *[b"x" * 65536] * 800)) as there, outbound() as client:
        got = await post(client, there.url, limit=100_000)
        assert (got.is_cut, len(got.body)) == (True, 100_000)


async def test_body_of_exactly_the_limit_is_whole() -> None:
    async with sink(raw(_HEAD + b"content-length: 1000\r\n\r\n" + b"x" * 1000)) as there, outbound() as client:
        got = await post(client, there.url, limit=1000)
        assert (got.is_cut, len(got.body)) == (False, 1000)
        await post(client, there.url, limit=1000)
        assert there.connections == 1


@pytest.mark.parametrize(
    "parts",
    [
        (_HEAD, *[b"x-a: " + b"v" * 1000 + b"\r\n"] * 2000),
        (_HEAD + b"x-a: ", *[b"v" * 65536] * 200),
        (b"HTTP/1.1 200 ", *[b"O" * 65536] * 200),
        (_HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nx-trailer: ", *[b"v" * 65536] * 200),
        (_HEAD + b"transfer-encoding: chunked\r\n\r\n1;", *[b"e" * 65536] * 200),
        tuple([b"HTTP/1.1 100 Continue\r\n\r\n" * 2000] * 200),
    ],
    ids=[
        "many headers",
        "one endless header",
        "endless reason",
        "endless trailer",
        "endless extension",
        "endless 100s",
    ],
)
async def test_endless_head_is_no_answer_and_is_not_gathered(parts: tuple[bytes, ...]) -> None:
    async with sink(Reaction(parts, "hang")) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match=r"too large|no HTTP"):
            await post(client, there.url)
        assert not client._idle


async def test_chunked_answer_is_put_together_and_the_connection_kept() -> None:
    chunked = raw(
        _HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", 0.01, b"4;x=y\r\ndefg\r\n0\r\nx-t: 1\r\n\r\n"
    )
    async with sink(chunked) as there, outbound() as client:
        assert (await post(client, there.url)).body == b"abcdefg"
        assert (await post(client, there.url)).body == b"abcdefg"
        assert there.connections == 1


async def test_body_of_one_byte_chunks_is_no_attack() -> None:
    body = raw(_HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
    async with sink(body) as there, outbound() as client:
        assert len((await post(client, there.url)).body) == 100_000


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    final = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-f: 1\r\n\r\nok"
    for parts in ((interim + final,), (interim, 0.02, final)):
        async with sink(raw(*parts)) as there, outbound() as client:
            for _ in range(2):
                got = await post(client, there.url)
                assert (got.status, got.body) == (201, b"ok")
                assert [name for name, _ in got.headers] == [b"content-length", b"x-f"]
            assert there.connections == 1


async def test_http_1_0_answer_ends_with_its_connection() -> None:
    async with sink(raw(b"HTTP/1.0 200 OK\r\n\r\nall", 0.02, b" of it", end="close")) as there, outbound() as client:
        assert (await post(client, there.url)).body == b"all of it"
        assert (await post(client, there.url)).body == b"all of it"
        assert there.connections == 2


async def test_answer_in_another_transfer_coding_ends_with_its_connection() -> None:
    zipped = raw(_HEAD + b"transfer-encoding: gzip\r\n\r\nzipped", end="close")
    async with sink(zipped) as there, outbound() as client:
        assert (await post(client, there.url)).body == b"zipped"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_have_no_body_keep_the_connection(status: int) -> None:
    async with sink(raw(b"HTTP/1.1 %d X\r\n\r\n" % status)) as there, outbound() as client:
        for _ in range(2):
            assert (await post(client, there.url)).status == status
        assert there.connections == 1


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"\r\n\r\n<html>",
    ],
)
async def test_rubbish_is_no_answer(rubbish: bytes) -> None:
    async with sink(raw(rubbish, end="hang")) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match="no HTTP"):
            await post(client, there.url)
        assert not client._idle


async def test_answer_that_wants_another_protocol_is_no_answer() -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    async with sink(raw(upgrade, end="hang")) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match="another protocol"):
            await post(client, there.url)


@pytest.mark.parametrize("sent", [b"HTTP/1.1 2", _HEAD, _HEAD + b"content-length: 9\r\n\r\nab"])
@pytest.mark.parametrize("end", ["reset", "close"])
async def test_connection_that_breaks_in_the_middle_of_an_answer_is_no_answer(sent: bytes, end: str) -> None:
    async with sink(raw(sent, 0.02, end=end)) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match="broke"):
            await post(client, there.url)
        assert len(there.requests) == 1  # it had begun to answer: asking again would be a second delivery


async def test_reset_where_the_end_would_end_the_body_is_no_answer() -> None:
    async with sink(raw(_HEAD + b"\r\nhalf", 0.02, end="reset")) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match="broke"):
            await post(client, there.url)


async def test_early_answer_to_a_large_body_is_taken() -> None:
    async with outbound() as client:

        async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 413 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.transport.abort()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await post(client, url, b"x" * (20 << 20))).status == 413
        server.close()
        await asyncio.sleep(0.2)
