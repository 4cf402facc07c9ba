"""Sending an event to one Trigger again: into the queue of its lane, as what waits there anyway.

Must not choose what is sent, nor wait for what becomes of it.
"""

from __future__ import annotations

from scaup.core.bus.connection import Bus
from scaup.core.codec import kept
from scaup.core.codec.kept import Facts
from scaup.core.model import names
from scaup.core.model.names import Lane


def queue_headers(lane: Lane, headers: dict[str, str], facts: Facts) -> dict[str, str]:
    """Of an entry of a lane's queue that holds one event, under an id that keeps it from being queued twice."""
    whole = {**kept.event_headers(headers), **kept.to_headers(facts)}
    whole["Nats-Msg-Id"] = names.parking_id(lane, facts.key, facts.attempts)
    return whole


async def send_again(bus: Bus, lane: Lane, headers: dict[str, str], data: bytes, facts: Facts) -> bool:
    """Queue the event in ``headers`` (as a stream has it) and ``data``; ``facts`` say whose replay it is.

    The same event of the same replay is queued once within the duplicate window of the queues, however often this is
    called: False where it was there before. Raises BusError, and EventTooLargeError where the event leaves no room for
    the facts.
    """
    answer = await bus.acked.store(names.queue_subject(lane), data, queue_headers(lane, headers, facts))
    await bus.publish(names.parked_hint(lane))
    return not answer.duplicate
