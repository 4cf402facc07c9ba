"""What the filter counts. Names are public API; labels name only Brokers and Triggers that exist."""

from __future__ import annotations

from scaup.core.model.definitions import BrokerDefinition
from scaup.core.runtime.metrics import counter, histogram

SECONDS = histogram(
    "scaup_filter_match_seconds",
    "Matching one batch of events, without the way to and fro.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1),
    when_bad="Above 0.1 s: filters that no index helps (`scaup filter lint`), or no CPU left: start another filter.",
)
MATCHES = counter(
    "scaup_filter_matches_total",
    "Pairs of an event and a Trigger that wants it.",
    ["namespace", "broker"],
    when_bad="None although events come: no Trigger wants them; `scaup trace ID` and `scaup filter try` say why.",
)
EVENTS = counter(
    "scaup_filter_events_total",
    "Events matched against the Triggers of their Broker; asked twice, an event counts twice.",
    ["namespace", "broker"],
    when_bad="Far above what is accepted: events are handed back and asked about again "
    "(`scaup_handed_back_events_total`).",
)
ERRORS = counter(
    "scaup_filter_errors_total",
    "Events whose filter could not be evaluated, so that they did not match; by kind of error: missingAttribute, cast, "
    "math, missingFunction, functionEvaluation, parse, generic.",
    ["namespace", "broker", "trigger", "kind"],
    when_bad="Any but `missingAttribute`: events are not delivered that perhaps should be. The Trigger's condition has "
    "the reason; `scaup filter try` shows it with an event.",
)


def matched(broker: BrokerDefinition, events: int, matches: int) -> None:
    """A batch was answered."""
    EVENTS.labels(broker.namespace, broker.name).inc(events)
    MATCHES.labels(broker.namespace, broker.name).inc(matches)
