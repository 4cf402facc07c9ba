"""One `scaup up` for a bench: started on a folder of definitions, ready, and ended again.

Responsible for: that process's life, the wait until its Triggers are Ready, and the names and pids under it.
Must not: know scenarios, or touch any process it did not start.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiohttp
import orjson
from bench.usage import descendants

NATS_PORT = 4222
DISPATCHER_METRICS_PORT = 9093
"""Both before the offset."""
_POLL_SECONDS = 0.25
_STOP_SECONDS = 20.0
_TRIGGERS = "/apis/eventing.knative.dev/v1/namespaces/default/triggers"


class StackError(Exception):
    """Scaup did not come up; the sentence says how far it got."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running Scaup whose definitions are Ready."""

    pid: int
    data: Path
    port_offset: int
    seconds_to_healthy: float
    """From the start of the process to the first good /readyz."""
    seconds_to_ready: float
    """From the start of the process to every Trigger Ready."""

    def broker_url(self, broker: str) -> str:
        """Where producers POST."""
        return f"http://127.0.0.1:{8080 + self.port_offset}/default/{broker}"

    def pids(self) -> dict[str, int]:
        """Every process of this Scaup by its name, the command `scaup up` itself included."""
        return {"scaup up": self.pid, **descendants(self.pid)}


@dataclass(frozen=True, slots=True)
class Start:
    """How to start Scaup."""

    definitions: Path
    data: Path
    triggers: int
    """So many Triggers have to become Ready."""
    port_offset: int
    deadline: float = 180.0
    command: tuple[str, ...] = (sys.executable, "-m", "scaup.cli", "up")


@contextlib.asynccontextmanager
async def started(start: Start) -> AsyncIterator[Stack]:
    """Scaup from here to the end of the block."""
    log = start.data.with_suffix(".log")
    begun = monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *start.command,
            *(
                "--data",
                str(start.data),
                "--port-offset",
                str(start.port_offset),
                "-f",
                str(start.definitions),
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # so that its children can be ended with it, and nobody else
        )
    try:
        healthy, ready = await _until_ready(start, process, begun)
        yield Stack(process.pid, start.data, start.port_offset, healthy, ready)
    except StackError as why:
        said = log.read_text(errors="replace").splitlines()[-30:]
        raise StackError("\n".join([str(why), "The last it said:", *said])) from None
    finally:
        await _stop(process)


async def _until_ready(start: Start, process: asyncio.subprocess.Process, begun: float) -> tuple[float, float]:
    """Seconds from the start until /readyz is good, and until every Trigger is Ready."""
    health = f"http://127.0.0.1:{9094 + start.port_offset}/readyz"
    api = f"http://127.0.0.1:{8081 + start.port_offset}{_TRIGGERS}"
    healthy = 0.0
    seen = "its /readyz never answered 200"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        while monotonic() - begun < start.deadline:
            if process.returncode is not None:
                raise StackError(f"`scaup up` ended with {process.returncode} before it was ready: {seen}")
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
                if not healthy:
                    async with session.get(health) as answer:
                        healthy = monotonic() - begun if answer.status == 200 else 0.0
                if healthy:
                    async with session.get(api) as answer:
                        ready, seen = _count_ready(await answer.read())
                    if ready >= start.triggers:
                        return healthy, monotonic() - begun
            await asyncio.sleep(_POLL_SECONDS)
    raise StackError(f"not ready within {start.deadline:.0f} s: {seen}")


def _count_ready(listed: bytes) -> tuple[int, str]:
    """How many of the listed Triggers are Ready, and a sentence about one that is not."""
    items = orjson.loads(listed).get("items") or []
    ready, why = 0, ""
    for item in items:
        conditions = (item.get("status") or {}).get("conditions") or []
        verdict: dict[str, str] = next((c for c in conditions if c.get("type") == "Ready"), {})
        if verdict.get("status") == "True":
            ready += 1
        elif not why:
            name, reason = item["metadata"]["name"], verdict.get("reason", "no Ready condition")
            why = f"; {name} is not: {reason} {verdict.get('message', '')}"
    return ready, f"{ready} of {len(items)} Triggers are Ready{why}"


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask it to end; then end the processes of its own session."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
