"""What a scenario of trouble found: figures with what they should be, tables of a course of time, and complaints.

Responsible for: saying whether a figure is what was aimed at, and printing it all.
Must not: measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.ledger import Quantiles
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure. Without a value it could not be measured here; `least` and `most` are the range behind it."""

    name: str
    value: float | None
    digits: int = 0
    least: float | None = None
    most: float | None = None
    at_most: float | None = None
    """What is aimed at, if anything."""
    at_least: float | None = None
    must: bool = False
    """Not an aim but a promise: where it is broken the bench fails."""

    @classmethod
    def of(cls, name: str, values: Sequence[float], digits: int = 0) -> "Fact":
        """Median and range."""
        if not values:
            return cls(name, None)
        return cls(name, median(values), digits, min(values), max(values))

    @classmethod
    def none(cls, name: str, count: int) -> "Fact":
        """Something of which there must be none."""
        return cls(name, count, at_most=0, must=True)

    @property
    def is_met(self) -> bool:
        """Whether it is as aimed at; what is not measured is not judged."""
        if self.value is None:
            return True
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def aim(self) -> str:
        """The aim in words."""
        sign, bound = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least)
        return "" if bound is None else f"{sign} {bound:g}"


def compared(without: Sequence[Quantiles], beside: Sequence[Quantiles], words: tuple[str, str, str]) -> list[Fact]:
    """Latencies of phases without and with trouble, p50 and p99 of each, and their ratio: median by median, with the
    range of neighbouring phases. `words` say what the two are, and what the ratio is of.
    """
    facts = []
    for name in ("p50", "p99"):
        left, right = [[getattr(one, name) for one in side] for side in (without, beside)]
        pairs = [after / before for before, after in zip(left, right, strict=True) if before]
        ratio = median(right) / median(left) if median(left) else None
        facts += [
            Fact.of(f"end to end {name} ms, {words[0]}", left, 2),
            Fact.of(f"end to end {name} ms, {words[1]}", right, 2),
            Fact(f"{name} {words[2]}", ratio, 2, min(pairs, default=0), max(pairs, default=0), at_most=1.5),
        ]
    return facts


@dataclass(frozen=True, slots=True)
class Course:
    """How something went, row by row."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[float | str, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """One scenario."""

    key: str
    title: str
    facts: list[Fact]
    courses: list[Course] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What makes the figures doubtful, without being a broken promise."""

    @property
    def complaints(self) -> list[str]:
        """The promises that were broken."""
        return [f"{self.key}: {fact.name}: {fact.value:,.0f}" for fact in self.facts if fact.must and not fact.is_met]


def brief(value: float) -> str:
    """A figure of a course in few characters: about three digits that count."""
    return f"{value:,.{2 if value < 100 else 0}f}"


def show_found(found: Sequence[Found], caption: str) -> None:
    """One table of figures, then the courses."""
    console = Console()
    table = Table("", "figure", "value", "range", "aim", title="Scaup bench: trouble", caption=caption)
    table.columns[2].justify = table.columns[3].justify = "right"
    for scenario in found:
        table.add_section()
        table.add_row(f"[bold]{scenario.key}", f"[bold]{scenario.title}")
        for fact in scenario.facts:
            colour = "" if fact.is_met else "[red]" if fact.must else "[yellow]"
            table.add_row("", fact.name, colour + _number(fact.value, fact.digits), _range(fact), fact.aim)
    console.print(table)
    for scenario in found:
        for course in scenario.courses:
            console.print(_course(scenario.key, course))
        for remark in scenario.remarks:
            console.print(f"[yellow]{scenario.key}: {remark}")
        for complaint in scenario.complaints:
            console.print(f"[red]{complaint}")


def _number(value: float | None, digits: int) -> str:
    return "not measured" if value is None else f"{value:,.{digits}f}"


def _range(fact: Fact) -> str:
    if fact.least is None or fact.most is None or fact.least == fact.most:
        return ""
    return f"{_number(fact.least, fact.digits)} - {_number(fact.most, fact.digits)}"


def _course(key: str, course: Course) -> Table:
    table = Table(*course.columns, title=f"{key}: {course.title}")
    for number, column in enumerate(table.columns):
        column.justify = "left" if number == 0 else "right"
    for row in course.rows:
        table.add_row(*(cell if isinstance(cell, str) else f"{cell:,.0f}" for cell in row))
    return table
