"""How long the ingress waits for a body: one sweep looks after all deadlines.

A timer for every request would cost more than the rest of reading it, and nearly every body is there already.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from scaup.core.model.errors import SlowSenderError

_MAX_SWEEP_S: Final = 0.5

Waiting = asyncio.Task[Any]


class Patience:
    """Ends the wait of every task that is between ``begin`` and ``end`` for more than ``limit_s`` seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._sweep_s = min(_MAX_SWEEP_S, limit_s / 4)
        self._deadlines: dict[Waiting, float] = {}
        self._late: set[Waiting] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def begin(self) -> Waiting:
        """The present task begins to wait."""
        task = asyncio.current_task()
        if task is None:
            msg = "only a task can wait"
            raise RuntimeError(msg)
        loop = asyncio.get_running_loop()
        self._deadlines[task] = loop.time() + self._limit_s
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._sweep_s, self._sweep)
        return task

    def end(self, task: Waiting) -> None:
        """The wait is over, in a ``finally``; SlowSenderError in place of our own cancellation."""
        del self._deadlines[task]
        if task in self._late:
            self._late.discard(task)
            task.uncancel()
            msg = f"the body did not arrive within {self._limit_s:g} s"
            raise SlowSenderError(msg, hint="send the whole body at once") from None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, deadline in self._deadlines.items():  # in order of their deadlines
            if deadline > now:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._sweeper = loop.call_later(self._sweep_s, self._sweep) if self._deadlines else None
