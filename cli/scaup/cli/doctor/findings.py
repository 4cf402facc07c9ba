"""What the doctor finds: one value a finding, and how findings are told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from scaup.cli.lines import clean


class Weight(Enum):
    """How bad it is: an error stops events or will soon, a warning may, a note is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: ``code`` names its kind for programs, ``about`` where it is, ``says`` what, ``do`` what to do."""

    weight: Weight
    code: str
    about: str
    says: str
    do: str


def error(code: str, about: str, says: str, do: str) -> Finding:
    """What stops events, or will soon."""
    return Finding(Weight.ERROR, code, about, says, do)


def warning(code: str, about: str, says: str, do: str) -> Finding:
    """What may stop events, or is hardly meant so."""
    return Finding(Weight.WARNING, code, about, says, do)


def note(code: str, about: str, says: str, do: str) -> Finding:
    """What is worth knowing."""
    return Finding(Weight.NOTE, code, about, says, do)


def in_order(found: Sequence[Finding]) -> list[Finding]:
    """The worst first."""
    weights = list(Weight)
    return sorted(found, key=lambda one: (weights.index(one.weight), one.about, one.code))


def description(found: Sequence[Finding], looked_at: str) -> str:
    """All of them for a person, and what was looked at."""
    lines: list[str] = []
    for one in found:
        lines += [f"{one.weight.value + ':':9}{clean(one.about, 120)}: {clean(one.says, 600)}"]
        lines += [f"{'':9}-> {clean(one.do, 600)}"]
    counts = [(weight, sum(one.weight is weight for one in found)) for weight in Weight]
    said = [f"{number} {weight.value}{'' if number == 1 else 's'}" for weight, number in counts if number]
    lines.append(f"{', '.join(said) or 'Nothing is wrong'} ({looked_at})")
    return "\n".join(lines)


def as_object(found: Sequence[Finding], looked_at: str) -> dict[str, Any]:
    """The same for a program."""
    return {
        "apiVersion": "scaup.dev/v1",
        "kind": "Diagnosis",
        "lookedAt": looked_at,
        "findings": [
            {"weight": one.weight.value, "code": one.code, "about": one.about, "says": one.says, "do": one.do}
            for one in found
        ],
    }
