"""The settings of the ingress."""

from __future__ import annotations

from dataclasses import dataclass, field

from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings, setting
from scaup.core.runtime.traces import TraceSettings


@dataclass(frozen=True, slots=True)
class IngressSettings:
    """Everything the ingress is told at start."""

    bus: BusSettings = field(default_factory=BusSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)
    listen: Listen = setting("SCAUP_LISTEN", Listen("127.0.0.1", 8080), "Where events are accepted, host:port.")
    metrics_listen: Listen = setting("SCAUP_METRICS_LISTEN", Listen("127.0.0.1", 9091), "Where metrics are, host:port.")
    max_body_bytes: int = setting(
        "SCAUP_INGRESS_MAX_BODY_BYTES",
        1 << 20,
        "Largest request body in bytes; more is answered 413. Never above what the bus takes, less 64 KiB.",
    )
    body_timeout_s: float = setting(
        "SCAUP_INGRESS_BODY_TIMEOUT_SECONDS", 10.0, "Seconds a sender has for its body; then 408."
    )
    max_in_flight: int = setting(
        "SCAUP_INGRESS_MAX_IN_FLIGHT", 2048, "Requests worked at a time; more are answered 429 with Retry-After."
    )
    max_in_flight_bytes: int = setting(
        "SCAUP_INGRESS_MAX_IN_FLIGHT_BYTES", 256 << 20, "Bytes of bodies held at a time; more are answered 429."
    )
