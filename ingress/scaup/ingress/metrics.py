"""What the ingress counts. Names are public API; labels name only Brokers that exist."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from scaup.core.model.definitions import BrokerDefinition
from scaup.core.runtime.metrics import counter, histogram

EVENTS = counter(
    "scaup_ingress_events_total",
    "Events by result: accepted, duplicate; and requests that were refused: rejected, too_large, hop_limit, "
    "unknown_broker, full, overloaded, unavailable, failed. `handshake` is OPTIONS. Broker is empty if none was found.",
    ["namespace", "broker", "result"],
    when_bad="`full`: the log has no room, see `scaup_log_lag_events`. `overloaded`: start another ingress. "
    "`unavailable`: look at NATS. `failed`: a bug, the log has it. `rejected`, `too_large`, `unknown_broker`: the "
    "producer's mistake, which its answer explains. `hop_limit`: replies go in a circle.",
)
ACCEPT = histogram(
    "scaup_ingress_accept_seconds",
    "From the request's head to the answer, for accepted events.",
    ["namespace", "broker"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    when_bad="High: the log's disk is slow (NATS), the ingress has no CPU left, or senders are slow with their bodies.",
)


_RESULTS: Final = (
    *("accepted", "duplicate", "rejected", "too_large", "hop_limit", "unknown_broker"),
    *("full", "overloaded", "unavailable", "failed"),
)


class Metrics:
    """Counters at hand, so that the hot path looks nothing up by label."""

    def __init__(self) -> None:
        self._accepted: dict[str, tuple[Counter, Histogram]] = {}
        _begin("", "")

    def accepted(self, broker: BrokerDefinition, events: int, duplicates: int, seconds: float) -> None:
        """One request was accepted with ``events`` events, of which the log had ``duplicates`` already."""
        if duplicates:
            EVENTS.labels(broker.namespace, broker.name, "duplicate").inc(duplicates)
        found = self._accepted.get(broker.uid) or self._of(broker)
        found[0].inc(events - duplicates)
        found[1].observe(seconds)

    def answered(self, broker: BrokerDefinition | None, result: str) -> None:
        """One request was answered with anything but 202."""
        if broker is not None and broker.uid not in self._accepted:
            self._of(broker)
        EVENTS.labels(broker.namespace if broker else "", broker.name if broker else "", result).inc()

    def _of(self, broker: BrokerDefinition) -> tuple[Counter, Histogram]:
        labels = (broker.namespace, broker.name)
        _begin(*labels)
        self._accepted[broker.uid] = found = EVENTS.labels(*labels, "accepted"), ACCEPT.labels(*labels)
        return found


def _begin(namespace: str, broker: str) -> None:
    """All counts from 0, so that the first of each is seen as a change."""
    for result in _RESULTS:
        EVENTS.labels(namespace, broker, result)
