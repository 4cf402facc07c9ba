"""Events of CloudEvents 0.3 from producer to sink (decision 0019): they arrive, in either mode, as what they are."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from scaup.core.bus.replays import send_again
from scaup.core.codec import stored
from scaup.core.codec.kept import Facts, Replay
from scaup.core.model.definitions import Destination
from scaup.core.model.names import Lane, TriggerUid
from tests.support.dataplane import delivery
from tests.support.listening import listening
from tests.support.natsserver import NatsServer
from tests.support.rawhttp import Answer
from tests.support.sinks import OK, Request, answer, reply, sink
from tests.support.spec import STRUCTURED, WholeBroker, until_quiet, whole_broker
from tests.support.waiting import eventually

OLDER = {"specversion": "0.3", "id": "1", "source": "/tests", "type": "com.example.test"}
BATCH = "application/cloudevents-batch+json"


def as_event(request: Request) -> dict[str, Any]:
    """What a sink reads, without what the broker adds, whatever the mode."""
    if request.headers.get("content-type", "").startswith("application/cloudevents"):
        found = dict(orjson.loads(request.body))
    else:
        found = {name[3:]: value for name, value in request.headers.items() if name.startswith("ce-")}
        found |= {"datacontenttype": request.headers["content-type"]} if "content-type" in request.headers else {}
        found |= {"body": request.body} if request.body else {}
    assert found.pop("knativearrivaltime")
    return found


async def in_json(here: WholeBroker, **members: Any) -> Answer:
    """An event of 0.3 in structured mode."""
    return await here.producer.send("POST", {"content-type": STRUCTURED}, orjson.dumps(OLDER | members))


async def in_binary(here: WholeBroker, data: bytes = b"", content_type: str = "", **more: str) -> Answer:
    """The same in binary mode."""
    headers = {f"ce-{name}": value for name, value in (OLDER | more).items()}
    return await here.producer.send("POST", headers | ({"content-type": content_type} if content_type else {}), data)


async def test_an_older_event_arrives_as_one_in_either_mode(nats: NatsServer) -> None:
    """Structured with bytes, structured with JSON, binary, and a batch of two."""
    async with whole_broker(nats.url) as here, sink() as binary, sink() as structured:
        await here.world.trigger("binary", binary.url)
        await here.world.trigger("structured", structured.url, delivery=delivery(format="json"))
        bytes_in_json = {"datacontenttype": "image/png", "datacontentencoding": "base64", "data": "AAEC"}
        batch = orjson.dumps([OLDER | {"id": "4"}, OLDER | {"id": "5", "data": "x"}])
        statuses = [
            (await in_json(here, schemaurl="/relative#a", **bytes_in_json)).status,
            (await in_json(here, id="2", data={"a": 1})).status,
            (await in_binary(here, b"<a/>", "text/xml", id="3", schemaurl="urn:a")).status,
            (await here.producer.send("POST", {"content-type": BATCH}, batch)).status,
        ]
        assert statuses == [202] * 4
        await eventually(lambda: min(len(binary.requests), len(structured.requests)) == 5, "all arrive")
    as_binary = {request.id: as_event(request) for request in binary.requests}
    as_structured = {request.id: as_event(request) for request in structured.requests}
    one, xml = OLDER | {"schemaurl": "/relative#a"}, OLDER | {"id": "3", "schemaurl": "urn:a"}
    json_type = {"datacontenttype": "application/json"}
    assert as_binary == {
        "1": one | {"datacontenttype": "image/png", "body": b"\0\1\2"},
        "2": OLDER | json_type | {"id": "2", "body": b'{"a":1}'},
        "3": xml | {"datacontenttype": "text/xml", "body": b"<a/>"},
        "4": OLDER | {"id": "4"},
        "5": OLDER | json_type | {"id": "5", "body": b'"x"'},
    }
    assert as_structured == {
        "1": one | bytes_in_json,
        "2": OLDER | json_type | {"id": "2", "data": {"a": 1}},
        "3": xml | {"datacontenttype": "text/xml", "data": "<a/>"},
        "4": OLDER | {"id": "4"},
        "5": OLDER | json_type | {"id": "5", "data": "x"},
    }


async def test_a_plain_nats_client_reads_it_in_the_log_as_what_it_is(nats: NatsServer) -> None:
    async with whole_broker(nats.url) as here, listening(nats.url, "scaup.log.>") as heard:
        assert (await in_json(here, schemaurl="/s", data="e30=", datacontentencoding="base64")).status == 202
        entry = await asyncio.wait_for(heard.get(), 20)
    headers = entry.headers or {}
    assert (headers["ce-specversion"], headers["ce-schemaurl"], entry.data) == ("0.3", "/s", b"{}")
    assert "ce-datacontentencoding" not in headers


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ({"attributes": {"schemaurl": "/s"}}, True),
        ({"attributes": {"dataschema": "/s"}}, True),
        ({"attributes": {"schemaurl": "/t"}}, False),
        ({"attributes": {"specversion": "0.3"}}, True),
        ({"exact": {"schemaurl": "/s"}}, True),
        ({"exact": {"dataschema": "/s"}}, False),
        ({"cesql": "schemaurl = '/s' AND specversion = '0.3'"}, True),
        ({"cesql": "EXISTS dataschema"}, False),
        ({"cel": "has(ce.schemaurl) && ce.schemaurl == '/s' && !has(ce.dataschema)"}, True),
        ({"cel": "data.a == 1"}, True),
    ],
)
async def test_filters_see_its_own_attributes(nats: NatsServer, filters: dict[str, Any], matches: bool) -> None:
    async with whole_broker(nats.url) as here, sink() as there, sink() as everything:
        await here.world.trigger("t", there.url, filters=(filters,))
        await here.world.trigger("all", everything.url)
        assert (await in_json(here, schemaurl="/s", data={"a": 1})).status == 202
        await until_quiet(here.world)
        assert (len(there.requests), len(everything.requests)) == (int(matches), 1)


async def test_an_older_reply_is_an_event_like_any_other(nats: NatsServer) -> None:
    replying = reply("r", specversion="0.3", schemaurl="/s")
    async with whole_broker(nats.url) as here, sink(replying) as asked, sink() as other:
        await here.world.trigger("asked", asked.url, attributes={"type": OLDER["type"]})
        await here.world.trigger("other", other.url, attributes={"type": "a.reply"})
        assert (await here.producer.post()).status == 202
        await eventually(lambda: other.requests, "the reply arrives")
    assert as_event(other.requests[0]) == OLDER | {"id": "r", "source": "/sink", "type": "a.reply", "schemaurl": "/s"}


async def test_its_dead_letter_and_its_replay_are_older_too(nats: NatsServer) -> None:
    async with (
        whole_broker(nats.url, {"max_wait_s": 1e12}) as here,
        sink(answer(422)) as bad,
        sink(answer(422), OK) as mended,
        sink() as dead,
    ):
        to_dead = delivery(retry=0, dead_letter_sink=Destination(uri=dead.url))
        await here.world.trigger("dead", bad.url, delivery=to_dead)
        await here.world.trigger("kept", mended.url, delivery=delivery(retry=0, format="json"))
        assert (await in_binary(here, b"\0", "image/png", schemaurl="/s")).status == 202
        await eventually(lambda: dead.requests, "the dead letter arrives")
        [kept] = await here.world.dead_letters(1)
        facts = Facts(kept.facts.sequence, kept.facts.accepted, replay=Replay("r1", kept.stored_at, kept.sequence))
        lane = Lane(here.world.broker.uid, TriggerUid("kept"))
        await send_again(here.world.bus, lane, stored.to_headers(kept.event), kept.event.data or b"", facts)
        await eventually(lambda: len(mended.requests) == 2, "its replay arrives")
    found = as_event(dead.requests[0])
    assert (found["specversion"], found["schemaurl"], found["body"]) == ("0.3", "/s", b"\0")
    assert found["knativeerrorcode"] == "422"
    bytes_in_json = {"datacontenttype": "image/png", "datacontentencoding": "base64", "data": "AA=="}
    assert as_event(mended.requests[1]) == OLDER | bytes_in_json | {"schemaurl": "/s"}
