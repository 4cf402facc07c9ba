"""What the local API counts. Names are public API."""

from __future__ import annotations

from scaup.core.runtime.metrics import counter, gauge, histogram

REQUESTS = counter(
    "scaup_apiserver_requests_total",
    "Answered requests.",
    ["verb", "code"],
    when_bad="Code 500 or 503: NATS does not store; look at its log and disk. 4xx is the asker's.",
)
SECONDS = histogram(
    "scaup_apiserver_request_seconds",
    "From the request's head to the answer; watches are not counted here.",
    ["verb"],
    when_bad="Above a second: NATS or the machine is busy. Changes take longer to have effect; events do not wait.",
)
WATCHES = gauge(
    "scaup_apiserver_watches",
    "Watches being served.",
    when_bad="0: the controller does not watch, so that no change has an effect; see its log.",
)
WRITES = gauge(
    "scaup_apiserver_writes_in_flight", "Writes under way.", when_bad="It stays above 0: NATS is slow to store."
)
OBJECTS = gauge(
    "scaup_apiserver_objects",
    "Objects stored, of all kinds.",
    when_bad="It grows without your doing: something makes objects and does not delete them.",
)
