"""What happens when sinks are dead, slow or refuse: scenarios of trouble, each on a Scaup of its own, one table.

Responsible for: the order of the scenarios, and the command line.
Must not: measure anything itself.

    python -m bench.trouble --scenarios NO --quick
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # started as a file: `bench` is found from the folder above
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.fanout import FanOut
from bench.findings import Found, show_found
from bench.ground import Scenario, Terms, stand
from bench.history import History
from bench.loop import run_fast
from bench.machine import Machine
from bench.noisy import Noisy
from bench.outage import Outage
from bench.poison import Poison
from bench.run import free_result
from bench.show import as_json
from bench.stack import StackError
from rich.console import Console

from scaup.core.model.errors import ScaupError

SCENARIOS: dict[str, Callable[[], Scenario]] = {"N": Noisy, "O": Outage, "P": Poison, "F": FanOut, "R": History}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one bench found."""

    machine: Machine
    terms: Terms
    found: list[Found]


async def bench(keys: str, terms: Terms) -> Report:
    """One scenario after the other."""
    say = Console(stderr=True).print
    found = [await stand(SCENARIOS[key](), terms, say) for key in keys]
    return Report(Machine.here(), terms, found)


def _parser() -> argparse.ArgumentParser:
    default = Terms()
    parser = argparse.ArgumentParser(description="measure a whole Scaup on this machine while sinks make trouble")
    parser.add_argument("--scenarios", default="".join(SCENARIOS), help=f"letters of: {', '.join(SCENARIOS)}")
    parser.add_argument("--quick", action="store_true", help="short phases: a look, not a figure")
    parser.add_argument("--rate", type=float, default=default.rate, help="events/s of N, O and P")
    parser.add_argument(
        "--port-offset", type=int, default=default.port_offset, help="keeps clear of a Scaup in daily use"
    )
    parser.add_argument("--save", action="store_true", help="write bench/results/YYYY-MM-DD-trouble.json")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when no promise was broken, whatever became of the aims."""
    asked = _parser().parse_args(arguments)
    wanted = asked.scenarios.upper()
    keys = "".join(key for key in SCENARIOS if key in wanted)
    if not keys or set(wanted) - set(SCENARIOS) or asked.rate <= 0:
        print(f"trouble: --scenarios takes letters of {', '.join(SCENARIOS)}; --rate is over 0", file=sys.stderr)
        return 2
    try:
        report = run_fast(bench(keys, Terms(asked.quick, asked.rate, asked.port_offset)))
    except (StackError, ScaupError, OSError, ValueError, RuntimeError) as why:
        print(f"trouble: {why}", file=sys.stderr)
        return 2
    if asked.save:
        path = free_result(report.machine.date[:10] + "-trouble")
        path.write_text(as_json(report) + "\n")
        print(f"saved {path.name}", file=sys.stderr)
    if asked.output == "json":
        print(as_json(report))
    else:
        show_found(report.found, report.machine.sentence() + ("\nquick: no figures to quote" if asked.quick else ""))
    return 1 if any(found.complaints for found in report.found) else 0


if __name__ == "__main__":
    sys.exit(main())
