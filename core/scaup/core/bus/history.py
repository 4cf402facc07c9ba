"""Looking an event up in a Broker's event log: what is settled but not trimmed yet is there too.

Responsible for reading one entry. Must not change the log, nor take part in delivering from it.
"""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
from nats.aio.msg import Msg

from scaup.core.bus.connection import API_TIMEOUT_S, Bus
from scaup.core.bus.kv import STREAM_NOT_FOUND
from scaup.core.codec import stored
from scaup.core.model.errors import BusRequestError
from scaup.core.model.event import Event
from scaup.core.model.names import BrokerUid, log_stream

DEFAULT_LIMIT: Final = 10_000
_AT_ONCE: Final = 64


async def find(
    bus: Bus, broker: BrokerUid, event_id: str, source: str | None = None, limit: int = DEFAULT_LIMIT
) -> Event | None:
    """The newest event with this ``id`` (and ``source``, where one is given) among the log's last ``limit`` entries.

    None where there is none, or no such log. Raises BusRequestError where JetStream refuses, BusUnavailableError where
    nobody answers in time. Direct gets (ADR-31) need no consumer, so nothing of this is seen by the dispatchers.
    """
    stream = log_stream(broker)
    try:
        state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
    except BusRequestError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return None
        raise
    end = state["last_seq"]
    oldest = max(state["first_seq"], end - limit + 1) if state["messages"] else end + 1
    while end >= oldest:
        start = max(oldest, end - _AT_ONCE + 1)
        entries = await asyncio.gather(*(_get(bus, stream, sequence) for sequence in range(end, start - 1, -1)))
        for entry in entries:
            if entry is not None and _is_it(event := _event(entry), event_id, source):
                return event
        end = start - 1
    return None


def _event(entry: Msg) -> Event:
    return stored.from_headers(entry.headers or {}, entry.data)


def _is_it(event: Event, event_id: str, source: str | None) -> bool:
    attributes = event.attributes
    return attributes.get("id") == event_id and source in {None, attributes.get("source")}


async def _get(bus: Bus, stream: str, sequence: int) -> Msg | None:
    """An entry; None where it was removed meanwhile. Its JetStream headers (``Nats-…``) are no attributes."""
    request = orjson.dumps({"seq": sequence})
    msg = await bus.request(f"$JS.API.DIRECT.GET.{stream}", request, timeout=API_TIMEOUT_S)
    status = (msg.headers or {}).get("Status", "")
    if status == "404":
        return None
    if status:
        reason = (msg.headers or {}).get("Description", "")
        raise BusRequestError(
            f"JetStream refused entry {sequence} of {stream}: {reason} ({status})", status=int(status)
        )
    return msg
