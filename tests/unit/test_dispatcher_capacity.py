"""How much a dispatcher takes in, and how it knows that the machine is slow."""

from __future__ import annotations

import asyncio
import time

from scaup.dispatcher.capacity import Capacity


async def test_a_standstill_of_the_loop_is_known_to_whoever_looks_first_after_it() -> None:
    """Else the sinks whose answers came meanwhile would be taken for slow ones."""
    capacity = Capacity(100, 100)
    watching = asyncio.create_task(capacity.watch())
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - it is the loop that stands still
    at_once = capacity.lag_s
    while not capacity._lag_s:  # noqa: ASYNC110 - until the first sample is taken, and not the second
        await asyncio.sleep(0)
    watching.cancel()
    assert 0.04 < at_once <= capacity._lag_s
    assert capacity.is_busy
