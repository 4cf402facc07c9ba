"""The event loop the load tool runs on, and its ticks.

Responsible for: uvloop where it exists, unwinding on signals, and a tick finer than the loop's own timers.
Must not: know what happens at a tick.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import struct
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_fast(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on uvloop, or on the standard loop where there is none; a signal to end unwinds it."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(_until_signalled(main))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise SystemExit(130) from None


async def _until_signalled(main: Coroutine[Any, Any, T]) -> T:
    """What was started (a whole Scaup) has to be ended when we are told to stop: cancel instead of dying."""
    task = asyncio.ensure_future(main)
    with contextlib.suppress(NotImplementedError):  # not on Windows
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


class Ticker:
    """Calls `tick` every `interval_ns` from `start_ns` (CLOCK_MONOTONIC) on, until stopped.

    libuv's and epoll's timers count in milliseconds: with them a send would be up to 1 ms after its time, as
    much as what is measured. Linux has timerfd; elsewhere the loop's timer does it, and the send lag tells.
    """

    def __init__(self, tick: Callable[[], None], start_ns: int, interval_ns: int) -> None:
        self._tick = tick
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fd = _timerfd(start_ns, interval_ns) if sys.platform == "linux" else -1
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_timerfd)
        else:
            self._on_timer()

    def _on_timerfd(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._tick()

    def _on_timer(self) -> None:
        self._timer = self._loop.call_later(0.001, self._on_timer)
        self._tick()

    def stop(self) -> None:
        """No tick comes after this. May be called more than once."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _timerfd(start_ns: int, interval_ns: int) -> int:
    """A periodic timer of the kernel as a file descriptor (`os` has it from 3.13); -1 when there is none."""
    clock_monotonic, nonblock_cloexec, absolute = 1, 0o2004000, 1
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.timerfd_create(clock_monotonic, nonblock_cloexec))
    if fd < 0:
        return -1
    billion = 1_000_000_000
    spec = struct.pack("@qqqq", *divmod(interval_ns, billion), *divmod(start_ns, billion))
    if libc.timerfd_settime(fd, absolute, spec, None) != 0:
        os.close(fd)
        return -1
    return fd
