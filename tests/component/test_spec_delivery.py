"""Knative Eventing, specs/eventing/control-plane.md, what it says about delivery: a test for each row.

The rows are those of docs/conformance.md. Black box, as in test_spec_dataplane.py.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from pathlib import Path
from typing import Any

import pytest

from scaup.core.model import names
from scaup.core.model.definitions import Destination
from tests.support.broker import a_broker
from tests.support.controlplane import data_plane
from tests.support.controlplane import world as controlled
from tests.support.dataplane import delivery
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Reaction, Request, answer, reply, sink
from tests.support.waiting import eventually

ONLY = {"type": "com.example.test"}
"""Of what a test posts, and not of what a sink replies."""


async def test_cp_3_every_valid_event_is_accepted_and_forwarded_to_every_trigger(nats: NatsServer) -> None:
    valid: list[dict[str, str]] = [
        {"type": "a"},
        {"type": "b", "subject": "s", "time": "2026-11-22T10:00:00.123456789+01:30"},
        {"type": "c", "dataschema": "http://schemas.test/x", "myextension": "1"},
        {"type": "t" * 300, "source": "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"},
    ]
    async with a_broker(nats.url) as broker, sink() as one, sink() as two:
        await broker.here.trigger("one", one.url)
        await broker.here.trigger("two", two.url)
        for number, attributes in enumerate(valid):
            assert await broker.post(f"e-{number}", b"data", **attributes) == 202
        await broker.settled()
        for there in (one, two):
            assert sorted(there.ids) == [f"e-{number}" for number in range(len(valid))]


async def test_cp_18_a_reference_is_resolved_to_the_address_of_its_object(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.address("address/v1/Service/default/svc", there.url + "base/")
        await broker.here.trigger("t", Destination(address="address/v1/Service/default/svc"))
        await broker.post("e")
        await broker.settled()
        assert [request.path for request in there.requests] == ["/base/"]


async def test_cp_19_a_uri_beside_a_reference_is_relative_to_its_address(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.address("address/v1/Service/default/svc", there.url + "base/")
        for number, uri in enumerate(("sub?x=1", "/root", "../up")):
            await broker.here.trigger(f"t-{number}", Destination(address="address/v1/Service/default/svc", uri=uri))
        await broker.post("e")
        await broker.settled()
        assert sorted(request.path for request in there.requests) == ["/base/sub?x=1", "/root", "/up"]


async def test_cp_21_an_event_is_delivered_although_everything_was_restarted_after_it_was_acknowledged(
    nats: NatsServer,
) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.dispatchers[0].stop()
        await broker.here.trigger("t", there.url)
        assert await broker.post("e") == 202
        nats.kill()
        await asyncio.to_thread(nats.start)
        await eventually(lambda: broker.here.bus.is_connected, "NATS is back")
        await broker.here.dispatcher(replica="next")
        await eventually(lambda: there.ids == ["e"], "it is delivered", within_s=30)


async def test_cp_22_and_cp_23_each_event_is_delivered_once_for_each_trigger_also_to_equal_destinations(
    nats: NatsServer,
) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        for number in range(3):
            await broker.here.trigger(f"t-{number}", there.url)
        for number in range(20):
            await broker.post(f"e-{number}")
        await broker.settled()
        assert sorted(there.ids) == sorted([f"e-{number}" for number in range(20)] * 3)


async def test_cp_24_data_is_not_changed(nats: NatsServer) -> None:
    data = {"j": b' {"a" : 1.0, "b":[ ]}\n', "x": b"\x00\xff\r\n", "empty": b"", "u": "½ é".encode()}
    async with a_broker(nats.url) as broker, sink() as there:
        await broker.here.trigger("t", there.url)
        for event, body in data.items():
            await broker.post(event, body, datacontenttype="")
        await broker.settled()
        assert {request.id: request.body for request in there.requests} == data


async def test_cp_25_and_cp_26_replies_are_routed_like_events_also_to_the_trigger_that_made_them(
    nats: NatsServer,
) -> None:
    async with a_broker(nats.url) as broker, sink() as there, sink() as other, sink() as neither:
        there.script = lambda request: reply("r", kind="b") if request.id == "e" else OK
        await broker.here.trigger("replies", there.url)
        await broker.here.trigger("wants", other.url, attributes={"type": "b"})
        await broker.here.trigger("wants-not", neither.url, attributes={"type": "c"})
        await broker.post("e")
        await eventually(lambda: there.ids == ["e", "r"] and other.ids == ["r"], "the reply is delivered")
        await broker.settled()
        assert not neither.requests
        assert [msg.subject for msg in await broker.here.log()][1] == names.reply_subject(broker.here.broker.uid)


async def test_cp_27_where_the_reply_cannot_be_stored_the_whole_delivery_is_tried_again(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink(reply("r")) as there, sink() as other:
        stream = names.log_stream(broker.here.broker.uid)
        await broker.here.trigger("replies", there.url, attributes=ONLY, delivery=delivery(retry=1000))
        await broker.here.trigger("hears", other.url, attributes={"type": "a.reply"})
        config: dict[str, Any] = (await broker.here.bus.api(f"STREAM.INFO.{stream}"))["config"]
        no_replies = config | {"subjects": [names.event_subject(broker.here.broker.uid)]}
        await broker.here.bus.api(f"STREAM.UPDATE.{stream}", no_replies)
        await broker.post("e")
        await eventually(lambda: len(there.requests) >= 3, "it is tried again")
        assert not other.requests
        await broker.here.bus.api(f"STREAM.UPDATE.{stream}", config)
        await eventually(lambda: other.ids == ["r"], "the reply is delivered")


async def test_cp_28_a_loop_of_replies_ends(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there:
        there.script = lambda request: reply(request.id + "+")
        await broker.here.trigger("loops", there.url)
        await broker.post("e", knativebrokerttl="5")
        await broker.here.dead_letters(1)
        await broker.settled()
        assert 2 <= len(there.ids) <= 5


async def test_cp_30_a_change_of_the_resolved_address_is_what_counts(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as old, sink() as new:
        key = "address/v1/Service/default/svc"
        await broker.here.address(key, old.url)
        await broker.here.trigger("t", Destination(address=key))
        await broker.post("one")
        await broker.settled()
        await broker.here.address(key, new.url)

        async def goes_there() -> bool:
            await broker.post("two")
            await broker.settled()
            return bool(new.ids)

        _: bool = await eventually(goes_there, "the new address is used")
        assert old.ids[0] == "one"


@pytest.mark.parametrize("retry", [0, 1, 3])
async def test_cp_31_a_delivery_is_tried_again_as_often_as_retry_says(nats: NatsServer, retry: int) -> None:
    async with a_broker(nats.url) as broker, sink(answer(500)) as there:
        await broker.here.trigger("t", there.url, delivery=delivery(retry=retry))
        await broker.post("e")
        [letter] = await broker.here.dead_letters(1)
        await broker.settled()
        assert len(there.requests) == letter.facts.attempts == 1 + retry


@pytest.mark.parametrize(
    ("policy", "expected"), [("linear", (0.2, 0.2, 0.2)), ("exponential", (0.2, 0.4, 0.8))], ids=["linear", "exp"]
)
async def test_cp_31_and_cp_36_waits_are_those_of_the_policy(
    nats: NatsServer, policy: str, expected: tuple[float, ...]
) -> None:
    async with a_broker(nats.url) as broker, sink(answer(500), answer(500), answer(500), OK) as there:
        await broker.here.trigger(
            "t", there.url, delivery=delivery(retry=5, backoff_policy=policy, backoff_delay_s=0.2)
        )
        await broker.post("e")
        await eventually(lambda: len(there.requests) == 4, "it is delivered at last")
        waits = [later.at - earlier.at for earlier, later in itertools.pairwise(there.requests)]
        assert all(least <= wait < 2 * least + 0.5 for wait, least in zip(waits, expected, strict=True))


@pytest.mark.parametrize("size", [0, 1, 767, 768, 769, 100_000])
async def test_cp_32_what_cannot_be_delivered_goes_to_the_dead_letter_sink_with_the_error(
    nats: NatsServer, size: int
) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    async with a_broker(nats.url) as broker, sink(answer(400, body[:size])) as there, sink() as dead:
        await broker.here.trigger("t", there.url, delivery=delivery(dead_letter_sink=Destination(uri=dead.url)))
        await broker.post("e", b"data", subject="s")
        await eventually(lambda: dead.ids == ["e"], "it is a dead letter")
        await broker.settled()
        [request] = dead.requests
        assert (request.body, request.headers["ce-subject"]) == (b"data", "s")
        assert request.headers["ce-knativeerrordest"] == there.url
        assert request.headers["ce-knativeerrorcode"] == "400"
        error = base64.b64decode(request.headers.get("ce-knativeerrordata", "").replace("%3D", "="))
        assert error == body[: min(size, 768)]
        assert not await broker.here.dead_letters()


async def test_cp_32_without_a_dead_letter_sink_an_event_is_kept_rather_than_dropped(nats: NatsServer) -> None:
    """The specification lets a Broker drop it."""
    async with a_broker(nats.url) as broker, sink(answer(400, b"no")) as there:
        await broker.here.trigger("t", there.url)
        await broker.post("e", b"data")
        [letter] = await broker.here.dead_letters(1)
        assert (letter.event.id, letter.event.data, letter.facts.status) == ("e", b"data", 400)


async def test_cp_33_deliveries_to_the_dead_letter_sink_are_tried_again_with_the_same_parameters_and_then_kept(
    nats: NatsServer,
) -> None:
    async with a_broker(nats.url) as broker, sink(answer(400)) as there, sink(answer(503)) as dead:
        policy = delivery(retry=2, dead_letter_sink=Destination(uri=dead.url))
        await broker.here.trigger("t", there.url, delivery=policy)
        await broker.post("e")
        [letter] = await broker.here.dead_letters(1)
        await broker.settled()
        assert (len(there.requests), dead.ids) == (1, ["e"] * 3)
        assert letter.event.id == "e"


async def test_cp_35_a_trigger_with_any_delivery_ignores_that_of_its_broker_as_a_whole(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with controlled(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker(delivery={"retry": 7, "timeout": "PT3S", "format": "json", "backoffPolicy": "linear"})
        subscriber = {"uri": "http://127.0.0.1:9/"}
        await w.until(await w.trigger("without", subscriber), "Ready", "True")
        await w.until(await w.trigger("with", subscriber, delivery={"retry": 1}), "Ready", "True")
        found = {trigger.name: trigger.delivery for trigger in plane.triggers.values()}
        assert (found["without"].retry, found["without"].timeout_s, found["without"].format) == (7, 3.0, "json")
        assert found["without"].backoff_policy == "linear"
        assert (found["with"].retry, found["with"].timeout_s, found["with"].format) == (1, 30.0, None)
        assert found["with"].backoff_policy == "exponential"


async def test_cp_37_a_filter_wants_every_key_present_with_just_that_value(nats: NatsServer) -> None:
    async with a_broker(nats.url) as broker, sink() as there, sink() as any_value:
        await broker.here.trigger("exact", there.url, attributes={"type": "A", "myext": "x"})
        await broker.here.trigger("any", any_value.url, attributes={"myext": ""})
        for event, attributes in {
            "both": {"type": "A", "myext": "x"},
            "case": {"type": "a", "myext": "x"},
            "other": {"type": "A", "myext": "y"},
            "absent": {"type": "A"},
        }.items():
            await broker.post(event, b"", **attributes)
        await broker.settled()
        assert there.ids == ["both"]
        assert sorted(any_value.ids) == ["both", "case", "other"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"{}"),
        ({"content-type": "application/cloudevents+json"}, b"{"),
        ({"content-type": "application/cloudevents+json"}, b'{"specversion": "1.0"}'),
        ({"ce-specversion": "1.0", "ce-id": "e", "ce-source": "/s", "ce-type": ""}, b""),
        ({"ce-specversion": "1.0", "ce-id": "e", "ce-source": "/s", "ce-type": "t", "ce-TOO_BAD": "x"}, b""),
    ],
    ids=["no event", "broken JSON", "attributes missing", "empty type", "name of an extension"],
)
async def test_cp_44_malformed_requests_are_refused(nats: NatsServer, headers: dict[str, str], body: bytes) -> None:
    async with a_broker(nats.url) as broker:
        found = await broker.send("POST", headers, body)
        assert 400 <= found.status < 500
        assert not await broker.here.log()


async def test_timeout_is_for_each_attempt_and_counts_as_a_failure(nats: NatsServer) -> None:
    """DeliverySpec ``timeout``."""

    def late_once(request: Request) -> Reaction:
        return answer(202, delay_s=2.0) if len(there.requests) == 1 else OK

    async with a_broker(nats.url) as broker, sink() as there:
        there.script = late_once
        await broker.here.trigger("t", there.url, delivery=delivery(retry=1, timeout_s=0.3))
        await broker.post("e")
        await eventually(lambda: len(there.requests) == 2, "it is tried again")
        assert there.requests[1].at - there.requests[0].at < 1.9
        await broker.settled()
        assert not await broker.here.dead_letters()
