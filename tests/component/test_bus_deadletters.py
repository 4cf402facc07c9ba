"""Reading the dead letters that are kept, from a real stream."""

from __future__ import annotations

import pytest

from scaup.core.bus import entries, topology
from scaup.core.bus.connection import BusAccess, connect
from scaup.core.bus.deadletters import Part, last_sequence, page, pages, read, remove
from scaup.core.codec import kept, stored
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusUnavailableError
from scaup.core.model.event import Event
from scaup.core.model.names import BrokerUid, TriggerUid, dead_stream, dead_subject
from tests.support.natsserver import NatsServer

BROKER = BrokerUid("b")
EVENT = Event({"specversion": "1.0", "id": "Zoë 1", "source": "/me", "type": "t"}, b"data")


async def test_the_newest_are_read_oldest_first_with_event_and_fate(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        assert await read(bus, BROKER) == []
        await topology.ensure_broker(bus, BrokerDefinition(BROKER, "default", "b"))
        assert await read(bus, BROKER) == []
        facts = kept.Facts(7, attempts=3, reason="status 500", status=500, destination="http://x/", error_data=b"no")
        headers = stored.to_headers(EVENT) | kept.to_headers(facts) | {kept.TRIGGER: "default/t"}
        for _ in range(100):
            await bus.acked.store(dead_subject(BROKER, TriggerUid("u")), b"data", headers)
        for sequence in (2, 99):
            await bus.api(f"STREAM.MSG.DELETE.{dead_stream(BROKER)}", {"seq": sequence})
        await bus.acked.store(dead_subject(BROKER, TriggerUid("u")), b"strange")
        found = await read(bus, BROKER, limit=3)
        assert [letter.sequence for letter in found] == [98, 100, 101]
        assert found[0].event == EVENT
        assert (found[0].facts, found[0].trigger, found[0].trigger_name) == (facts, "u", "default/t")
        assert found[2].facts == kept.Facts(0)
        assert len(await read(bus, BROKER)) == 99


async def test_pages_hold_each_dead_letter_of_a_part_once_and_none_that_came_later(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        assert await last_sequence(bus, BROKER) == 0
        assert await page(bus, Part(BROKER, 1, 10), 5) == []
        await topology.ensure_broker(bus, BrokerDefinition(BROKER, "default", "b"))
        assert await page(bus, Part(BROKER, 1, 10), 5) == []
        large = stored.to_headers(EVENT) | kept.to_headers(kept.Facts(1))
        for number in range(20):
            trigger = TriggerUid("u" if number % 2 else "v")
            await bus.acked.store(dead_subject(BROKER, trigger), b"x" * 700_000, large)
        through = await last_sequence(bus, BROKER)
        await bus.acked.store(dead_subject(BROKER, TriggerUid("u")), b"later", large)
        found = [[a.sequence for a in some] async for some in pages(bus, Part(BROKER, 1, through, TriggerUid("u")), 8)]
        assert [number for some in found for number in some] == list(range(2, 21, 2))
        assert len(found[0]) < 8  # a page of large events is shorter
        both = [letter async for some in pages(bus, Part(BROKER, 3, through)) for letter in some]
        assert [letter.sequence for letter in both] == list(range(3, 21))
        assert both[0].event.id == "Zoë 1"


async def test_only_what_is_named_is_removed_and_counted_once(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        assert await remove(bus, BROKER, [1]) == 0
        await topology.ensure_broker(bus, BrokerDefinition(BROKER, "default", "b"))
        headers = stored.to_headers(EVENT) | kept.to_headers(kept.Facts(1))
        for _ in range(5):
            await bus.acked.store(dead_subject(BROKER, TriggerUid("u")), b"", headers)
        assert await remove(bus, BROKER, [2, 4, 9]) == 2
        assert await remove(bus, BROKER, [2, 4]) == 0
        assert [letter.sequence for letter in await read(bus, BROKER)] == [1, 3, 5]


async def test_a_stream_can_be_read_from_the_moment_it_is_made(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        for number in range(100):
            config = {"name": f"s-{number}", "subjects": [f"s.{number}.>"], "storage": "memory", "allow_direct": True}
            await bus.api(f"STREAM.CREATE.s-{number}", config)
            assert await entries.page(bus, f"s-{number}", ">", 1, 10) == []


async def test_a_stream_that_nobody_answers_for_is_said_to_be_so_and_one_that_is_gone_is_empty(
    nats: NatsServer,
) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        config = {"name": "deaf", "subjects": ["deaf.>"], "storage": "memory", "allow_direct": False}
        await bus.api("STREAM.CREATE.deaf", config)
        with pytest.raises(BusUnavailableError, match="nobody answers for entries of deaf"):
            await entries.page(bus, "deaf", ">", 1, 10)
        assert await entries.page(bus, "gone", ">", 1, 10) == []
