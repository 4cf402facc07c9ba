"""Cases of requests: what is posted, whether it has to be taken or refused, and what of it is sent on.

The tables are elsewhere; this is what a line of them means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from scaup.conformance.checks.registry import Needs, add
from scaup.conformance.event import BASE, BATCH, STRUCTURED, Event, received
from scaup.conformance.place import KEY, Place, UnshownError
from scaup.conformance.wire import Answer, Headers

ID: Final = "@ID@"
"""Where the id of a case's event stands in its headers and its body."""


class Want(StrEnum):
    """What has to follow."""

    TAKEN = "taken"
    REFUSED = "refused"
    EITHER = "either, but no failure of the broker"


@dataclass(frozen=True)
class Case:
    """One request. ``sees`` are attributes as they have to be sent on (None: not there), ``data`` the data."""

    rows: tuple[str, ...]
    name: str
    want: Want
    headers: Headers
    body: bytes = b""
    sees: Mapping[str, str | None] | None = None
    data: bytes | None = None
    json_data: Any = ...
    statuses: tuple[int, ...] = ()


Changes = Mapping[str, Any]


def in_binary(
    row: str, name: str, want: Want, changes: Changes | None = None, *, more: Headers | None = None, **rest: Any
) -> Case:
    """Binary mode. A change to None takes the attribute away; ``datacontenttype`` is the content type."""
    attributes = BASE | {"id": ID, KEY: name.replace("_", "-")} | dict(changes or {})
    headers = [
        ("Content-Type" if key == "datacontenttype" else f"ce-{key}", value)
        for key, value in attributes.items()
        if value is not None
    ]
    return Case(tuple(row.split()), name, want, [*headers, *(more or [])], **rest)


def in_json(row: str, name: str, want: Want, changes: Changes | None = None, *, raw: str = "", **rest: Any) -> Case:
    """Structured mode. A change to ``...`` takes a member away; ``raw`` is text behind the last member."""
    headers = rest.pop("headers", [("Content-Type", STRUCTURED)])
    return Case(tuple(row.split()), name, want, headers, json_text(changes, raw).encode("utf-8"), **rest)


def json_text(changes: Changes | None = None, raw: str = "") -> str:
    """The text of a structured event."""
    members = BASE | {"id": ID} | dict(changes or {})
    text = json.dumps({key: value for key, value in members.items() if value is not ...}, ensure_ascii=False)
    return text[:-1] + (f", {raw}" if raw else "") + "}"


def in_batch(row: str, name: str, want: Want, text: str, **rest: Any) -> Case:
    """Batched mode, with this text."""
    headers = rest.pop("headers", [("Content-Type", BATCH)])
    return Case(tuple(row.split()), name, want, headers, text.encode("utf-8"), **rest)


def register(cases: Iterable[Case]) -> None:
    """Every case is a check of its own."""
    for case in cases:
        add(case.name, case.rows, Needs.BROKER, _run_of(case))


def _run_of(case: Case) -> Any:
    async def run(at: Place) -> None:
        event_id = at.event()["id"]
        headers = [(name, value.replace(ID, event_id)) for name, value in case.headers]
        found = await at.send(headers, case.body.replace(ID.encode(), event_id.encode()))
        judge(at, case, found)
        if case.want is Want.TAKEN and (case.sees is not None or case.data is not None or case.json_data is not ...):
            request = await at.observed(event_id)
            if request is None:
                raise UnshownError("it is taken; what is sent on is not seen without Triggers")
            compare(at, case, received(request))

    return run


def judge(at: Place, case: Case, found: Answer) -> None:
    """The status is one that has to be."""
    if case.statuses:
        at.need(found.status in case.statuses, f"{found.status} is none of {case.statuses}")
    elif case.want is Want.TAKEN:
        at.need(found.accepted, f"a valid event is answered with {found.status}")
    elif case.want is Want.REFUSED:
        at.need(400 <= found.status < 500, f"what is no valid event is answered with {found.status}, not with a 4xx")
    else:
        at.need(found.status < 500, f"a request is answered with {found.status}, as if the broker had failed")


def compare(at: Place, case: Case, event: Event) -> None:
    """What was sent on is what had to be."""
    for name, value in (case.sees or {}).items():
        is_there = event.attributes.get(name)
        at.need(is_there == value, f"{name} is sent on as {is_there!r}, not as {value!r}")
    if case.data is not None:
        at.need(event.data == case.data, f"data is sent on as {event.data[:200]!r}, not as {case.data[:200]!r}")
    if case.json_data is not ...:
        at.need(json.loads(event.data) == case.json_data, f"data is sent on as {event.data[:200]!r}")
