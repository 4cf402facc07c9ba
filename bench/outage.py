"""O, outage: a sink goes away for two minutes and comes back. Nothing may be lost or given up, and the backlog should
be gone soon.

Two ways of being away: a closed port, and 503 to everything. Each has a Broker and a Trigger (`retry: 3`) of its own.
Responsible for the outage and for what the arrivals say about the drain.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic_ns

from bench.definitions import Definitions, Wire, Wired, trigger_name
from bench.findings import Course, Fact, Found
from bench.generator import MAX_RATE
from bench.ground import Ground, doubts, responses
from bench.load import Observed, observe
from bench.sinkclient import SinkClient
from bench.watch import ATTEMPTS, PARKED, Watch

DELIVERY = {"retry": 3}
_SECOND = 1_000_000_000
_LOOK_SECONDS = 0.5
_STRAIGHT_SECONDS = 5.0
_MOSTLY = 0.99
"""The drain's pace is that of so much of the backlog: the last few may wait for a retry of their own."""


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds of one variant."""

    direct: float
    before: float
    outage: float
    after: float
    column: float
    """Of one row of the course."""


LONG = _Times(direct=5.0, before=10.0, outage=120.0, after=90.0, column=10.0)
QUICK = _Times(direct=3.0, before=5.0, outage=15.0, after=35.0, column=5.0)


@dataclass(frozen=True, slots=True)
class Drain:
    """What the arrivals say about a backlog. Seconds count from the return."""

    backlog: int
    """Accepted events that were scheduled before the return and had not arrived by then."""
    first: float
    """Until the first delivery."""
    mostly: float
    """Until 99 % of the backlog had arrived."""
    last: float
    """Until all of it that ever came had."""
    rate: float
    """Deliveries/s between the first and `mostly`, new events among them."""


def drain(observed: Observed, path: str, back: int) -> Drain:
    """The drain after the return at `back`."""
    first = observed.arrived[path].first if path in observed.arrived else ()
    record = observed.record
    later = sorted(time for time in first if time >= back)
    accepted = [s for s, status in enumerate(record.status) if 200 <= status < 300 and record.scheduled[s] < back]
    held = [s for s in accepted if s >= len(first) or not first[s] or first[s] >= back]
    came = sorted(first[s] for s in held if s < len(first) and first[s])
    if not came:
        return Drain(len(held), 0.0, 0.0, 0.0, 0.0)
    begin, mostly = later[0], came[max(0, int(len(came) * _MOSTLY) - 1)]
    meanwhile = sum(1 for time in later if time <= mostly)
    rate = meanwhile * _SECOND / (mostly - begin) if mostly > begin else 0.0
    begun, mostly_done, done = ((moment - back) / _SECOND for moment in (begin, mostly, came[-1]))
    return Drain(len(held), begun, mostly_done, done, rate)


@dataclass(frozen=True, slots=True)
class _Variant:
    broker: str
    path: str
    title: str


CLOSED = _Variant("closed", "/s/closed", "closed port")
REFUSING = _Variant("refusing", "/s/refusing", "503")


class Outage:
    """A sink that is away for a while, twice."""

    key = "O"

    def __init__(self) -> None:
        self._door = 0

    async def wire(self, sink: SinkClient) -> Sequence[Definitions]:
        """A Broker for each way of being away."""
        self._door = await sink.reserve_door()
        await sink.open_door(self._door)
        to = f"http://127.0.0.1:{self._door}{CLOSED.path}"
        return (
            Wired(CLOSED.broker, (Wire("one", to, DELIVERY),)),
            Wired(REFUSING.broker, (Wire("one", REFUSING.path, DELIVERY),)),
        )

    async def measure(self, ground: Ground) -> Found:
        """One variant after the other."""
        facts, courses, remarks = [], [], []
        for variant in (CLOSED, REFUSING):
            found = await self._variant(ground, variant)
            facts += found.facts
            courses += found.courses
            remarks += found.remarks
        seconds = (QUICK if ground.is_quick else LONG).outage
        return Found(
            "O", f"a sink away for {seconds:.0f} s, {ground.rate:g} events/s, retry: 3", facts, courses, remarks
        )

    async def _variant(self, ground: Ground, variant: _Variant) -> Found:
        times = QUICK if ground.is_quick else LONG
        await ground.warm_up(variant.broker, (variant.path,))
        ground.say(f"{variant.title}: the direct rate")
        straight = ground.load(variant.broker, (variant.path,), times.direct, MAX_RATE)
        direct = (await observe(straight, ground.sink)).result((variant.path,)).end_to_end_per_second
        watch = Watch(ground.stack)
        load = replace(
            ground.load(variant.broker, (variant.path,), times.before + times.outage + times.after), deadline=180.0
        )

        async def dead_letters() -> int:
            return (await ground.streams.dead(variant.broker)).messages

        dead_before = await dead_letters()

        async def elsewhere() -> int:
            return await dead_letters() - dead_before

        async with watch.looking(_LOOK_SECONDS):
            away = asyncio.create_task(self._be_away(ground, variant, times))
            try:
                observed = await observe(load, ground.sink, ground.stack.pids(), elsewhere)
                gone, back = await away
            finally:
                away.cancel()
        await watch.look()
        dead = await ground.streams.dead_of(variant.broker, observed.run)
        waiting = await ground.streams.waiting_of(variant.broker, observed.run)
        run = _Run(variant, observed, watch, gone, back, direct, ground.rate, dead, waiting)
        remarks = [f"{variant.title}: {doubt}" for doubt in doubts([observed])]
        return Found("O", variant.title, _facts(run), [_course(run, times)], remarks)

    async def _be_away(self, ground: Ground, variant: _Variant, times: _Times) -> tuple[int, int]:
        """When the sink went, and when it was back (monotonic nanoseconds)."""
        sink = ground.sink
        await asyncio.sleep(times.before)
        ground.say(f"{variant.title}: away for {times.outage:.0f} s")
        gone = monotonic_ns()
        if variant is CLOSED:
            await sink.shut_door(self._door)
        else:
            await sink.behave(variant.path, "status=503")
        await asyncio.sleep(times.outage)
        back = monotonic_ns()
        if variant is CLOSED:
            await sink.open_door(self._door)
        else:
            await sink.behave(variant.path, "answer")
        ground.say(f"{variant.title}: back, watching for {times.after:.0f} s")
        return gone, back


@dataclass(frozen=True, slots=True)
class _Run:
    variant: _Variant
    observed: Observed
    watch: Watch
    gone: int
    back: int
    direct: float
    """Closed loop before the outage, deliveries/s."""
    rate: float
    dead: set[int]
    waiting: set[int]

    @property
    def trigger(self) -> str:
        """The one Trigger's name in metrics."""
        return trigger_name(self.variant.broker, "one")

    def failed_attempts(self) -> float:
        """During the outage."""
        begin, end = self.watch.before(self.gone), self.watch.near(self.back)
        return sum(
            end.sum(ATTEMPTS, trigger=self.trigger, outcome=outcome)
            - begin.sum(ATTEMPTS, trigger=self.trigger, outcome=outcome)
            for outcome in ("no_answer", "refused", "timeout")
        )

    def delivered_since(self, moment: int) -> float:
        """By the dispatcher's count."""
        now, then = self.watch.samples[-1], self.watch.near(moment)
        return now.sum(ATTEMPTS, trigger=self.trigger, outcome="accepted") - then.sum(
            ATTEMPTS, trigger=self.trigger, outcome="accepted"
        )


def _facts(run: _Run) -> list[Fact]:
    name, observed, back = run.variant.title, run.observed, run.back
    drained = drain(observed, run.variant.path, back)
    straight_at = run.watch.last_growth(PARKED, back, trigger=run.trigger)
    result = observed.result((run.variant.path,))
    missing = observed.missing(run.variant.path)
    server, other, silent = responses([observed])
    return [
        Fact(f"{name}: attempts/s during the outage", run.failed_attempts() * _SECOND / (back - run.gone), 1),
        Fact(f"{name}: dead letters", len(run.dead), at_most=0),
        Fact.none(f"{name}: lost", len(missing - run.dead - run.waiting)),
        Fact(f"{name}: still waiting at the end", len(missing & run.waiting), at_most=0),
        Fact(f"{name}: duplicates", result.duplicates),
        Fact.none(f"{name}: 5xx answers to the producer", server),
        Fact(f"{name}: other refusals and requests without an answer", other + silent, at_most=0),
        Fact(f"{name}: backlog at the return", drained.backlog),
        Fact(f"{name}: s from the return to the first delivery", drained.first, 1),
        Fact(f"{name}: s until 99 % of the backlog were delivered", drained.mostly, 1),
        Fact(f"{name}: s until all of it was", drained.last, 1),
        Fact(f"{name}: direct rate, deliveries/s", run.direct),
        Fact(f"{name}: drain rate, deliveries/s", drained.rate),
        Fact(f"{name}: drain / direct", drained.rate / run.direct if run.direct else None, 2, at_least=0.8),
        Fact(f"{name}: s from the return to the last event parked", (straight_at - back) / _SECOND, 1),
        # Few of them: the Trigger has not found its way back, or only just.
        Fact(
            f"{name}: events delivered after the last was parked",
            run.delivered_since(straight_at),
            at_least=run.rate * _STRAIGHT_SECONDS,
        ),
    ]


def _course(run: _Run, times: _Times) -> Course:
    """The dispatcher's counters, divided into times of equal length, the outage beginning at 0."""
    trigger, watch, gone = run.trigger, run.watch, run.gone
    step = int(times.column * _SECOND)
    first = -int(times.before // times.column)
    last = int((times.outage + times.after) // times.column)
    outcomes = ("accepted", "no_answer", "refused", "timeout")
    rows: list[tuple[float | str, ...]] = []
    for number in range(first, last):
        begin, end = watch.near(gone + number * step), watch.near(gone + (number + 1) * step)
        seconds = (end.at - begin.at) / _SECOND
        if seconds <= 0:
            continue
        counts = [
            end.sum(ATTEMPTS, trigger=trigger, outcome=outcome) - begin.sum(ATTEMPTS, trigger=trigger, outcome=outcome)
            for outcome in outcomes
        ]
        parked = end.sum(PARKED, trigger=trigger) - begin.sum(PARKED, trigger=trigger)
        is_away = 0 <= number * step + step // 2 < run.back - gone
        rows.append(
            (
                f"{number * times.column:.0f}",
                "away" if is_away else "",
                *(c / seconds for c in counts),
                parked / seconds,
            )
        )
    columns = ("s", "sink", *(f"{outcome}/s" for outcome in outcomes), "parked/s")
    return Course(f"{run.variant.title}: attempts and parked events", columns, rows)
