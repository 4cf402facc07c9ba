"""The settings of the dispatcher."""

from __future__ import annotations

from dataclasses import dataclass, field

from scaup.core.http.networks import Networks
from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings, setting
from scaup.core.runtime.traces import TraceSettings


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """Everything the dispatcher is told at start."""

    bus: BusSettings = field(default_factory=BusSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)
    metrics_listen: Listen = setting("SCAUP_METRICS_LISTEN", Listen("127.0.0.1", 9093), "Where metrics are, host:port.")
    max_events: int = setting(
        "SCAUP_DISPATCHER_MAX_EVENTS", 4096, "Entries of event logs held at a time; more are left in the logs."
    )
    max_bytes: int = setting("SCAUP_DISPATCHER_MAX_BYTES", 128 << 20, "Bytes of such entries held at a time.")
    slow_s: float = setting(
        "SCAUP_DISPATCHER_SLOW_SECONDS",
        1.0,
        "Seconds an entry of the log is held for a slow target before that target's event moves to its queue; "
        "less when many are held.",
    )
    max_in_flight: int = setting(
        "SCAUP_DISPATCHER_MAX_IN_FLIGHT", 256, "Most attempts under way for one Trigger; the limit adapts below it."
    )
    queue_quota: int = setting(
        "SCAUP_DISPATCHER_QUEUE_QUOTA",
        100_000,
        "Events that may wait in one Trigger's queue; more go to its dead letters at once.",
    )
    jitter: float = setting(
        "SCAUP_DISPATCHER_BACKOFF_JITTER",
        0.0,
        "How much longer than its Trigger says a back-off may be, by chance: 0.2 is up to 20 %. 0: never.",
    )
    max_wait_s: float = setting(
        "SCAUP_DISPATCHER_MAX_WAIT_SECONDS",
        24 * 3600.0,
        "Longest time an event waits in a queue, counted from its acceptance; then it becomes a dead letter.",
    )
    max_answer_bytes: int = setting(
        "SCAUP_DISPATCHER_MAX_ANSWER_BYTES", 1 << 20, "Largest answer read from a subscriber, in bytes."
    )
    sink_deny: Networks | None = setting(
        "SCAUP_SINK_DENY",
        None,
        "Where no sink may be: networks such as 10.0.0.0/8, addresses, and the words loopback, private and link-local, "
        "separated by commas.",
    )
    trail: bool = setting(
        "SCAUP_TRAIL",
        True,
        "Whether the dispatcher remembers how deliveries ended, for `scaup trace`: in memory, 12 MB at most.",
    )
