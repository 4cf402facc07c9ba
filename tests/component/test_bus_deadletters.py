"""Reading the dead letters that are kept, from a real stream."""

from __future__ import annotations

from scaup.core.bus import topology
from scaup.core.bus.connection import BusAccess, connect
from scaup.core.bus.deadletters import read
from scaup.core.codec import kept, stored
from scaup.core.model.definitions import BrokerDefinition
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
