"""The controller's metrics. Names are public API."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

DEFINITIONS = Gauge("scaup_controller_definitions", "Definitions in the snapshot, by kind.", ["kind"])
LEADER = Gauge(
    "scaup_controller_leader", "1 while this controller leads, or there is no election; 0 while it stands by."
)
RECONCILE = Histogram(
    "scaup_controller_reconcile_seconds",
    "Seconds from observed to written, for everything at once.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
