"""``python -m scaup.dispatcher.alone``: work the entries that the parent names, and nothing else, for real.

They come on standard input, a group a line; what becomes of each goes to standard output, a fact a line, written
before the next step is taken: this process expects to die. It pulls nothing, acknowledges nothing, owns no queue, is
no replica. The end of its input, a loss of the bus or a signal ends it at once, with a status that says nothing.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

import orjson

from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import Bus, connect
from scaup.core.bus.entries import StoredEntry
from scaup.core.bus.pull import nak
from scaup.core.http.outbound import Outbound
from scaup.core.model.errors import BusError
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.core.runtime import lifecycle
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.lifecycle import Life
from scaup.dispatcher.asking import ends_filters
from scaup.dispatcher.attempt import Attempts, Outgoing
from scaup.dispatcher.background import Background
from scaup.dispatcher.capacity import Capacity
from scaup.dispatcher.child import READY, TOLD, WORKING
from scaup.dispatcher.counts import Counts
from scaup.dispatcher.entries import LogEntry
from scaup.dispatcher.marks import Marks
from scaup.dispatcher.parking import Parking
from scaup.dispatcher.queues import delivery_of
from scaup.dispatcher.settings import DispatcherSettings
from scaup.dispatcher.settle import Settler
from scaup.dispatcher.suspicion import NOTHING_SAID, Place
from scaup.dispatcher.target import Target, Tools, target_of
from scaup.dispatcher.worker import BrokerWorker

_ROUNDS_ALONE: Final = 3
Tell = Callable[..., None]


class Alone:
    """The worker, targets and settler of a dispatcher, over entries that somebody else holds."""

    def __init__(self, bus: Bus, definitions: Definitions, attempts: Attempts, settings: DispatcherSettings) -> None:
        self.background = Background()
        self._bus = bus
        self._definitions = definitions
        start = self.background.start
        settler = Settler(bus, definitions, Counts(bus, settings.queue_quota), Marks(bus, start))
        capacity = Capacity(settings.max_events, settings.max_bytes)
        parking = Parking(settler, start)
        self._tools = Tools(bus, definitions, attempts, settler, settings, capacity, parking, start, lambda _: True)
        self._targets: dict[Lane, Target] = {}
        self._workers: dict[BrokerUid, BrokerWorker] = {}
        self._running: list[asyncio.Task[None]] = []
        self._open: dict[str, Place] = {}
        self._all_over = asyncio.Event()
        self._tell: Tell = _telling()

    async def run(self, groups: asyncio.Queue[bytes]) -> None:
        """Work group after group; an empty one is the last."""
        self._tell(READY)
        async with asyncio.TaskGroup() as tasks:
            while line := await groups.get():
                group = orjson.loads(line)
                await self._work(BrokerUid(group["broker"]), group["entries"], tasks)
            for task in self._running:
                task.cancel()

    async def _work(self, broker: BrokerUid, lines: list[dict[str, Any]], tasks: asyncio.TaskGroup) -> None:
        places = [Place(*line["place"]) for line in lines]
        found = await asyncio.gather(*(stream_entries.get(self._bus, p.stream, p.sequence) for p in places))
        self._tell(WORKING)
        self._open.clear()
        self._all_over.clear()
        from_log: list[tuple[LogEntry, list[TriggerUid]]] = []
        for place, line, stored in zip(places, lines, found, strict=True):
            if stored is None:
                self._tell("done", place)  # there is nothing to be worked any more
                continue
            reply = f"{place.stream}.{place.sequence}"
            self._open[reply] = place
            if line["lane"] is not None:
                self._offer(Lane(*line["lane"]), reply, stored)
            else:
                now = asyncio.get_running_loop().time()
                entry = LogEntry(place.sequence, reply, Outgoing(stored.headers, stored.data), place.stored_ns, now)
                from_log.append((entry, [TriggerUid(uid) for uid in line["settled"]]))
        if await self._ends_filters(broker, [entry for entry, _ in from_log], is_single=len(lines) == 1):
            for entry, _ in from_log:
                self.ended(entry.reply, b"", "unanswered")
        else:
            worker = self._worker(broker, tasks)
            for entry, settled in from_log:
                entry.arrived_at = asyncio.get_running_loop().time()
                worker.take_in(entry, settled)
        if self._open:
            await self._all_over.wait()
        self._tell(TOLD)

    async def _ends_filters(self, broker: BrokerUid, entries: list[LogEntry], *, is_single: bool) -> bool:
        events, data = [], []
        for entry in entries:
            try:
                events.append(entry.outgoing.event.attributes)
            except ValueError:
                continue  # the worker passes it over
            data.append(entry.outgoing.data)
        rounds = _ROUNDS_ALONE if is_single else 1
        return bool(events) and await ends_filters(self._bus, self._definitions, broker, events, data, rounds)

    def _worker(self, broker: BrokerUid, tasks: asyncio.TaskGroup) -> BrokerWorker:
        worker = self._workers.get(broker)
        if worker is None:
            worker = self._workers[broker] = BrokerWorker(broker, self._tools, self._targets, witness=self)
            self._running.append(tasks.create_task(worker.run(pulls=False)))
        return worker

    def _offer(self, lane: Lane, reply: str, stored: StoredEntry) -> None:
        try:
            delivery = delivery_of(
                lane,
                stored.headers,
                stored.data,
                release=lambda _: self.ended(reply, b"+ACK"),
                abandon=lambda _: self.ended(reply, nak()),
            )
        except ValueError:
            self.ended(reply, b"+ACK")  # not one of ours: the queue throws it away as well
            return
        if self._definitions.is_ordered(lane):  # it keeps its place, and it is known now that it ends nobody
            delivery.again = lambda _, _facts, _delay_s: self.ended(reply, nak())
        target_of(lane, self._targets, self._tools).offer(delivery)

    # What a worker tells its witness.

    def wanted(self, reply: str, triggers: list[TriggerUid]) -> None:
        """These Triggers want the entry; nothing was attempted yet."""
        self._tell("wanted", self._open[reply], triggers)

    def settled(self, reply: str, trigger: TriggerUid) -> None:
        """The entry's share for one Trigger is settled."""
        self._tell("settled", self._open[reply], [trigger])

    def ended(self, reply: str, word: bytes, fact: str = "") -> None:
        """The entry is over, here."""
        place = self._open.pop(reply, None)
        if place is not None:
            self._tell(fact or ("done" if word == b"+ACK" else "returned"), place)
        if not self._open:
            self._all_over.set()


def _telling() -> Tell:
    """The way to tell a fact. What anybody else writes to standard output goes where the log goes."""
    out = os.dup(1)
    os.dup2(2, 1)

    def tell(fact: str, place: Place | None = None, triggers: list[TriggerUid] | None = None) -> None:
        line = orjson.dumps({"fact": fact, "place": place and list(place), "triggers": triggers or []}) + b"\n"
        while line:
            line = line[os.write(out, line) :]

    return tell


def _leave(_is_connected: bool = False) -> NoReturn:
    """End at once: nothing that was found so far would say anything about an event."""
    os._exit(NOTHING_SAID)


def _listen(groups: asyncio.Queue[bytes]) -> None:
    """Read standard input in a thread of its own: its end is noticed even while the loop is stuck."""
    loop = asyncio.get_running_loop()

    def listen() -> None:
        rest = b""
        while read := os.read(0, 1 << 16):
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                loop.call_soon_threadsafe(groups.put_nowait, line)
        _leave()

    threading.Thread(target=listen, name="parent", daemon=True).start()


async def run(settings: DispatcherSettings, life: Life) -> None:
    """Work what the parent names until it says that was all."""
    life.has_nothing_to_drain = True  # a signal from anybody but the parent
    groups: asyncio.Queue[bytes] = asyncio.Queue()
    _listen(groups)
    outbound = Outbound(settings.sink_deny)
    async with connect(settings.bus.access(), "scaup-dispatcher-alone") as bus:
        bus.on_change(_leave)
        definitions = Definitions()
        following = Background()
        following.start(definitions.follow(bus), "definitions")
        await definitions.loaded.wait()
        alone = Alone(bus, definitions, Attempts(outbound, settings.max_answer_bytes), settings)
        try:
            await alone.run(groups)
        except* BusError:
            _leave()
        except* asyncio.CancelledError:
            _leave()
        if alone.background.tasks:
            await asyncio.wait(alone.background.tasks, timeout=settings.service.drain_s * 0.6)
        os._exit(0)


def main() -> None:
    """Run the process."""
    lifecycle.main("dispatcher", DispatcherSettings, lambda settings: settings.service, run)


if __name__ == "__main__":
    main()
