"""How much this dispatcher takes in, and whether it is the machine that is slow or a sink.

Entries wait better in the log than here: no more are held than were settled in the last quarter of a second, and the
same holds for their deliveries, which is what counts where the fan-out is wide. That a target's events queue up here is
the target's fault only while the event loop has time to spare.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from scaup.core.model.names import BrokerUid
from scaup.dispatcher.entries import Delivery

BATCH: Final = 256
_HOLD_S: Final = 0.25
_BUSY_HOLD_S: Final = 0.1
_FEWEST_DELIVERIES: Final = 2048
_FEWEST_BUSY: Final = 512
_FEWEST_OF_BROKER: Final = 64
_SAMPLE_S: Final = 0.05
_WEIGHT: Final = 0.2
_BUSY_LAG_S: Final = 0.004


@dataclass(slots=True)
class Capacity:
    """What all Brokers of this dispatcher hold together, in entries of logs and their bytes."""

    max_events: int
    max_bytes: int
    events: int = 0
    bytes: int = 0
    finished: int = 0
    """Entries let go of since the last sample."""
    deliveries: Counter[BrokerUid] = field(default_factory=Counter)
    """Deliveries of those entries that targets have in hand, neither ended nor put aside, by Broker."""
    delivered: int = 0
    """Deliveries that came to an end since the last sample."""
    _lag_s: float = 0.0
    _sample_at: float = math.inf
    _pace: float = float(BATCH)
    _delivery_rate: float = 0.0
    _wakers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def lag_s(self) -> float:
        """How late the event loop is, on average over the last quarter of a second or so.

        A sample that is late counts before it is taken: who looks first after a standstill knows of it, too.
        """
        return max(self._lag_s, self._lag_with_sample(time.monotonic()))

    def _lag_with_sample(self, now: float) -> float:
        """The average once the sample that is due is taken."""
        return self._lag_s + _WEIGHT * (now - self._sample_at - self._lag_s)

    @property
    def share(self) -> float:
        """How much of what the settings allow is used, 0 to 1 and a little more."""
        return max(self.events / self.max_events, self.bytes / self.max_bytes)

    @property
    def free(self) -> int:
        """Entries that may still come."""
        if self.bytes >= self.max_bytes:
            return 0
        return min(self.max_events, int(self._pace)) - self.events

    def free_deliveries(self, broker: BrokerUid) -> float:
        """Deliveries of a Broker that may still be begun, of which each has a few whatever the others do.

        On a busy machine many at once are only slower, each of them.
        """
        hold_s, fewest = (_BUSY_HOLD_S, _FEWEST_BUSY) if self.is_busy else (_HOLD_S, _FEWEST_DELIVERIES)
        free = max(self._delivery_rate * hold_s, float(fewest)) - self.deliveries.total()
        return max(free, _FEWEST_OF_BROKER - self.deliveries[broker])

    @property
    def is_busy(self) -> bool:
        """Whether the event loop has no time to spare: then waiting says nothing about a sink."""
        return self.lag_s > _BUSY_LAG_S

    def began(self, delivery: Delivery) -> None:
        """A target got a delivery of an entry of a log."""
        delivery.is_offered = True
        self.deliveries[delivery.lane.broker] += 1

    def ended(self, delivery: Delivery) -> None:
        """It came to its end, or is put aside. Does nothing for what no target had."""
        if delivery.is_offered:
            delivery.is_offered = False
            self.deliveries[delivery.lane.broker] -= 1
            self.delivered += 1

    def on_room(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` now and then while there is room."""
        self._wakers.append(wake)

    def off_room(self, wake: Callable[[], None]) -> None:
        """The opposite of ``on_room``."""
        self._wakers.remove(wake)

    async def watch(self) -> None:
        """Take samples until cancelled."""
        last = time.monotonic()
        while True:
            self._sample_at = last + _SAMPLE_S
            await asyncio.sleep(_SAMPLE_S)
            now = time.monotonic()
            elapsed, last = now - last, now
            self._lag_s = self._lag_with_sample(now)
            rate = self.finished / elapsed
            self.finished = 0
            self._delivery_rate += _WEIGHT * (self.delivered / elapsed - self._delivery_rate)
            self.delivered = 0
            self._pace = max(self._pace + _WEIGHT * (rate * _HOLD_S - self._pace), float(BATCH))
            if self.free > 0:
                for wake in self._wakers:
                    wake()
