"""The life of a process: settings, logs, signals, drain, exit status.

The first SIGTERM or SIGINT, or the end of the parent that started us, sets ``Life.stopping``: the service stops its
intake, lets work finish, and returns from its ``run``. At the drain deadline, or at a second signal, it is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

from scaup.core.model.errors import ScaupError, SettingsError
from scaup.core.runtime import logs
from scaup.core.runtime.health import Health
from scaup.core.runtime.settings import ServiceSettings, load

S = TypeVar("S")
log = structlog.get_logger()

PARENT_FD = "SCAUP_UP_PARENT_FD"
"""Number of an inherited pipe's reading end: it closes when the parent is gone, however it went."""
ORPHAN_PID_FILE = "SCAUP_UP_ORPHAN_PID_FILE"
"""File with the process id of a sibling that cannot watch its parent itself, to be ended when the parent is gone."""
_SECOND_SIGNAL_AFTER_S = 2.0
_ORPHAN_AFTER_S = 3.0


class Life:
    """What a service's ``run`` gets: when to stop, and where to say how it is."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.health = Health()
        self.has_nothing_to_drain = False
        """While it is set (waiting for NATS at the start), a signal ends the service at once."""

    def stop(self) -> None:
        """Begin to stop. Saying it again changes nothing."""
        self.health.is_stopping = True
        self.stopping.set()

    async def until_stopping(self, *tasks: asyncio.Task[Any]) -> None:
        """Return when it is time to stop, or raise what one of ``tasks`` (which should not end before) ended with."""
        waiting = asyncio.create_task(self.stopping.wait(), name="until-stopping")
        try:
            done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                task.result()
                msg = f"{task.get_name()} ended by itself"
                raise RuntimeError(msg)
        finally:
            waiting.cancel()


def main(
    role: str,
    kind: type[S],
    service: Callable[[S], ServiceSettings],
    run: Callable[[S, Life], Awaitable[None]],
) -> None:
    """Run a service as this process. Exit status: 0 stopped when asked, 1 failed, 2 wrong settings.

    ``service`` finds the common settings in those of ``kind``.
    """
    try:
        settings = load(kind)
    except SettingsError as error:
        sys.stderr.write(f"scaup {role}: {error}\n")
        raise SystemExit(2) from None
    logs.configure(role, service(settings).log_level)
    # What is loaded by now stays; events come and go by the thousand and hold no cycles worth looking for so often.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(_live(role, run, settings, service(settings).drain_s))
    sys.stderr.flush()
    raise SystemExit(status)


async def _live(role: str, run: Callable[[S, Life], Awaitable[None]], settings: S, drain_s: float) -> int:
    life = Life()
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(_as_coroutine(run(settings, life)))
    first: float | None = None

    def on_signal() -> None:
        nonlocal first
        now = loop.time()
        if first is None:
            first = now
            life.stop()
            loop.call_later(0 if life.has_nothing_to_drain else drain_s, work.cancel)
        elif now - first > _SECOND_SIGNAL_AFTER_S:
            work.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    parent = _Parent(on_signal)
    parent.watch()
    try:
        await work
    except asyncio.CancelledError:
        if not life.has_nothing_to_drain:
            log.warning("lifecycle.drain_deadline", role=role, drain_s=drain_s)
    except Exception as error:  # noqa: BLE001 - the last border: say it once and end
        cause = _first(error)
        if isinstance(cause, ScaupError):
            log.error("lifecycle.failed", role=role, error=str(cause), hint=cause.hint)  # noqa: TRY400
        else:
            log.error("lifecycle.crashed", role=role, error=repr(cause), trace=_trace(error))  # noqa: TRY400
        return 1
    finally:
        await parent.farewell()
    return 0


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Parent:
    """The parent's life. When it is gone this process stops as at a signal, ends the orphan, and is gone too in 4 s.

    The orphan (nats-server) gets 3 s, in which every sibling can settle what it has; whoever knows of it waits for
    that moment, also when its own work is done, for the others may not be there to do it.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._orphan = os.environ.get(ORPHAN_PID_FILE)
        self._ended: asyncio.Event | None = None

    def watch(self) -> None:
        """Begin."""
        if not (fd := os.environ.get(PARENT_FD)):
            return
        asyncio.get_running_loop().add_reader(int(fd), self._gone, int(fd))

    async def farewell(self) -> None:
        """Return at once while the parent lives, else when the orphan has been told to end."""
        if self._ended is not None and self._orphan:
            await self._ended.wait()

    def _gone(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(fd)
        self._ended = asyncio.Event()
        self._stop()
        loop.call_later(_ORPHAN_AFTER_S, self._end_orphan, signal.SIGTERM)
        loop.call_later(_ORPHAN_AFTER_S + 1.0, self._end_all)

    def _end_orphan(self, number: int) -> None:
        if self._orphan:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(Path(self._orphan).read_text(encoding="ascii")), number)
        if self._ended is not None:
            self._ended.set()

    def _end_all(self) -> None:
        self._end_orphan(signal.SIGKILL)
        os._exit(1)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-4000:]


def _as_coroutine(awaitable: Awaitable[None]) -> Coroutine[Any, Any, None]:
    async def wait() -> None:
        await awaitable

    return wait()
