"""Reading a range of a Broker's event log, settled entries included, many at a time and in order.

Batches of direct gets (ADR-31) need no consumer. A consumer of its own reads half as fast again, but what a log's
consumers have not settled is not trimmed: a replay of days would let the log fill up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import NO_MESSAGE
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import BrokerUid, log_stream

_AT_ONCE: Final = 512
_BYTES_AT_ONCE: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class History:
    """What a log holds ``now`` (by the server's clock): its first and last sequence, and when the first was stored.

    An empty log has ``first`` after ``last``. ``first`` is 1 as long as nothing was trimmed.
    """

    first: int
    last: int
    first_at: datetime
    now: datetime

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return self.first > self.last


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry as the log has it. ``accepted`` is when it was stored, as ``kept.Facts`` have it."""

    sequence: int
    headers: dict[str, str]
    data: bytes
    accepted: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries in order; ``following`` is the sequence to read on from, ``missing`` how many before it are not there."""

    entries: list[LogEntry]
    following: int
    missing: int = 0


async def history(bus: Bus, broker: BrokerUid) -> History:
    """What the log holds now. Raises BusError."""
    info = await bus.api(f"STREAM.INFO.{log_stream(broker)}")
    state = info["state"]
    first, last = state["first_seq"], state["last_seq"]
    return History(
        first if state["messages"] else last + 1,
        last,
        datetime.fromisoformat(state["first_ts"]),
        datetime.fromisoformat(info["ts"]),
    )


async def first_since(bus: Bus, broker: BrokerUid, moment: datetime) -> int | None:
    """The sequence of the first entry stored at ``moment`` or after; None where there is none. Raises BusError."""
    at = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    try:
        answer = await bus.api(f"STREAM.MSG.GET.{log_stream(broker)}", {"start_time": at, "next_by_subj": ">"})
    except BusRequestError as error:
        if error.err_code != NO_MESSAGE:
            raise
        return None
    return int(answer["message"]["seq"])


async def read(bus: Bus, broker: BrokerUid, start: int, upto: int) -> Batch:
    """Some of the entries from ``start`` to ``upto``, the first ones. Raises BusError."""
    stream = log_stream(broker)
    request = {"seq": start, "batch": min(_AT_ONCE, upto - start + 1), "max_bytes": _BYTES_AT_ONCE}
    found = await direct_get(bus, stream, request)
    if not found:  # any replica answers, and one that is behind has not heard of all that is there
        there = await stream_entries.get(bus, stream, start, next_of=">")
        found = [] if there is None else [_own(there.sequence, there.headers, there.data, there.stored_at)]
    following = found[-1].sequence + 1 if found else upto + 1
    entries = [entry for entry in found if entry.sequence <= upto]
    following = min(following, upto + 1)
    return Batch(entries, following, following - start - len(entries))


async def direct_get(bus: Bus, stream: str, request: dict[str, Any]) -> list[LogEntry]:
    """What one request for many brings; BusUnavailableError where a part of it was lost, or nobody answers."""
    return [
        _own(int(headers["Nats-Sequence"]), headers, msg.data, headers["Nats-Time-Stamp"])
        for msg, headers in await stream_entries.direct_get(bus, stream, request)
    ]


def _own(sequence: int, headers: dict[str, str], data: bytes, stored_at: str) -> LogEntry:
    return LogEntry(sequence, headers, data, datetime.fromisoformat(stored_at).isoformat(timespec="microseconds"))
