"""`make bench`: a whole Scaup on this machine, the scenarios one after another, one table.

Responsible for: composing sink, definitions, Scaup and scenarios, and the command line.
Must not: measure anything itself.

    python -m bench.run --scenarios AB --duration 5 --repeats 3
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if not __package__:  # started as a file: `bench` is found from the folder above
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.definitions import write
from bench.loop import run_fast
from bench.machine import Machine
from bench.scenarios import Bench, Figure, Measured, Options
from bench.show import as_json
from bench.sinkclient import started_sink
from bench.stack import StackError, Start, started
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one bench found."""

    machine: Machine
    options: Options
    measured: list[Measured]

    @property
    def complaints(self) -> list[str]:
        """What forbids taking figures at face value."""
        return [complaint for scenario in self.measured for complaint in scenario.complaints]


async def bench(options: Options, port_offset: int, command: tuple[str, ...] = ()) -> Report:
    """Start everything, measure, end everything."""
    log = Console(stderr=True)
    setups = options.setups()
    triggers = sum(setup.triggers for setup in setups)
    measured = []
    with tempfile.TemporaryDirectory(prefix="scaup-bench-") as folder:
        async with started_sink() as sink:
            definitions = Path(folder, "definitions")
            write(definitions, setups, sink.url(""))
            start = Start(definitions, Path(folder, "data"), triggers, port_offset)
            if command:
                start = replace(start, command=command)
            log.print(f"starting Scaup with {triggers:,} Triggers")
            async with started(start) as stack:
                if "D" in options.scenarios:
                    measured.append(_start_up(triggers, stack.seconds_to_healthy, stack.seconds_to_ready))
                scenarios = Bench(stack, sink, options, log.print)
                for key in options.scenarios:
                    measured.append(await scenarios.measure(key))  # noqa: PERF401 - one after the other, on purpose
    return Report(Machine.here(), options, measured)


def _start_up(triggers: int, healthy: float, ready: float) -> Measured:
    figures = [
        Figure.of("s from start to a good /readyz", [healthy], 1),
        Figure.of("s from start to all Triggers Ready", [ready], 1),
    ]
    return Measured("S", f"start with {triggers:,} Triggers, those of D in one file", figures)


def show(report: Report) -> None:
    """The one table."""
    console = Console()
    table = Table("", "figure", "median", "range", title="Scaup bench", caption=report.machine.sentence())
    table.columns[2].justify = table.columns[3].justify = "right"
    for scenario in report.measured:
        table.add_section()
        table.add_row(f"[bold]{scenario.key}", f"[bold]{scenario.title}")
        for figure in scenario.figures:
            numbers = [f"{value:,.{figure.digits}f}" for value in (figure.median, figure.least, figure.most)]
            spread = f"{numbers[1]} - {numbers[2]}" if figure.least != figure.most else ""
            table.add_row("", figure.name, numbers[0], spread)
    console.print(table)
    for complaint in report.complaints:
        console.print(f"[red]{complaint}")
    if not report.complaints:
        console.print("Every run: all accepted events delivered, no duplicates, nothing refused, nothing failed.")


def free_result(name: str) -> Path:
    """A file of this name under `results/`, beside earlier ones of the same name."""
    RESULTS.mkdir(exist_ok=True)
    path, number = RESULTS / f"{name}.json", 1
    while path.exists():
        number += 1
        path = RESULTS / f"{name}-{number}.json"
    return path


def save(report: Report) -> Path:
    """Write the report under `results/`."""
    path = free_result(report.machine.date[:10])
    path.write_text(as_json(report) + "\n")
    return path


def _parser() -> argparse.ArgumentParser:
    default = Options()
    parser = argparse.ArgumentParser(description="measure a whole Scaup on this machine")
    parser.add_argument("--scenarios", default=default.scenarios, help="letters of: A, B, C, D")
    parser.add_argument("--duration", type=float, default=default.duration, help="seconds of A, C, D runs")
    parser.add_argument("--steady-seconds", type=float, default=default.steady_seconds, help="seconds of B runs")
    parser.add_argument("--repeats", type=int, default=default.repeats, help="runs behind each median")
    parser.add_argument("--warm-up", type=float, default=default.warm_up, help="seconds, not measured")
    parser.add_argument("--size", type=int, default=default.size, help="bytes of data")
    parser.add_argument("--connections", type=int, default=default.connections)
    parser.add_argument("--deadline", type=float, default=default.deadline, help="longest wait for deliveries")
    parser.add_argument("--many", type=int, default=default.many, help="Triggers of D, of which one matches")
    parser.add_argument("--port-offset", type=int, default=2000, help="keeps clear of a Scaup in daily use")
    parser.add_argument("--save", action="store_true", help="write bench/results/YYYY-MM-DD.json")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every figure can be taken at face value."""
    asked = _parser().parse_args(arguments)
    scenarios = "".join(sorted(set(asked.scenarios.upper())))
    if not scenarios or set(scenarios) - set("ABCD") or asked.repeats < 1:
        print("bench: --scenarios takes letters of A, B, C, D; --repeats at least 1", file=sys.stderr)
        return 2
    options = Options(
        scenarios=scenarios,
        duration=asked.duration,
        steady_seconds=asked.steady_seconds,
        repeats=asked.repeats,
        warm_up=asked.warm_up,
        size=asked.size,
        connections=asked.connections,
        deadline=asked.deadline,
        many=asked.many,
    )
    try:
        report = run_fast(bench(options, asked.port_offset))
    except (StackError, OSError, ValueError, RuntimeError) as why:
        print(f"bench: {why}", file=sys.stderr)
        return 2
    if asked.save:
        print(f"saved {save(report).name}", file=sys.stderr)
    if asked.output == "json":
        print(as_json(report))
    else:
        show(report)
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
