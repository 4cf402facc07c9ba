"""The official SDKs for Go and JavaScript as producers and as sinks, with a whole broker between them.

Python's is in ``component/test_interop_sdk.py``. What the SDKs do differently is said in decision 0004.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from scaup.core.codec import percent
from tests.support.dataplane import delivery
from tests.support.interop import Sdk, SdkSink, Seen, go_sdk, js_sdk
from tests.support.natsserver import NatsServer
from tests.support.sinks import Sink, sink
from tests.support.spec import WholeBroker, whole_broker
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

SDKS = {"go": go_sdk, "js": js_sdk}
TIME = "2026-11-22T10:00:00.123Z"
TYPES = {"anint": 5, "abool": True, "atext": "a b"}
"""Extensions of each type. The log has texts alone, so that an event is the same in whichever mode it came."""
MODES = ("binary", "structured")


def an_event(**members: Any) -> Seen:
    return {"specversion": "1.0", "id": "1", "source": "/sdk/a", "type": "com.example.sdk", "time": TIME} | members


def older(**members: Any) -> Seen:
    return an_event(specversion="0.3", **members)


JSON = {"datacontenttype": "application/json", "data": '{"a":"Zoë"}'.encode()}
TEXT = {"datacontenttype": "text/plain", "data": "Zoë €".encode()}
BYTES = {"datacontenttype": "image/png", "data": bytes(range(256))}
EVENTS = {
    "json": an_event(schema="https://example.com/s", subject="a/b 100%", extensions=TYPES, **JSON),
    "text": an_event(**TEXT),
    "bytes": an_event(**BYTES),
    "no-data": an_event(extensions={"anint": -2147483648}, datacontenttype="text/plain"),
    "older-json": older(schema="/relative#a", subject="a b", extensions=TYPES, **JSON),
    "older-no-data": older(datacontenttype="text/plain"),  # in binary mode JavaScript makes up a type otherwise
}
IN_JSON = EVENTS | {"beyond-ascii": an_event(subject="Zoë € 😀", **JSON), "older-bytes": older(**BYTES)}
"""What JavaScript cannot put into headers (its http module refuses it), or does not as the others do."""


@dataclass
class World:
    """A broker with a sink of each SDK for each mode, and one that sees what is on the wire."""

    broker: WholeBroker
    sinks: dict[tuple[str, str], SdkSink]
    wire: Sink

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.broker.producer.port}/default/one"

    async def arrives(self, sent: Seen) -> None:
        """Every sink understands the event as it was sent."""
        for (sdk, mode), there in self.sinks.items():
            await eventually(lambda there=there: there.of(sent["id"]), f"{sent['id']} comes to {sdk} in {mode} mode")  # type: ignore[misc]
            assert _plain(there.of(sent["id"])) == _as_understood(sent, mode), (sdk, mode)


def _plain(seen: Seen | None) -> Seen:
    """Without what the broker adds, and what is empty."""
    assert seen is not None
    extensions = {name: value for name, value in (seen["extensions"] or {}).items() if name != "knativearrivaltime"}
    return {name: value for name, value in (seen | {"extensions": extensions}).items() if value}


def _as_understood(sent: Seen, mode: str) -> Seen:
    """By a recipient that decodes no headers, as neither SDK does."""
    encode = percent.encode if mode == "binary" else str
    extensions = {name: encode(_text(value)) for name, value in sent.get("extensions", {}).items()}
    found = sent | {"extensions": extensions}
    if "subject" in sent:
        found["subject"] = encode(sent["subject"])
    return {name: value for name, value in found.items() if value}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@asynccontextmanager
async def world(nats_url: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(whole_broker(nats_url))
        sinks: dict[tuple[str, str], SdkSink] = {}
        for name, sdk in SDKS.items():
            for mode, written in zip(MODES, ("binary", "json"), strict=True):
                there = sinks[name, mode] = await stack.enter_async_context(sdk().sink())
                await broker.world.trigger(f"{name}-{mode}", there.url, delivery=delivery(format=written))
        wire = await stack.enter_async_context(sink())
        await broker.world.trigger("wire", wire.url)
        yield World(broker, sinks, wire)


async def accepted(sdk: Sdk, url: str, mode: str, *events: Seen) -> None:
    assert await sdk.send(url, mode, *events) == (202, "")


@pytest.mark.parametrize("producer", SDKS)
@pytest.mark.parametrize("mode", MODES)
async def test_what_an_sdk_sends_all_of_them_understand(nats: NatsServer, producer: str, mode: str) -> None:
    sdk = SDKS[producer]()
    events = [event | {"id": name} for name, event in (EVENTS if mode == "binary" else IN_JSON).items()]
    async with world(nats.url) as here:
        await asyncio.gather(*(accepted(sdk, here.url, mode, event) for event in events))
        for event in events:
            await here.arrives(event)


async def test_what_go_puts_into_headers_without_encoding_it_arrives_as_it_was_meant(nats: NatsServer) -> None:
    event = an_event(subject="Zoë € 😀", extensions={"atext": "50 % \\u00e9"})
    async with world(nats.url) as here:
        await accepted(go_sdk(), here.url, "binary", event)
        await here.arrives(event)


@pytest.mark.parametrize("producer", SDKS)
async def test_a_batch_of_an_sdk_is_taken(nats: NatsServer, producer: str) -> None:
    sdk = SDKS[producer]()
    batches = [
        [an_event(id="a", **JSON), an_event(id="b", subject="Zoë", **BYTES)],
        [older(id="c", schema="/s", **JSON), older(id="d")],
    ]
    async with world(nats.url) as here:
        for batch in batches:
            await accepted(sdk, here.url, "batch", *batch)
            for event in batch:
                await here.arrives(event)


@pytest.mark.parametrize(("replier", "how"), [("go", "binary"), ("js", "binary"), ("js", "structured")])
@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_a_reply_of_an_sdk_is_an_event(nats: NatsServer, replier: str, how: str, version: str) -> None:
    question = an_event(specversion=version, type="com.example.asks", extensions={"replymode": how})
    async with whole_broker(nats.url) as here, SDKS[replier]().sink() as asked, sink() as wire:
        await here.world.trigger("asked", asked.url, attributes={"type": "com.example.asks"})
        await here.world.trigger("wire", wire.url, attributes={"type": "com.example.reply"})
        await accepted(SDKS[replier](), f"http://127.0.0.1:{here.producer.port}/default/one", "structured", question)
        await eventually(lambda: wire.requests, "the reply arrives")
    request = wire.requests[0]
    headers = {name: request.headers[f"ce-{name}"] for name in ("specversion", "id", "source", "anint")}
    assert headers == {"specversion": version, "id": "reply-to-1", "source": f"/{replier}/sink", "anint": "7"}
    assert (request.headers["content-type"], request.body) == ("application/json", b'{"to":"1"}')


async def test_base64_of_an_older_event_in_binary_mode_goes_on_as_it_is_and_is_decoded_in_json(
    nats: NatsServer,
) -> None:
    """JavaScript's SDK sends it so. Go's refuses such an event in binary mode; in JSON both understand it."""
    event = older(datacontenttype="image/png", data=b"\0\xff")
    async with world(nats.url) as here:
        await accepted(js_sdk(), here.url, "binary", event)
        await eventually(lambda: here.wire.requests, "it arrives")
        for sdk in SDKS:
            there = here.sinks[sdk, "structured"]
            await eventually(lambda there=there: there.seen, f"{sdk} understands it")  # type: ignore[misc]
            assert there.seen[0]["data"] == b"\0\xff"
    request = here.wire.requests[0]
    assert (request.headers["ce-datacontentencoding"], request.body) == ("base64", b"AP8=")
