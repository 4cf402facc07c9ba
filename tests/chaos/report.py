"""How far a run is, and how it went: the values, a line of progress, the final tables, JSON."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from tests.chaos.fleet import Suffered
from tests.chaos.ledger import Ledger

_QUIET_S: Final = 10.0


@dataclass(slots=True)
class Progress:
    """Where a run is."""

    phase: str = "starting"
    elapsed_s: float = 0.0
    sent: int = 0
    accepted: int = 0
    deliveries: int = 0
    duplicates: int = 0
    """At healthy sinks."""
    lag: int = 0
    queued: int = 0
    faults: int = 0

    def __str__(self) -> str:
        return (
            f"{self.elapsed_s:4.0f} s  {self.sent:,} sent  {self.accepted:,} accepted  {self.deliveries:,} deliveries  "
            f"{self.duplicates:,} dup  lag {self.lag:,}  queued {self.queued:,}  {self.faults} faults  {self.phase}"
        )


@dataclass(slots=True)
class Report:
    """How a run went."""

    seed: int
    ledger: Ledger
    faults: list[Suffered]
    sent: int
    accepted: int
    answers: dict[str, int]
    """Answers to the producer, by status; ``none`` where there was none."""
    dropped: dict[str, int]
    seconds: float
    """Of load and faults."""
    settled_after_s: float
    deliveries: int = 0
    complaints: list[str] = field(default_factory=list)
    """Everything that is wrong, the ledger's complaints included. Empty: nothing was lost."""

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_bytes(orjson.dumps(self, option=orjson.OPT_INDENT_2))


class Line:
    """One line of a terminal, written over and over; elsewhere a line now and then."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._said = 0.0

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if self._is_terminal:
            print(f"\r\x1b[K{progress}", end="", flush=True)
        elif now - self._said >= _QUIET_S:
            self._said = now
            print(progress, flush=True)

    def end(self) -> None:
        """Leave the line as it stands."""
        if self._is_terminal:
            print()


def show(report: Report) -> None:
    """The final tables and the verdict."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(_faults(report.faults))
    console.print(_ledger(report.ledger))
    answers = ", ".join(f"{count:,} of {status}" for status, count in sorted(report.answers.items()))
    console.print(
        f"seed {report.seed}: {report.sent:,} sent in {report.seconds:.0f} s, {report.accepted:,} accepted "
        f"(answers: {answers}); {report.deliveries:,} deliveries, {len(report.faults)} faults, "
        f"settled after {report.settled_after_s:.0f} s; dropped: {report.dropped or 'none'}",
        soft_wrap=True,
    )
    for complaint in report.complaints:
        console.print(f"WRONG {complaint}", style="red", markup=False, soft_wrap=True)
    if not report.complaints:
        console.print("every accepted event has its end at every Trigger that wanted it", style="green")


def _ledger(ledger: Ledger) -> Table:
    table = Table("Trigger", "sink", title="the ledger")
    for name in ("matched", "delivered", "duplicates", "dead letter sink", "kept", "dropped", "waiting", "missing"):
        table.add_column(name, justify="right")
    for row in ledger.rows:
        duplicates = f"{row.duplicates:,}" if row.bound is None else f"{row.duplicates:,} of {row.bound:,}"
        counts = (row.dead_lettered, row.kept, row.dropped, row.waiting, row.missing)
        table.add_row(
            row.trigger, row.kind, f"{row.matched:,}", f"{row.delivered:,}", duplicates, *(f"{n:,}" for n in counts)
        )
    return table


def _faults(faults: list[Suffered]) -> Table:
    table = Table("at s", "fault", "all went on after s", "", title="faults")
    for done in faults:
        table.add_row(f"{done.at_s:.1f}", str(done.fault), f"{done.back_after_s:.1f}", done.wrong)
    return table
