"""Work beside the story: deliveries, parking, queues. Its errors are its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


class Background:
    """The tasks of one dispatcher that nobody waits for."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()  # looking it up costs a system call (Python 3.11)

    def start(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        """Run a piece of work beside the story. Its errors are its own: it has to settle them itself."""
        task = self._loop.create_task(_coroutine(work), name=name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def end(self) -> None:
        """Cancel what still runs."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("dispatcher.task_failed", task=task.get_name(), error=repr(error))


def _coroutine(work: Awaitable[None]) -> Coroutine[Any, Any, None]:
    if isinstance(work, Coroutine):
        return work

    async def wait() -> None:
        await work

    return wait()
