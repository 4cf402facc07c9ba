"""``scaup trigger pause`` and ``resume``; and how many events wait for a Trigger, for whoever is about to decide."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from scaup.cli import showing
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.kinds import BROKER, TRIGGER
from scaup.cli.kube import MERGE_PATCH, Api, open_api
from scaup.cli.problems import FailedError, NotReachableError
from scaup.core.model.annotations import PAUSED
from scaup.core.model.errors import BusError
from scaup.core.model.names import BrokerUid


@dataclass(frozen=True, slots=True)
class Held:
    """What ``pause`` and ``resume`` found and did. ``waiting`` is None where NATS could not be asked."""

    namespace: str
    name: str
    paused: bool
    changed: bool
    waiting: int | None


async def hold(access: ApiAccess, nats: NatsAccess, namespace: str, name: str, *, paused: bool) -> Held:
    """Pause a Trigger, or end its pause. Raises FailedError where there is none of that name."""
    async with open_api(access) as api:
        path = TRIGGER.path(namespace, name)
        trigger = await api.find(path)
        if trigger is None:
            msg = f"there is no Trigger {namespace}/{name}"
            raise FailedError(msg, hint="`scaup get triggers -A` lists those there are")
        waiting = (await events_waiting(api, nats, [trigger])).get(name)  # before they are let go
        changed = is_paused(trigger) != paused
        if changed:
            change = {"metadata": {"annotations": {PAUSED.name: "true" if paused else None}}}
            await api.request("PATCH", path, change, MERGE_PATCH)
        return Held(namespace, name, paused, changed, waiting)


def is_paused(trigger: dict[str, Any]) -> bool:
    """Whether a Trigger is paused by its annotation."""
    annotations = trigger["metadata"].get("annotations") or {}
    return bool(annotations.get(PAUSED.name) == "true")


async def events_waiting(api: Api, nats: NatsAccess, triggers: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Events in the queues of Triggers of one namespace, by name; without those of which it cannot be known now."""
    from scaup.cli.bus import open_bus
    from scaup.core.bus.waiting import waiting

    by_broker: dict[str, list[dict[str, Any]]] = {}
    for trigger in triggers:
        path = BROKER.path(trigger["metadata"]["namespace"], showing.broker_of(trigger))
        by_broker.setdefault(path, []).append(trigger)
    found: dict[str, int] = {}
    brokers = [(broker, mine) for path, mine in by_broker.items() if (broker := await api.find(path)) is not None]
    if not brokers:
        return found
    with suppress(NotReachableError, BusError):
        async with open_bus(nats) as bus:
            for broker, mine in brokers:
                lanes = await waiting(bus, BrokerUid(broker["metadata"]["uid"]))
                for metadata in (trigger["metadata"] for trigger in mine):
                    counts = (count for lane, count in lanes.items() if lane.trigger == metadata["uid"])
                    found[metadata["name"]] = sum(counts)
    return found


def sentence(held: Held) -> str:
    """What was done and what comes of it."""
    what = f"trigger {held.namespace}/{held.name}"
    is_already = "" if held.changed else " already"
    if held.paused:
        done = f"{what} is paused{is_already}: what it would get waits in its queue"
        end = f"scaup trigger resume {held.name}" + ("" if held.namespace == "default" else f" -n {held.namespace}")
        return f"{done}{_so_many(held.waiting, ' ({} now)')}; `{end}` ends the pause"
    if not held.changed:
        return f"{what} was not paused"
    return f"{what} is resumed{_so_many(held.waiting, ': {} that waited will be delivered')}"


def as_object(held: Held) -> dict[str, Any]:
    """The same for a program."""
    return {
        "namespace": held.namespace,
        "trigger": held.name,
        "paused": held.paused,
        "changed": held.changed,
        "waiting": held.waiting,
    }


def _so_many(count: int | None, text: str) -> str:
    return "" if count is None else text.format(events(count))


def events(count: int) -> str:
    """A number of events in words."""
    return "1 event" if count == 1 else f"{count:,} events"
