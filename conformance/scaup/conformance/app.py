"""The story of a run: a ground is laid, every check has its look at the broker, and every row its end.

Nothing here knows how a broker is started, or how its API is reached: that is given.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from scaup.conformance.checks import CHECKS
from scaup.conformance.checks.registry import Check, Needs
from scaup.conformance.kube import Api, Definitions
from scaup.conformance.place import Ground, Place, UnmetError, UnshownError
from scaup.conformance.results import CheckResult, Outcome, Verdict, by_row, wanted
from scaup.conformance.sink import SinkServer
from scaup.conformance.wire import Address, WireError, connection

Progress = Callable[[CheckResult, int, int], None]
_CHECK_WITHIN_S: Final = 30.0
_PATIENCES: Final = 3
"""So many times the patience for one thing a whole check may take, and some seconds for what it does itself."""


@dataclass(frozen=True)
class Target:
    """What is looked at. With an API the suite makes Brokers and Triggers; without it, ``url`` is all there is.

    With both, ``url`` is how the Brokers' addresses are reached from here: its scheme, host and port stand for theirs.
    """

    name: str
    url: str | None = None
    api: Api | None = None
    namespace: str = "default"
    broker_class: str | None = None


@dataclass(frozen=True)
class Options:
    """How it is looked at."""

    only: Sequence[str] = ()
    parallel: int = 12
    settle_s: float = 1.5
    within_s: float = 20.0
    sink_host: str = "127.0.0.1"
    sink_listen: str = "127.0.0.1"
    sink_port: int = 0


async def run(target: Target, options: Options, progress: Progress = lambda *_: None) -> Outcome:
    """Look at a broker.

    ValueError where ``only`` names no row, UnmetError where no Broker becomes Ready, WireError or OSError where nobody
    answers at the broker's or the API's address.
    """
    begun = time.monotonic()
    ids = wanted(options.only)
    checks = [check for check in CHECKS.values() if set(check.rows) & set(ids)]
    results: list[CheckResult] = []
    async with _ground(target, options) as ground:
        room = asyncio.Semaphore(options.parallel)

        async def look(check: Check) -> None:
            async with room:
                results.append(await _look(ground, check))
            progress(results[-1], len(results), len(checks))

        for timed in (False, True):
            async with asyncio.TaskGroup() as running:
                for check in checks:
                    if check.timed is timed:
                        running.create_task(look(check))
    return Outcome(target.name, by_row(results, ids), time.monotonic() - begun)


@asynccontextmanager
async def _ground(target: Target, options: Options) -> AsyncIterator[Ground]:
    """A sink server, and with an API a Broker of our own with two Triggers that see everything."""
    nonce = secrets.token_hex(3)
    async with SinkServer(options.sink_host, options.sink_listen, options.sink_port) as sinks:
        base = Address.of(target.url) if target.url else None
        if target.api is None:
            if base is None:
                raise ValueError("without an API there has to be a broker's address")
            async with connection(base):  # nobody there: one error, not one for each check
                pass
            yield Ground(base, sinks, nonce, settle_s=options.settle_s, within_s=options.within_s)
            return
        ground = Ground(
            Address("", 0, ""),
            sinks,
            nonce,
            Definitions(target.api, target.namespace),
            base=base,
            broker_class=target.broker_class,
            settle_s=options.settle_s,
            within_s=options.within_s,
        )
        place = Place(ground, "ground")
        try:
            ground.broker = await place.broker()
            ground.broker_name = place.name("broker")
            for mode, delivery in (("binary", {"format": "binary"}), ("json", {"format": "json"})):
                ground.observers[mode] = place.sink(f"observer-{mode}")
                await place.trigger(mode, ground.observers[mode], filter={}, delivery=delivery)
            yield ground
        finally:
            await place.clean()


async def _look(ground: Ground, check: Check) -> CheckResult:
    """One check, from its start to its end."""
    if check.needs is Needs.TRIGGERS and ground.definitions is None:
        return CheckResult(check.name, check.rows, Verdict.NOT_SHOWN, f"there is no API: it needs {check.needs}")
    place = Place(ground, check.key)
    begun = time.monotonic()
    within_s = _PATIENCES * ground.within_s + _CHECK_WITHIN_S
    why = ""
    try:
        async with asyncio.timeout(within_s):
            await check.run(place)
    except UnshownError as error:
        return CheckResult(check.name, check.rows, Verdict.NOT_SHOWN, str(error))
    except (UnmetError, WireError) as error:
        why = str(error)
    except TimeoutError:
        why = f"it came to no end within {within_s:g} s"
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        why = f"what came could not be read: {type(error).__name__}: {error}"
    finally:
        await place.clean()
    verdict, evidence = (Verdict.FAILED, tuple(place.evidence())) if why else (Verdict.PASSED, ())
    return CheckResult(check.name, check.rows, verdict, why, evidence, time.monotonic() - begun)
