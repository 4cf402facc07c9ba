"""What one path of the sink process remembers: which events it took, how often, and what was wrong with them.

Knows no sockets. ``taken`` counts by index (see ``traffic``), at most 255 times each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos import traffic
from tests.chaos.moods import CODES, Turn, turn

_MOST_SPOILED: Final = 20
_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class PlaceSpec:
    """What a place is told at start. ``dead_of`` names the kind of the sink whose dead letters come here."""

    name: str
    kind: str
    dead_of: str = ""
    dead_for: str = ""
    """The address of that sink, as ``knativeerrordest`` has to have it."""


@dataclass(slots=True)
class Place:
    """One sink."""

    spec: PlaceSpec
    taken: bytearray = field(default_factory=bytearray)
    distinct: int = 0
    total: int = 0
    refused: int = 0
    latest: int = -1
    """The highest index taken."""
    is_cured: bool = False
    spoiled: list[str] = field(default_factory=list)
    spoiled_count: int = 0
    _tries: Counter[int] = field(default_factory=Counter)

    def receive(self, headers: dict[str, str], body: bytes) -> Turn:
        """A request came: note what it brought, and say how to react."""
        try:
            attributes, data = traffic.received(headers, body)
            index = traffic.index_of(attributes.get("id", ""))
        except ValueError as error:
            self._complain(f"no event of this run: {error}; {headers}")
            return turn("well", 0, 1)
        allowed = traffic.ERROR_EXTENSIONS if self.spec.dead_of else _NOTHING
        if wrong := traffic.difference(attributes, data, allowed) or self._wrong_with_error(attributes):
            self._complain(wrong)
        self._tries[index] += 1
        follows = turn(self.spec.kind, index, self._tries[index], is_cured=self.is_cured)
        if follows.takes:
            self._take(index)
        else:
            self.refused += 1
        return follows

    def _take(self, index: int) -> None:
        if index >= len(self.taken):
            self.taken.extend(bytes(index + 4096 - len(self.taken)))
        self.distinct += not self.taken[index]
        self.taken[index] = min(self.taken[index] + 1, 255)
        self.total += 1
        self.latest = max(self.latest, index)

    def _wrong_with_error(self, attributes: dict[str, str]) -> str:
        """What a dead letter fails to say about why it is one (Knative eventing, "Dead letter sink").

        It has no code where the last attempt had no answer, as when a process stood still for longer than it waits.
        """
        if not self.spec.dead_of:
            return ""
        where, code = attributes.get("knativeerrordest", ""), attributes.get("knativeerrorcode", "")
        if where != self.spec.dead_for:
            return f"{attributes['id']}: knativeerrordest is {where!r}, not {self.spec.dead_for!r}"
        if code and (meant := CODES.get(self.spec.dead_of)) and code != meant:
            return f"{attributes['id']}: knativeerrorcode is {code!r}, not {meant!r}"
        if code and not attributes.get("knativeerrordata"):
            return f"{attributes['id']} has no knativeerrordata"
        return ""

    def _complain(self, what: str) -> None:
        self.spoiled_count += 1
        if len(self.spoiled) < _MOST_SPOILED:
            self.spoiled.append(f"{self.spec.name}: {what}")

    def totals(self) -> dict[str, Any]:
        """The counts, for the control request."""
        return {
            "distinct": self.distinct,
            "total": self.total,
            "refused": self.refused,
            "latest": self.latest,
            "spoiled": self.spoiled_count,
        }
