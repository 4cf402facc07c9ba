"""What the dispatcher counts. Names are public API; labels name only Brokers and Triggers that exist.

Latency is by Broker, not by Trigger: a histogram is twenty series, and there may be ten thousand Triggers.
"""

from __future__ import annotations

from typing import Final

from scaup.core.runtime.metrics import LATENCY_S, counter, gauge, histogram

_BROKER: Final = ["namespace", "broker"]
_TRIGGER: Final = [*_BROKER, "trigger"]
_DROPS: Final = ("trigger_deleted", "dead_letters_full", "too_large")

ATTEMPTS = counter(
    "scaup_delivery_attempts_total",
    "Attempts to deliver, by what came of them: accepted, replied, refused, no_answer, timeout, bad_reply, "
    "reply_not_stored, unresolved.",
    [*_TRIGGER, "outcome"],
    when_bad="More than a few that are neither `accepted` nor `replied`: look at that Trigger's sink. `unresolved`: "
    "its subscriber has no address, `scaup describe trigger` says why. `reply_not_stored`: the Broker's log is full.",
)
SECONDS = histogram(
    "scaup_delivery_seconds",
    "From an event's acceptance, or its replay, to its first end for one Trigger: delivered, or given up. Retries and "
    "waiting are in it.",
    _BROKER,
    buckets=(*LATENCY_S, 30, 60, 300, 3600),
    when_bad="A high median: too few dispatchers, or the machine or NATS is busy. A high 99th percentile alone: some "
    "sink is slow or retried; `scaup_delivery_attempts_total` and `scaup_trigger_queue_events` name the Trigger.",
)
PARKED = counter(
    "scaup_parked_events_total",
    "Events stored in a Trigger's queue, by reason: retry, slow, backed_up, breaker, paused, ordered, unresolved.",
    [*_TRIGGER, "reason"],
    when_bad="`slow`, `backed_up`: the sink takes less than comes. `breaker`: it fails. `retry`: it refused. "
    "`paused`, `ordered` are meant so.",
)
DEAD = counter(
    "scaup_dead_lettered_events_total",
    "Events that became dead letters: sent to the dead letter sink, or kept.",
    [*_TRIGGER, "to"],
    when_bad="Any: nobody tries these again. `scaup deadletters list` says why; mend the sink, then "
    "`scaup deadletters replay`.",
)
DROPPED = counter(
    "scaup_dropped_events_total",
    "Events given up by a stated policy: trigger_deleted, dead_letters_full, too_large.",
    [*_BROKER, "reason"],
    when_bad="Any but `trigger_deleted`: these are gone. `dead_letters_full`: replay or purge the Trigger's dead "
    "letters. `too_large`: NATS's `max_payload` is too small for an event with the facts of its failure.",
)
QUEUE_EVENTS = gauge(
    "scaup_trigger_queue_events",
    "Events waiting in a Trigger's queue; one that was stored in a bundle and is tried again counts twice until the "
    "bundle is through. Every dispatcher shows it: take the maximum, not the sum.",
    _TRIGGER,
    when_bad="It grows: the sink is down or takes less than comes. At the quota further events become dead letters.",
)
QUEUE_OLDEST = gauge(
    "scaup_trigger_queue_oldest_seconds",
    "Age of the event at the head of a Trigger's queue, since its acceptance or replay. Every dispatcher shows it.",
    _TRIGGER,
    when_bad="It grows while the Trigger is not paused: its sink does not take anything; `scaup describe trigger` and "
    "`scaup doctor` say what is wrong.",
)
QUEUE_QUOTA = gauge(
    "scaup_trigger_queue_quota_events",
    "Events that may wait in one queue.",
    when_bad="It is a setting, `SCAUP_DISPATCHER_QUEUE_QUOTA`; the same for all dispatchers.",
)
PAUSED = gauge(
    "scaup_trigger_paused",
    "1 while a Trigger that has a queue is paused, else 0. Every dispatcher shows it.",
    _TRIGGER,
    when_bad="Paused for longer than was meant: `scaup trigger resume`.",
)
BREAKER_OPEN = gauge(
    "scaup_trigger_breaker_open",
    "1 while the breaker before a sink is open, so that only probes are sent to it, else 0; shown by the dispatcher "
    "that owns the Trigger. With nothing waiting it stays open until the next event.",
    [*_TRIGGER, "lane"],
    when_bad="Open for minutes while events wait: the sink fails or does not answer. Nothing is lost, the events wait "
    "up to the longest wait and are probed at least every 30 s.",
)
TRIGGER_IN_FLIGHT = gauge(
    "scaup_trigger_in_flight",
    "Attempts under way at a sink, of this dispatcher, as of the last look (every 2 s).",
    [*_TRIGGER, "lane"],
    when_bad="It stays at the in-flight limit: the sink is slow, or the limit too low for it.",
)
DEAD_LETTERS = gauge(
    "scaup_dead_letters",
    "Dead letters kept; shown by the dispatcher that looks after the Broker.",
    _BROKER,
    when_bad="It grows: see `scaup_dead_lettered_events_total`. At 100,000 of one Trigger further ones are dropped.",
)
LAG = gauge(
    "scaup_log_lag_events",
    "Entries of the event log that are not settled yet; shown by the dispatcher that looks after the Broker.",
    _BROKER,
    when_bad="It grows: too few dispatchers for what comes in, or no filter answers "
    "(`scaup_handed_back_events_total`). A slow sink is no reason: its events move to its queue.",
)
LOG_OLDEST = gauge(
    "scaup_log_oldest_seconds",
    "Age of the oldest entry of the event log that is not settled; 0 where all are. Shown beside the lag.",
    _BROKER,
    when_bad="Above a few seconds and growing: as for the lag. One entry that stays may be a suspect "
    "(`scaup_suspects`).",
)
LOG_BYTES = gauge(
    "scaup_log_bytes",
    "Size of the event log, settled history included: that fills it up to 80 % by design. Shown beside the lag.",
    _BROKER,
    when_bad="Above 80 % of `scaup_log_max_bytes`: what is not settled takes the room; new events are refused at 90 %.",
)
LOG_MAX_BYTES = gauge(
    "scaup_log_max_bytes",
    "Size that the event log may have; shown beside the lag.",
    _BROKER,
    when_bad="Too small for the longest stop of your dispatchers: raise the annotation `scaup.dev/log-max-bytes`.",
)
IN_FLIGHT = gauge(
    "scaup_dispatcher_in_flight",
    "Entries of event logs held by this dispatcher.",
    when_bad="At `SCAUP_DISPATCHER_MAX_EVENTS` all the time: start another dispatcher.",
)
HANDED_BACK = counter(
    "scaup_handed_back_events_total",
    "Entries of event logs handed back, to be worked a moment later, by reason: no_match_answer, not_settled.",
    ["reason"],
    when_bad="`no_match_answer` goes on: no filter answers; start one, or see why those that run are not ready. "
    "`not_settled`: what becomes of events cannot be stored; look at the NATS server and its disk.",
)
SET_ASIDE = counter(
    "scaup_set_aside_events_total",
    "Events that ended, twice in a row, the process that worked nothing else: kept as dead letters.",
    _BROKER,
    when_bad="Any: an event that kills the process is a bug, ours or a library's; keep the dead letter and report it.",
)
SUSPECTS = gauge(
    "scaup_suspects",
    "Entries that may have ended dispatchers and wait to be tried in a process of their own.",
    when_bad="Above 0 for minutes: dispatchers die; their logs and exit codes (137 is out of memory) say of what.",
)

_TO: Final = ("sink", "kept")

for _reason in ("no_match_answer", "not_settled"):
    HANDED_BACK.labels(_reason)


def begin(namespace: str, broker: str) -> None:
    """What must never happen counts from 0, so that the first time is seen as a change."""
    for reason in _DROPS:
        DROPPED.labels(namespace, broker, reason)
    SET_ASIDE.labels(namespace, broker)


def begin_trigger(labels: tuple[str, str, str]) -> None:
    """The same for a Trigger that gets its first event."""
    for to in _TO:
        DEAD.labels(*labels, to)
