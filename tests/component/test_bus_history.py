"""Looking an event up in a real event log."""

from __future__ import annotations

import pytest

from scaup.core.bus import topology
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.bus.history import find
from scaup.core.codec import stored
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusRequestError, BusUnavailableError
from scaup.core.model.event import Event
from scaup.core.model.names import BrokerUid, event_subject, log_stream, reply_subject
from tests.support.natsserver import NatsServer

BROKER = BrokerUid("b")


def event(event_id: str, source: str = "/me", data: bytes | None = None) -> Event:
    return Event({"specversion": "1.0", "id": event_id, "source": source, "type": "t"}, data)


async def append(bus: Bus, stored_event: Event, subject: str = event_subject(BROKER)) -> None:
    await bus.acked.store(subject, stored_event.data or b"", stored.to_headers(stored_event))


async def test_the_newest_event_of_an_id_is_found_with_its_data(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        assert await find(bus, BROKER, "1") is None
        await topology.ensure_broker(bus, BrokerDefinition(BROKER, "default", "b"))
        assert await find(bus, BROKER, "1") is None
        await append(bus, event("Zoë 1", data=b"old"))
        await append(bus, event("Zoë 1", source="/other", data=b"\x00\xff"))
        for number in range(150):
            await append(bus, event(f"n{number}"), reply_subject(BROKER) if number % 2 else event_subject(BROKER))
        await bus.acked.store(event_subject(BROKER), b"no event of ours", {})
        for sequence in (1, 3, 100):
            await bus.api(f"STREAM.MSG.DELETE.{log_stream(BROKER)}", {"seq": sequence})
        await append(bus, event("Zoë 1", data=b"new"))
        assert await find(bus, BROKER, "Zoë 1") == event("Zoë 1", data=b"new")
        assert await find(bus, BROKER, "Zoë 1", "/other") == event("Zoë 1", "/other", b"\x00\xff")
        assert await find(bus, BROKER, "n1") == event("n1")
        assert await find(bus, BROKER, "n0") is None  # removed
        assert await find(bus, BROKER, "n1", "/other") is None


async def test_no_more_entries_are_looked_at_than_the_limit_says(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await topology.ensure_broker(bus, BrokerDefinition(BROKER, "default", "b"))
        for number in range(10):
            await append(bus, event(str(number)))
        assert await find(bus, BROKER, "5", limit=5) == event("5")
        assert await find(bus, BROKER, "4", limit=5) is None


async def test_a_refusal_and_a_bus_that_is_away_are_errors_not_absence(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        await topology.ensure_broker(bus, BrokerDefinition(BROKER, "default", "b"))
        await append(bus, event("1"))
        config = (await bus.api(f"STREAM.INFO.{log_stream(BROKER)}"))["config"]
        await bus.api(f"STREAM.UPDATE.{log_stream(BROKER)}", config | {"allow_direct": False})
        with pytest.raises((BusRequestError, BusUnavailableError)):
            await find(bus, BROKER, "1")
        nats.kill()
        with pytest.raises(BusUnavailableError):
            await find(bus, BROKER, "1")
