"""Reading a range of a Broker's event log, settled entries included, many at a time and in order.

Batches of direct gets (ADR-31) need no consumer. A consumer of its own reads half as fast again, but what a log's
consumers have not settled is not trimmed: a replay of days would let the log fill up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from scaup.core.bus import entries as stream_entries
from scaup.core.bus.connection import API_TIMEOUT_S, Bus, Msg
from scaup.core.bus.kv import NO_MESSAGE
from scaup.core.model.errors import BusRequestError, BusUnavailableError
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
    """What one request for many brings; BusUnavailableError where a part of it was lost on the way."""
    inbox = bus.client.new_inbox()
    came: list[Msg] = []
    ended: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def take(msg: Msg) -> None:
        headers = msg.headers or {}
        if "Status" not in headers:
            came.append(msg)
        elif not ended.done():
            ended.set_result(headers)

    def lost(is_connected: bool) -> None:
        if not is_connected and not ended.done():
            ended.set_exception(BusUnavailableError("the connection to NATS was lost"))

    end_change = bus.on_change(lost)
    end = await bus.subscribe(inbox, take)
    try:
        await bus.publish(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(request), inbox)
        async with asyncio.timeout(API_TIMEOUT_S):
            status = await ended
    except TimeoutError as error:
        raise BusUnavailableError(f"{stream} was not read within {API_TIMEOUT_S:g} s") from error
    finally:
        end_change()
        await end()
    return _whole(stream, came, status)


def _whole(stream: str, came: list[Msg], status: dict[str, str]) -> list[LogEntry]:
    code = status["Status"]
    if code == "404":
        return []
    if code == "503":
        raise BusUnavailableError(f"nobody answers for {stream}")
    if code != "204":
        why = status.get("Description", "")
        raise BusRequestError(f"JetStream refused to read {stream}: {why} ({code})", status=int(code))
    last = 0
    found: list[LogEntry] = []
    for msg in came:
        headers = msg.headers or {}
        if int(headers["Nats-Last-Sequence"]) != last:
            break
        last = int(headers["Nats-Sequence"])
        found.append(_own(last, headers, msg.data, headers["Nats-Time-Stamp"]))
    if last != int(status["Nats-Last-Sequence"]):
        raise BusUnavailableError(f"a part of {stream} was lost on the way")
    return found


def _own(sequence: int, headers: dict[str, str], data: bytes, stored_at: str) -> LogEntry:
    return LogEntry(sequence, headers, data, datetime.fromisoformat(stored_at).isoformat(timespec="microseconds"))
