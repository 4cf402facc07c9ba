"""What JetStream holds of a Broker: its log, what waits, and the dead letters, by number and by id.

Responsible for reading streams over a connection of its own.
Must not: consume, change or remove anything.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from bench.arrivals import split_id
from bench.stack import NATS_PORT, Stack

from scaup.core.bus.connection import Bus, BusAccess, Msg, connect
from scaup.core.bus.waiting import waiting
from scaup.core.codec import bundle
from scaup.core.model import names
from scaup.core.model.names import BrokerUid

_BATCH = 500
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class State:
    """One stream at one moment."""

    messages: int
    bytes: int
    first: int
    last: int


class Streams:
    """The streams of all Brokers of one Scaup."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._uids: dict[str, BrokerUid] = {}

    async def log(self, broker: str) -> State:
        """The event log."""
        return await self._state(names.log_stream(await self._uid(broker)))

    async def waiting(self, broker: str) -> int:
        """Events in the queues of all its Triggers."""
        return (await waiting(self._bus, await self._uid(broker))).total()

    async def dead(self, broker: str) -> State:
        """The dead letters that are kept."""
        return await self._state(names.dead_stream(await self._uid(broker)))

    async def waiting_of(self, broker: str, run: str) -> set[int]:
        """Sequence numbers of the run's events that wait."""
        return await self._sequences(names.queue_stream(await self._uid(broker)), run)

    async def dead_of(self, broker: str, run: str) -> set[int]:
        """Sequence numbers of the run's events that are kept as dead letters."""
        return await self._sequences(names.dead_stream(await self._uid(broker)), run)

    async def _uid(self, broker: str) -> BrokerUid:
        if broker not in self._uids:
            listed = await self._bus.api("STREAM.LIST", {"offset": 0})
            for info in listed["streams"] or ():
                found = names.parse_stream(info["config"]["name"])
                if found is not None:
                    name = (info["config"].get("metadata") or {}).get("scaup.dev/broker", "")
                    self._uids[name] = found[1]
        return self._uids[broker]

    async def _state(self, stream: str) -> State:
        state = (await self._bus.api(f"STREAM.INFO.{stream}", timeout=_ANSWER_SECONDS))["state"]
        return State(state["messages"], state["bytes"], state["first_seq"], state["last_seq"])

    async def _sequences(self, stream: str, run: str) -> set[int]:
        """By reading the whole stream, batch after batch."""
        found = set()
        wanted = run.encode()
        next_sequence = 1
        while entries := await self._batch(stream, next_sequence):
            for entry in entries:
                headers = entry.headers or {}
                next_sequence = int(headers["Nats-Sequence"]) + 1
                is_queued = names.lane_of_subject(subject := headers["Nats-Subject"]) is not None
                for event, _ in bundle.events(subject, headers, entry.data) if is_queued else [(headers, b"")]:
                    entry_run, sequence = split_id(event.get("ce-id", "").encode())
                    if entry_run == wanted:
                        found.add(sequence)
        return found

    async def _batch(self, stream: str, first: int) -> list[Msg]:
        """The next entries from this sequence on; none where there are no more."""
        entries: list[Msg] = []
        is_over = asyncio.Event()

        async def received(msg: Msg) -> None:
            if "Nats-Sequence" in (msg.headers or {}):
                entries.append(msg)
            else:  # a status: the end of the batch, or of the stream
                is_over.set()

        inbox = self._bus.client.new_inbox()
        end = await self._bus.subscribe(inbox, received)
        try:
            asked: dict[str, Any] = {"seq": first, "batch": _BATCH, "next_by_subj": ">"}
            await self._bus.publish(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(asked), inbox)
            async with asyncio.timeout(_ANSWER_SECONDS):
                await is_over.wait()
        finally:
            await end()
        return entries


@asynccontextmanager
async def opened_streams(stack: Stack) -> AsyncIterator[Streams]:
    """A connection to the NATS of this Scaup."""
    token = (stack.data / "nats-token").read_text().strip()
    access = BusAccess(f"nats://127.0.0.1:{NATS_PORT + stack.port_offset}", token=token)
    async with connect(access, "scaup-bench") as bus:
        yield Streams(bus)
