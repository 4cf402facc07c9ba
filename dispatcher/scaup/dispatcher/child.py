"""The process in which suspects are worked, as its parent sees it: start it, give it a group, hear its facts, end it.

Must not know what an entry is; whatever ends the process is told, not judged.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any, Final

import orjson
import structlog

from scaup.core.runtime.lifecycle import ORPHAN_PID_FILE, PARENT_FD
from scaup.dispatcher.suspicion import how_it_died

log = structlog.get_logger()

_START_S: Final = 20.0
_END_S: Final = 6.0
_LONGEST_LINE: Final = 16 << 20
"""A fact may name all Triggers of a Broker."""
READY: Final = "ready"
WORKING: Final = "working"
TOLD: Final = "told"


class End(Enum):
    """How the work on a group ended."""

    TOLD = "everything was told"
    DIED = "the process died of it"
    STUCK = "it took too long, and the process was ended"
    SILENT = "the process ended, or could not work, for a reason that says nothing about the group"


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How it ended; ``died`` is how the process died, in words."""

    end: End
    died: str = ""


class Child:
    """One ``python -m scaup.dispatcher.alone``. It ends by itself when its standard input does."""

    def __init__(
        self, process: asyncio.subprocess.Process, groups: asyncio.StreamWriter, facts: asyncio.StreamReader
    ) -> None:
        self._process = process
        self._groups = groups
        self._facts = facts
        self._is_working = False

    @classmethod
    async def start(cls, environ: dict[str, str]) -> Child | None:
        """A process that is connected and knows the definitions; None where it cannot come to that."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scaup.dispatcher.alone"),
                stdin=PIPE,
                stdout=PIPE,
                env=environ,
                limit=_LONGEST_LINE,
                start_new_session=True,  # what a terminal sends to the whole group is meant for the parent
            )
        except OSError as error:  # no more processes, no memory: not now, then
            log.warning("child.not_started", error=str(error))
            return None
        if process.stdin is None or process.stdout is None:
            msg = "a process was started with pipes and has none"
            raise RuntimeError(msg)
        child = cls(process, process.stdin, process.stdout)
        try:
            async with asyncio.timeout(_START_S):
                if (await child._hear() or {}).get("fact") == READY:
                    return child
        except TimeoutError:
            pass
        except BaseException:
            await child.end(at_once=True)
            raise
        await child.end(at_once=True)
        return None

    @property
    def is_alive(self) -> bool:
        """Whether it can be given another group."""
        return self._process.returncode is None

    async def work(self, group: dict[str, Any], hear: Callable[[dict[str, Any]], None], deadline_s: float) -> Ending:
        """Give it a group and hear its facts until it has told them all, or is no more."""
        self._is_working = False
        try:
            async with asyncio.timeout(deadline_s):
                with suppress(OSError):
                    self._groups.write(orjson.dumps(group) + b"\n")
                    await self._groups.drain()
                while (fact := await self._hear()) is not None:
                    if fact["fact"] == TOLD:
                        return Ending(End.TOLD)
                    if fact["fact"] == WORKING:
                        self._is_working = True
                    else:
                        hear(fact)
                died = how_it_died(await self._process.wait())
        except TimeoutError:
            await self.end(at_once=True)
            return Ending(End.STUCK)
        return Ending(End.DIED, died) if died and self._is_working else Ending(End.SILENT)

    async def end(self, *, at_once: bool = False) -> None:
        """Let it finish the attempts under way, for some seconds; or not."""
        if at_once:
            self.kill()
        with suppress(OSError):
            self._groups.write(b"\n")
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except (TimeoutError, asyncio.CancelledError) as reason:
            self.kill()
            await self._process.wait()  # which takes no time any more
            if isinstance(reason, asyncio.CancelledError):
                raise

    def kill(self) -> None:
        """End it without waiting."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _hear(self) -> dict[str, Any] | None:
        """The next fact; None when there will be none, its end or half a line included."""
        line = await self._facts.readline()
        try:
            fact: dict[str, Any] = orjson.loads(line)
        except ValueError:
            return None
        return fact


def environ_of(settings: Any) -> dict[str, str]:
    """The environment that gives a child the same settings, and neither our parent nor our siblings."""
    environ = {name: value for name, value in os.environ.items() if name not in {PARENT_FD, ORPHAN_PID_FILE}}

    def add(group: Any) -> None:
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if (variable := field.metadata.get("variable")) is None:
                add(value)
            elif isinstance(value, str | int | float):
                environ[variable] = str(value)

    add(settings)
    return environ
