"""Work that takes long: its progress on a terminal, and Ctrl-C that stops it between two steps.

Knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

_SHOW_EVERY_S: Final = 0.2


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
    stop = Stop()
    with stopped_by_signals(stop.set):
        yield stop


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first SIGINT or SIGTERM; a second one ends the command at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop_once() -> None:
        stop()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, stop_once)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


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
