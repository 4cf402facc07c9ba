"""``scaup tail`` in this process, against a test's world: what it shows, while it shows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from scaup.cli.access import NatsAccess
from scaup.cli.longwork import Stop
from scaup.cli.tail import telling
from scaup.cli.tail.story import Asked, follow
from scaup.cli.tail.telling import Ended, LeftOut, Line, Seen
from tests.support.dataplane import World
from tests.support.waiting import eventually


@dataclass
class Tailing:
    """A tail that runs, and all that it has said."""

    stop: Stop = field(default_factory=Stop)
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    task: asyncio.Task[int] | None = None

    @property
    def seen(self) -> list[Seen]:
        return [line for line in self.lines if isinstance(line, Seen)]

    @property
    def ids(self) -> list[str]:
        return [line.event.id for line in self.seen]

    @property
    def ends(self) -> dict[str, Ended]:
        """By the events' ids."""
        return {line.ending.event_id: line for line in self.lines if isinstance(line, Ended)}

    @property
    def left_out(self) -> list[LeftOut]:
        return [line for line in self.lines if isinstance(line, LeftOut)]

    @property
    def text(self) -> str:
        return "\n".join(map(telling.as_text, self.lines))

    async def until_shown(self, *ids: str) -> None:
        """Until just these were shown, in this order."""

        def are_shown() -> bool:
            assert self.task is not None
            if self.task.done():
                self.task.result()
            return self.ids == list(ids)

        await eventually(are_shown, f"{ids} are shown")

    async def ended(self) -> int:
        """How it ends, by itself."""
        assert self.task is not None
        async with asyncio.timeout(10):
            return await self.task


@asynccontextmanager
async def tailing(here: World, **asked: Any) -> AsyncIterator[Tailing]:
    """A tail that watches from now on."""
    made = Tailing()
    what = Asked(here.broker.name, here.broker.namespace, **asked)
    made.task = asyncio.create_task(
        follow(NatsAccess(here.url), what, made.stop, made.lines.append, made.notes.append), name="tail"
    )
    try:
        await eventually(lambda: made.notes or (made.task and made.task.done()), "it watches")
        yield made
    finally:
        made.stop.set()
        async with asyncio.timeout(10):
            await asyncio.gather(made.task, return_exceptions=True)
