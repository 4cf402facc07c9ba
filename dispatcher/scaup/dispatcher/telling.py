"""Answering the question what this dispatcher knows of an event: every dispatcher is asked, and each for itself.

Must not change anything, nor look at streams: who asks reads those.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import fields
from itertools import islice
from typing import Final

import orjson
import structlog

from scaup.core.bus.connection import Msg
from scaup.core.model.names import BrokerUid, Lane
from scaup.core.model.trail import Told, Unwell, Way
from scaup.core.runtime.plane import Plane
from scaup.dispatcher.settings import DispatcherSettings
from scaup.dispatcher.target import Target
from scaup.dispatcher.trail import Trail

log = structlog.get_logger()

_MOST: Final = 2_000


class Telling:
    """What a dispatcher says when it is asked."""

    def __init__(
        self,
        plane: Plane,
        trail: Trail,
        targets: dict[Lane, Target],
        holds: Callable[[BrokerUid, int], bool],
        settings: DispatcherSettings,
    ) -> None:
        """``holds`` says whether an entry of a Broker's log is in this dispatcher's hands."""
        own = [(f.metadata["variable"], getattr(settings, f.name)) for f in fields(settings) if f.metadata]
        self._settings = {variable: str(value) for variable, value in own if value is not None}
        self._plane = plane
        self._trail = trail
        self._targets = targets
        self._holds = holds

    async def answer(self, msg: Msg) -> None:
        """Answer one question: ``{"sequence": N}`` about an entry of the log of the Broker that the subject names.

        Without a sequence the answer is about this dispatcher and its sinks alone.
        """
        try:
            sequence = int(orjson.loads(msg.data or b"{}").get("sequence", 0))
        except (ValueError, TypeError, AttributeError) as error:
            log.debug("telling.not_understood", error=repr(error))
            return
        broker = BrokerUid(msg.subject.rpartition(".")[2])
        told = Told(self._plane.replica, time.time(), self._trail.started)
        self._trail.tell(told, broker, sequence)
        told.is_held = self._holds(broker, sequence)
        told.unwell, told.settings = self._unwell(broker), self._settings
        await self._plane.bus.publish(msg.reply, told.to_bytes())

    def _unwell(self, broker: BrokerUid) -> list[Unwell]:
        now = asyncio.get_running_loop().time()
        found = (
            Unwell(Way(lane.trigger, lane.kind), max(probe_at - now, 0.0))
            for lane, target in self._targets.items()
            if lane.broker == broker and (probe_at := target.breaker.next_probe_at()) is not None
        )
        return list(islice(found, _MOST))
