"""One load run: generator, sink, waiting for the last delivery, and the ledger.

Responsible for: the order of a run, and its command line.
Must not: start Scaup (that is `bench.run`), or send anywhere but to loopback.

    python -m bench.load --rate 500 --duration 10 --sink-port 9900 --broker-url http://127.0.0.1:8080/default/default
"""

import argparse
import asyncio
import ipaddress
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

if not __package__:  # started as a file: `bench` is found from the folder above
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.generator import MAX_RATE, Generator, Plan, Record
from bench.ledger import Arrived, Result, balance
from bench.loop import run_fast
from bench.show import as_json, show_run
from bench.sinkclient import SinkClient, started_sink
from bench.usage import Meter, Usage, busy_seconds

LONGEST = 3600.0
"""Seconds; a run always ends by itself."""
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """One run, as asked for. The fields that `Plan` has too mean the same."""

    broker_url: str = "http://127.0.0.1:8080/default/default"
    rate: float = MAX_RATE
    duration: float = 10.0
    count: int = 0
    size: int = 1024
    event_type: str = "dev.scaup.bench"
    connections: int = 32
    timeout: float = 10.0
    expect: tuple[str, ...] = ("/s/0",)
    """The sink's paths that should get every accepted event."""
    ignore: tuple[str, ...] = ()
    """The sink's paths that are none of this run's business: neither waited for nor counted."""
    settle: float = 1.0
    """Seconds without news, after everything accepted has arrived: late duplicates show up here."""
    deadline: float = 30.0
    """Seconds after the last answer at which waiting for deliveries ends."""

    def plan(self) -> Plan:
        """The generator's part."""
        host, port, path = _loopback(self.broker_url)
        if not 0 < self.duration <= LONGEST:
            raise ValueError(f"the duration must be over 0 and at most {LONGEST:.0f} s")
        return Plan(
            host=host,
            port=port,
            path=path,
            run=secrets.token_hex(4),
            rate=self.rate,
            duration=self.duration,
            count=self.count,
            size=self.size,
            event_type=self.event_type,
            connections=self.connections,
            most_connections=max(256, self.connections),
            timeout=self.timeout,
        )


def _loopback(url: str) -> tuple[str, int, str]:
    """Host, port and path of a broker on this machine; elsewhere this is a weapon."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if parts.scheme != "http" or not local:
        raise ValueError(f"{url} is not plain http on loopback, and no load is sent anywhere else")
    return host, parts.port or 80, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@dataclass(frozen=True, slots=True)
class Observed:
    """What one run left behind, before anything is made of it."""

    run: str
    """The first part of its events' ids."""
    record: Record
    arrived: Mapping[str, Arrived]
    settled: bool
    usage: list[Usage]
    metered_seconds: float
    """How long `usage` was metered: from before the first send until settled."""
    busy_seconds: float
    """CPU seconds of the whole machine meanwhile."""

    def cores(self, *names: str) -> float:
        """How many cores these processes (none named: all) kept busy."""
        seconds = sum(used.cpu_seconds for used in self.usage if not names or used.name in names)
        return seconds / self.metered_seconds

    @property
    def other_cores(self) -> float:
        """How many cores something else kept busy, as far as that can be known."""
        return max(self.busy_seconds / self.metered_seconds - self.cores(), 0.0)

    def missing(self, path: str) -> set[int]:
        """Sequence numbers that were accepted and never seen at this path."""
        first = self.arrived[path].first if path in self.arrived else ()
        statuses = self.record.status
        return {s for s, status in enumerate(statuses) if 200 <= status < 300 and (s >= len(first) or not first[s])}

    def result(self, expect: Sequence[str]) -> Result:
        """The ledger's balance, with these paths expected to have everything."""
        return replace(balance(self.record, self.arrived, expect, self.settled), usage=self.usage)


async def _nowhere() -> int:
    return 0


Elsewhere = Callable[[], Awaitable[int]]
"""How many of the run's deliveries have come to another end than the sink (dead letters)."""


async def run(load: Load, sink: SinkClient | None = None, pids: Mapping[str, int] | None = None) -> Result:
    """Send the load, wait until it has arrived, and balance the ledger.

    Without a `sink` one is started for this run; `pids` are metered beside this process and the sink's.
    """
    load.plan()  # refuses what may not be sent before a sink is started for it
    async with AsyncExitStack() as stack:
        if sink is None:
            sink = await stack.enter_async_context(started_sink())
        return (await observe(load, sink, pids)).result(load.expect)


async def observe(
    load: Load, sink: SinkClient, pids: Mapping[str, int] | None = None, elsewhere: Elsewhere = _nowhere
) -> Observed:
    """Send the load, wait until every delivery has come to an end, and hand over the records of both sides."""
    plan = load.plan()
    meter = Meter({**(pids or {}), "generator": os.getpid(), "sink": sink.pid})
    meter.start()
    begun, busy = monotonic(), busy_seconds()
    record = await Generator(plan).send_all()
    accepted = sum(1 for status in record.status if 200 <= status < 300)
    settled = await _settle(load, sink, plan.run, accepted, elsewhere)
    usage, metered, busy = meter.stop(), monotonic() - begun, busy_seconds() - busy
    counts = await sink.progress(plan.run)
    arrived = {
        path: Arrived(await sink.arrivals(plan.run, path), count["duplicates"])
        for path, count in counts.items()
        if path not in load.ignore and (count["distinct"] or path in load.expect)
    }
    await sink.forget(plan.run)
    return Observed(plan.run, record, arrived, settled, usage, metered, busy)


async def _settle(load: Load, sink: SinkClient, run: str, accepted: int, elsewhere: Elsewhere) -> bool:
    """Wait until every expected path has everything and stays quiet; False at the deadline."""
    deadline = monotonic() + load.deadline
    last_news = monotonic()
    last_seen = -1
    while (now := monotonic()) < deadline:
        counts = await sink.progress(run)
        seen = sum(count["distinct"] + count["duplicates"] for path, count in counts.items() if path not in load.ignore)
        if seen != last_seen:
            last_seen, last_news = seen, now
        # This may count events whose answer got lost; what is then missing is found by the ledger, not here.
        wanted = accepted - await elsewhere()
        everywhere = all(counts.get(path, {}).get("distinct", 0) >= wanted for path in load.expect)
        if everywhere and now - last_news >= load.settle:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="open-loop load on a broker, with a ledger of what arrived")
    default = Load()
    parser.add_argument(
        "--broker-url", default=default.broker_url, help="loopback only; `sink` measures this tool itself"
    )
    parser.add_argument("--rate", default="max", help="events/s, or max: each connection sends when answered")
    parser.add_argument("--duration", type=float, default=default.duration, help="seconds")
    parser.add_argument("--count", type=int, default=0, help="stop after so many events")
    parser.add_argument("--size", type=int, default=default.size, help="bytes of data")
    parser.add_argument("--type", default=default.event_type, help="the events' ce-type")
    parser.add_argument("--connections", type=int, default=default.connections)
    parser.add_argument("--timeout", type=float, default=default.timeout, help="seconds to wait for an answer")
    parser.add_argument("--sink-port", type=int, default=9900, help="where Triggers should deliver; 0: any free port")
    parser.add_argument("--expect", default="/s/0", help="sink paths that should get every event: /s/0,/s/1")
    parser.add_argument(
        "--behave", action="append", default=[], metavar="PATH:HOW", help="hang, status=503, delay=0.5, poison=100"
    )
    parser.add_argument("--settle", type=float, default=default.settle, help="seconds of quiet after the last delivery")
    parser.add_argument("--deadline", type=float, default=default.deadline, help="most seconds to wait for deliveries")
    parser.add_argument("--pids", default="", help="processes to meter: name=pid,name=pid")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser


async def _from_command_line(asked: argparse.Namespace) -> Result:
    load = Load(
        broker_url=asked.broker_url,
        rate=MAX_RATE if asked.rate == "max" else float(asked.rate),
        duration=asked.duration,
        count=asked.count,
        size=asked.size,
        event_type=asked.type,
        connections=asked.connections,
        timeout=asked.timeout,
        expect=tuple(path for path in asked.expect.split(",") if path),
        settle=asked.settle,
        deadline=asked.deadline,
    )
    pids = {name: int(pid) for name, _, pid in (pair.partition("=") for pair in asked.pids.split(",") if pair)}
    async with started_sink(asked.sink_port) as sink:
        if load.broker_url == "sink":
            load = replace(load, broker_url=sink.url(load.expect[0]))
        for told in asked.behave:
            path, _, how = told.partition(":")
            await sink.behave(path, how)
        return await run(load, sink, pids)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything accepted arrived everywhere it should."""
    asked = _parser().parse_args(arguments)
    try:
        result = run_fast(_from_command_line(asked))
    except (ValueError, OSError, RuntimeError) as why:
        print(f"load: {why}", file=sys.stderr)
        return 2
    if asked.output == "json":
        print(as_json(result))
    else:
        show_run(result)
    return 1 if result.missing else 0


if __name__ == "__main__":
    sys.exit(main())
