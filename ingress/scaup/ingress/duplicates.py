"""Events that are sent again: what makes them known to the log, and storing one of them once.

Only for Brokers that ask for it (``scaup.dev/dedupe-window``). Which ids the log has is JetStream's knowledge alone,
so it holds for all replicas and outlives all of them; nothing is remembered here.
"""

from __future__ import annotations

import asyncio
from typing import Final

from scaup.core.bus.acked import ACK_TIMEOUT_S, Stored
from scaup.core.bus.connection import Bus
from scaup.core.model.errors import BusRequestError
from scaup.core.model.event import Event
from scaup.core.model.names import event_id

IN_PROCESS: Final = 10158
"""JetStream's number for: the same id is being stored at this moment (streams with several replicas only)."""
_PAUSE_S: Final = 0.02


def make_known(event: Event, headers: dict[str, str]) -> None:
    """Give an entry the id by which the log knows the event again."""
    headers["Nats-Msg-Id"] = event_id(event.source, event.id)


async def store_once(bus: Bus, subject: str, data: bytes, headers: dict[str, str]) -> Stored:
    """Store an entry, or learn that it is there. While the same event is being stored, wait for what becomes of that.

    Raises what ``store`` raises: an event that is on its way elsewhere is not stored yet, and may still be refused.
    """
    pauses = 0
    while True:
        try:
            return await bus.acked.store(subject, data, headers)
        except BusRequestError as error:
            if error.err_code != IN_PROCESS or pauses * _PAUSE_S > ACK_TIMEOUT_S:
                raise
        pauses += 1
        await asyncio.sleep(_PAUSE_S)
