"""Spans and their way out: OpenTelemetry's SDK, and OTLP over HTTP. Imported only where tracing is on.

Spans that ended go through a bounded queue to a thread of its own; what does not fit, or nobody takes, is counted and
gone. Nothing here ever waits on the event loop, and what goes wrong here is never an event's failure.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as AnySpan

from scaup.core.model.tracecontext import TraceContext
from scaup.core.runtime.traces import SPANS, TraceSettings

log = structlog.get_logger()

MOST_WAITING: Final = 2048
_BATCH: Final = 128
_EVERY_S: Final = 0.25
_PAUSE_S: Final = 2.0
"""After a failure: a receiver that is away is not asked all the time."""
_TIMEOUT_S: Final = 5.0
_FAREWELL_S: Final = 1.0
_LONGEST_TEXT: Final = 256

Value = str | int | float | bool


@dataclass(slots=True)
class Span:
    """A span that has begun, and the context that continues it."""

    context: TraceContext
    _span: AnySpan

    def end(self, attributes: Mapping[str, Value], error: str | None = None) -> None:
        """It is over; with an ``error`` it failed."""
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error[:_LONGEST_TEXT]))
        self._span.end()


class Traces:
    """Begins spans, and has those that ended sent."""

    def __init__(self, settings: TraceSettings, service: str, replica: str) -> None:
        # What these would say again and again is said once here, and counted.
        for name in ("opentelemetry", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._sample = settings.sample
        self._sending = Sending(OTLPSpanExporter(endpoint=settings.endpoint, timeout=_TIMEOUT_S))
        about = {"service.name": service, "service.instance.id": replica}
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # who calls has decided already
            resource=Resource.create(about),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_attribute_length=_LONGEST_TEXT),
        )
        provider.add_span_processor(_ToSending(self._sending))
        self._tracer = provider.get_tracer("scaup")

    def draws(self) -> bool:
        """Whether a trace is to begin with what has none yet."""
        return random.random() < self._sample  # noqa: S311 - chooses a sample, guards nothing

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: TraceContext | None,
        attributes: Mapping[str, Value],
        *,
        link: TraceContext | None = None,
        started_ns: int | None = None,
    ) -> Span:
        """A span below ``parent``, or the first of a trace. Only for what is sampled."""
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(_of(parent))) if parent else _NOWHERE,
            kind=kind,
            attributes=attributes,
            links=[Link(_of(link))] if link else None,
            start_time=started_ns,
        )
        made = span.get_span_context()
        state = parent.state if parent else ""
        return Span(TraceContext(f"{made.trace_id:032x}", f"{made.span_id:016x}", True, state), span)

    def close(self) -> None:
        """Send what waits. It blocks, for a moment at most."""
        self._sending.close()


class _Exporter(Protocol):
    def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult: ...

    def shutdown(self) -> None: ...


class Sending:
    """The queue of ended spans, and the thread that sends them."""

    def __init__(self, exporter: _Exporter, most: int = MOST_WAITING) -> None:
        self._exporter = exporter
        self._most = most
        self._waiting: deque[ReadableSpan] = deque()
        self._counts = {word: SPANS.labels(word) for word in ("exported", "dropped", "failed")}
        self._is_failing = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def add(self, span: ReadableSpan) -> None:
        """Have it sent; or drop it, where too many wait. Never waits."""
        if len(self._waiting) >= self._most:
            self._counts["dropped"].inc()
        else:
            self._waiting.append(span)

    def close(self) -> None:
        """Send what waits, within a moment. What is left then is lost, and counted."""
        self._closing.set()
        self._thread.join(_FAREWELL_S)
        if self._thread.is_alive():
            self._exporter.shutdown()  # nothing more is tried; the thread ends with the process
        self._counts["failed"].inc(len(self._waiting))
        self._waiting.clear()

    def _run(self) -> None:
        while not self._closing.wait(_PAUSE_S if self._is_failing else _EVERY_S):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        """Batch after batch, until nothing waits or one fails."""
        while batch := self._next_batch():
            is_taken = self._is_taken(batch)
            self._counts["exported" if is_taken else "failed"].inc(len(batch))
            if is_taken and self._is_failing:
                log.info("traces.sent_again")
            elif not is_taken and not self._is_failing:
                log.warning("traces.not_sent", hint="is the receiver at SCAUP_OTLP_ENDPOINT up? No event waits for it")
            self._is_failing = not is_taken
            if self._is_failing:
                return
            time.sleep(0)  # lets the event loop's thread go first

    def _next_batch(self) -> list[ReadableSpan]:
        batch: list[ReadableSpan] = []
        try:
            while len(batch) < _BATCH:
                batch.append(self._waiting.popleft())
        except IndexError:
            pass
        return batch

    def _is_taken(self, batch: Sequence[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - nothing that happens here may be felt anywhere else
            log.debug("traces.export_failed", error=repr(error))
            return False


class _ToSending(SpanProcessor):
    def __init__(self, sending: Sending) -> None:
        self._sending = sending

    def on_end(self, span: ReadableSpan) -> None:
        self._sending.add(span)


_NOWHERE: Final = set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
"""Without it a span would be below whichever is the current one."""


def _of(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(context.is_sampled)),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )
