"""What came out: of each check, of each row, and of the whole. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scaup.conformance.rows import CHAPTERS, ROWS, Chapter, Row


class Verdict(StrEnum):
    """How a check, or a row, ends."""

    PASSED = "pass"
    FAILED = "fail"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class CheckResult:
    """The end of one check. ``evidence`` is what was sent, answered and received."""

    name: str
    rows: tuple[str, ...]
    verdict: Verdict
    why: str = ""
    evidence: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class RowResult:
    """The end of one row."""

    row: Row
    verdict: Verdict
    why: str
    checks: tuple[CheckResult, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The end of a run."""

    target: str
    rows: tuple[RowResult, ...]
    seconds: float = 0.0

    def count(self, verdict: Verdict, *, binding: bool | None = None) -> int:
        """So many rows ended so; ``binding``: of those a broker must keep, or of the others."""
        return sum(one.verdict is verdict and (binding is None or one.row.level.binds is binding) for one in self.rows)

    @property
    def conforms(self) -> bool:
        """Whether no row that binds has failed, and something was shown at all."""
        shown = len(self.rows) - self.count(Verdict.NOT_SHOWN)
        return shown > 0 and not self.count(Verdict.FAILED, binding=True)

    def of(self, chapter: Chapter) -> list[RowResult]:
        """The results of one chapter."""
        ids = {row.id for row in chapter.rows}
        return [one for one in self.rows if one.row.id in ids]

    @property
    def chapters(self) -> list[tuple[Chapter, list[RowResult]]]:
        """Chapters of which there are results."""
        return [(chapter, found) for chapter in CHAPTERS if (found := self.of(chapter))]


_NO_CHECK: Final = "no check of this run shows it"


def wanted(only: Sequence[str]) -> list[str]:
    """The ids of the rows that ``only`` names, by id or by its beginning (``DP``, ``CP-3``); all where it names none.

    ValueError where it names nothing.
    """
    found = []
    for text in only:
        matching = [row for row in ROWS if row == text.upper() or row.startswith(text.upper().rstrip("-") + "-")]
        if not matching:
            known = ", ".join(dict.fromkeys(row.partition("-")[0] for row in ROWS))
            msg = f"no row is called {text!r}; rows begin with {known}"
            raise ValueError(msg)
        found += matching
    return [row for row in ROWS if row in found] if only else list(ROWS)


def by_row(results: Iterable[CheckResult], ids: Sequence[str]) -> tuple[RowResult, ...]:
    """The rows in their order: one that fails in any of its checks has failed."""
    results = list(results)
    return tuple(_row(ROWS[row], [one for one in results if row in one.rows]) for row in ids)


def _row(row: Row, checks: list[CheckResult]) -> RowResult:
    if not checks:
        return RowResult(row, Verdict.NOT_SHOWN, row.unseen or _NO_CHECK)
    for verdict in (Verdict.FAILED, Verdict.PASSED, Verdict.NOT_SHOWN):
        found = [one for one in checks if one.verdict is verdict]
        if found:
            return RowResult(row, verdict, next((one.why for one in found if one.why), ""), tuple(checks))
    raise AssertionError
