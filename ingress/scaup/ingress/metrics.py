"""What the ingress counts. Names are public API; labels name only Brokers that exist."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from scaup.core.model.definitions import BrokerDefinition

EVENTS = Counter(
    "scaup_ingress_events_total",
    "Events (requests, where they were refused) by result; broker is empty where none was found.",
    ["namespace", "broker", "result"],
)
ACCEPT = Histogram(
    "scaup_ingress_accept_seconds",
    "From the request's head to the answer, for accepted events.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class Metrics:
    """Counters at hand, so that the hot path looks nothing up by label."""

    def __init__(self) -> None:
        self._accepted: dict[str, Counter] = {}

    def accepted(self, broker: BrokerDefinition, events: int, duplicates: int, seconds: float) -> None:
        """One request was accepted with ``events`` events, of which the log had ``duplicates`` already."""
        if duplicates:
            EVENTS.labels(broker.namespace, broker.name, "duplicate").inc(duplicates)
        counter = self._accepted.get(broker.uid)
        if counter is None:
            counter = self._accepted[broker.uid] = EVENTS.labels(broker.namespace, broker.name, "accepted")
        counter.inc(events - duplicates)
        ACCEPT.observe(seconds)

    def answered(self, broker: BrokerDefinition | None, result: str) -> None:
        """One request was answered with anything but 202."""
        EVENTS.labels(broker.namespace if broker else "", broker.name if broker else "", result).inc()
