"""From definitions to deliveries (specs/eventing/control-plane.md): what Brokers and Triggers say is what happens.

CP-3, CP-18 to CP-20, CP-30, CP-34, CP-35, CP-39 and CP-44, with the real local API, controller and data plane.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from scaup.controller.kube import ApiRefusedError
from tests.support.controlplane import EVENTING, condition_of
from tests.support.natsserver import NatsServer
from tests.support.sinks import OK, Request, answer, sink
from tests.support.spec import STRUCTURED, cluster, until_quiet
from tests.support.waiting import eventually

QUICK = {"retry": 1, "backoffPolicy": "linear", "backoffDelay": "PT0.02S"}


def is_structured(request: Request) -> bool:
    return request.headers["content-type"].startswith(STRUCTURED)


async def test_cp_3_a_ready_broker_accepts_all_valid_events_and_forwards_them_to_every_ready_trigger(
    nats: NatsServer, tmp_path: Path
) -> None:
    """control-plane.md CP-3 (and CP-1, CP-16), MUST: at ``status.address.url``, from the moment both are Ready."""
    async with cluster(tmp_path, nats.url) as here, sink() as one, sink() as other, sink() as broken:
        producer = await here.producer(await here.api.broker())
        await here.ready(await here.api.trigger("one", {"uri": one.url}))
        await here.ready(await here.api.trigger("other", {"uri": other.url}))
        spoilt = await here.api.trigger("broken", {"uri": broken.url}, filters=[{"cesql": "no such thing"}])
        await here.api.until(spoilt, "Ready", "False")
        batch = orjson.dumps([{"specversion": "1.0", "id": f"b{n}", "source": "/s", "type": "t"} for n in range(3)])
        answers = [
            await producer.post("binary", b"\x00", "application/x-odd", myextension="x"),
            await producer.post("bare"),
            await producer.post_json("json", data={"a": [1, None]}, n=1, yes=True),
            await producer.post_json("bytes", data_base64="AAE="),
            await producer.send("POST", {"content-type": "application/cloudevents-batch+json"}, batch),
        ]
        assert [got.status for got in answers] == [202] * 5
        await eventually(lambda: len(one.ids) == len(other.ids) == 7, "both have all")
        await until_quiet(here.plane)
    assert sorted(one.ids) == sorted(other.ids) == sorted(["binary", "bare", "json", "bytes", "b0", "b1", "b2"])
    assert not broken.requests


async def test_cp_18_a_destination_is_any_object_with_an_address_or_a_service(nats: NatsServer, tmp_path: Path) -> None:
    """control-plane.md CP-18, MUST: ``status.address.url`` of what is referred to; a v1 Service by its name.

    Scaup's kind-less rule: any kind will do. The Service's host has the cluster's domain behind ``svc``, as Knative's.
    """
    async with cluster(tmp_path, nats.url) as here, sink() as there:
        producer = await here.producer(await here.api.broker())
        ref = await here.pond("quiet", there.url)
        found = await here.ready(await here.api.trigger("pond", {"ref": ref}))
        assert found["status"]["subscriberUri"] == there.url
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
        await here.api.create("/api/v1/namespaces/default/services", service | {"spec": {"ports": [{"port": 80}]}})
        await producer.post()
        await eventually(lambda: there.ids == ["1"], "the pond has it")
        by_name = {"ref": {"apiVersion": "v1", "kind": "Service", "name": "web"}}
        found = await here.ready(await here.api.trigger("service", by_name))
        assert found["status"]["subscriberUri"].startswith("http://web.default.svc")


RELATIVE = {
    # the reference's path and the uri: what is asked for
    ("", "/in"): "/in",
    ("a/b", "/in"): "/in",
    ("a/b", "in"): "/a/in",
    ("a/b/", "in?x=1"): "/a/b/in?x=1",
    ("a/b/", "../in"): "/a/in",
}


async def test_cp_19_a_uri_beside_a_ref_is_relative_to_it(nats: NatsServer, tmp_path: Path) -> None:
    """control-plane.md CP-19, MUST: by RFC 3986, against the address that the reference has."""
    async with cluster(tmp_path, nats.url) as here, sink() as there:
        producer = await here.producer(await here.api.broker())
        for number, ((base, uri), path) in enumerate(RELATIVE.items()):
            ref = await here.pond(f"pond-{number}", there.url + base)
            found = await here.ready(await here.api.trigger(f"t-{number}", {"ref": ref, "uri": uri}))
            assert found["status"]["subscriberUri"] == there.url.rstrip("/") + path
        await producer.post()
        await eventually(lambda: len(there.requests) == len(RELATIVE), "it is delivered")
    assert sorted(request.path for request in there.requests) == sorted(RELATIVE.values())


async def test_cp_20_what_cannot_be_resolved_is_not_ready_and_says_what_it_is(nats: NatsServer, tmp_path: Path) -> None:
    """control-plane.md CP-20 (and CP-5, CP-12, CP-13), MUST: Ready is False; SHOULD: its reason names it."""
    nobody = {"ref": {"apiVersion": "pond.test/v1", "kind": "Pond", "name": "nobody"}}
    async with cluster(tmp_path, nats.url) as here, sink() as there:
        await here.producer(await here.api.broker())
        subscriber = await here.api.trigger("t", nobody)
        dead = await here.api.trigger("d", {"uri": there.url}, delivery={"deadLetterSink": nobody})
        broker = await here.api.broker("other", delivery={"deadLetterSink": nobody})
        for path, condition in (
            (subscriber, "SubscriberResolved"),
            (dead, "DeadLetterSinkResolved"),
            (broker, "DeadLetterSinkResolved"),
        ):
            value = await here.api.until(path, "Ready", "False")
            assert condition_of(value, condition)["status"] == "False"
            assert "nobody" in condition_of(value, "Ready")["message"]
        assert (await here.api.get(subscriber) or {})["status"]["subscriberUri"] == ""
        await here.pond("nobody", there.url)
        for path in (subscriber, dead, broker):
            await here.ready(path)


async def test_cp_30_deliveries_go_where_the_status_says(nats: NatsServer, tmp_path: Path) -> None:
    """control-plane.md CP-30, MUST: with the URLs and options that the status has resolved; also when they change."""
    async with (
        cluster(tmp_path, nats.url) as here,
        sink(answer(400)) as first,
        sink(answer(400)) as second,
        sink() as dead,
        sink() as dead_too,
    ):
        producer = await here.producer(await here.api.broker())
        ref, dead_ref = await here.pond("quiet", first.url), await here.pond("still", dead.url)
        spec: dict[str, Any] = {"delivery": {"deadLetterSink": {"ref": dead_ref, "uri": "/letters"}}}
        trigger = await here.api.trigger("t", {"ref": ref}, **spec)
        status = (await here.ready(trigger))["status"]
        assert (status["subscriberUri"], status["deadLetterSinkUri"]) == (first.url, dead.url + "letters")
        await producer.post("a")
        await eventually(lambda: dead.ids == ["a"], "it is delivered, refused, and a dead letter")
        await here.move_pond("quiet", second.url)
        await here.move_pond("still", dead_too.url)
        await here.status(trigger, "subscriberUri", second.url)
        await here.status(trigger, "deadLetterSinkUri", dead_too.url + "letters")
        await producer.post("b")
        await eventually(lambda: dead_too.ids == ["b"], "so is the next, at the new addresses")
        await until_quiet(here.plane)
    assert (first.ids, second.ids, dead.ids) == (["a"], ["b"], ["a"])
    assert [request.path for request in (*dead.requests, *dead_too.requests)] == ["/letters", "/letters"]


async def test_cp_34_the_documents_fields_are_all_there_and_no_other_is_needed(
    nats: NatsServer, tmp_path: Path
) -> None:
    """control-plane.md CP-34, MUST: every field of the document is in the API and does what it says; the least that the
    document asks for is enough.
    """
    async with cluster(tmp_path, nats.url) as here, sink() as least, sink(answer(503)) as whole, sink() as dead:
        ref = await here.pond("quiet", dead.url)
        await here.ready(await here.api.broker("least"))
        await here.ready(await here.api.trigger("least", {"uri": least.url}, broker="least"))
        delivery = {
            "deadLetterSink": {"ref": ref | {"namespace": "default"}, "uri": "in"},
            "retry": 2,
            "backoffPolicy": "exponential",
            "backoffDelay": "PT0.05S",
        }
        broker = await here.api.broker("whole", delivery=delivery)
        await here.ready(
            await here.api.trigger(
                "whole",
                {"uri": whole.url},
                broker="whole",
                filter={"attributes": {"type": "com.example.test", "kind": ""}},
                delivery=delivery | {"retry": 1},
            )
        )
        await (await here.producer(f"{EVENTING}/namespaces/default/brokers/least")).post("a")
        producer = await here.producer(broker)
        await producer.post("b", kind="x")
        await producer.post("c")
        await eventually(lambda: least.requests and dead.requests, "both are delivered")
        await until_quiet(here.plane)
    assert (least.ids, whole.ids, dead.ids) == (["a"], ["b", "b"], ["b"])
    assert dead.requests[0].path == "/in"


OWN: dict[str, dict[str, Any]] = {
    "retry": {"retry": 0},
    "timeout": {"timeout": "PT5S"},
    "backoffPolicy": {"backoffPolicy": "exponential"},
    "backoffDelay": {"backoffDelay": "PT0.01S"},
    "retryAfterMax": {"retryAfterMax": "PT0S"},
    "format": {"format": "binary"},
    "deadLetterSink": {},
}


async def test_cp_35_a_trigger_with_any_delivery_ignores_the_brokers_as_a_whole(
    nats: NatsServer, tmp_path: Path
) -> None:
    """control-plane.md CP-35, MUST: no field is merged.

    The Broker says structured mode, no retry, and a dead letter sink; a Trigger that sets anything at all has none of
    it. One that sets nothing has all of it.
    """
    async with cluster(tmp_path, nats.url) as here, sink() as there, sink() as dead, sink() as own_dead:
        there.script = lambda request: answer(400) if request.path != "/inherits-too" else OK
        broker = await here.api.broker(
            delivery={"format": "json", "retry": 0, "deadLetterSink": {"uri": dead.url}, "timeout": "PT3S"}
        )
        own = OWN | {"deadLetterSink": {"deadLetterSink": {"uri": own_dead.url}}}
        for name, fields in own.items():
            await here.ready(await here.api.trigger(name.lower(), {"uri": f"{there.url}{name}"}, delivery=fields))
        for name, empty in (("inherits", None), ("inherits-too", {})):
            spec: dict[str, Any] = {} if empty is None else {"delivery": empty}
            value = await here.ready(await here.api.trigger(name, {"uri": f"{there.url}{name}"}, **spec))
            assert value["status"]["deadLetterSinkUri"] == dead.url
        producer = await here.producer(broker)
        await producer.post("1", b"{}", "application/json")
        letters = await here.plane.dead_letters(len(own) - 1)
        await eventually(lambda: dead.requests and own_dead.requests, "the dead letters arrive")
        await until_quiet(here.plane)
    modes = {request.path[1:]: is_structured(request) for request in there.requests}
    assert modes == dict.fromkeys(own, False) | {"inherits": True, "inherits-too": True}
    assert [letter.facts.destination for letter in letters if "inherits" in letter.facts.destination] == []
    assert (len(dead.requests), len(own_dead.requests)) == (1, 1)
    assert is_structured(dead.requests[0])
    assert not is_structured(own_dead.requests[0])


async def test_the_format_of_a_broker_and_of_a_trigger_reaches_the_subscriber(nats: NatsServer, tmp_path: Path) -> None:
    """knative.dev/eventing, ``delivery.format``: json or binary, from the Trigger, or else from the Broker.

    Binary where neither says anything, however the event came.
    """
    table = {
        # Broker, Trigger: structured?
        ("json", None): True,
        ("json", "binary"): False,
        ("json", "json"): True,
        ("binary", None): False,
        ("binary", "json"): True,
        (None, None): False,
        (None, "json"): True,
        (None, "binary"): False,
    }
    async with cluster(tmp_path, nats.url) as here, sink() as there:
        for of_broker in ("json", "binary", None):
            name = f"b-{of_broker}".lower()
            broker = await here.api.broker(name, **({"delivery": {"format": of_broker}} if of_broker else {}))
            for of_trigger in ("json", "binary", None):
                if (of_broker, of_trigger) in table:
                    spec = {"delivery": {"format": of_trigger}} if of_trigger else {}
                    uri = f"{there.url}{of_broker}/{of_trigger}"
                    trigger = await here.api.trigger(f"{name}-{of_trigger}".lower(), {"uri": uri}, broker=name, **spec)
                    await here.ready(trigger)
            producer = await here.producer(broker)
            await producer.post("binary", b'{"a":1}', "application/json")
            await producer.post_json("structured", data={"a": 1}, datacontenttype="application/json")
            await until_quiet(here.plane)
    got = {(request.path, request.id): is_structured(request) for request in there.requests}
    assert got == {
        (f"/{of_broker}/{of_trigger}", came): expected
        for (of_broker, of_trigger), expected in table.items()
        for came in ("binary", "structured")
    }
    bodies = {orjson.dumps(orjson.loads(r.body)["data"]) if is_structured(r) else r.body for r in there.requests}
    assert bodies == {b'{"a":1}'}


async def test_cp_39_conditions_are_a_list_of_unique_types_that_ready_sums_up(nats: NatsServer, tmp_path: Path) -> None:
    """control-plane.md CP-38 to CP-42, MUST: of Brokers and Triggers, well or not, with their generation."""
    nobody = {"ref": {"apiVersion": "pond.test/v1", "kind": "Pond", "name": "nobody"}}
    async with cluster(tmp_path, nats.url) as here:
        await here.producer(await here.api.broker())
        well = [
            await here.ready(f"{EVENTING}/namespaces/default/brokers/default"),
            await here.ready(await here.api.trigger("well", {"uri": "http://sink.test/"})),
        ]
        spoilt = [
            await here.api.broker("spoilt", delivery={"deadLetterSink": nobody}),
            await here.api.trigger("spoilt", nobody),
            await here.api.trigger("alone", {"uri": "http://sink.test/"}, broker="none"),
        ]
        values = [*well, *[await here.api.until(path, "Ready", "False") for path in spoilt]]
    for value in values:
        status = value["status"]
        conditions = status["conditions"]
        assert status["observedGeneration"] == value["metadata"]["generation"]
        assert len({one["type"] for one in conditions}) == len(conditions)
        allowed = {"type", "status", "reason", "message", "severity", "lastTransitionTime"}
        assert all(one.keys() <= allowed and one["status"] in {"True", "False", "Unknown"} for one in conditions)
        assert all(one.get("reason") and one.get("message") for one in conditions if one["status"] != "True")
        rest = {one["status"] for one in conditions if one["type"] != "Ready"}
        ready = condition_of(value, "Ready")
        assert not ready.get("severity")
        assert ready["status"] == ("False" if "False" in rest else "True")


MALFORMED: dict[str, tuple[dict[str, str], bytes]] = {
    "no event": ({}, b"text"),
    "no id": ({"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "t"}, b""),
    "another version": ({"ce-specversion": "2.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}, b""),
    "no json": ({"content-type": STRUCTURED}, b"{"),
    "no object": ({"content-type": STRUCTURED}, b"[]"),
    "a bad batch": ({"content-type": "application/cloudevents-batch+json"}, b'[{"specversion":"1.0"}]'),
    "another format": ({"content-type": "application/cloudevents+xml"}, b"<event/>"),
    "a bad time": (
        {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-time": "yesterday"},
        b"",
    ),
}


async def test_cp_44_malformed_requests_are_refused(nats: NatsServer, tmp_path: Path) -> None:
    """error-signalling.md, CP-44, MUST: by the service itself, 400, with what is wrong; and nothing is delivered.

    A malformed definition is refused by the API, 400 or 422, naming the field.
    """
    async with cluster(tmp_path, nats.url) as here, sink() as there:
        producer = await here.producer(await here.api.broker())
        await here.ready(await here.api.trigger("t", {"uri": there.url}))
        answers = {row: await producer.send("POST", headers, body) for row, (headers, body) in MALFORMED.items()}
        assert {row: got.status for row, got in answers.items()} == dict.fromkeys(MALFORMED, 400)
        assert all(got.json()["detail"] for got in answers.values())
        for wrong in ({"retry": -1}, {"backoffPolicy": "cubic"}, {"format": "xml"}, {"timeout": "5s"}):
            with pytest.raises(ApiRefusedError, match=next(iter(wrong))) as caught:
                await here.api.trigger("wrong", {"uri": there.url}, delivery=wrong)
            assert caught.value.status in {400, 422}
        await producer.post("well")
        await eventually(lambda: there.ids == ["well"], "what is well is delivered")
        await until_quiet(here.plane)
