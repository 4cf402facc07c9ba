"""W3C trace context: reading ``traceparent`` and ``tracestate``, and writing them. Pure; knows nothing of spans.

https://www.w3.org/TR/trace-context/. As headers they are the trace of the hop; as attributes (the CloudEvents extension
"Distributed Tracing") that of who first sent the event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
"""512 characters are what everybody has to pass on (3.3.1.5); more is left out as a whole, which is allowed."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which span is the parent, and whether its trace is recorded."""

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        """The header, or attribute."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"

    def headers(self) -> dict[str, str]:
        """Both headers; ``tracestate`` only where there is any."""
        headers = {TRACEPARENT: self.traceparent}
        return {**headers, TRACESTATE: self.state} if self.state else headers

    def lines(self) -> bytes:
        """The same as header lines of a request."""
        return "".join(f"{name}: {value}\r\n" for name, value in self.headers().items()).encode()


def read(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """The context these say; None where the first says none (3.2.2). The second never spoils the first (3.3)."""
    form = _FORM.fullmatch(traceparent) if traceparent else None
    if form is None:
        return None
    version, trace_id, span_id, flags, rest = form.groups()
    if version == "ff" or (version == "00" and rest) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    state = tracestate if tracestate and _STATE.fullmatch(tracestate) else ""
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1), state)


def of_headers(headers: list[tuple[bytes, bytes]]) -> TraceContext | None:
    """The context that a request's headers say; None where they say none, or two."""
    parents: list[str] = []
    states: list[str] = []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value.decode("latin-1"))
        elif name == b"tracestate":
            states.append(value.decode("latin-1"))
    return read(parents[0], ",".join(states)) if len(parents) == 1 else None


def of_stored(headers: dict[str, str]) -> TraceContext | None:
    """The context that is stored beside an event; None where there is none."""
    parent = headers.get(TRACEPARENT)
    return None if parent is None else read(parent, headers.get(TRACESTATE))


def of_attributes(attributes: dict[str, str]) -> TraceContext | None:
    """The context of who first sent the event, by the extension."""
    parent = attributes.get(TRACEPARENT)
    return None if parent is None else read(parent, attributes.get(TRACESTATE))
