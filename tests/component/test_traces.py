"""Traces over real sockets: from a producer through ingress, log and dispatcher to a sink, and back again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from scaup.core.model.definitions import Destination
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings
from scaup.core.runtime.traces import TraceSettings, tracing
from scaup.ingress.__main__ import run as run_ingress
from scaup.ingress.settings import IngressSettings
from scaup.ingress.traces import RequestTraces
from tests.support.dataplane import ANYWHERE, World, delivery, metric, world
from tests.support.events import REQUIRED
from tests.support.natsserver import NatsServer
from tests.support.otlp import GotSpan, receiver
from tests.support.ports import Port
from tests.support.rawhttp import Answer, post, send
from tests.support.services import ingress_here
from tests.support.sinks import HANG, answer, reply, sink
from tests.support.waiting import eventually

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
_TYPE = {"type": "com.example.test"}


@dataclass
class Traced:
    """A Broker behind an ingress, with a dispatcher; both trace."""

    world: World
    port: int

    async def post(self, body: bytes = b"{}", **headers: str) -> Answer:
        return await post(self.port, body=body, **headers)

    async def batch(self, *events: dict[str, str]) -> Answer:
        headers = {"content-type": "application/cloudevents-batch+json"}
        return await send(self.port, "POST", "/default/one", headers, json.dumps(events).encode())


@asynccontextmanager
async def traced(
    nats: NatsServer, settings: TraceSettings, dispatcher: TraceSettings | None = None
) -> AsyncIterator[Traced]:
    async with (
        world(nats.url) as here,
        tracing(settings, "scaup-ingress", "ingress-1") as traces,
        ingress_here(here.bus) as ingress,
    ):
        await here.filter()
        await here.dispatcher(replica="dispatcher-1", traces=dispatcher or settings)
        ingress.ingress.traces = RequestTraces(traces) if traces else None
        yield Traced(here, ingress.port)


def one(spans: list[GotSpan], **wanted: Any) -> GotSpan:
    """The only span of which that is so."""
    found = [span for span in spans if all(getattr(span, name) == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, spans)
    return found[0]


def context(span: GotSpan) -> str:
    return f"00-{span.trace}-{span.id}-01"


async def test_a_trace_goes_from_the_producer_through_ingress_and_dispatcher_to_the_sink(nats: NatsServer) -> None:
    async with receiver() as there, traced(nats, there.settings(0.0)) as here, sink() as end:
        await here.world.trigger("t", f"http://user:secret@127.0.0.1:{end.port}/in?key=secret")
        assert (
            await here.post(traceparent=SAMPLED, tracestate="vendor=1", ce_subject="gr%C3%B6%C3%9Fe 1")
        ).status == 202
        spans = await there.until(3)
        serving, sent, attempt = (one(spans, kind=kind) for kind in ("SERVER", "PRODUCER", "CLIENT"))

        assert (serving.parent, sent.parent, attempt.parent) == (SPAN, serving.id, sent.id)
        assert {span.trace for span in spans} == {TRACE}
        assert {span.state for span in spans} == {"vendor=1"}
        assert [span.service for span in (serving, sent, attempt)] == ["scaup-ingress"] * 2 + ["scaup-dispatcher"]
        (got,) = end.requests
        assert (got.headers["traceparent"], got.headers["tracestate"]) == (context(attempt), "vendor=1")
        assert (got.headers["ce-traceparent"], got.headers["ce-tracestate"]) == (context(sent), "vendor=1")

        assert serving.name == "POST /{namespace}/{broker}"
        assert serving.attributes["http.response.status_code"] == 202
        assert serving.attributes["scaup.broker"] == "default/one"
        assert sent.name == "send broker:one.default"
        assert attempt.name == "deliver trigger:t.default"
        for span in (sent, attempt):
            assert span.attributes["messaging.system"] == "knative"
            assert span.attributes["messaging.message.id"] == span.attributes["cloudevents.event_id"] == "1"
            assert span.attributes["cloudevents.event_type"] == "com.example.test"
            assert span.attributes["cloudevents.event_subject"] == "größe 1"
        assert attempt.attributes["url.full"] == f"http://127.0.0.1:{end.port}/in"
        assert "secret" not in str(attempt.attributes)
        assert attempt.attributes["http.response.status_code"] == 202
        assert attempt.attributes["scaup.verdict"] == "delivered"
        assert attempt.attributes["scaup.trigger"] == "default/t"
        assert "http.request.resend_count" not in attempt.attributes
        assert not any(span.is_error for span in spans)


async def test_each_retry_is_a_span_of_the_same_trace_and_so_is_the_dead_letter(nats: NatsServer) -> None:
    async with receiver() as there, traced(nats, there.settings()) as here, sink(answer(503)) as end, sink() as dead:
        policy = delivery(retry=2, dead_letter_sink=Destination(uri=dead.url))
        await here.world.trigger("t", end.url, delivery=policy)
        assert (await here.post()).status == 202
        spans = await there.until(6)
        sent = one(spans, kind="PRODUCER")
        attempts = [span for span in spans if span.kind == "CLIENT"]

        assert {span.trace for span in spans} == {sent.trace}
        assert {span.parent for span in attempts} == {sent.id}
        assert [request.headers["traceparent"] for request in (*end.requests, *dead.requests)] == [
            context(span) for span in attempts
        ]
        assert [span.attributes["scaup.verdict"] for span in attempts] == ["retry", "retry", "dead_letter", "delivered"]
        assert [span.attributes.get("http.request.resend_count", 0) for span in attempts] == [0, 1, 2, 0]
        assert [span.attributes["scaup.lane"] for span in attempts][-2:] == ["subscriber", "deadletter"]
        assert [span.is_error for span in attempts] == [True, True, True, False]
        assert attempts[0].attributes["error.type"] == "503"
        assert "503" in attempts[0].said
        assert dead.requests[0].headers["ce-traceparent"] == context(sent)


async def test_a_reply_goes_on_with_the_trace_of_what_it_answers(nats: NatsServer) -> None:
    async with receiver() as there, traced(nats, there.settings()) as here, sink() as end, sink() as other:
        end.script = lambda _request: reply("r-1", kind="a.reply")
        await here.world.trigger("replies", end.url, attributes=_TYPE)
        await here.world.trigger("other", other.url, attributes={"type": "a.reply"})
        assert (await here.post()).status == 202
        spans = await there.until(2, "CLIENT")
        first = one(spans, name="deliver trigger:replies.default")
        second = one(spans, name="deliver trigger:other.default")

        assert first.attributes["scaup.reply.id"] == "r-1"
        assert (second.trace, second.parent) == (first.trace, first.id)
        assert other.requests[0].headers["traceparent"] == context(second)
        assert other.requests[0].headers["ce-traceparent"] == context(first)


async def test_what_waited_in_a_queue_goes_on_with_its_trace(nats: NatsServer) -> None:
    async with receiver() as there, traced(nats, there.settings()) as here, sink() as end:
        await here.world.trigger("t", end.url, paused=True)
        for number in range(3):
            assert (await here.post(ce_id=str(number))).status == 202
        await here.world.until_queues_hold(3)
        await here.world.trigger("t", end.url)
        attempts = await there.until(3, "CLIENT")
        sent = {span.id: span for span in there.spans if span.kind == "PRODUCER"}

        for span in attempts:
            above = sent[span.parent]
            assert above.trace == span.trace
            assert above.attributes["messaging.message.id"] == span.attributes["messaging.message.id"]


async def test_a_trace_that_is_not_sampled_is_passed_on_and_never_recorded(nats: NatsServer) -> None:
    async with receiver() as there, traced(nats, there.settings()) as here, sink() as end:
        await here.world.trigger("t", end.url)
        unsampled = SAMPLED[:-1] + "0"
        assert (await here.post(traceparent=unsampled, tracestate="a=1")).status == 202
        assert (await here.post(ce_id="2", ce_traceparent=unsampled)).status == 202
        assert (await here.post(ce_id="3", traceparent=SAMPLED)).status == 202
        await eventually(lambda: len(end.requests) == 3, "all arrive")
        spans = await there.until(3)

        assert {span.attributes.get("cloudevents.event_id", "3") for span in spans} == {"3"}
        first, second = end.requests[:2]
        assert (first.headers["traceparent"], first.headers["tracestate"]) == (unsampled, "a=1")
        assert "ce-traceparent" not in first.headers
        assert second.headers["traceparent"] == second.headers["ce-traceparent"] == unsampled


async def test_without_a_trace_the_share_of_samples_decides(nats: NatsServer) -> None:
    async with receiver() as there, sink() as end:
        async with traced(nats, there.settings(0.0), there.settings(1.0)) as here:
            await here.world.trigger("t", end.url)
            assert (await here.post()).status == 202
            assert (await here.post(ce_id="2", traceparent="nonsense")).status == 202
            await eventually(lambda: len(end.requests) == 2, "both arrive")
            assert "traceparent" not in {name for request in end.requests for name in request.headers}
        assert there.spans == []  # the services ended, so everything was sent


async def test_the_extension_is_continued_or_linked_and_stays_as_it_was(nats: NatsServer) -> None:
    given, origin = SAMPLED[:-2] + "03", ("a" * 32, "b" * 16)
    async with receiver() as there, traced(nats, there.settings(0.0)) as here, sink() as end:
        await here.world.trigger("t", end.url)
        assert (await here.post(ce_traceparent=given, ce_tracestate="a=1")).status == 202
        attempt = one(await there.until(3), kind="CLIENT")
        assert (attempt.trace, attempt.state, attempt.links) == (TRACE, "a=1", [])
        assert (end.requests[0].headers["ce-traceparent"], end.requests[0].headers["ce-tracestate"]) == (given, "a=1")
        assert end.requests[0].headers["traceparent"] == context(attempt)

        # Where the request has a trace of its own, that is the parent, and the other is linked.
        other = f"00-{origin[0]}-{origin[1]}-01"
        assert (await here.post(ce_id="2", traceparent=SAMPLED, ce_traceparent=other)).status == 202
        spans = (await there.until(6))[3:]
        assert {span.trace for span in spans} == {TRACE}
        assert [one(spans, kind=kind).links for kind in ("SERVER", "PRODUCER", "CLIENT")] == [[], [origin], [origin]]
        assert end.requests[1].headers["ce-traceparent"] == other

        # In a batch each event has its own trace, or none.
        assert (await here.batch(REQUIRED | {"id": "a"}, REQUIRED | {"id": "b", "traceparent": SAMPLED})).status == 202
        spans = (await there.until(8))[6:]
        assert {span.attributes["cloudevents.event_id"] for span in spans} == {"b"}
        assert one(spans, kind="PRODUCER").parent == SPAN


async def test_the_events_of_a_batch_are_spans_each_in_its_own_trace_where_it_has_one(nats: NatsServer) -> None:
    async with receiver() as there, traced(nats, there.settings()) as here:
        batch = [REQUIRED | {"id": "a"}, REQUIRED | {"id": "b", "traceparent": SAMPLED}, REQUIRED | {"id": "c"}]
        assert (await here.batch(*batch)).status == 202
        spans = await there.until(4)
        serving = one(spans, kind="SERVER")
        parents = {span.attributes["cloudevents.event_id"]: span.parent for span in spans if span is not serving}
        assert parents == {"a": serving.id, "b": SPAN, "c": serving.id}


async def test_a_refused_request_is_a_span_of_the_producers_trace(nats: NatsServer) -> None:
    async with receiver() as there, traced(nats, there.settings(0.0)) as here:
        assert (await here.post(ce_type="", traceparent=SAMPLED)).status == 400
        (span,) = await there.until(1)
        assert (span.kind, span.parent, span.attributes["http.response.status_code"]) == ("SERVER", SPAN, 400)
        assert span.attributes["error.type"]


async def test_a_receiver_that_never_answers_delays_no_event_and_no_stop(nats: NatsServer) -> None:
    async with receiver(HANG) as there, sink() as end:
        async with traced(nats, there.settings()) as here:
            await here.world.trigger("t", end.url)
            assert (await here.post()).status == 202
            await eventually(lambda: len(there.sink.requests) == 2, "both services are stuck with the receiver")
            for number in range(50):
                assert (await here.post(ce_id=f"more-{number}")).status == 202
            # Not after the 5 s that the receiver is given.
            await eventually(lambda: len(end.requests) == 51, "all arrive", within_s=4.5)
            stopping = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - stopping < 5


async def test_a_receiver_that_refuses_is_counted_and_found_again_when_it_is_well(nats: NatsServer) -> None:
    failed = metric("scaup_trace_spans_total", result="failed")
    exported = metric("scaup_trace_spans_total", result="exported")
    async with receiver(answer(400), answer(200)) as there, sink() as end:
        async with traced(nats, there.settings(), TraceSettings()) as here:
            await here.world.trigger("t", end.url)
            assert (await here.post()).status == 202
            await eventually(lambda: metric("scaup_trace_spans_total", result="failed") == failed + 2, "counted")
            assert (await here.post(ce_id="2")).status == 202
        assert metric("scaup_trace_spans_total", result="exported") == exported + 2


async def test_switched_off_no_context_is_kept_and_the_extension_passes_as_an_attribute(nats: NatsServer) -> None:
    async with traced(nats, TraceSettings()) as here, sink() as end:
        await here.world.trigger("t", end.url)
        assert (await here.post(traceparent=SAMPLED, ce_traceparent=SAMPLED)).status == 202
        await eventually(lambda: len(end.requests) == 1, "it arrives")
        assert "traceparent" not in end.requests[0].headers
        assert end.requests[0].headers["ce-traceparent"] == SAMPLED
        (entry,) = await here.world.log()
        assert not {"traceparent", "tracestate"} & set(entry.headers or {})


async def test_an_ingress_sends_what_it_has_before_it_ends(nats: NatsServer) -> None:
    async with receiver() as there, world(nats.url) as here:
        life = Life()
        port = Port()
        settings = IngressSettings(
            bus=BusSettings(here.url),
            service=ServiceSettings(replica="i"),
            traces=there.settings(),
            listen=Listen("127.0.0.1", port),
            metrics_listen=ANYWHERE,
        )
        running = asyncio.create_task(run_ingress(settings, life))

        async def is_accepted() -> bool:
            with suppress(OSError):
                return (await post(port)).status == 202
            return False

        await eventually(is_accepted, "the ingress accepts")
        life.stop()
        await running
        assert {(span.service, span.kind) for span in there.spans} >= {
            ("scaup-ingress", "PRODUCER"),
            ("scaup-ingress", "SERVER"),
        }
        assert there.sink.requests[0].path == "/v1/traces"


def test_switched_off_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys, scaup.ingress.__main__, scaup.dispatcher.__main__, scaup.dispatcher.alone\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
