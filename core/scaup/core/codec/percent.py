"""Attribute values in headers: percent-encoding and quoting, of the HTTP and the NATS binding alike.

CloudEvents HTTP binding 1.0.3-wip, 3.1.3.2 "Header values". Decoded once on receipt, encoded again on sending; a raw
space or a ``%`` that starts no escape is taken as it stands, since widely used SDKs never encode (decision 0004).
"""

from __future__ import annotations

import re
from typing import Final

_NEEDS_ENCODING: Final = re.compile(r"[^!#$&-~]")
_ESCAPES: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BACKSLASH: Final = re.compile(r"\\(.)", re.DOTALL)


def encode(value: str) -> str:
    """A value as it stands in a header: space, ``"``, ``%`` and all outside U+0021-U+007E as upper-case escapes."""
    if not _NEEDS_ENCODING.search(value):
        return value
    return _NEEDS_ENCODING.sub(_encode_one, value)


def _encode_one(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def decode(raw: bytes) -> str:
    """The value in a header; ValueError where its bytes, or those its escapes stand for, are not UTF-8."""
    if b"%" not in raw and not raw.startswith(b'"'):
        return raw.decode()  # UnicodeDecodeError is a ValueError
    if quoted := _QUOTED.fullmatch(raw.decode()):
        raw = _BACKSLASH.sub(r"\1", quoted[1]).encode()
    return _ESCAPES.sub(lambda found: bytes.fromhex(found[0].replace(b"%", b"").decode()), raw).decode()
