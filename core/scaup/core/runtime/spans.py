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
from collections.abc import Sequence
from typing import Final, Protocol

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from scaup.core.model.tracecontext import TraceContext
from scaup.core.runtime.traces import SPANS, TraceSettings

log = structlog.get_logger()

MOST_WAITING: Final = 2048
_BATCH: Final = 32
"""Writing these down takes 3 to 5 ms, in which the event loop may have to wait for its turn."""
_EVERY_S: Final = 1.0
"""A request costs 1.7 ms whatever is in it, and 0.1 ms more for each span."""
_PAUSE_S: Final = 2.0
"""After a failure: a receiver that is away is not asked all the time."""
_TIMEOUT_S: Final = 5.0
_FAREWELL_S: Final = 1.0
_BREATH_S: Final = 0.001
_LONGEST_TEXT: Final = 256

Value = str | int | float | bool


class Span:
    """A span that has begun, and the context that continues it.

    What is sent is made at its end: the SDK's own span, which may be asked and changed at any time, costs three times
    as much (decision 0018).
    """

    __slots__ = ("_about", "_kind", "_link", "_name", "_parent", "_started_ns", "_traces", "context")

    def __init__(self, traces: Traces, name: str, kind: SpanKind, parent: TraceContext | None) -> None:
        trace_id = parent.trace_id if parent else f"{random.getrandbits(128) or 1:032x}"
        span_id = f"{random.getrandbits(64) or 1:016x}"
        self.context = TraceContext(trace_id, span_id, True, parent.state if parent else "")
        self._traces = traces
        self._name = name
        self._kind = kind
        self._parent = parent
        self._started_ns = time.time_ns()
        self._about: dict[str, Value] = {}
        self._link: TraceContext | None = None

    def about(
        self, attributes: dict[str, Value], *, link: TraceContext | None = None, started_ns: int | None = None
    ) -> None:
        """What is known of it at its beginning; ``started_ns`` where that is past."""
        self._about = attributes
        self._link = link
        self._started_ns = started_ns or self._started_ns

    def end(self, attributes: dict[str, Value], error: str | None = None) -> None:
        """It is over; with an ``error`` it failed."""
        whole = {name: _short(value) for name, value in (self._about | attributes).items()}
        self._traces.ended(
            ReadableSpan(
                self._name,
                _of(self.context, is_remote=False),
                _of(self._parent) if self._parent else None,
                attributes=whole,
                links=[Link(_of(self._link))] if self._link else (),
                kind=self._kind,
                status=Status(StatusCode.ERROR, error[:_LONGEST_TEXT]) if error is not None else _UNSET,
                start_time=self._started_ns,
                end_time=max(time.time_ns(), self._started_ns),
                resource=self._traces.resource,
                instrumentation_scope=_SCOPE,
            )
        )


class Traces:
    """Begins spans, and has those that ended sent."""

    def __init__(self, settings: TraceSettings, service: str, replica: str) -> None:
        # What these would say again and again is said once here, and counted.
        for name in ("opentelemetry", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._sample = settings.sample
        self.resource = Resource.create({"service.name": service, "service.instance.id": replica})
        self._sending = Sending(OTLPSpanExporter(endpoint=settings.endpoint, timeout=_TIMEOUT_S))

    def draws(self) -> bool:
        """Whether a trace is to begin with what has none yet."""
        return random.random() < self._sample  # noqa: S311 - chooses a sample, guards nothing

    def begin(self, name: str, kind: SpanKind, parent: TraceContext | None) -> Span:
        """A span below ``parent``, or the first of a trace. Only for what is sampled."""
        return Span(self, name, kind, parent)

    def ended(self, span: ReadableSpan) -> None:
        """Have it sent."""
        self._sending.add(span)

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
            time.sleep(_BREATH_S)

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


_UNSET: Final = Status(StatusCode.UNSET)
_SCOPE: Final = InstrumentationScope("scaup")


def _short(value: Value) -> Value:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value


def _of(context: TraceContext, *, is_remote: bool = True) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=is_remote,
        trace_flags=TraceFlags(int(context.is_sampled)),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )
