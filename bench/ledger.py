"""The ledger: what was sent and answered, against what arrived, and the figures that follow from both.

Responsible for: missing and duplicate deliveries, percentiles, rates. Pure arithmetic over records.
Must not: know sockets, processes or clocks.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.generator import NOT_ANSWERED, Record
from bench.usage import Usage


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds, nearest rank; all 0 when there was nothing."""

    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    count: int = 0

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> "Quantiles":
        """The quantiles of these durations."""
        ordered = sorted(nanoseconds)
        if not ordered:
            return cls()
        p50, p90, p99 = (ordered[max(0, -(-len(ordered) * q // 100) - 1)] / 1e6 for q in (50, 90, 99))
        return cls(p50, p90, p99, ordered[-1] / 1e6, len(ordered))


@dataclass(frozen=True, slots=True)
class Delivered:
    """One path's side of the ledger."""

    path: str
    expected: bool
    """This path should get every accepted event; otherwise nothing is missing from it."""
    distinct: int
    missing: int
    """Accepted, expected here, never seen here."""
    duplicates: int
    unaccepted: int
    """Seen, though the answer was an error or never came: allowed, since no answer is not a refusal."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Latencies count from the time an event was *scheduled* for."""

    sent: int
    unsent: int
    """Scheduled, but no connection became free for them in time."""
    accepted: int
    refused: dict[int, int]
    errors: dict[str, int]
    send_seconds: float
    """First send to last answer."""
    end_to_end_seconds: float
    """First send to the last first-arrival of an accepted event."""
    accepted_per_second: float
    end_to_end_per_second: float
    """Accepted events seen at *every* expected path, per second of `end_to_end_seconds`."""
    deliveries: int
    """First arrivals of accepted events, over all paths."""
    deliveries_per_second: float
    accept_latency: Quantiles
    end_to_end_latency: Quantiles
    send_lag: Quantiles
    """How late the generator itself was: actual minus scheduled send."""
    paths: list[Delivered]
    settled: bool
    """Everything expected arrived, and then nothing more, before the deadline."""
    usage: list[Usage] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Missing deliveries over all paths."""
        return sum(path.missing for path in self.paths)

    @property
    def duplicates(self) -> int:
        """Duplicate deliveries over all paths."""
        return sum(path.duplicates for path in self.paths)

    @property
    def strays(self) -> int:
        """Events seen at paths that should get none."""
        return sum(path.distinct for path in self.paths if not path.expected)

    def cpu_per_10k(self, *without: str) -> float:
        """CPU seconds of all metered processes but these, per 10,000 accepted events."""
        seconds = sum(used.cpu_seconds for used in self.usage if used.name not in without)
        return seconds * 10_000 / self.accepted if self.accepted else 0.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """What one path reported: first arrival by sequence number, 0 is never."""

    first: "array[int]"
    duplicates: int


def balance(record: Record, arrived: Mapping[str, Arrived], expect: Sequence[str], settled: bool) -> Result:
    """Hold the generator's record against the sink's."""
    statuses = Counter(record.status)
    accepted = [sequence for sequence, status in enumerate(record.status) if 200 <= status < 300]
    nothing = Arrived(array("q"), 0)
    paths = []
    latencies: list[int] = []
    last_arrival = 0
    complete = set(accepted)
    for path in sorted(set(arrived) | set(expect)):
        here = arrived.get(path, nothing)
        delivered, times = _first_arrivals(here.first, accepted)
        latencies += [time - record.scheduled[sequence] for sequence, time in zip(delivered, times, strict=True)]
        last_arrival = max(last_arrival, max(times, default=0))
        if path in expect:
            complete.intersection_update(delivered)
        distinct = len(here.first) - here.first.count(0)
        missing = len(accepted) - len(delivered) if path in expect else 0
        extra = distinct - len(delivered)
        paths.append(Delivered(path, path in expect, distinct, missing, here.duplicates, extra))
    sent = [time for time in record.sent if time]
    start = min(sent, default=0)
    send_seconds = max(0, max(record.answered, default=0) - start) / 1e9
    end_seconds = max(0, last_arrival - start) / 1e9
    return Result(
        sent=len(sent),
        unsent=len(record.sent) - len(sent),
        accepted=len(accepted),
        refused={s: n for s, n in sorted(statuses.items()) if s != NOT_ANSWERED and not 200 <= s < 300},
        errors=dict(record.errors),
        send_seconds=send_seconds,
        end_to_end_seconds=end_seconds,
        accepted_per_second=len(accepted) / send_seconds if send_seconds else 0.0,
        end_to_end_per_second=len(complete) / end_seconds if end_seconds else 0.0,
        deliveries=len(latencies),
        deliveries_per_second=len(latencies) / end_seconds if end_seconds else 0.0,
        accept_latency=Quantiles.of([record.answered[s] - record.scheduled[s] for s in accepted]),
        end_to_end_latency=Quantiles.of(latencies),
        send_lag=Quantiles.of([t - s for t, s in zip(record.sent, record.scheduled, strict=True) if t]),
        paths=paths,
        settled=settled,
    )


def _first_arrivals(first: "array[int]", accepted: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which accepted events arrived, and when."""
    known = len(first)
    delivered = [sequence for sequence in accepted if sequence < known and first[sequence]]
    return delivered, [first[sequence] for sequence in delivered]
