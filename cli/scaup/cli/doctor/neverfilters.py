"""Filters that match nothing: by what they say, and by the events that the log has.

Must not ask the filter service: what it would answer is evaluated here by the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from scaup.cli.doctor.findings import Finding, error, warning
from scaup.cli.doctor.work import about_trigger
from scaup.cli.filters import verdicts
from scaup.core.bus import ranges
from scaup.core.bus.connection import Bus
from scaup.core.bus.finding import between
from scaup.core.codec import stored
from scaup.core.filters.compiled import compile_tree, evaluate
from scaup.core.filters.explain import explain
from scaup.core.filters.parse import parse_filters
from scaup.core.filters.subject import Subject
from scaup.core.filters.tree import Attributes, Every, Exact, Inverse, Prefix, Some, Suffix, Tree
from scaup.core.model.definitions import BrokerDefinition, TriggerDefinition
from scaup.core.model.errors import DefinitionError

SAMPLE: Final = 1_000
_AT_ONCE: Final = 50
_BYTES: Final = 32 << 20
"""Of data: then the sample is large enough, however few events it is."""
FEWEST: Final = 20
"""Of fewer events nothing is concluded."""
_MEND: Final = "see what an event needs with `scaup filter explain`; or delete the Trigger if it is of no use"


def never(tree: Tree) -> str:
    """Why no event can match, where that can be told from the filter alone; else empty. Pure."""
    match tree:
        case Every(parts):
            return next(filter(None, map(never, parts)), "") or _contradiction(tree)
        case Some(parts):
            return next(iter(whys), "") if all(whys := [never(part) for part in parts]) else ""
        case Inverse(Every(parts=())):
            return "it is the opposite of every event"
        case _:
            return _contradiction(tree)


def _contradiction(tree: Tree) -> str:
    """Two demands on one attribute that no value fulfils."""
    values: dict[str, str] = {}
    beginnings: dict[str, str] = {}
    endings: dict[str, str] = {}
    for kind, name, text in _demands(tree):
        if kind == "is":
            if values.setdefault(name, text) != text:
                return f"{name} cannot be both {values[name]!r} and {text!r}"
        elif kind == "begins":
            longer, shorter = sorted((beginnings.get(name, ""), text), key=len, reverse=True)
            if not longer.startswith(shorter):
                return f"{name} cannot begin with both {beginnings[name]!r} and {text!r}"
            beginnings[name] = longer
        else:
            longer, shorter = sorted((endings.get(name, ""), text), key=len, reverse=True)
            if not longer.endswith(shorter):
                return f"{name} cannot end with both {endings[name]!r} and {text!r}"
            endings[name] = longer
    for name, value in values.items():
        if not value.startswith(beginnings.get(name, "")):
            return f"{name} cannot be {value!r} and begin with {beginnings[name]!r}"
        if not value.endswith(endings.get(name, "")):
            return f"{name} cannot be {value!r} and end with {endings[name]!r}"
    return ""


def _demands(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """What must hold of attributes for the filter to match: (is, begins or ends), the name, the text."""
    match tree:
        case Every(parts):
            for part in parts:
                yield from _demands(part)
        case Attributes(pairs):
            yield from (("is", name, value) for name, value in pairs if value)
        case Exact(pairs):
            yield from (("is", name, value) for name, value in pairs)
        case Prefix(pairs):
            yield from (("begins", name, value) for name, value in pairs)
        case Suffix(pairs):
            yield from (("ends", name, value) for name, value in pairs)
        case _:
            return


async def sample(bus: Bus, broker: BrokerDefinition) -> list[Subject]:
    """The newest events of a Broker's log, as filters see them, oldest first. Raises BusError."""
    history = await ranges.history(bus, broker.uid)
    found: list[Subject] = []
    size, end = 0, history.last
    while end >= history.first and len(found) < SAMPLE and size < _BYTES:
        start = max(history.first, end - _AT_ONCE + 1)
        some: list[Subject] = []
        async for entry in between(bus, broker.uid, start, end):
            size += len(entry.data)
            with suppress(ValueError):  # somebody else wrote it, and it is no event
                event = stored.from_headers(entry.headers, entry.data)
                some.append(Subject(event.attributes, event.data))
        found, end = some + found, start - 1
    return found


def matches_nothing(triggers: Sequence[TriggerDefinition], subjects: Sequence[Subject]) -> Iterator[Finding]:
    """A finding for each Trigger whose filter matches none of these events, or can match none at all. Pure."""
    for trigger in triggers:
        about = about_trigger(trigger)
        if not trigger.matching:
            do = "`scaup describe trigger` says what is wrong with them"
            yield error("filter.refused", about, "its filters did not pass their check: no event matches it", do)
            continue
        try:
            tree = parse_filters(trigger.filters)
            compiled = compile_tree(tree)
        except (DefinitionError, RecursionError) as why:
            yield error("filter.refused", about, f"its filter cannot be used: {why}", _MEND)
            continue
        if why_never := never(tree):
            yield error("filter.never", about, f"its filter can match no event: {why_never}", _MEND)
        elif len(subjects) >= FEWEST and not any(evaluate(compiled, subject) is True for subject in subjects):
            why_not = verdicts.why(explain(tree, subjects[-1]))
            says = f"its filter matches none of the last {len(subjects):,} events; of the last one it says: {why_not}"
            yield warning("filter.matches_nothing", about, says, _MEND)
