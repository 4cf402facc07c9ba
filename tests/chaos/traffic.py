"""The events of a run, each a function of its number: so nobody has to remember what was sent to know what must come.

Event ``e-7`` is number 7, the reply to it is ``r-7``. Places count both: index 14 and 15. Pure; must not be read with
the product's own codec, which it is here to check.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson

_CYCLE: Final = (
    *("order", "payment", "order", "audit", "order", "payment", "order", "order", "payment", "rare"),
    *("order", "payment", "order", "audit", "order", "payment", "order", "order", "payment", "audit"),
)
SENT_TYPES: Final = {f"chaos.{name}": count / len(_CYCLE) for name, count in Counter(_CYCLE).items()}
"""Types of the events sent, with their shares."""
REPLY_TYPE: Final = "chaos.reply"
NOTE: Final = 'a "note", 100 % ½'
"""An extension whose value has to be encoded in headers."""
TTL: Final = "knativebrokerttl"
ADDED: Final = "knativearrivaltime"
ERROR_EXTENSIONS: Final = frozenset(
    {
        *("knativeerrordest", "knativeerrorcode", "knativeerrordata"),
        *("scauptrigger", "scaupattempts", "scaupfirstfailure", "scauplastfailure"),
    }
)
_MEDIA_TYPES: Final = ("application/json", "application/octet-stream", "text/plain", "application/json")
_STRUCTURED: Final = "application/cloudevents+json"


def index_of(event_id: str) -> int:
    """The index of an event or reply; ValueError where the id is none of ours."""
    kind, _, number = event_id.partition("-")
    if kind not in {"e", "r"} or not number.isdecimal():
        msg = f"{event_id!r} is no id of this run"
        raise ValueError(msg)
    return int(number) * 2 + (kind == "r")


def id_of(index: int) -> str:
    """The id of the event or reply with this index."""
    return f"{'er'[index % 2]}-{index // 2}"


def type_of(index: int) -> str:
    """Its type."""
    return REPLY_TYPE if index % 2 else f"chaos.{_CYCLE[index // 2 % len(_CYCLE)]}"


def is_structured(number: int) -> bool:
    """Whether the producer sends this event in structured mode."""
    return number % 3 == 1


@lru_cache(maxsize=4096)
def data_of(index: int) -> bytes:
    """Its data: none at times, mostly small, some of 60 KiB; JSON with spaces and digits that re-writing would lose."""
    number = index // 2
    if number % 97 == 5:
        return b""
    seed = hashlib.sha256(str(index).encode()).digest()
    size = 61_440 if number % 499 == 7 else 64 + seed[0]
    match media_type_of(index):
        case "application/json":
            return b'{"n": %d, "price": 1.0,  "text":"%s"}' % (number, (seed.hex() * (size // 64 + 1))[:size].encode())
        case "text/plain":
            return ("½ " + seed.hex() * (size // 64 + 1))[:size].encode()
        case _:
            return (seed * (size // 32 + 1))[:size]


def media_type_of(index: int) -> str:
    """Its content type."""
    number = index // 2
    return _MEDIA_TYPES[(number + number // len(_CYCLE)) % len(_MEDIA_TYPES)]  # every type meets each of them


@lru_cache(maxsize=4096)
def attributes_of(index: int) -> dict[str, str]:
    """Its attributes, as the producer means them."""
    attributes = {
        "specversion": "1.0",
        "id": id_of(index),
        "source": "/chaos/sink" if index % 2 else "/chaos/producer",
        "type": type_of(index),
        "note": NOTE,
    }
    if data_of(index):
        attributes["datacontenttype"] = media_type_of(index)
    return attributes


def request_of(number: int) -> tuple[bytes, bytes]:
    """Header lines and body with which the producer sends the event."""
    index = number * 2
    if is_structured(number):
        return f"content-type: {_STRUCTURED}\r\n".encode(), _as_json(index)
    return binary_headers(index).encode(), data_of(index)


def binary_headers(index: int) -> str:
    """The header lines of binary mode."""
    lines = []
    for name, value in attributes_of(index).items():
        header = "content-type" if name == "datacontenttype" else f"ce-{name}"
        lines.append(f"{header}: {value if header == 'content-type' else quote(value, safe='/.')}\r\n")
    return "".join(lines)


def _as_json(index: int) -> bytes:
    members, data = orjson.dumps(attributes_of(index)), data_of(index)
    if not data:
        return members
    match media_type_of(index):
        case "application/json":
            return members[:-1] + b', "data": ' + data + b"}"
        case "text/plain":
            return members[:-1] + b',"data":' + orjson.dumps(data.decode()) + b"}"
        case _:
            return members[:-1] + b',"data_base64":"' + base64.b64encode(data) + b'"}'


def received(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """Attributes and data of a request that brought one event, in either mode. Header names in lower case."""
    media_type = headers.get("content-type", "")
    if media_type.startswith(_STRUCTURED):
        return _from_json(body)
    attributes = {name[3:]: unquote(value, errors="strict") for name, value in headers.items() if name[:3] == "ce-"}
    if media_type:
        attributes["datacontenttype"] = media_type
    return attributes, body


def _from_json(body: bytes) -> tuple[dict[str, str], bytes]:
    event: dict[str, Any] = orjson.loads(body)
    encoded, data = event.pop("data_base64", None), event.pop("data", None)
    if encoded is not None:
        return event, base64.b64decode(encoded)
    if isinstance(data, str):
        return event, data.encode()
    if data is None:
        return event, b""
    start = body.index(b'"data":') + len(b'"data":')
    return event, body[start:-1].strip()  # its own characters, not what they mean


def difference(attributes: dict[str, str], data: bytes, allowed: frozenset[str] = frozenset()) -> str:
    """What is not as it was sent, in a sentence; empty where all is. ``allowed`` may be there besides."""
    event_id = attributes.get("id", "")
    try:
        index = index_of(event_id)
    except ValueError as error:
        return str(error)
    if TTL in attributes and TTL not in allowed:
        return f"{event_id} carries {TTL}"
    if data != data_of(index):
        return f"{event_id} has other data: {len(data)} bytes, {data[:60]!r}"
    meant = attributes_of(index)
    if ADDED not in attributes:
        return f"{event_id} has no {ADDED}"
    for name in meant.keys() | attributes.keys():
        if meant.get(name) != attributes.get(name) and name != ADDED and name not in allowed:
            return f"{event_id}: {name} is {attributes.get(name)!r}, not {meant.get(name)!r}"
    return ""
