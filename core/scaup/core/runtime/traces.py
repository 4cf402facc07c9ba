"""Whether a service traces, and what it counts of that: off unless an endpoint is set.

Off, the OpenTelemetry packages are not even imported: all that needs them is in ``spans``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scaup.core.runtime.metrics import counter
from scaup.core.runtime.settings import setting

if TYPE_CHECKING:
    from scaup.core.runtime.spans import Traces

SPANS = counter(
    "scaup_trace_spans_total",
    "Spans by what became of them: exported, dropped (more than the queue holds), failed (the receiver took them not).",
    ["result"],
    when_bad="`dropped`: too many, lower `SCAUP_TRACE_SAMPLE`. `failed`: look at the receiver. No event suffers.",
)
_PATH = "/v1/traces"


class Endpoint(str):
    """Where an OTLP receiver is: ``http://host:4318``; its path for traces is added where none is given."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Check it, and add the path."""
        url = urlsplit(text)
        if url.scheme not in {"http", "https"} or not url.hostname:
            msg = "expected a URL of an OTLP/HTTP receiver, such as http://127.0.0.1:4318"
            raise ValueError(msg)
        return cls(text if url.path.strip("/") else f"{text.rstrip('/')}{_PATH}")


class Share(float):
    """From 0 to 1."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Share:
        """A number from 0 to 1."""
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 1:
            msg = "expected a share from 0 to 1, such as 0.01"
            raise ValueError(msg)
        return cls(number)


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Whether and how much is traced."""

    endpoint: Endpoint = setting(
        "SCAUP_OTLP_ENDPOINT",
        Endpoint(),
        "OTLP/HTTP receiver of traces, such as http://127.0.0.1:4318. Empty: nothing is traced.",
    )
    sample: Share = setting(
        "SCAUP_TRACE_SAMPLE",
        Share(0.01),
        "Share of the events without a trace of their own that get one, 0 to 1. An event that comes with a trace is "
        "traced where that trace is sampled, and else not.",
    )


@asynccontextmanager
async def tracing(settings: TraceSettings, service: str, replica: str) -> AsyncIterator[Traces | None]:
    """What makes a service's spans, while it runs; None where nothing is traced. At the end what waits is sent."""
    if not settings.endpoint:
        yield None
        return
    from scaup.core.runtime.spans import Traces

    traces = Traces(settings, service, replica)
    try:
        yield traces
    finally:
        await asyncio.to_thread(traces.close)
