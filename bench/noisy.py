"""N, noisy neighbours: what ten Triggers with bad sinks do to ten with good ones, and to the producer.

Two Brokers share the good sinks; only one has the bad Triggers. They are loaded in turns, on one Scaup, so that a
machine getting slower or faster meets both sides.
Responsible for the bad sinks, the phases, and the comparison.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from bench.definitions import Definitions, Wire, Wired, trigger_name
from bench.findings import Course, Fact, Found, brief, compared
from bench.ground import Ground, doubts, responses
from bench.ledger import Quantiles, Result
from bench.load import Observed, observe
from bench.sinkclient import SinkClient
from bench.streams import State
from bench.usage import resident_mib
from bench.watch import ATTEMPTS, DEAD, PARKED, Sample, Watch

GOOD = tuple(f"/s/good{number}" for number in range(10))
SLOW_SECONDS = (1.0, 2.0, 3.5, 5.0)
HANGING = tuple(f"/s/hang{number}" for number in range(3))
DEAD_PORTS = 3
HANG_DELIVERY = {"timeout": "PT30S"}
LOG_MAX_BYTES = 8 << 20
"""About 12 s of events: one that is held for longer than the log is large stops the producer."""
_RESIDENT_SECONDS = 1.0
_ACCOUNT_TRIES = 10


@dataclass(frozen=True, slots=True)
class _Phase:
    broker: str
    observed: Observed
    result: Result
    """Of the good Triggers' paths."""
    resident_mib: float
    """The dispatcher's, at the end."""

    @property
    def good(self) -> Quantiles:
        """Scheduled send to first arrival, of the good Triggers' deliveries."""
        return self.result.end_to_end_latency


@dataclass(slots=True)
class _Memory:
    samples: list[float] = field(default_factory=list)
    log_share: float = 0.0
    """The most that the noisy log was seen to hold, of what it may."""


class Noisy:
    """Ten good Triggers with and without ten bad ones."""

    key = "N"

    def __init__(self) -> None:
        self._bad_paths: tuple[str, ...] = ()
        self._bad: tuple[Wire, ...] = ()

    async def wire(self, sink: SinkClient) -> Sequence[Definitions]:
        """`noisy` with good and bad Triggers, `quiet` with the same good ones alone."""
        slow = tuple(f"/s/slow{number}" for number in range(len(SLOW_SECONDS)))
        for path in HANGING:
            await sink.behave(path, "hang")
        for path, seconds in zip(slow, SLOW_SECONDS, strict=True):
            await sink.behave(path, f"delay={seconds:g}")
        self._bad_paths = (*HANGING, *slow)
        closed = await sink.reserve_door()
        dead = [Wire(f"dead{number}", f"http://127.0.0.1:{closed}/s/dead{number}") for number in range(DEAD_PORTS)]
        hanging = [Wire(path.rpartition("/")[2], path, HANG_DELIVERY) for path in HANGING]
        self._bad = (*dead, *hanging, *(Wire(path.rpartition("/")[2], path) for path in slow))
        good = tuple(Wire(path.rpartition("/")[2], path) for path in GOOD)
        small = {"scaup.dev/log-max-bytes": str(LOG_MAX_BYTES)}
        return Wired("noisy", good + self._bad, small), Wired("quiet", good, small)

    async def measure(self, ground: Ground) -> Found:
        """Quiet first: that phase alone has never seen trouble."""
        seconds, pairs = (10.0, 2) if ground.is_quick else (15.0, 10)
        await ground.warm_up("quiet", GOOD)
        watch, memory, phases = Watch(ground.stack), _Memory(), []
        begin = await watch.look()
        start_mib = resident_mib(ground.stack.pids()["dispatcher"])
        async with _remembering(ground, memory):
            for _ in range(pairs):
                for broker in ("quiet", "noisy"):
                    ground.say(f"{broker}, {seconds:.0f} s")
                    phases.append(await self._phase(ground, broker, seconds))
        waiting, end, unaccounted = await self._account(ground, phases, begin, watch)
        log = await ground.streams.log("noisy")
        middle = phases[len(phases) // 2 - 1].resident_mib
        return Found(
            "N",
            f"10 good Triggers without and with 10 bad ones, {ground.rate:g} events/s",
            [
                *_answers(phases),
                *_latencies(phases),
                Fact.none("missing at good Triggers", sum(phase.result.missing for phase in phases)),
                Fact("duplicates at good Triggers", sum(phase.result.duplicates for phase in phases), at_most=0),
                Fact.none("events of bad Triggers without any end, by number", unaccounted),
                Fact("events waiting for bad Triggers at the end", waiting),
                Fact("dead letters of bad Triggers", end.sum(DEAD, broker="noisy")),
                *_log(log, memory),
                Fact("dispatcher RSS MiB, start", start_mib),
                Fact("dispatcher RSS MiB, middle", middle),
                Fact("dispatcher RSS MiB, end", phases[-1].resident_mib),
                Fact("dispatcher RSS MiB, most", max(memory.samples, default=0.0)),
                Fact("RSS end / middle", phases[-1].resident_mib / middle if middle else None, 2, at_most=1.1),
            ],
            [_course(phases), self._by_trigger(end)],
            doubts([phase.observed for phase in phases]),
        )

    async def _phase(self, ground: Ground, broker: str, seconds: float) -> _Phase:
        pids = ground.stack.pids()
        load = replace(ground.load(broker, GOOD, seconds), ignore=self._bad_paths)
        observed = await observe(load, ground.sink, pids)
        return _Phase(broker, observed, observed.result(GOOD), resident_mib(pids["dispatcher"]))

    async def _account(
        self, ground: Ground, phases: Sequence[_Phase], begin: Sample, watch: Watch
    ) -> tuple[int, Sample, int]:
        """What waits, the last look, and how many events are neither taken by their sink, nor waiting, nor dead.

        What waits is counted first: an event that moves between the two looks is then counted twice, never missed.
        The last events of the log may still be on their way, so it is looked at again for a while.
        """
        for _ in range(_ACCOUNT_TRIES):
            waiting = await ground.streams.waiting("noisy")
            end = await watch.look()
            unaccounted = self._unaccounted(phases, begin, end, waiting)
            if not unaccounted:
                break
            await asyncio.sleep(1.0)
        return waiting, end, unaccounted

    def _unaccounted(self, phases: Sequence[_Phase], begin: Sample, end: Sample, waiting: int) -> int:
        accepted = sum(phase.result.accepted for phase in phases if phase.broker == "noisy") * len(self._bad)
        ended = float(waiting)
        for wire in self._bad:
            name = trigger_name("noisy", wire.name)
            for metric, labels in ((DEAD, {}), (ATTEMPTS, {"outcome": "accepted"})):
                ended += end.sum(metric, trigger=name, **labels) - begin.sum(metric, trigger=name, **labels)
        return max(0, accepted - int(ended))

    def _by_trigger(self, end: Sample) -> Course:
        rows: list[tuple[float | str, ...]] = []
        for wire in self._bad:
            name = trigger_name("noisy", wire.name)
            accepted = end.sum(ATTEMPTS, trigger=name, outcome="accepted")
            attempts, parked = end.sum(ATTEMPTS, trigger=name), end.sum(PARKED, trigger=name)
            rows.append((wire.name, attempts, accepted, parked, end.sum(DEAD, trigger=name)))
        good = [trigger_name("noisy", path.rpartition("/")[2]) for path in GOOD]
        parked = sum(end.sum(PARKED, trigger=name) for name in good)
        rows.append(("the good ones", sum(end.sum(ATTEMPTS, trigger=name) for name in good), "", parked, ""))
        columns = ("Trigger of noisy", "attempts", "accepted", "parked", "dead letters")
        return Course("what became of the bad Triggers' events", columns, rows)


@asynccontextmanager
async def _remembering(ground: Ground, memory: _Memory) -> AsyncIterator[None]:
    """Watch memory and log from outside: scraping the dispatcher would show in the latencies."""
    pid = ground.stack.pids()["dispatcher"]

    async def remember() -> None:
        while True:
            memory.samples.append(resident_mib(pid))
            memory.log_share = max(memory.log_share, (await ground.streams.log("noisy")).bytes / LOG_MAX_BYTES)
            await asyncio.sleep(_RESIDENT_SECONDS)

    task = asyncio.create_task(remember())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _answers(phases: Sequence[_Phase]) -> list[Fact]:
    server, other, silent = responses([phase.observed for phase in phases])
    return [
        Fact.none("5xx answers to the producer", server),
        Fact.none("other refusals", other),
        Fact.none("requests without an answer", silent),
    ]


def _latencies(phases: Sequence[_Phase]) -> list[Fact]:
    quiet = [phase.good for phase in phases if phase.broker == "quiet"]
    noisy = [phase.good for phase in phases if phase.broker == "noisy"]
    return [
        Fact("end to end p50 ms, before any trouble", quiet[0].p50, 2),
        Fact("end to end p99 ms, before any trouble", quiet[0].p99, 2),
        *compared(quiet, noisy, ("without the bad", "with the bad", "with / without")),
    ]


def _log(log: State, memory: _Memory) -> list[Fact]:
    size = log.bytes / log.messages if log.messages else 0.0
    return [
        Fact("written to the noisy log, times its size", log.last * size / LOG_MAX_BYTES, 1),
        Fact("most the noisy log held, % of its size", memory.log_share * 100),
    ]


def _course(phases: Sequence[_Phase]) -> Course:
    rows: list[tuple[float | str, ...]] = []
    for phase in phases:
        latency, lag = phase.good, phase.result.send_lag
        figures = (latency.p50, latency.p99, latency.max, lag.p99)
        cores = (phase.observed.cores(), phase.observed.cores("dispatcher"), phase.observed.cores("nats-server"))
        others = phase.observed.other_cores
        rows.append((phase.broker, *map(brief, (*figures, *cores, others)), phase.resident_mib))
    columns = ("Broker", "p50 ms", "p99", "max", "lag p99", "cores", "disp.", "NATS", "others", "MiB")
    return Course("phase by phase", columns, rows)
