"""The command `python -m tests.chaos`: a run of any length, its progress, its ledger; exit 1 where it went wrong."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chaos.crowd import HOSTILE, Scenario, healthy
from tests.chaos.faults import schedule
from tests.chaos.report import Line, Report, show
from tests.chaos.run import run

_LEAST_SECONDS: Final = 20.0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Load, hostile sinks, killed processes; then every event must have an end at every Trigger.",
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="how long load and faults last (default 600)")
    parser.add_argument("--rate", type=float, default=80.0, help="events a second (default 80)")
    parser.add_argument("--healthy", type=int, default=12, help="Triggers whose sinks are well (default 12)")
    parser.add_argument("--seed", type=int, help="of the schedule of faults; printed, by chance where it is not given")
    parser.add_argument("--min-deliveries", type=int, default=0, help="fewer deliveries than these are wrong too")
    parser.add_argument("--no-faults", action="store_true", help="load and hostile sinks only")
    parser.add_argument("-o", "--output", type=Path, help="write the report there, as JSON")
    parser.add_argument("--directory", type=Path, help="for logs and data; kept (default: a new one, kept when wrong)")
    asked = parser.parse_args()
    if asked.seconds < _LEAST_SECONDS or asked.rate <= 0:
        parser.error(f"a run lasts {_LEAST_SECONDS:g} s at least, and has a rate above 0")
    return asked


async def _run(asked: argparse.Namespace, seed: int, directory: Path, line: Line) -> Report:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):  # unwind, so that no process stays behind
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    scenario = Scenario(asked.rate, asked.seconds, (*healthy(asked.healthy), *HOSTILE), seed)
    return await run(scenario, () if asked.no_faults else schedule(seed), directory, line.show)


def main() -> int:
    """Run, show, and give back the exit status."""
    asked = _asked()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}: {asked.seconds:g} s, {asked.rate:g} events/s", flush=True)
    directory: Path = asked.directory or Path(tempfile.mkdtemp(prefix="scaup-chaos-"))
    line = Line()
    try:
        report = asyncio.run(_run(asked, seed, directory, line))
    except asyncio.CancelledError:
        print("\nstopped before its end: this shows nothing")
        return 130
    finally:
        line.end()
    if report.deliveries < asked.min_deliveries:
        report.complaints.append(f"{report.deliveries:,} deliveries, {asked.min_deliveries:,} were asked for")
    show(report)
    if asked.output:
        report.write(asked.output)
    if report.complaints:
        print(f"logs and data: {directory}")
    elif not asked.directory:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
