"""The settings of the filter."""

from __future__ import annotations

from dataclasses import dataclass, field

from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings, setting


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Everything the filter is told at start."""

    bus: BusSettings = field(default_factory=BusSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    metrics_listen: Listen = setting("SCAUP_METRICS_LISTEN", Listen("127.0.0.1", 9092), "Where metrics are, host:port.")
