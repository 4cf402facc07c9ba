"""A small receiver of traces (OTLP over HTTP) on raw sockets: it does as it is told, and remembers every span."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from scaup.core.runtime.traces import Endpoint, Share, TraceSettings
from tests.support.sinks import Reaction, Sink, answer, sink
from tests.support.waiting import eventually

_KINDS = {2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}


@dataclass(frozen=True)
class GotSpan:
    """A span as the receiver got it; ids in hexadecimal, ``parent`` empty where it is the first of its trace."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    state: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]] = field(default_factory=list)
    is_error: bool = False
    said: str = ""


@dataclass
class Receiver:
    """A running receiver."""

    sink: Sink

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.parse(self.sink.url)

    def settings(self, sample: float = 1.0) -> TraceSettings:
        """Of a service that traces here."""
        return TraceSettings(self.endpoint, Share(sample))

    @property
    def spans(self) -> list[GotSpan]:
        """Every span that was sent here."""
        return [span for request in self.sink.requests for span in _spans(request.body)]

    async def until(self, count: int, kind: str = "") -> list[GotSpan]:
        """The spans of a kind, or of all, when there are ``count`` of them; no more may come of what was done."""

        def found() -> list[GotSpan]:
            return [span for span in self.spans if kind in {"", span.kind}]

        await eventually(lambda: len(found()) >= count, f"{count} spans {kind} were sent")
        assert len(found()) == count, found()
        return found()


@asynccontextmanager
async def receiver(*reactions: Reaction) -> AsyncIterator[Receiver]:
    """A receiver for the length of a test; takes everything where it is told nothing."""
    async with sink(*(reactions or (answer(200),))) as running:
        yield Receiver(running)


def _spans(body: bytes) -> list[GotSpan]:
    return [
        GotSpan(
            service=str(_plain(resource.resource.attributes)["service.name"]),
            name=span.name,
            kind=_KINDS.get(span.kind, "INTERNAL"),
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            state=span.trace_state,
            attributes=_plain(span.attributes),
            links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            is_error=span.status.code == 2,
            said=span.status.message,
        )
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: AnyValue) -> Any:
    return getattr(value, str(value.WhichOneof("value")))
