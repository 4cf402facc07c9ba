"""P, poison: one event in a hundred that a sink refuses for ever, and what it does to the other ninety-nine.

Two Brokers with a sink each; only one's is poisoned. They are loaded in turns.
Responsible for the phases, and for finding every poisoned event again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.arrivals import is_poison
from bench.definitions import Definitions, Wire, Wired, trigger_name
from bench.findings import Course, Fact, Found, brief, compared
from bench.ground import Ground, doubts, responses
from bench.ledger import Quantiles, Result
from bench.load import Observed, observe
from bench.sinkclient import SinkClient
from bench.watch import ATTEMPTS, DEAD, PARKED, Sample, Watch

EVERY = 100
DELIVERY = {"retry": 3}
PATHS = {"clean": "/s/clean", "poisoned": "/s/poisoned"}


@dataclass(frozen=True, slots=True)
class _Phase:
    broker: str
    observed: Observed
    result: Result
    dead: frozenset[int]
    waiting: frozenset[int]

    @property
    def good(self) -> Quantiles:
        """Of what arrived, which poison never does."""
        return self.result.end_to_end_latency

    @property
    def missing(self) -> set[int]:
        """Accepted and never seen at the sink."""
        return self.observed.missing(PATHS[self.broker])


class Poison:
    """One event in a hundred is refused for ever."""

    key = "P"

    async def wire(self, sink: SinkClient) -> Sequence[Definitions]:
        """`clean` and `poisoned`, with a Trigger each."""
        await sink.behave(PATHS["poisoned"], f"poison={EVERY}")
        return tuple(Wired(broker, (Wire("one", path, DELIVERY),)) for broker, path in PATHS.items())

    async def measure(self, ground: Ground) -> Found:
        """In turns, clean first."""
        seconds, pairs = (8.0, 2) if ground.is_quick else (20.0, 4)
        for broker in PATHS:
            ground.say(f"warming up {broker}")
            await _phase(ground, broker, 1.0)
        watch, phases = Watch(ground.stack), []
        begin = await watch.look()
        for _ in range(pairs):
            for broker in PATHS:
                ground.say(f"{broker}, {seconds:.0f} s")
                phases.append(await _phase(ground, broker, seconds))
        end = await watch.look()
        return Found(
            "P",
            f"1 % of the events refused for ever, {ground.rate:g} events/s, retry: 3",
            [*_latencies(phases), *_fates(phases), *_work(begin, end, phases), *_answers(phases)],
            [_course(phases)],
            doubts([phase.observed for phase in phases]),
        )


async def _phase(ground: Ground, broker: str, seconds: float) -> _Phase:
    before = (await ground.streams.dead(broker)).messages

    async def elsewhere() -> int:
        return (await ground.streams.dead(broker)).messages - before

    path = PATHS[broker]
    observed = await observe(
        ground.load(broker, (path,), seconds), ground.sink, ground.stack.pids(), elsewhere=elsewhere
    )
    dead = await ground.streams.dead_of(broker, observed.run)
    waiting = await ground.streams.waiting_of(broker, observed.run)
    return _Phase(broker, observed, observed.result((path,)), frozenset(dead), frozenset(waiting))


def _latencies(phases: Sequence[_Phase]) -> list[Fact]:
    clean = [phase.good for phase in phases if phase.broker == "clean"]
    poisoned = [phase.good for phase in phases if phase.broker == "poisoned"]
    return compared(clean, poisoned, ("no poison", "the other 99 % beside poison", "with / without poison"))


def _fates(phases: Sequence[_Phase]) -> list[Fact]:
    """Every accepted event by its id: arrived, dead, waiting, or lost."""
    dead = sum(len(phase.dead) for phase in phases)
    waiting = sum(len(phase.missing & phase.waiting) for phase in phases)
    lost = sum(len(phase.missing - phase.dead - phase.waiting) for phase in phases)
    healthy = sum(1 for phase in phases for s in phase.dead if phase.broker == "clean" or not is_poison(s, EVERY))
    poison = sum(
        1
        for phase in phases
        for s, status in enumerate(phase.observed.record.status)
        if phase.broker == "poisoned" and is_poison(s, EVERY) and 200 <= status < 300
    )
    return [
        Fact("poisoned events accepted", poison),
        Fact("dead letters", dead),
        Fact("still waiting at the end", waiting, at_most=0),
        Fact.none("lost", lost),
        Fact.none("dead letters that were no poison", healthy),
        Fact("duplicates", sum(phase.result.duplicates for phase in phases), at_most=0),
    ]


def _work(begin: Sample, end: Sample, phases: Sequence[_Phase]) -> list[Fact]:
    """What the poison cost: attempts, and events that waited though they were none."""
    trigger = trigger_name("poisoned", "one")
    refused = _grown(begin, end, ATTEMPTS, trigger=trigger, outcome="refused")
    dead = _grown(begin, end, DEAD, trigger=trigger)
    accepted = sum(phase.result.accepted for phase in phases if phase.broker == "poisoned")
    parked = end.by(PARKED, "reason", trigger=trigger)
    before = begin.by(PARKED, "reason", trigger=trigger)
    healthy = sum(value - before.get(reason, 0) for reason, value in parked.items() if reason != "retry")
    return [
        Fact("attempts / dead letter", refused / dead if dead else None, 2),
        Fact("parked for another reason than a retry / 10,000 events", healthy * 10_000 / max(accepted, 1), 1),
    ]


def _grown(begin: Sample, end: Sample, metric: str, **labels: str) -> float:
    return end.sum(metric, **labels) - begin.sum(metric, **labels)


def _answers(phases: Sequence[_Phase]) -> list[Fact]:
    server, other, silent = responses([phase.observed for phase in phases])
    return [
        Fact.none("5xx answers to the producer", server),
        Fact("other refusals and requests without an answer", other + silent, at_most=0),
    ]


def _course(phases: Sequence[_Phase]) -> Course:
    rows: list[tuple[float | str, ...]] = []
    for phase in phases:
        latency = (phase.good.p50, phase.good.p90, phase.good.p99, phase.good.max)
        rows.append((phase.broker, *map(brief, latency), len(phase.dead), len(phase.waiting)))
    return Course("phase by phase", ("Broker", "p50 ms", "p90 ms", "p99 ms", "max ms", "dead", "waiting"), rows)
