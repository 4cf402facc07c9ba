"""Events as the suite writes and reads them: attributes, data, and their two writings over HTTP. Pure.

A reading of the specification of its own: a suite that shared its codec with a broker would share its mistakes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from scaup.conformance.wire import Headers, Request, value_of

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
BASE: Final = {"specversion": "1.0", "source": "/conformance", "type": "com.example.conformance"}


@dataclass(frozen=True)
class Event:
    """What a recipient reads: attributes as text, data as bytes."""

    attributes: dict[str, str] = field(default_factory=dict)
    data: bytes = b""


def binary(attributes: dict[str, str]) -> Headers:
    """The headers of binary mode. Values go out as they are: who needs them encoded encodes them."""
    found = [(f"ce-{name}", value) for name, value in attributes.items() if name != "datacontenttype"]
    if "datacontenttype" in attributes:
        found.append(("Content-Type", attributes["datacontenttype"]))
    return found


def encoded(value: str) -> str:
    """Percent-encoded by the binding: space, double quote, percent, and all that is no printable ASCII."""
    return "".join(
        char if 0x21 <= ord(char) <= 0x7E and char not in '"%' else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in value
    )


def decoded(value: str) -> str:
    """One round of percent-decoding; ValueError where it is no UTF-8."""
    return unquote_to_bytes(value).decode("utf-8")


def received(request: Request) -> Event:
    """The event in a request to a sink, in whichever mode; ValueError where there is none."""
    content_type = value_of(request.headers, "content-type")
    if (content_type or "").lower().startswith("application/cloudevents"):
        return _structured(request.body)
    attributes = {name[3:].lower(): decoded(value) for name, value in request.headers if name.lower().startswith("ce-")}
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    return Event(attributes, request.body)


def id_of(request: Request) -> str:
    """The id of the event in a request, or nothing."""
    try:
        return received(request).attributes.get("id", "")
    except (ValueError, KeyError):
        return ""


def members_of(request: Request) -> dict[str, Any]:
    """The JSON object of a structured event."""
    value = json.loads(request.body)
    if not isinstance(value, dict):
        msg = "a structured event is a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - it is the text that is wrong
    return value


def _structured(body: bytes) -> Event:
    value = json.loads(body)
    if not isinstance(value, dict):
        msg = "a structured event is a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - it is the text that is wrong
    attributes = {name: _text(item) for name, item in value.items() if name not in {"data", "data_base64"}}
    if "data_base64" in value:
        return Event(attributes, base64.b64decode(value["data_base64"], validate=True))
    if "data" not in value:
        return Event(attributes)
    if attributes.get("specversion") == "0.3" and attributes.pop("datacontentencoding", "").lower() == "base64":
        return Event(attributes, base64.b64decode(value["data"], validate=True))
    media_type = attributes.get("datacontenttype", "application/json").split(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")) or not isinstance(value["data"], str):
        return Event(attributes, json.dumps(value["data"]).encode())
    return Event(attributes, value["data"].encode())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
