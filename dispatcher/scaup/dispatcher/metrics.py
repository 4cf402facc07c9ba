"""What the dispatcher counts. Names are public API; labels name only Brokers and Triggers that exist."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_TRIGGER = ["namespace", "broker", "trigger"]

ATTEMPTS = Counter(
    "scaup_delivery_attempts_total",
    "Attempts to deliver, by what came of them: accepted, replied, refused, no_answer, timeout, bad_reply, "
    "reply_not_stored, unresolved.",
    [*_TRIGGER, "outcome"],
)
SECONDS = Histogram(
    "scaup_delivery_seconds",
    "From an event's acceptance to its being settled for one Trigger.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
PARKED = Counter("scaup_parked_events_total", "Events stored in a Trigger's queue, by reason.", [*_TRIGGER, "reason"])
DEAD = Counter("scaup_dead_lettered_events_total", "Events that became dead letters.", [*_TRIGGER, "to"])
DROPPED = Counter(
    "scaup_dropped_events_total",
    "Events given up by a stated policy: trigger_deleted, dead_letters_full, too_large.",
    ["namespace", "broker", "reason"],
)
QUEUE_EVENTS = Gauge("scaup_trigger_queue_events", "Events waiting in a Trigger's queue.", _TRIGGER)
QUEUE_OLDEST = Gauge(
    "scaup_trigger_queue_oldest_seconds",
    "Age of the oldest event in a Trigger's queue, since its acceptance.",
    _TRIGGER,
)
DEAD_LETTERS = Gauge("scaup_dead_letters", "Dead letters kept.", ["namespace", "broker"])
LAG = Gauge("scaup_log_lag_events", "Entries of the event log that are not settled yet.", ["namespace", "broker"])
IN_FLIGHT = Gauge("scaup_dispatcher_in_flight", "Entries of event logs held by this dispatcher.")
HANDED_BACK = Counter("scaup_handed_back_events_total", "Entries of event logs handed back, by reason.", ["reason"])
SET_ASIDE = Counter(
    "scaup_set_aside_events_total",
    "Events that ended, twice in a row, the process that worked nothing else: kept as dead letters.",
    ["namespace", "broker"],
)
SUSPECTS = Gauge(
    "scaup_suspects", "Entries that may have ended dispatchers and wait to be tried in a process of their own."
)
