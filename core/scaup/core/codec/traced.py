"""The trace context beside a stored event: as headers the trace of the hop, as attributes that of who sent it first.

What a producer said in its attributes stays as it was; a sampled event that says nothing gets them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scaup.core.codec import percent
from scaup.core.codec.stored import MAX_HEADERS_BYTES
from scaup.core.model.tracecontext import TRACEPARENT, TRACESTATE, TraceContext

CLOUDEVENTS: Final = (
    ("cloudevents.event_id", "id"),
    ("cloudevents.event_source", "source"),
    ("cloudevents.event_spec_version", "specversion"),
    ("cloudevents.event_type", "type"),
    ("cloudevents.event_subject", "subject"),
)
"""Attributes of spans, and those of events that they are made from (OpenTelemetry, "CloudEvents spans")."""


def put(headers: dict[str, str], context: TraceContext) -> None:
    """Add the context to the headers of an entry. Where they are full it is left out: the event comes first."""
    more = context.headers()
    if context.is_sampled and "ce-" + TRACEPARENT not in headers:
        more["ce-" + TRACEPARENT] = context.traceparent
        if context.state and "ce-" + TRACESTATE not in headers:
            more["ce-" + TRACESTATE] = percent.encode(context.state)
    if _size(headers) + _size(more) <= MAX_HEADERS_BYTES:
        headers.update(more)


def event_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """What a span says of its event, by both conventions."""
    said = {name: attributes[source] for name, source in CLOUDEVENTS if source in attributes}
    return {"messaging.system": "knative", "messaging.message.id": attributes["id"], **said}


def _size(headers: dict[str, str]) -> int:
    return sum(map(len, headers)) + sum(map(len, headers.values()))
