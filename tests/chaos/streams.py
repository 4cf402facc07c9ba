"""What the bus still holds, read from its streams directly: the log's lag, the queues' entries, kept dead letters."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

import orjson

from scaup.core.bus.connection import Bus, Msg
from scaup.core.bus.deadletters import DeadLetter, read
from scaup.core.bus.waiting import waiting
from scaup.core.codec import bundle, stored
from scaup.core.model import names
from scaup.core.model.names import Lane
from tests.chaos import traffic
from tests.support.events import BROKER

_BATCH: Final = 1000
_EVERYTHING: Final = 1 << 40
_INTERNAL: Final = frozenset({traffic.TTL})
_DEAD: Final = _INTERNAL | traffic.ERROR_EXTENSIONS


@dataclass(frozen=True, slots=True)
class Held:
    """The events of Triggers that the bus holds, by name of the Trigger, and what is wrong with some of them."""

    waiting: dict[str, set[int]]
    kept: dict[str, set[int]]
    wrong: list[str]


async def lag(bus: Bus) -> int:
    """Entries of the log that are not acknowledged. Raises BusError."""
    info = await bus.api(f"CONSUMER.INFO.{names.log_stream(BROKER)}.{names.DISPATCH_CONSUMER}")
    return int(info["num_pending"] + info["num_ack_pending"])


async def queued(bus: Bus) -> int:
    """Events in all queues. Raises BusError."""
    return (await lanes(bus)).total()


async def lanes(bus: Bus) -> Counter[Lane]:
    """Events in the queues, by lane. Raises BusError."""
    return await waiting(bus, BROKER)


async def kept(bus: Bus, triggers: set[str]) -> int:
    """Dead letters that are kept for these Triggers. Raises BusError."""
    request = {"subjects_filter": names.dead_subjects(BROKER)}
    state = (await bus.api(f"STREAM.INFO.{names.dead_stream(BROKER)}", request))["state"]
    counts: dict[str, int] = state.get("subjects") or {}
    return sum(count for subject, count in counts.items() if names.trigger_of_dead_subject(subject) in triggers)


async def held(bus: Bus) -> Held:
    """Everything that waits or is kept. The dispatchers must have ended: nobody works the queues meanwhile."""
    queued: dict[str, set[int]] = {}
    dead: dict[str, set[int]] = {}
    wrong: list[str] = []
    for subject, whole, entry in await _entries(bus, names.queue_stream(BROKER)):
        lane = names.lane_of_subject(subject)
        assert lane is not None
        allowed = _DEAD if lane.kind == names.DEAD_LETTER else _INTERNAL
        for headers, data in bundle.events(subject, whole, entry):
            event = stored.from_headers(headers, data)
            if what := traffic.difference(event.attributes, data, allowed):
                wrong.append(f"{lane.trigger}, waiting: {what}")
            queued.setdefault(lane.trigger, set()).add(traffic.index_of(event.id))
    for letter in await read(bus, BROKER, _EVERYTHING):
        if what := traffic.difference(letter.event.attributes, letter.event.data or b"", _DEAD) or _unsaid(letter):
            wrong.append(f"{letter.trigger}, kept: {what}")
        dead.setdefault(str(letter.trigger), set()).add(traffic.index_of(letter.event.id))
    return Held(queued, dead, wrong)


def _unsaid(letter: DeadLetter) -> str:
    """What a kept dead letter fails to say about how it came to be one."""
    facts = letter.facts
    if letter.trigger_name != f"default/{letter.trigger}":
        return f"{letter.event.id} names {letter.trigger_name!r}"
    if not (facts.reason and facts.sequence and facts.accepted):
        return f"{letter.event.id} lacks reason, sequence or time of acceptance: {facts}"
    if not facts.reason.startswith("the queue is full") and not (facts.attempts and facts.last_failure):
        return f"{letter.event.id} lacks attempts or their times: {facts}"
    return ""


async def _entries(bus: Bus, stream: str) -> list[tuple[str, dict[str, str], bytes]]:
    """Everything in a stream, gaps passed over. An entry that moves to the end meanwhile is found there (again)."""
    found: list[tuple[str, dict[str, str], bytes]] = []
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = bus.client.new_inbox()
    end = await bus.subscribe(inbox, arrived.put)
    try:
        sequence = 1
        while True:
            request = {"seq": sequence, "batch": _BATCH, "next_by_subj": ">"}
            await bus.publish(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(request), inbox)
            size = len(found)
            while True:
                async with asyncio.timeout(10):
                    msg = await arrived.get()
                headers = msg.headers or {}
                if "Status" in headers:  # 204: the batch is whole; 404: nothing from there on
                    break
                found.append((headers["Nats-Subject"], headers, msg.data))
                sequence = int(headers["Nats-Sequence"]) + 1
            if len(found) == size:
                return found
    finally:
        await end()
