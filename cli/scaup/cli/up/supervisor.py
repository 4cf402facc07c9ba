"""Children: started in order, watched, started again when they die, stopped in order.

Responsible for processes only: what they are stands in a table of ``Child``, what is said goes to ``say``. A child is
a direct child in a session of its own, so that a Ctrl-C in the terminal reaches the parent alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scaup.cli.problems import FailedError
from scaup.cli.up.logtail import last_lines
from scaup.cli.up.probes import Probe

HEALTHY_S: Final = 60.0
"""A child that lived this long begins anew with an immediate restart."""
MAX_BACKOFF_S: Final = 30.0
READY_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05
_WRONG_SETTINGS: Final = 2
_DEATHS_AT_START: Final = 3


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running. It starts when all it ``needs`` are ready; ``stop_s`` from SIGTERM to SIGKILL."""

    name: str
    command: Sequence[str]
    ready: Probe
    log: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    stop_s: float = 1.0


def backoff(deaths: int) -> float:
    """Seconds to wait after the ``deaths``-th death in a row: none after the first, then 1, 2, 4 … 30."""
    return 0.0 if deaths <= 1 else min(2.0 ** (deaths - 2), MAX_BACKOFF_S)


@dataclass(slots=True)
class _State:
    child: Child
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: Process | None = None
    deaths: int = 0
    reason: str = "it was not started"
    log_from: int = 0


class Supervisor:
    """Keeps ``children``, given in the order in which they are to be stopped. ``inherited`` are open files they get."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], None], inherited: Sequence[int] = ()) -> None:
        self._states = {child.name: _State(child) for child in children}
        self._say = say
        self._inherited = tuple(inherited)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self._failed: asyncio.Future[None] | None = None
        self._started = False

    def pid(self, name: str) -> int | None:
        """The process of a child; None while it has none."""
        process = self._states[name].process
        return process.pid if process else None

    async def start(self, within_s: float = READY_WITHIN_S) -> None:
        """Start all and return when all are ready; FailedError with the last words of what did not get there."""
        loop = asyncio.get_running_loop()
        self._failed = loop.create_future()
        self._tasks = [loop.create_task(self._live(state), name=state.child.name) for state in self._states.values()]
        everyone = loop.create_task(self._all_ready())
        stopping = loop.create_task(self._wait_stopping())
        try:
            ends: set[asyncio.Future[None]] = {everyone, self._failed, stopping}
            await asyncio.wait(ends, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            if not everyone.done() and not self._stopping.is_set():
                late = [state for state in self._states.values() if not state.is_ready.is_set()]
                raise _never_ready(late, within_s)
            self._started = True
        finally:
            stopping.cancel()
            everyone.cancel()

    async def _all_ready(self) -> None:
        for state in self._states.values():
            await state.is_ready.wait()

    async def _wait_stopping(self) -> None:
        await self._stopping.wait()

    async def until_ready(self, name: str) -> None:
        """Wait for one child."""
        await self._states[name].is_ready.wait()

    async def stop(self) -> None:
        """Stop all, one after the other in their order. Returns when none is left."""
        self._stopping.set()
        for state in self._states.values():
            await self._end(state)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop_at_once(self) -> None:
        """SIGKILL for whatever is left."""
        self._stopping.set()
        self._at_once.set()
        for state in self._states.values():
            _signal(state.process, signal.SIGKILL)

    async def _end(self, state: _State) -> None:
        if state.process is None or state.process.returncode is not None:
            return
        _signal(state.process, signal.SIGKILL if self._at_once.is_set() else signal.SIGTERM)
        try:
            async with asyncio.timeout(state.child.stop_s):
                await state.process.wait()
        except TimeoutError:
            _signal(state.process, signal.SIGKILL)
            await state.process.wait()

    async def _live(self, state: _State) -> None:
        loop = asyncio.get_running_loop()
        for name in state.child.needs:
            if name in self._states:
                state.reason = f"it waits for {name}"
                await self._states[name].is_ready.wait()
        while not self._stopping.is_set():
            try:
                process = await self._spawn(state)
            except OSError as error:
                self._fail(FailedError(f"{state.child.name} cannot be started: {error.strerror or error}"))
                return
            begun = loop.time()
            watching = loop.create_task(self._watch(state, process))
            await process.wait()
            watching.cancel()
            state.is_ready.clear()
            if self._stopping.is_set():
                return
            state.deaths = 1 if loop.time() - begun >= HEALTHY_S else state.deaths + 1
            await self._after_death(state, process)

    async def _spawn(self, state: _State) -> Process:
        child = state.child
        state.reason = "it has not answered yet"
        with child.log.open("ab") as log:
            state.log_from = log.tell()
            state.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=dict(child.environ) or None,
                pass_fds=self._inherited,
                start_new_session=True,
            )
        if self._at_once.is_set():
            _signal(state.process, signal.SIGKILL)
        elif self._stopping.is_set():
            _signal(state.process, signal.SIGTERM)
        return state.process

    async def _watch(self, state: _State, process: Process) -> None:
        """Ask until the child is ready. A later loss of readiness is its own affair: it still runs."""
        begun = asyncio.get_running_loop().time()
        while (reason := await state.child.ready()) is not None:
            state.reason = reason
            await asyncio.sleep(_POLL_S)
        if process.returncode is None:
            state.is_ready.set()
            if self._started:
                self._say(f"{state.child.name} is ready again ({asyncio.get_running_loop().time() - begun:.1f} s).")

    async def _after_death(self, state: _State, process: Process) -> None:
        name, how = state.child.name, _how(process.returncode)
        if not self._started and (process.returncode == _WRONG_SETTINGS or state.deaths >= _DEATHS_AT_START):
            self._fail(FailedError(f"{name} {how} before it was ready", details=_last_words(state)))
            return
        wait = backoff(state.deaths)
        when = f"in {wait:g} s" if wait else "now"
        self._say("\n    ".join((f"{name} {how}; starting it again {when}.", *_last_words(state))))
        state.reason = f"it {how}"
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._stopping.wait()

    def _fail(self, error: FailedError) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)


def _never_ready(late: list[_State], within_s: float) -> FailedError:
    # What waits for another is not the cause.
    causes = [state for state in late if state.process is not None] or late
    said = "; ".join(f"{state.child.name} is not ready: {state.reason}" for state in causes)
    details = [line for state in causes for line in _last_words(state)]
    return FailedError(f"not ready within {within_s:g} s: {said}", details=details)


def _last_words(state: _State) -> list[str]:
    return [f"{state.child.name}: {line}" for line in last_lines(state.child.log, state.log_from)]


def _how(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended by itself with exit status {returncode}"


def _signal(process: Process | None, number: int) -> None:
    if process is None or process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)  # it leads a session: what it may have started goes with it
        else:
            process.send_signal(number)
