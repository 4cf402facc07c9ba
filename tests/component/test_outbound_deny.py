"""HTTP out: nothing goes to a network that is denied, by whatever name or spelling; the rest goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from scaup.core.http import resolving
from scaup.core.http.networks import Networks
from scaup.core.http.outbound import NoAnswerError, Outbound
from scaup.core.http.resolving import Resolver
from tests.component.test_outbound_pool import post
from tests.support.dataplane import delivery, working
from tests.support.lookups import Lookups, lookups
from tests.support.natsserver import NatsServer
from tests.support.sinks import Sink, answer, sink
from tests.support.waiting import eventually


@asynccontextmanager
async def denying(denied: str, names: Lookups | None = None) -> AsyncIterator[Outbound]:
    client = Outbound(Networks.parse(denied), Resolver(names) if names else None)
    try:
        yield client
    finally:
        await client.close()


@contextmanager
def untouched(port: int, address: str) -> Iterator[None]:
    """Somebody who listens, and whom nobody connects to."""
    with socket.socket() as listening:
        listening.bind((address, port))
        listening.listen()
        listening.setblocking(False)
        yield
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    ("host", "address", "network"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.0/8"),
        ("127.1", "127.0.0.1", "127.0.0.0/8"),
        ("0x7f.1", "127.0.0.1", "127.0.0.0/8"),
        ("0x7f000001", "127.0.0.1", "127.0.0.0/8"),
        ("2130706433", "127.0.0.1", "127.0.0.0/8"),
        ("0177.0.0.1", "127.0.0.1", "127.0.0.0/8"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0/8"),
        ("0", "0.0.0.0", "0.0.0.0/8"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1", "127.0.0.0/8"),
        ("[::ffff:7f00:1]", "::ffff:7f00:1", "127.0.0.0/8"),
        ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1", "127.0.0.0/8"),
        ("[::1]", "::1", "::1/128"),
        ("[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1", "::1/128"),
        ("[::]", "::", "::/128"),
    ],
)
async def test_loopback_is_denied_in_every_spelling(host: str, address: str, network: str) -> None:
    async with sink() as there, denying("loopback") as client:
        with pytest.raises(NoAnswerError) as caught:
            await post(client, f"http://{host}:{there.port}/")
        assert str(caught.value) == f"{address} is in a network that SCAUP_SINK_DENY forbids ({network})"
        assert there.connections == 0


async def test_name_of_a_denied_address_is_denied() -> None:
    async with sink() as there, denying("loopback") as client:
        with pytest.raises(NoAnswerError, match=r"is in a network that SCAUP_SINK_DENY forbids"):
            await post(client, f"http://localhost:{there.port}/")
        with pytest.raises(NoAnswerError, match=r"is in a network that SCAUP_SINK_DENY forbids"):
            await post(client, f"https://localhost:{there.port}/")
        assert there.connections == 0


async def test_what_is_in_no_denied_network_is_delivered_to() -> None:
    async with sink() as there, denying("private,link-local,192.0.2.0/24") as client:
        assert (await post(client, there.url)).status == 202


async def test_of_a_name_with_allowed_and_denied_addresses_only_the_allowed_are_used() -> None:
    with lookups(a="127.0.0.9 ::1 127.0.0.1 127.0.0.8") as names:
        async with sink() as there, denying("127.0.0.8/31,::1", names) as client:
            with untouched(there.port, "127.0.0.9"), untouched(there.port, "127.0.0.8"):
                assert (await post(client, f"http://a:{there.port}/")).status == 202
                await there.stop()
                with pytest.raises(NoAnswerError, match="cannot connect"):
                    await post(client, f"http://a:{there.port}/")


async def test_all_addresses_of_a_name_being_denied_it_is_no_answer() -> None:
    with lookups(a="10.0.0.1 10.0.0.2") as names:
        async with denying("private", names) as client:
            with pytest.raises(NoAnswerError) as caught:
                await post(client, "http://a/")
            assert str(caught.value) == "10.0.0.1 is in a network that SCAUP_SINK_DENY forbids (10.0.0.0/8)"


async def test_name_server_that_changes_its_mind_cannot_lead_a_connection_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address that was checked is the one connected to; and each new connection is checked."""
    monkeypatch.setattr(resolving, "FRESH_S", 0.0)
    with lookups() as names:
        answers = [("127.0.0.1",), ("127.0.0.9",)]

        def in_turn(host: str, port: object, **more: object) -> object:
            names.known[host] = answers.pop(0)
            return names(host, port, **more)

        async with sink() as there, denying("127.0.0.9", in_turn) as client:  # type: ignore[arg-type]
            there.script = lambda _request: answer(202, headers={"connection": "close"})
            with untouched(there.port, "127.0.0.9"):
                assert (await post(client, f"http://a:{there.port}/")).status == 202
                assert (names.asked["a"], there.connections) == (1, 1)
                with pytest.raises(NoAnswerError, match=r"127\.0\.0\.9 is in a network"):
                    await post(client, f"http://a:{there.port}/")


async def test_denied_sink_is_tried_again_and_its_event_becomes_a_dead_letter_that_says_why(nats: NatsServer) -> None:
    settings = {"sink_deny": Networks.parse("127.0.0.1")}
    async with working(nats.url, settings) as world, sink() as there:
        allowed = Sink()
        server = await asyncio.start_server(allowed._serve, "127.0.0.2", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            await world.trigger("denied", there.url, delivery=delivery(retry=2))
            await world.trigger("allowed", f"http://127.0.0.2:{port}/")
            sent = await world.send()
            [letter] = await world.dead_letters(1)
            await eventually(lambda: allowed.ids == [sent], "the other sink gets it")
            assert letter.facts.attempts == 3
            assert letter.facts.reason == (
                f"{there.url}: 127.0.0.1 is in a network that SCAUP_SINK_DENY forbids (127.0.0.1/32); "
                "3 attempts were made"
            )
            assert there.connections == 0
        finally:
            server.close()
            await allowed.stop()
