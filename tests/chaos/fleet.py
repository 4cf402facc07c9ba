"""The processes of a run: started, tormented as the schedule says, watched for an end nobody asked for."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.faults import NATS, SERVICES, Fault
from tests.support import rawhttp
from tests.support.natsserver import NatsServer
from tests.support.services import Service, service

_SCRAPE_S: Final = 1.0
_STOP_S: Final = 15.0
_READY_S: Final = 60.0


@dataclass(slots=True)
class Suffered:
    """A fault that was done: when (seconds after the start), how long until all went on, and what went wrong then."""

    fault: Fault
    at_s: float
    back_after_s: float = 0.0
    wrong: str = ""


@dataclass
class Fleet:
    """The services, each under a name by which it is killed and started again."""

    directory: Path
    nats: NatsServer
    running: dict[str, tuple[Service, ExitStack]] = field(default_factory=dict)
    ingress_port: int = 9
    complaints: list[str] = field(default_factory=list)
    _dropped: dict[str, Counter[str]] = field(default_factory=dict)
    _dropped_before: Counter[str] = field(default_factory=Counter)
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start_all(self) -> None:
        """Start every service."""
        await asyncio.gather(*map(self.start, SERVICES))

    async def start(self, name: str) -> None:
        """Start one and wait until it is ready."""
        stack = ExitStack()
        home = name.partition("-")[0]
        found = stack.enter_context(service(home, self.directory, self.nats.url, SCAUP_REPLICA=name))
        if home == "ingress":
            self.ingress_port = found.port
        try:
            await found.until_ready(_READY_S)
        except BaseException:
            stack.close()
            raise
        self.running[name] = (found, stack)

    async def suffer(self, fault: Fault) -> None:
        """Do it; all that runs is ready again when this returns."""
        async with self._busy:
            await self._scrape()
            if fault.victim == NATS:
                self.nats.kill()
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self.nats.start, _READY_S)
                return
            found, stack = self.running[fault.victim]
            if fault.kind == "pause":
                found.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(fault.seconds)
                found.process.send_signal(signal.SIGCONT)
                return
            del self.running[fault.victim]
            if fault.kind == "restart":
                await self._end(fault.victim, found)
            await asyncio.to_thread(stack.close)
            self._dropped_before.update(self._dropped.pop(fault.victim, {}))
            await asyncio.sleep(fault.seconds)
            await self.start(fault.victim)

    async def stop_dispatchers(self) -> None:
        """End them as an operator would: what they hold is stored or handed back."""
        async with self._busy:
            for name in [name for name in self.running if name.startswith("dispatcher")]:
                found, stack = self.running.pop(name)
                await self._end(name, found)
                await asyncio.to_thread(stack.close)

    async def _end(self, name: str, found: Service) -> None:
        try:
            status = await found.stopped(signal.SIGTERM, _STOP_S)
        except Exception as error:  # noqa: BLE001 - it did not end in time
            self.complaints.append(f"{name} did not end on SIGTERM: {error}")
            return
        if status:
            self.complaints.append(f"{name} ended with {status} on SIGTERM; see {found.log}")

    async def watch(self) -> None:
        """Start again what ended by itself, and say so; until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            async with self._busy:
                await self._scrape()
                for name, (found, stack) in list(self.running.items()):
                    if (status := found.process.poll()) is not None:
                        self.complaints.append(f"{name} ended by itself with {status}; see {found.log}")
                        del self.running[name]
                        stack.close()
                        await self.start(name)

    async def dropped(self) -> Counter[str]:
        """Events given up by a stated policy so far, by reason, over all lives of the dispatchers."""
        async with self._busy:
            await self._scrape()
        return sum(self._dropped.values(), self._dropped_before.copy())

    async def _scrape(self) -> None:
        for name, (found, _) in list(self.running.items()):
            if name.startswith("dispatcher"):
                with suppress(OSError, EOFError, TimeoutError):
                    async with asyncio.timeout(_SCRAPE_S):
                        answer = await rawhttp.send(found.metrics_port, "GET", "/metrics")
                    self._dropped[name] = _dropped_of(answer.body.decode())

    def close(self) -> None:
        """Kill what still runs."""
        for _, stack in self.running.values():
            stack.close()
        self.running.clear()


def _dropped_of(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "scaup_dropped_events_total":
                counts[sample.labels["reason"]] += int(sample.value)
    return counts
