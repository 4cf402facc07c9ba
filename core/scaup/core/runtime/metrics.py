"""How every metric is made: with its meaning, and with what to do when it is bad, which the reference page shows.

Must not know what any metric is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# A second series for every counter, which nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]

WHEN_BAD: Final[dict[str, str]] = {}
"""By the metric's name: how bad looks, and what to do then."""

LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Buckets of what should take milliseconds."""


def counter(name: str, meaning: str, labels: Sequence[str] = (), *, when_bad: str) -> Counter:
    """A counter; its name ends in ``_total``."""
    WHEN_BAD[name] = when_bad
    return Counter(name, meaning, labels)


def gauge(name: str, meaning: str, labels: Sequence[str] = (), *, when_bad: str) -> Gauge:
    """A gauge."""
    WHEN_BAD[name] = when_bad
    return Gauge(name, meaning, labels)


def histogram(
    name: str, meaning: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = LATENCY_S, when_bad: str
) -> Histogram:
    """A histogram, of seconds."""
    WHEN_BAD[name] = when_bad
    return Histogram(name, meaning, labels, buckets=buckets)
