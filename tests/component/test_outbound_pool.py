"""HTTP out: what goes over the wire, and when a connection is used again."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scaup.core.http.outbound import Answer, NoAnswerError, Origin, Outbound
from tests.support.sinks import HANG, OK, RESET, Sink, answer, raw, sink
from tests.support.waiting import eventually


@asynccontextmanager
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound()
    try:
        yield client
    finally:
        await client.close()


async def post(
    client: Outbound, url: str, body: bytes = b"", *, timeout_s: float = 5, limit: int = 1 << 20, head: bytes = b""
) -> Answer:
    return await client.post(Origin.parse(url), head, body, timeout_s=timeout_s, limit=lambda _status: limit)


async def test_request_line_headers_and_body_arrive_as_given() -> None:
    async with sink() as there, outbound() as client:
        await post(client, there.url + "in/here?x=1&y=%20", b"\x00data", head=b"ce-id: 1\r\nx-y: z\r\n")
        request = there.requests[0]
        assert request.line == "POST /in/here?x=1&y=%20 HTTP/1.1"
        assert request.body == b"\x00data"
        assert request.headers == {
            "host": f"127.0.0.1:{there.port}",
            "ce-id": "1",
            "x-y": "z",
            "content-length": "5",
        }


async def test_answer_has_status_headers_and_body() -> None:
    async with sink(answer(503, b"busy", {"Retry-After": "7"})) as there, outbound() as client:
        got = await post(client, there.url)
        assert (got.status, got.body, got.header(b"retry-after"), got.is_cut) == (503, b"busy", "7", False)
        assert got.header(b"no-such") is None


async def test_connection_is_used_again() -> None:
    async with sink(answer(200, b"yes")) as there, outbound() as client:
        for _ in range(20):
            assert (await post(client, there.url)).body == b"yes"
        assert there.connections == 1


async def test_requests_at_once_have_connections_of_their_own_and_all_are_kept() -> None:
    async with sink(answer(200, delay_s=0.05)) as there, outbound() as client:
        for _ in range(2):
            await asyncio.gather(*(post(client, there.url) for _ in range(5)))
        assert there.connections == 5


async def test_kept_connection_that_the_sink_closed_is_replaced() -> None:
    async with sink(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", end="close")) as there, outbound() as client:
        for _ in range(3):
            assert (await post(client, there.url)).status == 200
        assert there.connections == 3


async def test_kept_connection_that_is_reset_under_the_next_request_is_replaced_once() -> None:
    async with sink(OK, RESET, OK) as there, outbound() as client:
        await post(client, there.url)
        assert (await post(client, there.url)).status == 202
        assert there.connections == 2


async def test_sink_that_closes_every_connection_without_an_answer_is_no_answer() -> None:
    async with sink(raw(end="close")) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match="closed without an answer"):
            await post(client, there.url)
        assert len(there.requests) == 1


async def test_connection_close_is_honoured() -> None:
    async with sink(answer(200, b"ok", {"connection": "close"})) as there, outbound() as client:
        await post(client, there.url)
        await post(client, there.url)
        assert there.connections == 2


async def test_sink_that_comes_back_on_its_port_is_found_again() -> None:
    async with outbound() as client:
        there = Sink()
        await there.start()
        await post(client, there.url)
        await there.stop()
        with pytest.raises(NoAnswerError, match="cannot connect"):
            await post(client, there.url)
        await there.start()
        try:
            assert (await post(client, there.url)).status == 202
        finally:
            await there.stop()


async def test_idle_connections_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaup.core.http.outbound._IDLE_S", 0.05)
    monkeypatch.setattr("scaup.core.http.outbound._SWEEP_S", 0.02)
    async with sink() as there, outbound() as client:
        await post(client, there.url)
        await eventually(lambda: not client._idle, "the connection is closed")
        await post(client, there.url)
        assert there.connections == 2


async def test_no_more_idle_connections_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaup.core.http.outbound._MAX_IDLE", 2)
    async with sink(answer(200, delay_s=0.05)) as there, outbound() as client:
        await asyncio.gather(*(post(client, there.url) for _ in range(5)))
        assert sum(map(len, client._idle.values())) == 2


async def test_cancelled_request_does_not_leave_its_answer_to_the_next() -> None:
    slow = answer(200, b"first", delay_s=0.2)
    async with sink(OK, slow, answer(200, b"second")) as there, outbound() as client:
        await post(client, there.url)
        cancelled = asyncio.create_task(post(client, there.url))
        await eventually(lambda: len(there.requests) == 2, "the request is under way")
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (await post(client, there.url)).body == b"second"
        assert there.connections == 2


async def test_request_cancelled_as_its_answer_arrives_does_not_close_the_connection_of_another() -> None:
    """The connection is back in the pool before the waiting request wakes up; by then it may be somebody else's."""
    async with sink(OK) as there, outbound() as client:
        await post(client, there.url)
        key = next(iter(client._idle))
        kept = client._idle[key][0]
        first = asyncio.create_task(post(client, there.url))
        await eventually(lambda: kept._waiting is None and len(there.requests) == 2, "it is answered")
        first.cancel()
        second = asyncio.create_task(post(client, there.url))
        await asyncio.gather(first, return_exceptions=True)
        assert (await second).status == 202
        assert there.connections == 1


async def test_request_that_timed_out_does_not_leave_its_answer_to_the_next() -> None:
    async with sink(OK, answer(200, b"late", delay_s=0.15), answer(200, b"mine")) as there, outbound() as client:
        await post(client, there.url)
        with pytest.raises(TimeoutError):
            await post(client, there.url, timeout_s=0.05)
        assert (await post(client, there.url)).body == b"mine"


async def test_second_answer_that_nobody_asked_for_is_not_taken_for_the_next() -> None:
    one = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-n: 1\r\n\r\nfirst"
    two = b"HTTP/1.1 418 NO\r\ncontent-length: 6\r\n\r\nforged"
    async with sink(raw(one + two), answer(200, b"real")) as there, outbound() as client:
        first = await post(client, there.url)
        assert (first.status, first.body, first.headers) == (200, b"first", [(b"content-length", b"5"), (b"x-n", b"1")])
        assert (await post(client, there.url)).body == b"real"
        assert there.connections == 2


async def test_redirects_are_not_followed() -> None:
    async with (
        sink() as elsewhere,
        sink(answer(302, headers={"location": elsewhere.url})) as there,
        outbound() as client,
    ):
        assert (await post(client, there.url)).status == 302
        assert not elsewhere.requests


async def test_bytes_that_come_while_a_connection_is_idle_close_it() -> None:
    late = raw(b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n", 0.05, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!")
    async with sink(late, OK) as there, outbound() as client:
        await post(client, there.url)
        kept = next(iter(client._idle.values()))[0]
        await eventually(lambda: not kept.is_usable, "the connection is closed")
        assert (await post(client, there.url)).status == 202
        assert there.connections == 2


async def test_large_body_goes_out_whole() -> None:
    body = bytes(range(256)) * 16_384
    async with sink() as there, outbound() as client:
        await post(client, there.url, body)
        assert there.requests[0].body == body


async def test_ipv6_address_is_reached() -> None:
    there = Sink()
    try:
        server = await asyncio.start_server(there._serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = server.sockets[0].getsockname()[1]
    async with outbound() as client:
        assert (await post(client, f"http://[::1]:{port}/x")).status == 202
        assert there.requests[0].headers["host"] == f"[::1]:{port}"
    server.close()
    await there.stop()


async def test_nobody_listening_is_no_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with outbound() as client:
            with pytest.raises(NoAnswerError, match="cannot connect"):
                await post(client, f"http://127.0.0.1:{taken.getsockname()[1]}/")


async def test_name_that_cannot_be_resolved_is_no_answer() -> None:
    async with outbound() as client:
        for host in ("no-such-host.invalid", "a" * 70 + ".example"):
            with pytest.raises(NoAnswerError, match="cannot connect"):
                await post(client, f"http://{host}/")


async def test_close_ends_the_idle_connections() -> None:
    async with sink() as there:
        client = Outbound()
        await post(client, there.url)
        kept = next(iter(client._idle.values()))[0]
        await client.close()
        assert not kept.is_usable


async def test_hanging_request_is_cut_off_at_its_deadline() -> None:
    async with sink(HANG) as there, outbound() as client:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(TimeoutError):
            await post(client, there.url, timeout_s=0.1)
        assert 0.09 < loop.time() - start < 20


@pytest.mark.parametrize(
    ("url", "head", "where"),
    [
        ("http://a", "POST / HTTP/1.1\r\nHost: a\r\n", ("a", 80)),
        ("http://a?x=1", "POST /?x=1 HTTP/1.1\r\nHost: a\r\n", ("a", 80)),
        ("HTTP://A.b:81/c%20d;e?f=%2F#g", "POST /c%20d;e?f=%2F HTTP/1.1\r\nHost: A.b:81\r\n", ("a.b", 81)),
        ("https://a/", "POST / HTTP/1.1\r\nHost: a\r\n", ("a", 443)),
        ("http://[2001:db8::1]:8080/x", "POST /x HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n", ("2001:db8::1", 8080)),
    ],
)
def test_url_says_where_and_what(url: str, head: str, where: tuple[str, int]) -> None:
    origin = Origin.parse(url)
    assert origin.head.decode() == head
    assert (origin.host, origin.port) == where


@pytest.mark.parametrize(
    ("userinfo", "pair"), [("u:p", "u:p"), ("u", "u:"), ("u%40x:p%3A%2F", "u@x:p:/"), ("a:b@c", "a:b@c")]
)
def test_user_and_password_of_a_url_go_as_basic_authorization(userinfo: str, pair: str) -> None:
    expected = f"Host: h\r\nAuthorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
    assert Origin.parse(f"http://{userinfo}@h/").head.decode() == "POST / HTTP/1.1\r\n" + expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "/a",
        "ftp://a",
        "http://",
        "http:///x",
        "http://a:x/",
        "http://a:99999/",
        "http://ä/",
        "http://a/ b",
        "http://a/ü",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
    ],
)
def test_what_is_no_url_to_post_to_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Origin.parse(url)


@pytest.mark.parametrize("pieces", [1, 2])
async def test_answers_of_the_same_bytes_are_the_same_answer_each_time(pieces: int) -> None:
    whole = b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
    parts = (whole,) if pieces == 1 else (whole[:20], 0.02, whole[20:])
    async with sink(raw(*parts)) as there, outbound() as client:
        for _ in range(3):
            got = await post(client, there.url)
            assert (got.status, got.header(b"retry-after"), got.body, got.is_cut) == (429, "7", b"", False)
        assert there.connections == 1


async def test_the_same_head_with_and_without_its_body_in_one_piece_is_not_confused() -> None:
    head, body = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", b"abc"
    async with sink(raw(head + body), raw(head, 0.02, body), raw(head + body)) as there, outbound() as client:
        assert [(await post(client, there.url)).body for _ in range(3)] == [body] * 3
        assert there.connections == 1


async def test_an_answer_that_is_known_by_its_bytes_still_ends_its_connection_where_it_says_so() -> None:
    closing = raw(b"HTTP/1.1 202 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    async with sink(closing) as there, outbound() as client:
        for _ in range(3):
            assert (await post(client, there.url)).status == 202
        assert there.connections == 3


async def test_more_than_was_asked_for_is_never_taken_for_the_next_answer_however_often_it_comes() -> None:
    one = b"HTTP/1.1 202 OK\r\ncontent-length: 0\r\n\r\n"
    async with sink(raw(one), raw(one + one.replace(b"202", b"500"))) as there, outbound() as client:
        assert [(await post(client, there.url)).status for _ in range(4)] == [202] * 4
        assert there.connections >= 3
