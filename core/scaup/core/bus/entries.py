"""Reading entries of a stream by their sequence, one or a page of them, without any consumer.

Must not acknowledge, change or remove any.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, Final

import orjson

from scaup.core.bus.connection import API_TIMEOUT_S, Bus, Msg
from scaup.core.bus.kv import NO_MESSAGE, STREAM_NOT_FOUND
from scaup.core.model.errors import BusRequestError, BusUnavailableError

_GONE: Final = frozenset({NO_MESSAGE, STREAM_NOT_FOUND})
_PAGE_BYTES: Final = 4 << 20
"""A page ends early with the entry that fills this, so that a page of large events has a bound too."""

_TRIES: Final = 20
_PAUSE_S: Final = 0.05
"""Between them: a stream that was just made, or whose leader is being elected, is not heard for a moment."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry as a stream has it. ``stored_at`` is RFC 3339 text."""

    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes
    stored_at: str


async def get(bus: Bus, stream: str, sequence: int, *, next_of: str = "") -> StoredEntry | None:
    """The entry, or None where it, or its stream, is not there (any more). Raises BusError where nobody answers.

    With ``next_of`` the first one of that subject (wildcards are allowed) at that sequence or after.
    """
    wanted: dict[str, Any] = {"seq": sequence} | ({"next_by_subj": next_of} if next_of else {})
    try:
        answer = await bus.api(f"STREAM.MSG.GET.{stream}", wanted)
    except BusRequestError as error:
        if error.err_code in _GONE:
            return None
        raise
    entry = answer["message"]
    headers = _headers(base64.b64decode(entry.get("hdrs", "")))
    data = base64.b64decode(entry.get("data", ""))
    return StoredEntry(entry["seq"], entry["subject"], headers, data, entry.get("time", ""))


async def page(bus: Bus, stream: str, subjects: str, start: int, count: int) -> list[StoredEntry]:
    """The first entries of these subjects (wildcards are allowed) from sequence ``start`` on, ``count`` at most.

    In order; fewer where they are large, none only where there are no more, or the stream is not there. One batch of
    direct gets (ADR-31). Raises BusError where JetStream refuses or nobody answers.
    """
    request = {"seq": max(start, 1), "next_by_subj": subjects, "batch": count, "max_bytes": _PAGE_BYTES}
    try:
        came = await direct_get(bus, stream, request)
    except _GoneError:
        return []
    return [
        StoredEntry(
            sequence=int(headers["Nats-Sequence"]),
            subject=headers["Nats-Subject"],
            headers={name: value.strip() for name, value in headers.items()},
            data=msg.data,
            stored_at=headers["Nats-Time-Stamp"],
        )
        for msg, headers in came
    ]


class _GoneError(BusUnavailableError):
    """Nobody answers, for there is no such stream (any more)."""


Answered = tuple[Msg, dict[str, str]]
"""An entry as it comes, and its headers."""


async def direct_get(bus: Bus, stream: str, request: dict[str, Any]) -> list[Answered]:
    """What one request for many brings (ADR-31), in order; BusUnavailableError where a part was lost on the way.

    A stream that was just made, or whose leader is being elected, is not heard for a moment: it is asked again for a
    second. BusRequestError where JetStream refuses.
    """
    for _ in range(_TRIES):
        came, status = await _ask(bus, stream, request)
        code = status["Status"]
        if code == "404":
            return []
        if code == "204":
            return _whole(stream, came, int(status["Nats-Last-Sequence"]))
        await _check_is_there(bus, stream)
        if code != "503":
            why = status.get("Description", "")
            raise BusRequestError(f"JetStream refused entries of {stream}: {why} ({code})", status=int(code))
        await asyncio.sleep(_PAUSE_S)
    raise BusUnavailableError(f"nobody answers for entries of {stream}")


async def _ask(bus: Bus, stream: str, request: dict[str, Any]) -> tuple[list[Msg], dict[str, str]]:
    """What comes, and the headers of what ends it."""
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
            return came, await ended
    except TimeoutError as error:
        raise BusUnavailableError(f"{stream} was not read within {API_TIMEOUT_S:g} s") from error
    finally:
        end_change()
        await end()


def _whole(stream: str, came: list[Msg], upto: int) -> list[Answered]:
    """All of them, each after the one that it says was sent before it, the last being ``upto``."""
    last = 0
    found: list[Answered] = []
    for msg in came:
        headers = msg.headers or {}
        if int(headers["Nats-Last-Sequence"]) != last:
            break
        last = int(headers["Nats-Sequence"])
        found.append((msg, headers))
    if last != upto:
        raise BusUnavailableError(f"a part of {stream} was lost on the way")
    return found


async def _check_is_there(bus: Bus, stream: str) -> None:
    """Raises _GoneError where the stream is not."""
    try:
        await bus.api(f"STREAM.INFO.{stream}")
    except BusRequestError as error:
        if error.err_code not in _GONE:
            raise
        msg = f"nobody answers for entries of {stream}: it is not there"
        raise _GoneError(msg) from None


def _headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name: value.strip() for name, _, value in pairs}
