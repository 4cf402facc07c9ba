"""With the official CloudEvents SDK as producer, and a plain NATS client as reader of the log."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cloudevents.core.bindings.http import HTTPMessage as SdkMessage
from cloudevents.core.bindings.http import from_binary_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from scaup.core.bus.connection import BusAccess, connect
from scaup.core.codec import http, jsonformat, stored
from tests.support.events import a_broker, an_event
from tests.support.listening import listening
from tests.support.natsserver import NatsServer
from tests.support.rawhttp import send
from tests.support.services import define, service

BROKER = a_broker()
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "sdk 1 100%",
    "source": "/sdk/Zoë",
    "type": "com.example.sdk",
    "subject": 'a "quoted" € 😀',
    "time": datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
    "datacontenttype": "application/json",
    "myext": "%41",
}
DATA = {"text": "é", "number": 1.5, "list": [1, None, True]}


async def test_what_the_sdk_sends_a_plain_nats_client_reads_as_cloudevents(nats: NatsServer, tmp_path: Path) -> None:
    """The log's entries follow the CloudEvents NATS binding, binary mode."""
    made = CloudEvent(dict(ATTRIBUTES), dict(DATA))
    text = CloudEvent(ATTRIBUTES | {"datacontenttype": "text/plain"}, "just text: é")
    async with connect(BusAccess(nats.url), "test") as bus:
        await define(bus, [BROKER])
        async with listening(nats.url, "scaup.log.>") as heard:
            with service("ingress", tmp_path, nats.url) as ingress:
                await ingress.until_ready()
                for message in (to_binary_event(made), to_structured_event(made), to_binary_event(text)):
                    body = message.body if isinstance(message.body, bytes) else message.body.encode()
                    answer = await send(ingress.port, "POST", "/default/one", message.headers, body)
                    assert (answer.status, answer.body) == (202, b"")
                entries = [await asyncio.wait_for(heard.get(), 20) for _ in range(3)]
    for entry in entries:
        headers = entry.headers or {}
        assert all(name == name.lower() and value.isascii() for name, value in headers.items())
        read = {name.removeprefix("ce-"): unquote(value, errors="strict") for name, value in headers.items()}
        assert datetime.fromisoformat(read.pop("time")) == ATTRIBUTES["time"]
        assert read.pop("knativebrokerttl") == "255"
        assert read.pop("knativearrivaltime")
        kind = read.pop("datacontenttype")
        assert read == {name: ATTRIBUTES[name] for name in read}
        assert read.keys() == ATTRIBUTES.keys() - {"time", "datacontenttype"}
        if kind == "text/plain":
            assert entry.data.decode() == "just text: é"
        else:
            assert json.loads(entry.data) == DATA
    assert [(entry.headers or {})["ce-datacontenttype"] for entry in entries] == ["application/json"] * 2 + [
        "text/plain"
    ]


@pytest.mark.parametrize("data", [None, b'{"a": [1.5, null]}'])
def test_the_sdk_reads_what_we_send(data: bytes | None) -> None:
    event = an_event(data, subject='Zoë "1" 100%', datacontenttype="application/json", myext="%41 b")
    headers, body = http.encode_binary(event)
    found: Any = from_binary_event(SdkMessage(headers, body))
    for name, value in event.attributes.items():
        assert found.get_attributes()[name] == value
    assert found.get_data() == (json.loads(data) if data else None) or not data


def test_what_is_read_from_the_log_is_what_the_sdk_made() -> None:
    message = to_binary_event(CloudEvent(dict(ATTRIBUTES), dict(DATA)))
    raw = [(name.lower().encode(), value.encode()) for name, value in message.headers.items()]
    kind = next(value for name, value in message.headers.items() if name.lower() == "content-type")
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    (event,) = http.decode(kind, raw, body)
    assert stored.from_headers(stored.to_headers(event), event.data or b"") == event
    assert jsonformat.decode(jsonformat.encode(event)).attributes == event.attributes
