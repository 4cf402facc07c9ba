"""The command `python -m tests.ordering`: a run of any length; exit 1 where anything came out of order, or not."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.ordering.run import Plan, Report, run, some_faults
from tests.support.natsserver import NatsServer


async def _run(plan: Plan, directory: Path) -> Report:
    nats = NatsServer(directory / "nats")
    nats.start()
    try:
        return await run(plan, nats.url, directory, lambda line: print(line, end="\r", flush=True))
    finally:
        nats.kill()


def main() -> int:
    """Run, show, and give back the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.ordering", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--faults", type=int, default=12)
    parser.add_argument("--seed", type=int, help="of the faults; printed, by chance where it is not given")
    asked = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    directory = Path(tempfile.mkdtemp(prefix="scaup-ordering-"))
    print(f"seed {seed}: {asked.events} events, {asked.faults} faults, in {directory}", flush=True)
    plan = Plan(asked.events, some_faults(asked.faults, seed))
    report = asyncio.run(_run(plan, directory))
    print(*report.faults, sep="\n")
    print(
        f"{report.seen.arrived} of {report.sent} events in {report.seconds:.0f} s, {report.seen.again} of them again, "
        f"{len(report.dead)} dead letters, {len(report.seen.inversions)} out of order"
    )
    complaints = report.complaints(plan)
    print(*complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
