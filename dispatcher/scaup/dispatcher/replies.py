"""Replies: an event in a 200 answer goes back into the broker's log, as if it had been posted (CP-25, CP-26).

It keeps the hop count of the event it answers, less one; it is stored before the delivery counts as done, and not
twice within the log's duplicate window.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import structlog

from scaup.core.bus.connection import Bus
from scaup.core.codec import stored, traced
from scaup.core.model import names
from scaup.core.model.errors import EventTooLargeError
from scaup.core.model.event import ARRIVAL_TIME, HOPS, next_hops
from scaup.dispatcher.entries import Delivery
from scaup.dispatcher.judge import Replied

log = structlog.get_logger()

_ROOM: Final = stored.MAX_HEADERS_BYTES


async def store_reply(bus: Bus, delivery: Delivery, outcome: Replied) -> bool:
    """Append the reply; False where its hops are used up. Raises BusError, EventTooLargeError."""
    hops = next_hops(delivery.outgoing.hops)
    if hops <= 0:
        log.warning("replies.hop_limit", trigger=delivery.lane.trigger, event_id=outcome.reply.id)
        return False
    if len(outcome.reply.data or b"") > bus.max_payload - _ROOM:
        # As the ingress does: what is in the log has to fit into a queue too, with the facts of its delivery.
        msg = f"the reply has more than {bus.max_payload - _ROOM} bytes"
        raise EventTooLargeError(msg)
    arrival = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    reply = outcome.reply.with_attributes(**{HOPS: str(hops), ARRIVAL_TIME: arrival})
    headers = stored.to_headers(reply, outcome.passed)
    stored.size_of(headers)
    if delivery.trace is not None:
        traced.put(headers, delivery.trace.context)
    headers["Nats-Msg-Id"] = names.reply_id(delivery.lane.trigger, delivery.facts.key)
    await bus.acked.store(names.reply_subject(delivery.lane.broker), reply.data or b"", headers)
    return True
