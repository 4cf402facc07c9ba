"""``scaup deadletters list`` and ``show``: what was given up, of which Trigger, and why."""

from __future__ import annotations

import asyncio
import textwrap
from collections import deque
from datetime import datetime
from typing import Any

import orjson

from scaup.cli import deadletterselect as selecting
from scaup.cli import showing
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.deadletterplans import why_not
from scaup.cli.deadletterselect import Scope, Wanted, name_of, parse_name
from scaup.cli.lines import clean
from scaup.cli.problems import FailedError
from scaup.core.bus import deadletters
from scaup.core.bus.deadletters import DeadLetter
from scaup.core.codec import jsonformat

__all__ = ["Wanted", "as_object", "find", "run", "show", "table"]


def run(access: ApiAccess, nats: NatsAccess, wanted: Wanted, output: str) -> str:
    """The text to print."""
    listed = asyncio.run(find(access, nats, wanted))
    if output == "table":
        return table(listed) if listed else f"No dead letters in namespace {wanted.namespace}."
    objects = showing.as_list([as_object(*found) for found in listed])
    return showing.as_json(objects) if output == "json" else showing.as_yaml(objects)


async def find(access: ApiAccess, nats: NatsAccess, wanted: Wanted) -> list[tuple[str, str, DeadLetter]]:
    """(broker name, trigger name, dead letter): the newest of each Broker, oldest first."""
    listed: list[tuple[str, str, DeadLetter]] = []
    async with open_bus(nats) as bus:
        every = await selecting.scopes(access, bus, wanted)
        selecting.check_names(wanted.names, every)
        for scope in every:
            newest: deque[DeadLetter] = deque(maxlen=wanted.limit)
            async for some in selecting.select(bus, scope, wanted):
                newest.extend(some)
            listed += [(scope.name, scope.trigger_of(letter), letter) for letter in newest]
    return listed


def table(listed: list[tuple[str, str, DeadLetter]]) -> str:
    """One line a dead letter."""
    titles = ["NAME", "BROKER", "TRIGGER", "AGE", "REASON", "STATUS", "ATTEMPTS", "TYPE", "SOURCE", "ID"]
    now = selecting.now()
    return showing.rows(
        titles,
        [
            [
                name_of(letter),
                broker,
                trigger,
                _age(letter, now),
                clean(letter.facts.reason, 40),
                str(letter.facts.status or ""),
                str(letter.facts.attempts),
                *(clean(letter.event.attributes.get(name, ""), 48) for name in ("type", "source", "id")),
            ]
            for broker, trigger, letter in listed
        ],
    )


def _age(letter: DeadLetter, now: datetime) -> str:
    return showing.age({"metadata": {"creationTimestamp": letter.facts.last_failure or letter.stored_at}}, now)


def as_object(broker: str, trigger: str, letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as a Kubernetes-like object; the event in the CloudEvents JSON format."""
    return {
        "apiVersion": "scaup.dev/v1",
        "kind": "DeadLetter",
        "metadata": {"name": name_of(letter)},
        "broker": broker,
        "trigger": trigger,
        "reason": letter.facts.reason,
        "status": letter.facts.status,
        "attempts": letter.facts.attempts,
        "accepted": letter.facts.accepted,
        "firstFailure": letter.facts.first_failure,
        "lastFailure": letter.facts.last_failure,
        "destination": letter.facts.destination,
        "answer": letter.facts.error_data.decode("utf-8", "replace"),
        "storedAt": letter.stored_at,
        "event": orjson.loads(jsonformat.encode(letter.event)),
    }


def show(access: ApiAccess, nats: NatsAccess, wanted: Wanted, output: str) -> str:
    """Everything known of the one that ``wanted`` names."""
    parse_name(wanted.names[0])
    scope, letter = asyncio.run(_one(access, nats, wanted))
    shown = as_object(scope.name, scope.trigger_of(letter), letter)
    if output == "json":
        return showing.as_json(shown)
    return showing.as_yaml(shown) if output == "yaml" else description(scope, letter, shown, wanted.namespace)


async def _one(access: ApiAccess, nats: NatsAccess, wanted: Wanted) -> tuple[Scope, DeadLetter]:
    name = wanted.names[0]
    uid, sequence = parse_name(name)
    async with open_bus(nats) as bus:
        every = await selecting.scopes(access, bus, wanted)
        selecting.check_names(wanted.names, every)
        letter = await deadletters.one(bus, uid, sequence)
    if letter is None:
        msg = f"there is no dead letter {name} (any more)"
        raise FailedError(msg, hint="it was replayed or purged meanwhile, or never was; `scaup deadletters list`")
    return next(scope for scope in every if scope.uid == uid), letter


def description(scope: Scope, letter: DeadLetter, shown: dict[str, Any], namespace: str) -> str:
    """All there is to say about one, and what to do next."""
    titles = {
        "broker": "Broker",
        "trigger": "Trigger",
        "reason": "Reason",
        "status": "Status",
        "attempts": "Attempts",
        "destination": "Destination",
        "accepted": "Accepted",
        "firstFailure": "First failure",
        "lastFailure": "Last failure",
        "storedAt": "Kept since",
    }
    lines = [f"{'Name:':15} {name_of(letter)}"]
    lines += [
        f"{title + ':':15} {clean(str(shown[key]), 1024)}"
        for key, title in titles.items()
        if shown[key] not in {"", None}
    ]
    if shown["answer"]:
        lines += ["Answer:", *_shown_text(shown["answer"])]
    lines += ["Event:", *_shown_text(showing.as_json(shown["event"]))]
    where = "" if namespace == "default" else f" -n {namespace}"
    if (reason := why_not(letter, scope)) is None:
        lines += ["Next:", f"  scaup deadletters replay {name_of(letter)}{where}   # once its sink is well"]
    else:
        lines += [f"Next:   it cannot be replayed: {reason.text}"]
    lines += [f"  scaup deadletters purge {name_of(letter)}{where}   # for good"]
    return "\n".join(lines)


def _shown_text(text: str) -> list[str]:
    """Lines of what came from outside, without anything that would control the terminal."""
    return [textwrap.indent(clean(line.expandtabs(4), 10_000), "  ") for line in text.splitlines()]
