"""The span of an attempt: below the context that is stored with its event, so retries and dead letters go on with it.

Only what is sampled has one; the decision was made where the event came in. What goes wrong here is never an event's
failure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import assert_never
from urllib.parse import urlsplit

import structlog
from opentelemetry.trace import SpanKind

from scaup.core.codec import traced
from scaup.core.model.definitions import TriggerDefinition
from scaup.core.model.tracecontext import TraceContext, of_attributes, of_stored
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.spans import Span, Traces, Value
from scaup.dispatcher.entries import Delivery
from scaup.dispatcher.judge import (
    Accepted,
    BadReply,
    Done,
    GiveUp,
    NoAnswer,
    Outcome,
    Refused,
    Replied,
    ReplyNotStored,
    Retry,
    Verdict,
    describe,
)

log = structlog.get_logger()


class AttemptTraces:
    """Begins the spans of attempts."""

    def __init__(self, traces: Traces, definitions: Definitions) -> None:
        self._traces = traces
        self._definitions = definitions

    def begin(self, delivery: Delivery, trigger: TriggerDefinition, url: str) -> bytes:
        """An attempt begins: the header lines with which the sink goes on.

        ``delivery.trace`` is set where it is sampled. What is stored and not sampled is passed on as it is.
        """
        delivery.trace = None
        above = of_stored(delivery.outgoing.headers)
        if above is None:
            return b""
        if not above.is_sampled:
            return above.lines()
        try:
            delivery.trace = AttemptTrace(self._begin(delivery, trigger, url, above))
            return delivery.trace.context.lines()
        except Exception as error:  # noqa: BLE001 - without a span, then
            log.debug("traces.not_begun", error=repr(error))
            return above.lines()

    def _begin(self, delivery: Delivery, trigger: TriggerDefinition, url: str, above: TraceContext) -> Span:
        event, facts = delivery.outgoing.event, delivery.facts
        destination = f"trigger:{trigger.name}.{trigger.namespace}"
        broker = self._definitions.brokers.get(trigger.broker)
        about: dict[str, Value] = {
            "messaging.destination.name": destination,
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "send",
            "messaging.message.body.size": len(delivery.outgoing.data),
            "http.request.method": "POST",
            "scaup.broker": f"{broker.namespace}/{broker.name}" if broker else "",
            "scaup.trigger": f"{trigger.namespace}/{trigger.name}",
            "scaup.lane": delivery.lane.kind,
            "scaup.log.sequence": facts.sequence,
            "scaup.attempt": facts.attempts + 1,
            **_address(url),
            **traced.event_attributes(event.attributes),
        }
        if facts.attempts:
            about["http.request.resend_count"] = facts.attempts
        if facts.replay is not None:
            about["scaup.replay"] = facts.replay.id
        origin = of_attributes(event.attributes)
        link = origin if origin is not None and origin.trace_id != above.trace_id else None
        span = self._traces.begin(f"deliver {destination}", SpanKind.CLIENT, above)
        span.about(about, link=link)
        return span


class AttemptTrace:
    """The span of one attempt."""

    __slots__ = ("_span", "context")

    def __init__(self, span: Span) -> None:
        self._span: Span | None = span
        self.context = span.context
        """Of which the sink's span, and a reply's, is a part."""

    def end(self, outcome: Outcome, verdict: Verdict) -> None:
        """This came of the attempt, and that becomes of the delivery."""
        span, self._span = self._span, None
        if span is None:
            return
        try:
            span.end(*_said(outcome, verdict))
        except Exception as error:  # noqa: BLE001 - without a span, then
            log.debug("traces.not_ended", error=repr(error))


def _said(outcome: Outcome, verdict: Verdict) -> tuple[dict[str, Value], str | None]:
    """Attributes, and what is wrong where something is."""
    reason, status, _ = describe(outcome)
    word = _word(outcome)
    said: dict[str, Value] = {"scaup.outcome": word}
    if status is not None:
        said["http.response.status_code"] = status
    if isinstance(outcome, Replied):
        said["scaup.reply.id"] = outcome.reply.id
    match verdict:
        case Done():
            said["scaup.verdict"] = "delivered"
            return said, None
        case Retry(delay_s=delay_s):
            said |= {"scaup.verdict": "retry", "scaup.retry.delay_s": delay_s}
        case GiveUp(reason=reason):
            said["scaup.verdict"] = "dead_letter"
        case _ as never:
            assert_never(never)
    said["error.type"] = str(status) if isinstance(outcome, Refused) else word
    return said, reason


def _word(outcome: Outcome) -> str:
    """The word for it in the metrics."""
    match outcome:
        case Accepted():
            return "accepted"
        case Replied():
            return "replied"
        case Refused():
            return "refused"
        case NoAnswer(timed_out=timed_out):
            return "timeout" if timed_out else "no_answer"
        case BadReply():
            return "bad_reply"
        case ReplyNotStored():
            return "reply_not_stored"
        case _ as never:
            assert_never(never)


@lru_cache(1024)
def _address(url: str) -> dict[str, Value]:
    """Where the sink is. A name and password, and a query, may be secrets: they are not said."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    shown = f"[{host}]" if ":" in host else host
    netloc = f"{shown}:{parts.port}" if parts.port else shown
    return {"url.full": f"{parts.scheme}://{netloc}{parts.path}", "server.address": host, "server.port": port}
