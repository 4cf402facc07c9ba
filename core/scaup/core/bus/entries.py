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
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = bus.client.new_inbox()
    end = await bus.subscribe(inbox, answers.put)
    found: list[StoredEntry] = []
    wanted = {"seq": max(start, 1), "next_by_subj": subjects, "batch": count, "max_bytes": _PAGE_BYTES}
    tries = 0
    try:
        await bus.publish(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(wanted), inbox)
        while len(found) < count:
            async with asyncio.timeout(API_TIMEOUT_S):
                answer = await answers.get()
            headers = answer.headers or {}
            if status := headers.get("Status"):
                if await _is_end(bus, stream, status, headers.get("Description", "")):
                    break
                tries += 1
                if tries == _TRIES:
                    msg = f"nobody answers for entries of {stream}"
                    raise BusUnavailableError(msg)
                await asyncio.sleep(_PAUSE_S)
                await bus.publish(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(wanted), inbox)
                continue
            found.append(
                StoredEntry(
                    sequence=int(headers["Nats-Sequence"]),
                    subject=headers["Nats-Subject"],
                    headers={name: value.strip() for name, value in headers.items()},
                    data=answer.data,
                    stored_at=headers["Nats-Time-Stamp"],
                )
            )
    except TimeoutError:
        msg = f"no answer for entries of {stream} within {API_TIMEOUT_S:g} s"
        raise BusUnavailableError(msg) from None
    finally:
        await end()
    return found


async def _is_end(bus: Bus, stream: str, status: str, description: str) -> bool:
    """Whether a page ended because there is nothing more; not where nobody answers yet. Everything else raises."""
    if status in {"204", "404"}:
        return True
    try:
        await bus.api(f"STREAM.INFO.{stream}")
    except BusRequestError as error:
        if error.err_code in _GONE:
            return True
        raise
    if status == "503":
        return False
    msg = f"JetStream refused entries of {stream}: {description} ({status})"
    raise BusRequestError(msg, status=int(status))


def _headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name: value.strip() for name, _, value in pairs}
