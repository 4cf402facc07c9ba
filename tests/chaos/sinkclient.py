"""The harness's side of the sink process: start it, ask what it has, cure it, end it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tests.chaos.crowd import Plan
from tests.chaos.place import PlaceSpec
from tests.support import rawhttp

_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Sinks:
    """The running sinks; ``ports`` by name."""

    ports: dict[str, int]
    control: int

    def url(self, name: str) -> str:
        """Where a sink is; empty for the name of none."""
        return f"http://127.0.0.1:{self.ports[name]}/{name}" if name else ""

    async def totals(self) -> dict[str, dict[str, int]]:
        """The counts of every place."""
        found: dict[str, dict[str, int]] = orjson.loads(await self._ask("totals"))
        return found

    async def taken(self, name: str) -> bytes:
        """How often each index was taken there."""
        return await self._ask(f"taken/{name}")

    async def spoiled(self) -> list[str]:
        """What was wrong with events, some of it, in sentences."""
        found: list[str] = orjson.loads(await self._ask("spoiled"))
        return found

    async def cure(self) -> None:
        """Make well what can be."""
        await self._ask("cure")

    async def _ask(self, what: str) -> bytes:
        answer = await rawhttp.send(self.control, "GET", f"/_/{what}")
        return answer.body


def _specs(plans: Iterable[Plan]) -> list[dict[str, Any]]:
    specs = [PlaceSpec("control", "well")]
    for plan in plans:
        specs.append(PlaceSpec(plan.name, plan.kind))
        if plan.dead_letters:
            specs.append(PlaceSpec(plan.dead_letter_place, plan.dead_letters, plan.kind, plan.name))
    return [asdict(spec) for spec in specs]


@asynccontextmanager
async def started(plans: Iterable[Plan]) -> AsyncIterator[Sinks]:
    """The sinks of these Triggers, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.sinkprocess"),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(orjson.dumps(_specs(plans)) + b"\n")
        async with asyncio.timeout(20):
            ports: dict[str, int] = orjson.loads(await process.stdout.readline())
        yield Sinks(ports, ports["control"])
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
