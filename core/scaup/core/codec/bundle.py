"""Many events in one entry of a queue: each is a frame of header lines and data, as an entry of its own would have.

A frame is two lengths (32 bits each, big endian), header lines, data. The subject of the entry says how many there are.
Pure: nothing of an event is decoded here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from scaup.core.model.names import events_of_subject

T = TypeVar("T")

MAX_EVENTS: Final = 64
MAX_BYTES: Final = 128 << 10
"""Of a bundle; an event that is larger is an entry of its own."""
_LENGTHS: Final = struct.Struct(">II")


def frame(lines: bytes, data: bytes) -> bytes:
    """One event: its header lines, each ended by CRLF, and its data."""
    return b"".join((_LENGTHS.pack(len(lines), len(data)), lines, data))


def chunks(frames: Sequence[tuple[T, bytes]], most: int = MAX_EVENTS) -> Iterator[Sequence[tuple[T, bytes]]]:
    """The frames, each with what it is of, in groups that make a bundle; a group of one is better no bundle."""
    start = size = 0
    for place, (_, one) in enumerate(frames):
        if place - start == most or (place > start and size + len(one) > MAX_BYTES):
            yield frames[start:place]
            start, size = place, 0
        size += len(one)
    if start < len(frames):
        yield frames[start:]


def events(subject: str, headers: dict[str, str], data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Headers and data of each event in an entry of a queue, whether or not it is a bundle.

    Raises ValueError where it is no whole bundle although its subject says so.
    """
    number = events_of_subject(subject)
    if number == 1:
        return [(headers, data)]
    found: list[tuple[dict[str, str], bytes]] = []
    at = 0
    while at < len(data):
        if at + _LENGTHS.size > len(data):
            break
        head, body = _LENGTHS.unpack_from(data, at)
        start = at + _LENGTHS.size
        at = start + head + body
        found.append((_headers(data[start : start + head]), data[start + head : at]))
    if at != len(data) or len(found) != number:
        msg = f"an entry of {number} events holds {len(found)}, or is cut"
        raise ValueError(msg)
    return found


def _headers(lines: bytes) -> dict[str, str]:
    pairs = (line.partition(": ") for line in lines.decode("utf-8", "replace").split("\r\n") if line)
    return {name: value for name, _, value in pairs}
