"""How many events wait in each lane: asked of the bus every two seconds, counted in between.

Keeps the quota (JetStream cannot, decision 0003), tells the owners which lanes have work, and feeds the gauges. It
hears the server's time with the same answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import datetime
from typing import Any, Final

from scaup.core.bus.connection import Bus
from scaup.core.bus.waiting import waiting
from scaup.core.model import names
from scaup.core.model.names import BrokerUid, Lane
from scaup.dispatcher import metrics

_DETAIL_UP_TO: Final = 20_000
_DETAIL_EVERY: Final = 5


class Counts:
    """Events waiting, by lane. Exact at each sweep; in between what this dispatcher does counts."""

    def __init__(self, bus: Bus, quota: int) -> None:
        self._bus = bus
        self._quota = quota
        metrics.QUEUE_QUOTA.set(quota)
        self._lanes: Counter[Lane] = Counter()
        self._rounds: Counter[BrokerUid] = Counter()
        self._ahead_s: dict[BrokerUid, float] = {}

    def now(self, broker: BrokerUid) -> float:
        """The time by which the server brings what waits, in seconds since the epoch; ours before it was heard."""
        ahead_s = self._ahead_s.get(broker)
        return time.time() if ahead_s is None else asyncio.get_running_loop().time() + ahead_s

    def room(self, lane: Lane) -> int:
        """Events that the lane's quota still allows."""
        return max(self._quota - self._lanes[lane], 0)

    def add(self, lane: Lane, number: int) -> None:
        """This dispatcher stores so many more in the lane's queue; below zero: it failed to, or has worked them.

        What others have stored since the last sweep is not known here, so what is worked may be more than is known.
        """
        self._lanes[lane] = max(self._lanes[lane] + number, 0)

    def waiting(self, lane: Lane) -> int:
        """Events waiting in a lane, as far as is known."""
        return self._lanes[lane]

    def lanes(self, broker: BrokerUid) -> list[Lane]:
        """The lanes of a Broker in which something waits."""
        return [lane for lane, count in self._lanes.items() if lane.broker == broker and count > 0]

    async def sweep(self, broker: BrokerUid) -> dict[str, Any]:
        """Ask the bus; its answer about the stream. Raises BusError where there is none.

        Every waiting retry has a subject of its own, so the answer is long where very many wait: then it is asked for
        at every fifth sweep only.
        """
        stream = names.queue_stream(broker)
        asked_at = asyncio.get_running_loop().time()
        answer = await self._bus.api(f"STREAM.INFO.{stream}")
        # From when it was asked, not when it answered: a wait may be longer by the way of an answer, never shorter.
        self._ahead_s[broker] = datetime.fromisoformat(answer["ts"]).timestamp() - asked_at
        fresh: Counter[Lane] = Counter()
        if subjects := answer["state"].get("num_subjects", 0):
            self._rounds[broker] += 1
            if subjects > _DETAIL_UP_TO and self._rounds[broker] % _DETAIL_EVERY:
                return answer
            fresh = await waiting(self._bus, broker)
        for lane in [lane for lane in self._lanes if lane.broker == broker and lane not in fresh]:
            del self._lanes[lane]
        self._lanes.update({lane: count - self._lanes[lane] for lane, count in fresh.items()})
        return answer

    def forget(self, lane: Lane) -> None:
        """The lane is gone."""
        self._lanes.pop(lane, None)
