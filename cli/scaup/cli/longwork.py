"""Work that takes long: its progress on a terminal, its rate, and Ctrl-C that stops it between two steps.

Knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_SHOW_EVERY_S: Final = 0.2
_LATE_S: Final = 0.25
"""What was missed for longer is not made up for, so that a pause is not followed by a burst."""


class Stop:
    """Whether Ctrl-C was pressed. The first is asked about by the work; a second one ends the command at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Stop at the next step."""
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep; shorter when the work is to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass


@asynccontextmanager
async def stoppable() -> AsyncIterator[Stop]:
    """Ctrl-C (and SIGTERM) stop the work in here between two of its steps."""
    loop = asyncio.get_running_loop()
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop_once() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, stop_once)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Pace:
    """At most so many steps a second, evenly."""

    def __init__(self, per_second: float, stop: Stop) -> None:
        self._gap_s = 1 / per_second
        self._stop = stop
        self._next = 0.0

    async def step(self) -> None:
        """Wait for the time of the next step, or until the work is to stop."""
        now = time.monotonic()
        self._next = max(self._next, now - _LATE_S)
        if self._next > now:
            await self._stop.sleep(self._next - now)
        self._next += self._gap_s


class Progress:
    """One line on standard error that changes; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._shown_at = 0.0
        self._width = 0

    def show(self, text: str) -> None:
        """What there is to say now; often is fine."""
        now = time.monotonic()
        if self._is_shown and now - self._shown_at >= _SHOW_EVERY_S:
            self._shown_at = now
            self._write(text)

    def end(self) -> None:
        """Leave no trace."""
        if self._width:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()
            self._width = 0

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)
