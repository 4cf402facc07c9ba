"""From an error to an HTTP answer: one total table. Every 4xx and 5xx says what, where and what to do.

Knative eventing data plane, "HTTP response codes"; CloudEvents HTTP webhook 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from scaup.core.model import errors

Header = tuple[bytes, bytes]
ALLOW: Final[Header] = (b"allow", b"POST, OPTIONS")
_EMPTY: Final[Header] = (b"content-length", b"0")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, and the word for it in the metrics."""

    status: int
    headers: list[Header]
    body: bytes
    result: str


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    result: str
    retry_after_s: int | None = None


class MethodNotAllowedError(errors.EventRejectedError):
    """The method is neither POST nor OPTIONS."""

    code = "request.method"


class RootPathError(errors.BadPathError):
    """The path is ``/``."""


ROWS: Final[dict[type[errors.ScaupError], _Row]] = {
    MethodNotAllowedError: _Row(405, "rejected"),
    RootPathError: _Row(404, "rejected"),
    errors.BadPathError: _Row(400, "rejected"),
    errors.MalformedEventError: _Row(400, "rejected"),
    errors.HopLimitError: _Row(400, "hop_limit"),
    errors.EventTooLargeError: _Row(413, "too_large"),
    errors.SlowSenderError: _Row(408, "rejected"),
    errors.UnknownBrokerError: _Row(404, "unknown_broker"),
    errors.EventRejectedError: _Row(400, "rejected"),
    errors.LogFullError: _Row(507, "full", 5),
    errors.OverloadedError: _Row(429, "overloaded", 1),
    errors.NotLoadedError: _Row(503, "unavailable", 1),
    errors.BusUnavailableError: _Row(503, "unavailable", 1),
    errors.BusRequestError: _Row(503, "unavailable", 5),
    errors.BusError: _Row(503, "unavailable", 1),
    errors.ScaupError: _Row(500, "failed"),
}

ACCEPTED: Final = Answer(202, [ALLOW, _EMPTY], b"", "accepted")
# CloudEvents HTTP webhook 4.1: whoever asks may send, at any rate.
HANDSHAKE: Final = Answer(
    200, [ALLOW, (b"webhook-allowed-origin", b"*"), (b"webhook-allowed-rate", b"*"), _EMPTY], b"", "handshake"
)


def answer(error: errors.ScaupError) -> Answer:
    """The answer for an error: a JSON problem (RFC 9457) and, where it makes sense, Retry-After in seconds."""
    row = next(ROWS[kind] for kind in type(error).__mro__ if kind in ROWS)
    problem = {"title": type(error).code, "status": row.status, "detail": str(error)}
    if error.hint:
        problem["hint"] = error.hint
    body = orjson.dumps(problem) + b"\n"
    headers: list[Header] = [
        ALLOW,
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if row.retry_after_s is not None:
        headers.append((b"retry-after", str(row.retry_after_s).encode()))
    if row.status in {408, 413}:
        headers.append((b"connection", b"close"))  # the rest of the body is not worth waiting for
    return Answer(row.status, headers, body, row.result)
