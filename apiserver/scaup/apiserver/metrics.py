"""What the local API counts. Names are public API."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("scaup_apiserver_requests_total", "Answered requests.", ["verb", "code"])
SECONDS = Histogram(
    "scaup_apiserver_request_seconds",
    "From the request's head to the answer; watches are not counted here.",
    ["verb"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WATCHES = Gauge("scaup_apiserver_watches", "Watches being served.")
WRITES = Gauge("scaup_apiserver_writes_in_flight", "Writes under way.")
OBJECTS = Gauge("scaup_apiserver_objects", "Objects stored, of all kinds.")
