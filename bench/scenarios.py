"""The four scenarios: which load on which Broker, how often, and the figures that come out.

Responsible for: the order of the runs, and medians over repeats.
Must not: start processes, write files or print.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from bench.definitions import FAN_10, MATCHING_TYPE, ONE, Setup, many
from bench.generator import MAX_RATE
from bench.ledger import Result
from bench.load import Load, run
from bench.show import TOOL
from bench.sinkclient import SinkClient
from bench.stack import Stack


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how often."""

    scenarios: str = "ABCD"
    duration: float = 5.0
    """Seconds of sending of one run (B: see `steady_seconds`)."""
    steady_seconds: float = 10.0
    repeats: int = 3
    warm_up: float = 1.0
    """Seconds of load on a Broker before its first measured run; connections and buffers are made then."""
    size: int = 1024
    connections: int = 32
    deadline: float = 60.0
    many: int = 1_000
    """Triggers of D, of which one matches."""

    def setups(self) -> tuple[Setup, ...]:
        """The Brokers these scenarios need."""
        crowd = many(self.many)
        needs = {"A": {ONE}, "B": {ONE}, "C": {FAN_10}, "D": {ONE, crowd}}
        wanted = set().union(*(needs[key] for key in self.scenarios))
        return tuple(setup for setup in (ONE, FAN_10, crowd) if setup in wanted)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a scenario over its repeats."""

    name: str
    median: float
    least: float
    most: float
    digits: int = 0

    @classmethod
    def of(cls, name: str, values: Sequence[float], digits: int = 0) -> "Figure":
        """Median and range of these values."""
        return cls(name, median(values), min(values), max(values), digits)


@dataclass(frozen=True, slots=True)
class Measured:
    """One scenario: its figures, and every run behind them."""

    key: str
    title: str
    figures: list[Figure]
    runs: dict[str, list[Result]] = field(default_factory=dict)
    """By Broker."""

    @property
    def complaints(self) -> list[str]:
        """What forbids taking the figures at face value."""
        found = []
        for broker, results in self.runs.items():
            for number, result in enumerate(results, 1):
                found += [f"{self.key}, {broker}, run {number}: {what}" for what in _complaints(result)]
        return found


def _complaints(result: Result) -> list[str]:
    facts = {
        "deliveries missing": result.missing,
        "duplicates": result.duplicates,
        "deliveries where no Trigger matches": result.strays,
        "requests refused": sum(result.refused.values()),
        "requests failed": sum(result.errors.values()),
        "events never sent": result.unsent,
        "processes ended during the run": sum(used.gone for used in result.usage),
    }
    found = [f"{count:,} {what}" for what, count in facts.items() if count]
    return found if result.settled else [*found, "not settled before the deadline"]


class Bench:
    """The scenarios on one running Scaup and one sink."""

    def __init__(self, stack: Stack, sink: SinkClient, options: Options, say: Callable[[str], None]) -> None:
        self._stack, self._sink, self._options, self._say = stack, sink, options, say
        self._warm: set[str] = set()

    async def measure(self, key: str) -> Measured:
        """One scenario by its letter."""
        match key:
            case "A":
                return await self._one()
            case "B":
                return await self._steady()
            case "C":
                return await self._fan_out()
            case "D":
                return await self._many()
            case _:
                raise ValueError(f"there is no scenario {key}")

    async def _one(self) -> Measured:
        runs = [await self._run("A", ONE) for _ in range(self._options.repeats)]
        figures = [
            Figure.of("events/s end to end", [r.end_to_end_per_second for r in runs]),
            Figure.of("events/s accepted", [r.accepted_per_second for r in runs]),
            *_costs(runs),
        ]
        return Measured("A", "1 Trigger, as fast as answered", figures, {"one": runs})

    async def _steady(self) -> Measured:
        runs = [await self._run("B", ONE, 500.0) for _ in range(self._options.repeats)]
        figures = [
            Figure.of("accept p50 ms", [r.accept_latency.p50 for r in runs], 2),
            Figure.of("accept p99 ms", [r.accept_latency.p99 for r in runs], 2),
            Figure.of("end to end p50 ms", [r.end_to_end_latency.p50 for r in runs], 2),
            Figure.of("end to end p99 ms", [r.end_to_end_latency.p99 for r in runs], 2),
            Figure.of("generator's own lag p99 ms", [r.send_lag.p99 for r in runs], 2),
        ]
        return Measured("B", "1 Trigger, 500 events/s on a timetable", figures, {"one": runs})

    async def _fan_out(self) -> Measured:
        runs = [await self._run("C", FAN_10) for _ in range(self._options.repeats)]
        figures = [
            Figure.of("deliveries/s", [r.deliveries_per_second for r in runs]),
            Figure.of("events/s end to end", [r.end_to_end_per_second for r in runs]),
            Figure.of("CPU s / 10,000 deliveries, Scaup + NATS", [_per_delivery(r) for r in runs], 2),
        ]
        return Measured("C", "10 matching Triggers, as fast as answered", figures, {"fan10": runs})

    async def _many(self) -> Measured:
        """Alternating, so that a machine getting slower or faster meets both sides."""
        one: list[Result] = []
        crowd: list[Result] = []
        triggers = f"{self._options.many:,} Triggers"
        for _ in range(self._options.repeats):
            one.append(await self._run("D", ONE))
            crowd.append(await self._run("D", many(self._options.many)))
        with_one = [r.end_to_end_per_second for r in one]
        with_many = [r.end_to_end_per_second for r in crowd]
        ratio = median(with_many) / median(with_one) if median(with_one) else 0.0
        pairs = [m / o for m, o in zip(with_many, with_one, strict=True) if o]
        figures = [
            Figure.of("events/s end to end, 1 Trigger", with_one),
            Figure.of(f"events/s end to end, {triggers}", with_many),
            Figure("ratio of medians (range: of pairs)", ratio, min(pairs, default=0), max(pairs, default=0), 3),
            Figure.of("CPU s / 10,000 events, 1 Trigger", [r.cpu_per_10k(*TOOL) for r in one], 2),
            Figure.of(f"CPU s / 10,000 events, {triggers}", [r.cpu_per_10k(*TOOL) for r in crowd], 2),
        ]
        return Measured("D", f"{triggers} of which one matches", figures, {"one": one, "many": crowd})

    async def _run(self, key: str, setup: Setup, rate: float = MAX_RATE) -> Result:
        options = self._options
        duration = options.duration if rate == MAX_RATE else options.steady_seconds
        load = Load(
            broker_url=self._stack.broker_url(setup.broker),
            rate=rate,
            duration=duration,
            size=options.size,
            event_type=MATCHING_TYPE,
            connections=options.connections,
            expect=setup.paths,
            deadline=options.deadline,
        )
        if setup.broker not in self._warm and options.warm_up > 0:
            self._warm.add(setup.broker)
            self._say(f"{key}: warming up {setup.broker}")
            await run(replace(load, rate=MAX_RATE, duration=options.warm_up), self._sink)
        self._say(f"{key}: {setup.broker}, {duration:.0f} s")
        return await run(load, self._sink, self._stack.pids())


def _costs(runs: Sequence[Result]) -> list[Figure]:
    """CPU per 10,000 events: in all, then process by process, then the load tool's own."""
    figures = [Figure.of("CPU s / 10,000 events, Scaup + NATS", [r.cpu_per_10k(*TOOL) for r in runs], 2)]
    names = [used.name for used in runs[0].usage]
    for name in [*(n for n in names if n not in TOOL), *(n for n in names if n in TOOL)]:
        others = [other for other in names if other != name]
        label = f"  of which {name}" if name not in TOOL else f"  not counted: {name}"
        figures.append(Figure.of(label, [r.cpu_per_10k(*others) for r in runs], 2))
    return figures


def _per_delivery(result: Result) -> float:
    return result.cpu_per_10k(*TOOL) * result.accepted / result.deliveries if result.deliveries else 0.0
