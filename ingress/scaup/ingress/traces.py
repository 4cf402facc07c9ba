"""The spans of a request: that of serving it, and one for each of its events, whose context is stored with the event.

A request that comes with a trace is recorded as that trace is; one without, as the share of samples says. What goes
wrong here is never an event's failure.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry.trace import SpanKind

from scaup.core.codec import traced
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.event import Event
from scaup.core.model.tracecontext import TRACEPARENT, TraceContext, of_attributes, of_headers
from scaup.core.runtime.spans import Span, Traces, Value

log = structlog.get_logger()


class RequestTraces:
    """Looks at every request, and records those that are sampled."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def request(self, scope: MutableMapping[str, Any]) -> RequestTrace:
        """A request begins."""
        return RequestTrace(self._traces, scope)


class RequestTrace:
    """One request, whether it is sampled or not."""

    __slots__ = ("_is_drawn", "_parent", "_scope", "_sent", "_serving", "_started_ns", "_traces")

    def __init__(self, traces: Traces, scope: MutableMapping[str, Any]) -> None:
        self._traces = traces
        self._scope = scope
        self._started_ns = time.time_ns()
        self._parent = of_headers(scope["headers"])
        self._is_drawn = False
        self._serving: Span | None = None
        self._sent: list[Span] = []

    def begin(self, broker: BrokerDefinition, events: list[Event], entries: list[tuple[dict[str, str], bytes]]) -> None:
        """The events are about to be stored as ``entries``: give each its context."""
        if self._parent is None:
            self._is_drawn = self._traces.draws()
            if not self._is_drawn and not any(TRACEPARENT in event.attributes for event in events):
                return
        try:
            self._begin(broker, events, entries)
        except Exception as error:  # noqa: BLE001 - without a trace, then
            log.debug("traces.not_begun", error=repr(error))

    def end(self, broker: BrokerDefinition | None, status: int, result: str) -> None:
        """The request was answered."""
        is_refused = self._serving is None and self._parent is not None and self._parent.is_sampled
        if not (self._serving or self._sent or is_refused):
            return
        try:
            self._end(broker, status, result)
        except Exception as error:  # noqa: BLE001 - without a trace, then
            log.debug("traces.not_ended", error=repr(error))

    def _begin(
        self, broker: BrokerDefinition, events: list[Event], entries: list[tuple[dict[str, str], bytes]]
    ) -> None:
        origins = [of_attributes(event.attributes) for event in events]
        # Of a batch each event may have a trace of its own; what is alone takes the request into its trace.
        is_joined = self._parent is not None or len(events) == 1
        if self._parent is None and is_joined:
            self._parent = origins[0]
        if self._parent.is_sampled if self._parent else self._is_drawn:
            self._serving = self._serve()
        around = self._serving.context if self._serving else self._parent
        for event, origin, (headers, data) in zip(events, origins, entries, strict=True):
            above = around if is_joined or origin is None else origin
            if above is None:
                continue
            if above.is_sampled:
                span = self._send(broker, event, len(data), above, origin)
                self._sent.append(span)
                above = span.context
            traced.put(headers, above)

    def _serve(self) -> Span:
        about: dict[str, Value] = {
            "http.request.method": self._scope["method"],
            "http.route": "/{namespace}/{broker}",
            "url.path": self._scope["path"],
            "url.scheme": self._scope.get("scheme", "http"),
        }
        name = f"{about['http.request.method']} {about['http.route']}"
        span = self._traces.begin(name, SpanKind.SERVER, self._parent)
        span.about(about, started_ns=self._started_ns)
        return span

    def _send(
        self, broker: BrokerDefinition, event: Event, size: int, above: TraceContext, origin: TraceContext | None
    ) -> Span:
        destination = f"broker:{broker.name}.{broker.namespace}"
        about: dict[str, Value] = {
            "messaging.destination.name": destination,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.message.body.size": size,
            **traced.event_attributes(event.attributes),
        }
        link = origin if origin is not None and origin.trace_id != above.trace_id else None
        span = self._traces.begin(f"send {destination}", SpanKind.PRODUCER, above)
        span.about(about, link=link)
        return span

    def _end(self, broker: BrokerDefinition | None, status: int, result: str) -> None:
        serving = self._serving
        if serving is None and self._parent is not None and self._parent.is_sampled:
            serving = self._serve()  # it was refused before it was known what is in it
        failure: dict[str, Value] = {} if status < 400 else {"error.type": result}
        for span in self._sent:
            span.end(failure, result if failure else None)
        if serving is not None:
            where = {"scaup.broker": f"{broker.namespace}/{broker.name}"} if broker else {}
            answer: dict[str, Value] = {"http.response.status_code": status, **where, **failure}
            serving.end(answer, result if status >= 500 else None)  # a 4xx is the sender's (HTTP conventions)
