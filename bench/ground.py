"""The ground a scenario of trouble stands on: one Scaup with the scenario's Brokers, one sink, one look into NATS.

Responsible for starting and ending these, and for loads that differ in few things.
Must not: know what a scenario does.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

from bench.definitions import MATCHING_TYPE, Definitions, write
from bench.findings import Found
from bench.generator import MAX_RATE
from bench.load import Load, Observed, observe
from bench.sinkclient import SinkClient, started_sink
from bench.stack import Stack, Start, started
from bench.streams import Streams, opened_streams

_OTHERS_CORES = 0.3


@dataclass(frozen=True, slots=True)
class Ground:
    """What is there while a scenario measures."""

    stack: Stack
    sink: SinkClient
    streams: Streams
    is_quick: bool
    rate: float
    """Events/s of everything on a timetable."""
    say: Callable[[str], None]

    def load(self, broker: str, expect: Sequence[str], seconds: float, rate: float | None = None) -> Load:
        """A load on one Broker, on the timetable unless told otherwise."""
        return Load(
            broker_url=self.stack.broker_url(broker),
            rate=self.rate if rate is None else rate,
            duration=seconds,
            event_type=MATCHING_TYPE,
            expect=tuple(expect),
            deadline=60.0,
        )

    async def warm_up(self, broker: str, expect: Sequence[str]) -> None:
        """A second of load that is not measured: connections and buffers are made then."""
        self.say(f"warming up {broker}")
        await observe(self.load(broker, expect, 1.0, MAX_RATE), self.sink)


class Scenario(Protocol):
    """One kind of trouble."""

    key: str

    async def wire(self, sink: SinkClient) -> Sequence[Definitions]:
        """The Brokers it needs, and what their Triggers deliver to; the sink is told how to behave."""

    async def measure(self, ground: Ground) -> Found:
        """Cause the trouble, and see what comes of it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked for on the command line."""

    is_quick: bool = False
    rate: float = 500.0
    port_offset: int = 2000


async def stand(scenario: Scenario, terms: Terms, say: Callable[[str], None]) -> Found:
    """Start everything for one scenario, let it measure, end everything."""
    async with _ground(scenario, terms, say) as ground:
        return await scenario.measure(ground)


@asynccontextmanager
async def _ground(scenario: Scenario, terms: Terms, say: Callable[[str], None]) -> AsyncIterator[Ground]:
    def prefixed(text: str) -> None:
        say(f"{scenario.key}: {text}")

    with tempfile.TemporaryDirectory(prefix="scaup-bench-") as folder:
        async with started_sink() as sink:
            setups = await scenario.wire(sink)
            definitions = Path(folder, "definitions")
            write(definitions, setups, sink.url(""))
            triggers = sum(setup.triggers for setup in setups)
            prefixed(f"starting Scaup with {triggers:,} Triggers")
            start = Start(definitions, Path(folder, "data"), triggers, terms.port_offset)
            async with started(start) as stack, opened_streams(stack) as streams:
                yield Ground(stack, sink, streams, terms.is_quick, terms.rate, prefixed)


def responses(observed: Sequence[Observed]) -> tuple[int, int, int]:
    """How many answers were 5xx, how many others were not 2xx, and how many requests got none."""
    refused: dict[int, int] = {}
    silent = 0
    for one in observed:
        for status, sent in zip(one.record.status, one.record.sent, strict=True):
            if status and not 200 <= status < 300:
                refused[status] = refused.get(status, 0) + 1
            silent += int(sent > 0 and not status)
    server = sum(count for status, count in refused.items() if status >= 500)
    return server, sum(refused.values()) - server, silent


def doubts(observed: Sequence[Observed]) -> list[str]:
    """What makes the figures of metered runs doubtful: a machine that others work on, runs that did not end."""
    found = []
    others = median(one.other_cores for one in observed)
    if others > _OTHERS_CORES:
        found.append(f"something else kept {others:.1f} cores busy meanwhile: no figures to compare")
    late = sum(1 for one in observed if not one.settled)
    if late:
        found.append(f"{late} of {len(observed)} runs were not settled before the deadline")
    return found
