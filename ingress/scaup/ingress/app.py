"""The story of the ingress: a request comes in, an event is stored, and only then the sender hears 202.

A raw ASGI app, for this is the hot path. It must not know what happens to an event afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scaup.core.bus.acked import Stored
from scaup.core.bus.connection import Bus
from scaup.core.codec import http, stored
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import (
    BusUnavailableError,
    EventTooLargeError,
    HopLimitError,
    MalformedEventError,
    OverloadedError,
    ScaupError,
    SlowSenderError,
    UnknownBrokerError,
)
from scaup.core.model.event import ARRIVAL_TIME, HOPS, HOPS_HEADER, Event, fewer_hops, is_passed, next_hops
from scaup.core.model.names import event_subject
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.standstill import Standstill
from scaup.ingress.answers import ACCEPTED, HANDSHAKE, Answer, MethodNotAllowedError, answer
from scaup.ingress.duplicates import make_known, store_once
from scaup.ingress.metrics import Metrics
from scaup.ingress.paths import broker_of
from scaup.ingress.patience import Patience
from scaup.ingress.room import Room
from scaup.ingress.settings import IngressSettings

if TYPE_CHECKING:
    from scaup.ingress.traces import RequestTrace, RequestTraces

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Store = Callable[[str, bytes, dict[str, str]], Awaitable[Stored]]

_PASSED_INITIALS: Final = (b"x-", b"kn", b"re")
_HOPS_NAME: Final = HOPS_HEADER.encode()
_PATIENCE_S: Final = 5.0
_FORGET_S: Final = 15.0
"""An ingress that is not ready gets no more events, by which it could tell that the log is well again."""


class _Held:
    """The bytes one request holds."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Ingress:
    """The ASGI app. ``around`` answers what is not an event: health."""

    def __init__(self, bus: Bus, definitions: Definitions, settings: IngressSettings, around: Any) -> None:
        self._bus = bus
        self._definitions = definitions
        self._settings = settings
        self._around = around
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._metrics = Metrics()
        self._patience = Patience(settings.body_timeout_s)
        self._loop = asyncio.get_running_loop()
        self._storing = Standstill(_PATIENCE_S, forget_s=_FORGET_S)
        self.room = Room(bus)
        self.traces: RequestTraces | None = None

    def why_not_ready(self) -> str | None:
        """For the readiness check: events came, and none of them was stored."""
        return self._storing.why_not(self._loop.time())

    @property
    def max_body_bytes(self) -> int:
        """The largest body taken: the setting, but never more than the bus takes."""
        return min(self._settings.max_body_bytes, self._bus.max_payload - stored.MAX_HEADERS_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request: the decision table of Knative's ingress, top to bottom."""
        method = scope["method"]
        if method == "GET" and scope["path"] in {"/healthz", "/readyz"}:
            await self._around(scope, receive, send)
            return
        start = time.perf_counter()
        broker: BrokerDefinition | None = None
        result: Answer = ACCEPTED
        duplicates = 0
        held = _Held()
        trace = None if self.traces is None else self.traces.request(scope)
        self._in_flight += 1
        try:
            if method == "OPTIONS":
                result = HANDSHAKE
            else:
                broker, events, passed = await self._admit(scope, receive, held)
                duplicates = await self._store(broker, events, passed, trace)
        except ScaupError as error:
            result = answer(error)
        finally:
            self._in_flight -= 1
            self._in_flight_bytes -= held.bytes
        await send({"type": "http.response.start", "status": result.status, "headers": result.headers})
        await send({"type": "http.response.body", "body": result.body})
        if result is ACCEPTED and broker is not None:
            self._metrics.accepted(broker, len(events), duplicates, time.perf_counter() - start)
        else:
            self._metrics.answered(broker, result.result)
        if trace is not None:
            trace.end(broker, result.status, result.result)

    async def _admit(
        self, scope: Scope, receive: Receive, held: _Held
    ) -> tuple[BrokerDefinition, list[Event], dict[str, str]]:
        """What is to be stored where, or the reason why not."""
        if scope["method"] != "POST":
            msg = f"{scope['method']} is not allowed here"
            raise MethodNotAllowedError(msg, hint="POST events; OPTIONS for the webhook hand-shake")
        namespace, name = broker_of(scope["path"])
        self._definitions.require_loaded()
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        content_type, passed, hops = _survey(headers, needs_host=scope["http_version"] == "1.1")
        body = await self._body(headers, receive, held)
        events = http.decode(content_type, headers, body)
        if hops is not None:  # a dispatcher relays to us
            for event in events:
                event.attributes[HOPS] = fewer_hops(event.attributes.get(HOPS), hops) or hops
        broker = self._definitions.brokers_by_name.get((namespace, name))
        if broker is None:
            msg = f"there is no broker {name!r} in namespace {namespace!r}"
            raise UnknownBrokerError(msg, hint="create a Broker of that name, or correct the path")
        return broker, events, passed

    async def _store(
        self, broker: BrokerDefinition, events: list[Event], passed: dict[str, str], trace: RequestTrace | None
    ) -> int:
        """Append every event to the log and return when the log has them all; how many it had already."""
        arrival = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        for event in events:
            hops = next_hops(event.attributes.get(HOPS))
            if hops <= 0:
                msg = f"event {event.id!r} came back through brokers too often ({HOPS} is used up)"
                raise HopLimitError(
                    msg, hint="look for Brokers that relay in a circle, or a sink whose replies trigger itself"
                )
            event.attributes[HOPS] = str(hops)
            event.attributes[ARRIVAL_TIME] = arrival
        subject = event_subject(broker.uid)
        entries = [(stored.to_headers(event, passed), event.data or b"") for event in events]
        if broker.dedupe_window_s:
            for event, (headers, _) in zip(events, entries, strict=True):
                make_known(event, headers)
        if trace is not None:
            trace.begin(broker, events, entries)
        sizes = [len(data) + stored.size_of(headers) for headers, data in entries]
        for size in sizes:
            self.room.take(broker, size)
        try:
            store = partial(store_once, self._bus) if broker.dedupe_window_s else self._bus.acked.store
            if len(entries) == 1:
                duplicates = int((await store(subject, entries[0][1], entries[0][0])).duplicate)
            else:
                duplicates = await _store_all(store, subject, entries)
        except BusUnavailableError as error:
            why = f"the event log of broker {broker.namespace}/{broker.name} stores nothing: {error}"
            self._storing.failed(self._loop.time(), why)
            raise
        self._storing.went_well()
        return duplicates

    async def _body(self, headers: list[tuple[bytes, bytes]], receive: Receive, held: _Held) -> bytes:
        """The whole body, within the limits on its size, on its time, and on what is held at once."""
        limit = self.max_body_bytes
        announced = next((int(value) for name, value in headers if name == b"content-length" and value.isdigit()), 0)
        if announced > limit:
            raise _too_large(limit)
        self._hold(held, announced)
        chunks: list[bytes] = []
        size = 0
        waiting = self._patience.begin()
        try:
            while True:
                received = await receive()
                if received["type"] == "http.disconnect":
                    msg = "the sender went away before its body was complete"
                    raise SlowSenderError(msg, hint="send the whole body")
                body: bytes = received.get("body", b"")
                size += len(body)
                if size > limit:
                    raise _too_large(limit)
                self._hold(held, size)
                if not received.get("more_body", False):
                    break
                chunks.append(body)
        finally:
            self._patience.end(waiting)
        return b"".join((*chunks, body)) if chunks else body

    def _hold(self, held: _Held, size: int) -> None:
        """Count ``size`` bytes as held for a request; OverloadedError where that is too much at once."""
        more = max(size - held.bytes, 0)
        if (
            self._in_flight > self._settings.max_in_flight
            or self._in_flight_bytes + more > self._settings.max_in_flight_bytes
        ):
            msg = "more requests are under way than this ingress works at a time"
            raise OverloadedError(msg, hint="try again after Retry-After seconds")
        held.bytes += more
        self._in_flight_bytes += more


async def _store_all(store: Store, subject: str, entries: list[tuple[dict[str, str], bytes]]) -> int:
    """Store every entry; how many were there already. Raises the first error once all have come to an end."""
    outcomes = await asyncio.gather(
        *(store(subject, data, headers) for headers, data in entries), return_exceptions=True
    )
    duplicates = 0
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        duplicates += outcome.duplicate
    return duplicates


def _survey(headers: list[tuple[bytes, bytes]], *, needs_host: bool) -> tuple[str | None, dict[str, str], str | None]:
    """The content type, the headers that travel with the event, and the hops a dispatcher says it has left.

    MalformedEventError where Host is missing.
    """
    content_type: str | None = None
    hops: str | None = None
    passed: dict[str, str] = {}
    for name, value in headers:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"host":
            needs_host = False
        elif name[:2] in _PASSED_INITIALS and is_passed(text := name.decode("latin-1")):
            stored.add_passed(passed, text, value)
        elif name == _HOPS_NAME:
            hops = fewer_hops(hops, value.decode("latin-1"))
    if needs_host:
        raise MalformedEventError("the request has no Host", hint="send it, as HTTP/1.1 asks (RFC 9112, 3.2)")
    return content_type, passed, hops


def _too_large(limit: int) -> EventTooLargeError:
    msg = f"the body is larger than {limit} bytes"
    return EventTooLargeError(msg, hint="send less, or a reference to the data (extension dataref)")
