"""Reading single entries of a stream by their sequence, without any consumer.

Must not acknowledge, change or remove any.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import NO_MESSAGE, STREAM_NOT_FOUND
from scaup.core.model.errors import BusRequestError

_GONE: Final = frozenset({NO_MESSAGE, STREAM_NOT_FOUND})


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


def _headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name: value.strip() for name, _, value in pairs}
