"""F, fan-out: what one more delivery costs, in time, CPU and bytes on disk, while nothing is wrong.

Responsible for the loads, and for reading what nats-server had written.
Must not: judge single deliveries (that is the ledger's).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.definitions import Definitions, Setup
from bench.findings import Course, Fact, Found
from bench.generator import MAX_RATE
from bench.ground import Ground, doubts, responses
from bench.ledger import Result
from bench.load import Load, Observed, observe
from bench.show import TOOL
from bench.sinkclient import SinkClient
from bench.usage import written_bytes
from bench.watch import PARKED, Watch

WIDTHS = (1, 10, 100)
DELIVERIES, QUICK_DELIVERIES = 100_000, 20_000
"""Of one run, whatever its width: the ingress takes events faster than a hundred sinks do, and the rest has to be
waited for."""
_LONGEST = 60.0
_IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Run:
    observed: Observed
    result: Result
    stored: int
    """Bytes that the log grew by."""
    written: int | None
    """Bytes that nats-server wrote to the disk meanwhile."""
    parked: dict[str, float]
    """Second writes: deliveries that went to a queue, by reason."""


class FanOut:
    """Brokers with 1, 10 and 100 Triggers that all match, as fast as answered."""

    key = "F"

    def __init__(self) -> None:
        self._setups = tuple(Setup(f"fan{width}", matching=width) for width in WIDTHS)

    async def wire(self, _sink: SinkClient) -> Sequence[Definitions]:
        """One Broker for each width."""
        return self._setups

    async def measure(self, ground: Ground) -> Found:
        """The widths one after the other, again and again, so that a machine getting slower meets all of them."""
        runs: dict[int, list[_Run]] = {width: [] for width in WIDTHS}
        watch = Watch(ground.stack)
        for setup in self._setups:
            ground.say(f"warming up {setup.broker}")
            await observe(_load(ground, setup, QUICK_DELIVERIES // 4), ground.sink)
        idle = await _idle(ground)
        for _ in range(1 if ground.is_quick else 3):
            for setup in self._setups:
                runs[setup.matching].append(await self._run(ground, setup, watch))
        facts = [fact for width in WIDTHS for fact in _facts(width, runs[width])]
        everything = [run.observed for some in runs.values() for run in some]
        facts.append(idle)
        facts.append(Fact.none("5xx answers to the producer", responses(everything)[0]))
        facts.append(Fact.none("missing deliveries", sum(r.result.missing for some in runs.values() for r in some)))
        facts.append(Fact("duplicates", sum(r.result.duplicates for some in runs.values() for r in some), at_most=0))
        return Found("F", "fan-out 1, 10, 100, as fast as answered", facts, [_course(runs)], doubts(everything))

    async def _run(self, ground: Ground, setup: Setup, watch: Watch) -> _Run:
        pids = ground.stack.pids()
        ground.say(f"{setup.matching} Triggers")
        begin = (await watch.look()).by(PARKED, "reason")
        before, log = written_bytes(pids["nats-server"]), await ground.streams.log(setup.broker)
        deliveries = QUICK_DELIVERIES if ground.is_quick else DELIVERIES
        observed = await observe(_load(ground, setup, deliveries), ground.sink, pids)
        after = written_bytes(pids["nats-server"])
        grown = (await ground.streams.log(setup.broker)).bytes - log.bytes
        end = (await watch.look()).by(PARKED, "reason")
        parked = {reason: count - begin.get(reason, 0.0) for reason, count in end.items()}
        written = None if before is None or after is None else after - before
        return _Run(observed, observed.result(setup.paths), grown, written, parked)


async def _idle(ground: Ground) -> Fact:
    """What NATS writes anyway: it stands beside what few events need."""
    pid = ground.stack.pids()["nats-server"]
    before = written_bytes(pid)
    await asyncio.sleep(_IDLE_SECONDS)
    after = written_bytes(pid)
    written = None if before is None or after is None else (after - before) / _IDLE_SECONDS / 1024
    return Fact("KiB/s written while nothing is sent", written, 1)


def _load(ground: Ground, setup: Setup, deliveries: int) -> Load:
    """As fast as answered, until so many deliveries have been asked for."""
    return replace(ground.load(setup.broker, setup.paths, _LONGEST, MAX_RATE), count=deliveries // setup.matching)


def _facts(width: int, runs: Sequence[_Run]) -> list[Fact]:
    results = [run.result for run in runs]
    # Of a file system in memory nothing is ever written: then there is no figure, rather than 0.
    ratios = [run.written / run.stored for run in runs if run.written and run.stored > 0]
    written = Fact.of("", ratios, 2)
    return [
        Fact.of(f"{width}: deliveries/s", [result.deliveries_per_second for result in results]),
        Fact.of(f"{width}: CPU µs / delivery, Scaup + NATS", [_cpu_per_delivery(result) for result in results]),
        Fact(f"{width}: bytes written / byte stored", written.value, 2, written.least, written.most, at_most=1.3),
        Fact.of(f"{width}: second writes (parked) / 10,000 deliveries", [_parked(run) for run in runs], 1),
    ]


def _cpu_per_delivery(result: Result) -> float:
    seconds = sum(used.cpu_seconds for used in result.usage if used.name not in TOOL)
    return seconds * 1e6 / result.deliveries if result.deliveries else 0.0


def _parked(run: _Run) -> float:
    return sum(run.parked.values()) * 10_000 / run.result.deliveries if run.result.deliveries else 0.0


def _course(runs: Mapping[int, Sequence[_Run]]) -> Course:
    rows: list[tuple[float | str, ...]] = []
    for width, some in runs.items():
        reasons = sorted({reason for run in some for reason in run.parked})
        parked = ", ".join(f"{reason} {sum(run.parked.get(reason, 0) for run in some):,.0f}" for reason in reasons)
        rows.append((str(width), sum(run.result.deliveries for run in some), parked))
    return Course("second writes", ("Triggers", "deliveries", "parked, by reason"), rows)
