"""The end of a run: wait until nothing is under way any more, and delete the Triggers that leave.

What may go on waiting is what an incurable sink should have got.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.model.definitions import Complete, to_json
from scaup.core.model.errors import BusError
from scaup.core.model.names import COMPLETE_KEY, SUBSCRIBER, trigger_key
from tests.chaos import streams
from tests.chaos.crowd import Plan
from tests.chaos.fleet import Fleet

_SETTLE_S: Final = 180.0
_DROP_S: Final = 20.0
_POLL_S: Final = 0.1


async def until_settled(bus: Bus, plans: tuple[Plan, ...]) -> str:
    """Wait until the log is acknowledged and only incurable sinks have queues; what is still open after 3 minutes."""
    end = time.monotonic() + _SETTLE_S
    still_open = "the bus does not answer"
    while time.monotonic() < end:
        with suppress(BusError):
            still_open = await _open_work(bus, {plan.name for plan in plans if not plan.is_cured})
            if not still_open:
                return ""
        await asyncio.sleep(_POLL_S)
    return f"not settled within {_SETTLE_S:g} s: {still_open}"


async def _open_work(bus: Bus, incurable: set[str]) -> str:
    if lag := await streams.lag(bus):
        return f"{lag} entries of the log are not acknowledged"
    waiting = {
        lane: count
        for lane, count in (await streams.lanes(bus)).items()
        if not (lane.trigger in incurable and lane.kind == SUBSCRIBER)
    }
    if waiting:
        return ", ".join(f"{lane.trigger} ({lane.kind}) has {count} queued" for lane, count in waiting.items())
    if lag := await streams.lag(bus):  # what was queued a moment ago may have been replied to
        return f"{lag} replies are not acknowledged"
    return ""


async def delete_leaving(bus: Bus, bucket: Bucket, fleet: Fleet, plans: tuple[Plan, ...]) -> None:
    """Delete the Triggers that leave, and wait until all that waited for them is dropped, and counted."""
    leaving = {plan.name for plan in plans if plan.is_leaving}
    if not leaving:
        return
    waited, kept = await _waiting(bus, leaving), await streams.kept(bus, leaving)
    for name in leaving:
        await bucket.delete(trigger_key(name))
    await bucket.put(COMPLETE_KEY, dumps(to_json(Complete(1, 1, len(plans) - len(leaving), 0))))
    end = time.monotonic() + _DROP_S
    while time.monotonic() < end:  # then the ledger says what is missing
        with suppress(BusError):
            gone = (await fleet.dropped())["trigger_deleted"] + await streams.kept(bus, leaving) - kept
            if gone >= waited and not await _waiting(bus, leaving):
                return
        await asyncio.sleep(_POLL_S)


async def _waiting(bus: Bus, triggers: set[str]) -> int:
    return sum(count for lane, count in (await streams.lanes(bus)).items() if lane.trigger in triggers)
