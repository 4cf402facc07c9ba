"""Filters of Triggers: tables of what matches which event, each line a Trigger of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from scaup.conformance.checks.registry import Needs, add, check
from scaup.conformance.event import encoded, id_of
from scaup.conformance.kube import Object
from scaup.conformance.place import KEY, Place
from scaup.conformance.wire import Request


class Want(StrEnum):
    """What a filter does with the event of its line."""

    MATCH = "match"
    NO_MATCH = "no match"
    REFUSED = "no match; it may be refused, too"


MATCH, NO_MATCH, REFUSED = Want.MATCH, Want.NO_MATCH, Want.REFUSED


@dataclass(frozen=True)
class Line:
    """Filters, and what they do with an event that has these attributes beside the usual ones."""

    filters: list[Object]
    want: Want
    attributes: Mapping[str, str] = field(default_factory=dict)


async def walk(at: Place, lines: list[Line]) -> None:
    """Make a Trigger for each line, post each line's event, and see who gets it."""
    judged = await asyncio.gather(*(_define(at, number, line) for number, line in enumerate(lines)))
    posted: dict[tuple[tuple[str, str], ...], str] = {}
    for line in lines:
        key = tuple(sorted(line.attributes.items()))
        if key not in posted:
            values = {name: encoded(value) for name, value in line.attributes.items()}
            posted[key] = await at.take(at.event(**values))
            await at.observed(posted[key])  # from here on what has not come will not
    wanted = [
        (number, line, posted[tuple(sorted(line.attributes.items()))])
        for number, line in enumerate(lines)
        if judged[number]
    ]
    for number, line, event_id in wanted:
        if line.want is MATCH:
            came = await at.sink(f"t{number}").until(_has(event_id), at.ground.within_s)
            at.need(came, f"{line.filters} does not match an event with {dict(line.attributes)}")
    await at.settle()
    for number, line, event_id in wanted:
        if line.want is not MATCH:
            at.need(
                not at.of(at.sink(f"t{number}"), event_id),
                f"{line.filters} matches an event with {dict(line.attributes)}",
            )


def _has(event_id: str) -> Callable[[list[Request]], bool]:
    return lambda requests: any(id_of(request) == event_id for request in requests)


async def _define(at: Place, number: int, line: Line) -> bool:
    """Whether the Trigger is there and Ready; only one that may be refused may be not."""
    spec = at.trigger_spec(at.sink(f"t{number}"), filters=line.filters)
    status = await at.create("Trigger", f"t{number}", spec)
    if line.want is REFUSED:
        return not await at.not_ready(f"t{number}", status)
    at.need(status < 300, f"the filter {line.filters} is refused with {status}")
    await at.is_ready("Trigger", f"t{number}")
    return True


def table(row: str, name: str, *lines: Line) -> None:
    """A check that walks these lines."""

    async def run(at: Place) -> None:
        await walk(at, list(lines))

    add(f"filter_{name}", tuple(row.split()), Needs.TRIGGERS, run)


def sql(row: str, name: str, lines: Mapping[str, Want], attributes: Mapping[str, str] | None = None) -> None:
    """A check of expressions of CESQL, all with one event."""
    table(row, f"cesql_{name}", *(Line([{"cesql": text}], want, attributes or {}) for text, want in lines.items()))


_EVENT: Final = {"type": "com.example.order.placed", "source": "/shop/7", "subject": "Abc", "kind": "gold"}


def _lines(*pairs: tuple[Any, Want]) -> list[Line]:
    """Lines of one filter, or of a list of them, with the same event."""
    return [Line(found if isinstance(found, list) else [found], want, _EVENT) for found, want in pairs]


_YES: Final = {"exact": {"kind": "gold"}}
_NO: Final = {"exact": {"kind": "silver"}}

table(
    "SF-1",
    "all_filters_of_the_list_match",
    *_lines(([_YES, {"prefix": {"type": "com."}}], MATCH), ([_YES, _NO], NO_MATCH), ([_NO, _YES], NO_MATCH)),
)
table(
    "SF-3",
    "exact_is_equal",
    *_lines(
        ({"exact": {"type": "com.example.order.placed"}}, MATCH),
        ({"exact": {"type": "com.example.order.placed", "kind": "gold"}}, MATCH),
        ({"exact": {"type": "com.example.order.placed", "kind": "silver"}}, NO_MATCH),
        ({"exact": {"type": "com.example.order"}}, NO_MATCH),
    ),
)
table(
    "SF-4",
    "prefix_begins_so",
    *_lines(
        ({"prefix": {"type": "com.example."}}, MATCH),
        ({"prefix": {"type": "com.", "source": "/shop"}}, MATCH),
        ({"prefix": {"type": "com.", "source": "/other"}}, NO_MATCH),
        ({"prefix": {"type": "example"}}, NO_MATCH),
    ),
)
table(
    "SF-5",
    "suffix_ends_so",
    *_lines(
        ({"suffix": {"type": ".placed"}}, MATCH),
        ({"suffix": {"type": ".placed", "source": "/7"}}, MATCH),
        ({"suffix": {"type": ".placed", "source": "/8"}}, NO_MATCH),
        ({"suffix": {"type": "order"}}, NO_MATCH),
    ),
)
table(
    "SF-6",
    "case_counts",
    *_lines(
        ({"exact": {"kind": "Gold"}}, NO_MATCH),
        ({"prefix": {"subject": "abc"}}, NO_MATCH),
        ({"suffix": {"subject": "BC"}}, NO_MATCH),
        ({"exact": {"subject": "Abc"}}, MATCH),
    ),
)
table(
    "SF-7",
    "what_is_not_there_does_not_match",
    *_lines(
        ({"exact": {"missing": "x"}}, NO_MATCH),
        ({"prefix": {"missing": "x"}}, NO_MATCH),
        ({"suffix": {"missing": "x"}}, NO_MATCH),
        ({"exact": {"kind": "gold", "missing": "x"}}, NO_MATCH),
    ),
)
table(
    "SF-8",
    "all_is_every_one",
    *_lines(({"all": [_YES, _YES]}, MATCH), ({"all": [_YES, _NO]}, NO_MATCH), ({"all": [_NO, _YES]}, NO_MATCH)),
)
table(
    "SF-9",
    "any_is_one_at_least",
    *_lines(({"any": [_NO, _YES]}, MATCH), ({"any": [_YES, _NO]}, MATCH), ({"any": [_NO, _NO]}, NO_MATCH)),
)
table(
    "SF-10",
    "not_is_the_opposite",
    *_lines(({"not": _NO}, MATCH), ({"not": _YES}, NO_MATCH), ({"not": {"exact": {"missing": "x"}}}, MATCH)),
)
table(
    "SF-11",
    "filters_nest",
    *_lines(
        ({"all": [{"any": [_NO, {"not": _NO}]}, {"not": {"all": [_YES, _NO]}}]}, MATCH),
        ({"not": {"any": [_NO, {"all": [_YES, {"not": _NO}]}]}}, NO_MATCH),
        ({"not": {"not": {"not": {"not": _YES}}}}, MATCH),
    ),
)
table(
    "SF-12",
    "sql_is_true",
    *_lines(
        ({"cesql": "kind = 'gold' AND type LIKE 'com.%'"}, MATCH),
        ({"cesql": "kind = 'silver'"}, NO_MATCH),
        ({"any": [_NO, {"cesql": "kind = 'gold'"}]}, MATCH),
    ),
)
table(
    "SF-13",
    "an_expression_that_errs_does_not_match",
    *_lines(
        ({"cesql": "missing = 'x'"}, NO_MATCH),
        ({"cesql": "missing != 'x'"}, NO_MATCH),
        ({"cesql": "1 / (LENGTH(kind) - 4) = 0"}, REFUSED),
        ({"cesql": "kind"}, REFUSED),
        ({"cesql": "LENGTH(kind)"}, REFUSED),
        ({"cesql": "'TRUE'"}, REFUSED),
    ),
)
table(
    "SF-16",
    "filters_see_what_is_meant",
    Line([{"exact": {"subject": 'a b "c" 100%'}}], MATCH, {"subject": 'a b "c" 100%'}),
    Line([{"cesql": "subject = 'caf\u00e9'"}], MATCH, {"subject": "caf\u00e9"}),
    Line([{"exact": {"subject": "caf%C3%A9"}}], NO_MATCH, {"subject": "caf\u00e9"}),
)
table(
    "SF-18",
    "what_is_not_understood_matches_nothing",
    *_lines(
        ({"cesql": "nonsense here"}, REFUSED),
        ({"perhaps": {"kind": "gold"}}, REFUSED),
        ({"exact": {"kind": ""}}, REFUSED),
    ),
)


@check("SF-2")
async def without_filters_everything_matches(at: Place) -> None:
    """No filter, an empty one, and an empty list."""
    for name, spec in (("none", {"filter": None}), ("empty", {"filter": {}}), ("list", {"filters": []})):
        there = at.sink(name)
        made = {"broker": at.ground.broker_name, "subscriber": {"uri": there.url}} | {
            k: v for k, v in spec.items() if v is not None
        }
        status = await at.create("Trigger", name, made)
        at.need(status < 300, f"a Trigger without filters is refused with {status}")
        await at.is_ready("Trigger", name)
    event_id = await at.take(at.event())
    for name in ("none", "empty", "list"):
        await at.arrived(at.sink(name), event_id)


@check("SF-14", "SQ-38")
async def an_expression_that_does_not_parse_is_refused(at: Place) -> None:
    """By the API, or by a Trigger that is not Ready."""
    for number, text in enumerate(("kind = ", "kind = 'gold", "(kind = 'gold'", "LIKE 'x'", "kind IN ()")):
        spec = at.trigger_spec(at.sink(f"t{number}"), filters=[{"cesql": text}])
        status = await at.create("Trigger", f"t{number}", spec)
        at.need(await at.not_ready(f"t{number}", status), f"{text!r} is taken")


@check("SF-15")
async def values_are_compared_as_text(at: Place) -> None:
    """An Integer and a Boolean of a structured event, compared with text."""
    there = at.sink()
    await at.trigger("t", there, filters=[{"exact": {"number": "5", "flag": "true"}}])
    event = at.event()
    members = ",".join(f'"{name}":"{value}"' for name, value in event.items())
    body = "{" + members + ',"number":5,"flag":true}'
    found = await at.send([("Content-Type", "application/cloudevents+json")], body.encode())
    at.need(found.accepted, f"a valid event is answered with {found.status}")
    await at.arrived(there, event["id"])


@check("SF-17")
async def two_dialects_in_one_filter_are_refused(at: Place) -> None:
    """Nobody can say which is meant."""
    filters = [{"exact": {"kind": "gold"}, "prefix": {"type": "com."}}]
    status = await at.create("Trigger", "t", at.trigger_spec(at.sink(), filters=filters))
    at.need(await at.not_ready("t", status), "a filter with two dialects is taken")


@check("KE-7")
async def filters_win_over_filter(at: Place) -> None:
    """A list that is not empty replaces the older field; an empty one does not."""
    won, kept = at.sink("won"), at.sink("kept")
    other = {"attributes": {"type": "com.example.no"}}
    await at.trigger("won", won, filters=[{"prefix": {"type": "com."}}], filter=other)
    spec = {"broker": at.ground.broker_name, "subscriber": {"uri": kept.url}, "filters": [], "filter": other}
    at.need(await at.create("Trigger", "kept", spec) < 300, "an empty list of filters is refused")
    await at.is_ready("Trigger", "kept")
    event_id = await at.take(at.event())
    await at.arrived(won, event_id)
    await at.settle()
    at.times(kept, event_id, 0)


@check("CP-37")
async def attributes_match_exactly_and_empty_is_any_value(at: Place) -> None:
    """The older form of filters."""
    wants: dict[str, tuple[dict[str, str], bool]] = {
        "equal": ({"type": "com.example.conformance", "kind": "gold"}, True),
        "empty": ({"kind": ""}, True),
        "other": ({"kind": "silver"}, False),
        "capital": ({"kind": "Gold"}, False),
        "part": ({"kind": "gol"}, False),
        "missing": ({"kind": "gold", "missing": "x"}, False),
        "missing-empty": ({"missing": ""}, False),
    }
    for name, (attributes, _) in wants.items():
        await at.trigger(name, at.sink(name), filter={"attributes": {KEY: at.key, **attributes}})
    event_id = await at.take(at.event(kind="gold"))
    for name, (_, matches) in wants.items():
        if matches:
            await at.arrived(at.sink(name), event_id)
    await at.settle()
    for name, (attributes, matches) in wants.items():
        if not matches:
            at.need(not at.of(at.sink(name), event_id), f"{attributes} matches")
