"""What it costs to be able to say where an event is: the trail, and traces of 1 % of the events.

Three Scaups side by side that differ in nothing else (bare, with the trail, with trail and traces), loaded in turns, so
that a machine getting slower or faster meets all of them; short turns and many, for what a virtual machine's host takes
away differs from second to second. It only ever takes: so the best runs are compared, too.
Must not: know what a trail is.

    python -m bench.watched
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if not __package__:  # started as a file: `bench` is found from the folder above
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.definitions import MATCHING_TYPE, ONE, write
from bench.findings import Fact, Found, show_found
from bench.ground import doubts
from bench.load import Load, Observed, observe
from bench.loop import run_fast
from bench.machine import Machine
from bench.show import TOOL
from bench.sinkclient import SinkClient, started_sink
from bench.stack import Stack, StackError, Start, started
from rich.console import Console

from scaup.core.model.errors import ScaupError

_APART = 1000
"""Between the ports of one Scaup and the next."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three."""

    name: str
    environment: tuple[str, ...]
    at_least: float = 0.0
    """Its throughput over the bare one's, as aimed at."""


def _kinds(collector: str) -> tuple[Kind, ...]:
    return (
        Kind("bare", ("SCAUP_TRAIL=false",)),
        Kind("trail", ("SCAUP_TRAIL=true",), 0.95),
        Kind(
            "trail and 1 % traced",
            ("SCAUP_TRAIL=true", f"SCAUP_OTLP_ENDPOINT={collector}", "SCAUP_TRACE_SAMPLE=0.01"),
            0.90,
        ),
    )


async def bench(repeats: int, seconds: float, port_offset: int) -> Found:
    """Start all three, load them in turns, end them."""
    say = Console(stderr=True).print
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="scaup-bench-"))
        collector = await stack.enter_async_context(started_sink())
        sides = []
        for number, kind in enumerate(_kinds(collector.url(""))):
            say(f"starting Scaup: {kind.name}")
            sink = await stack.enter_async_context(started_sink())
            definitions = Path(folder, f"definitions-{number}")
            write(definitions, [ONE], sink.url(""))
            command = ("env", *kind.environment, sys.executable, "-m", "scaup.cli", "up")
            data = Path(folder, f"data-{number}")
            start = Start(definitions, data, ONE.triggers, port_offset + number * _APART, command=command)
            sides.append(_Side(kind, await stack.enter_async_context(started(start)), sink))
        found = await _measure(sides, repeats, seconds, say)
        places = await collector.progress("")
        found.facts.append(Fact("requests with spans, to a collector that takes all", _received(places), at_least=1))
        return found


def _received(places: Mapping[str, Mapping[str, int]]) -> int:
    """How many requests came that are no events of the bench."""
    return sum(place["strange"] for place in places.values())


class _Side:
    """One of the three while it runs, and what was seen of it."""

    def __init__(self, kind: Kind, stack: Stack, sink: SinkClient) -> None:
        self.kind = kind
        self.runs: list[Observed] = []
        self._stack, self._sink = stack, sink

    async def load(self, seconds: float) -> Observed:
        """As fast as answered, until everything has arrived."""
        load = Load(
            broker_url=self._stack.broker_url(ONE.broker),
            duration=seconds,
            event_type=MATCHING_TYPE,
            expect=ONE.paths,
            deadline=60.0,
        )
        return await observe(load, self._sink, self._stack.pids())

    @property
    def rates(self) -> list[float]:
        """Events/s end to end, run by run."""
        return [one.result(ONE.paths).end_to_end_per_second for one in self.runs]

    @property
    def costs(self) -> list[float]:
        """CPU s / 10,000 events of Scaup and NATS, run by run."""
        return [one.result(ONE.paths).cpu_per_10k(*TOOL) for one in self.runs]


async def _measure(sides: Sequence[_Side], repeats: int, seconds: float, say: Callable[[str], None]) -> Found:
    for side in sides:
        await side.load(2.0)  # connections and buffers are made then
    for turn in range(repeats):
        say(f"turn {turn + 1} of {repeats}")
        first = turn % len(sides)
        for side in (*sides[first:], *sides[:first]):
            side.runs.append(await side.load(seconds))
    bare, *others = sides
    facts = [Fact.of(f"events/s end to end, {side.kind.name}", side.rates) for side in sides]
    facts += [Fact.of(f"CPU s / 10,000 events, {side.kind.name}", side.costs, 2) for side in sides]
    for side in others:
        facts.append(_ratio(f"throughput, {side.kind.name} / bare", side.rates, bare.rates, side.kind.at_least))
        best = max(side.rates) / max(bare.rates)
        facts.append(Fact("  best run / best run", best, 3, at_least=side.kind.at_least))
        facts.append(_ratio(f"CPU, {side.kind.name} / bare", side.costs, bare.costs))
        facts.append(Fact("  cheapest run / cheapest run", min(side.costs) / min(bare.costs), 3))
    results = [one.result(ONE.paths) for side in sides for one in side.runs]
    facts.append(Fact.none("missing", sum(result.missing for result in results)))
    facts.append(Fact.none("not answered 202", sum(sum(result.refused.values()) for result in results)))
    return Found("W", "1 Trigger, as fast as answered, watched", facts, remarks=doubts([*bare.runs, *others[0].runs]))


def _ratio(name: str, values: Sequence[float], bare: Sequence[float], at_least: float | None = None) -> Fact:
    """Median by median; the range is that of the runs of one turn."""
    pairs = [value / base for value, base in zip(values, bare, strict=True)]
    return Fact(name, median(values) / median(bare), 3, min(pairs), max(pairs), at_least=at_least)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing was lost, whatever became of the aims."""
    parser = argparse.ArgumentParser(description="measure what the trail and traces cost")
    parser.add_argument("--repeats", type=int, default=24, help="runs of each of the three")
    parser.add_argument("--duration", type=float, default=2.0, help="seconds of one run")
    parser.add_argument("--port-offset", type=int, default=2000, help="of the first; the others follow by thousands")
    asked = parser.parse_args(arguments)
    if asked.repeats < 1:
        parser.error("--repeats is at least 1")
    try:
        found = run_fast(bench(asked.repeats, asked.duration, asked.port_offset))
    except (StackError, ScaupError, OSError, ValueError, RuntimeError) as why:
        print(f"watched: {why}", file=sys.stderr)
        return 2
    show_found([found], Machine.here().sentence())
    return 1 if found.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
