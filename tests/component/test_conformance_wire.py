"""The suite's own sender and sinks: every byte is its own, and what comes back is seen as it came."""

from __future__ import annotations

import asyncio

import pytest

from scaup.conformance.app import Options, Target, run
from scaup.conformance.results import Verdict
from scaup.conformance.sink import NONSENSE, OK, RESET, Reaction, SinkServer, answer
from scaup.conformance.wire import Address, Request, WireError, chunked, connection, exchange, with_length
from tests.support.brokenbroker import broken_broker

CHUNKED = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"


def request(url: str, *headers: tuple[str, str], body: bytes = b"") -> Request:
    address = Address.of(url)
    return Request("POST", address.target, with_length(headers, body, address.authority), body)


async def test_a_sink_keeps_headers_in_their_writing_and_order_with_their_duplicates() -> None:
    async with SinkServer() as sinks:
        there = sinks.sink("one/two")
        sent = request(there.url, ("X-Odd", "a"), ("x-odd", "b"), body=b"data")
        assert (await exchange(Address.of(there.url), sent)).status == 202
    [came] = there.requests
    assert [pair for pair in came.headers if pair[0].lower() == "x-odd"] == [("X-Odd", "a"), ("x-odd", "b")]
    assert (came.method, came.target, came.body) == ("POST", "/one/two", b"data")


async def test_chunks_interim_answers_and_kept_connections_are_understood() -> None:
    async with SinkServer() as sinks:
        there = sinks.sink("s").then(
            Reaction((b"HTTP/1.1 103 Early\r\n\r\n", 0.01, CHUNKED)),
            OK,
        )
        address = Address.of(there.url)
        body = chunked(b"one", b"two")
        sent = Request("POST", address.target, [("Host", "t"), ("Transfer-Encoding", "chunked")], body)
        async with connection(address) as one:
            for _ in range(2):
                await one.write(sent.bytes)
            first, second = await one.answer(), await one.answer()
        assert (first.status, first.interim, first.body, second.status) == (200, (103,), b"abcde", 202)
        assert [came.body for came in there.requests] == [b"onetwo"] * 2
        assert len({came.connection for came in there.requests}) == 1


@pytest.mark.parametrize(
    "reaction", [RESET, NONSENSE, Reaction((b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nx",), "close")]
)
async def test_what_is_no_whole_answer_is_an_error(reaction: Reaction) -> None:
    async with SinkServer() as sinks:
        there = sinks.sink("s").then(reaction)
        with pytest.raises(WireError):
            await exchange(Address.of(there.url), request(there.url))


async def test_a_sink_reacts_in_turn_and_says_when_enough_has_come() -> None:
    async with SinkServer() as sinks:
        there = sinks.sink("s").then(answer(503), OK)
        waiting = asyncio.create_task(there.until(lambda came: len(came) == 2, 5))
        statuses = [(await exchange(Address.of(there.url), request(there.url))).status for _ in range(2)]
        assert statuses == [503, 202]
        assert await waiting
        assert not await there.until(lambda came: len(came) == 3, 0.01)
        assert (await exchange(Address.of(there.url + "-other"), request(there.url + "-other"))).status == 404


async def test_nobody_there_is_an_error_with_the_address() -> None:
    with pytest.raises(WireError, match=r"cannot connect to 127\.0\.0\.1:9"):
        await exchange(Address.of("http://127.0.0.1:9/"), request("http://127.0.0.1:9/"))


@pytest.mark.parametrize("url", ["", "127.0.0.1", "ftp://x/", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no http or https address"):
        Address.of(url)


async def test_with_an_address_alone_what_needs_triggers_is_not_shown() -> None:
    async with broken_broker() as broker:
        await broker.api.request(
            "POST",
            "/apis/eventing.knative.dev/v1/namespaces/default/brokers",
            {"metadata": {"name": "there", "annotations": {}}, "spec": {}},
        )
        target = Target("an address", url=f"{broker.api.url}/default/there")
        outcome = await run(target, Options(parallel=60, settle_s=0.1, within_s=5))
    verdicts = {one.row.id: one.verdict for one in outcome.rows}
    assert outcome.conforms
    assert [row for row, verdict in verdicts.items() if verdict is Verdict.FAILED] == []
    assert verdicts["HB-15"] is verdicts["DP-8"] is Verdict.PASSED
    assert verdicts["HB-12"] is verdicts["CP-31"] is verdicts["SQ-1"] is Verdict.NOT_SHOWN
