"""``scaup deadletters list``: what was given up, of which Trigger, and why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from scaup.cli import showing
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.kinds import BROKER, TRIGGER
from scaup.cli.kube import open_api
from scaup.cli.lines import clean
from scaup.cli.problems import FailedError
from scaup.core.bus.deadletters import DeadLetter, keepings, read
from scaup.core.codec import jsonformat
from scaup.core.model.names import BrokerUid


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters: of ``broker`` (None: of all in the namespace), of ``trigger`` (None: of all)."""

    namespace: str
    broker: str | None = None
    trigger: str | None = None
    limit: int = 1000


def run(access: ApiAccess, nats: NatsAccess, wanted: Wanted, output: str) -> str:
    """The text to print."""
    listed = asyncio.run(find(access, nats, wanted))
    if output == "table":
        return table(listed) if listed else f"No dead letters in namespace {wanted.namespace}."
    objects = showing.as_list([as_object(*found) for found in listed])
    return showing.as_json(objects) if output == "json" else showing.as_yaml(objects)


async def find(access: ApiAccess, nats: NatsAccess, wanted: Wanted) -> list[tuple[str, str, DeadLetter]]:
    """(broker name, trigger name, dead letter), oldest first for each Broker."""
    async with open_api(access) as api:
        brokers = (await api.get(BROKER.path(wanted.namespace))).get("items") or []
        triggers = (await api.get(TRIGGER.path(wanted.namespace))).get("items") or []
    triggers_by_uid = {item["metadata"]["uid"]: item["metadata"]["name"] for item in triggers}
    present = {item["metadata"]["uid"]: item["metadata"]["name"] for item in brokers}
    listed: list[tuple[str, str, DeadLetter]] = []
    async with open_bus(nats) as bus:
        deleted = {
            keeping.broker: f"{keeping.name} (deleted)"
            for keeping in await keepings(bus)
            if keeping.namespace == wanted.namespace and keeping.broker not in present
        }
        every = {uid: name for uid, name in {**deleted, **present}.items() if _is_named(name, wanted.broker)}
        if wanted.broker is not None and not every:
            msg = f"there is no Broker {wanted.namespace}/{wanted.broker}"
            raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
        for uid, name in every.items():
            for letter in await read(bus, BrokerUid(uid), wanted.limit):
                trigger = _trigger_of(letter, triggers_by_uid)
                if _is_named(trigger, wanted.trigger):
                    listed.append((name, trigger, letter))
    return listed


def _trigger_of(letter: DeadLetter, present: dict[str, str]) -> str:
    """The name of its Trigger, and whether that is still there; "-" where it was set aside before anybody was asked."""
    if letter.trigger is None:
        return "-"
    return present.get(letter.trigger) or f"{letter.trigger_name.rpartition('/')[2] or '?'} (deleted)"


def _is_named(name: str, wanted: str | None) -> bool:
    return wanted is None or name.removesuffix(" (deleted)") == wanted


def table(listed: list[tuple[str, str, DeadLetter]]) -> str:
    """One line a dead letter."""
    titles = ["BROKER", "TRIGGER", "AGE", "REASON", "STATUS", "ATTEMPTS", "TYPE", "SOURCE", "ID"]
    now = datetime.now(UTC)
    return showing.rows(
        titles,
        [
            [
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
        "metadata": {"name": f"{letter.broker}-{letter.sequence}"},
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
