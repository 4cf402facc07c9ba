"""The filter tree: what a Trigger wants, after its text was checked. Plain values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attributes:
    """``spec.filter.attributes``: every attribute present, and equal where the wanted value is not empty."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exact:
    """Every attribute present and equal."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Every attribute present and beginning so."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Suffix:
    """Every attribute present and ending so."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Every:
    """``all``, and the list at the top: every part matches."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """``any``: at least one part matches."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Inverse:
    """``not``: the part does not match, and could be evaluated."""

    part: Tree


@dataclass(frozen=True, slots=True)
class Cesql:
    """A CESQL expression."""

    text: str


@dataclass(frozen=True, slots=True)
class Cel:
    """A CEL expression."""

    text: str


Tree = Attributes | Exact | Prefix | Suffix | Every | Some | Inverse | Cesql | Cel
EVERYTHING = Every(())
"""What a Trigger without a filter wants."""
