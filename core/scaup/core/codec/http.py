"""Events over HTTP (CloudEvents HTTP binding 1.0): the mode of a request, reading each, writing two.

The content type alone decides the mode (HTTP binding 3): ``application/cloudevents-batch`` is a batch,
``application/cloudevents`` structured, all else, or none, binary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from scaup.core.codec import attributes as rules
from scaup.core.codec import jsonformat, percent
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import Event

BATCH: Final = "application/cloudevents-batch"
STRUCTURED: Final = "application/cloudevents"
JSON: Final = "application/cloudevents+json; charset=utf-8"
_CE: Final = b"ce-"

Headers = Iterable[tuple[bytes, bytes]]


def decode(content_type: str | None, headers: Headers, body: bytes) -> list[Event]:
    """The events of a request or answer; one, unless it is a batch. Header names are lower case.

    Raises MalformedEventError with what is wrong where.
    """
    kind = content_type.lower() if content_type else ""
    if kind.startswith(BATCH):
        _require_json(kind)
        return jsonformat.decode_batch(body)
    if kind.startswith(STRUCTURED):
        _require_json(kind)
        return [jsonformat.decode(body)]
    return [decode_binary(content_type, headers, body)]


def decode_binary(content_type: str | None, headers: Headers, body: bytes) -> Event:
    """The event of a binary-mode request (HTTP binding 3.1)."""
    attributes: dict[str, str] = {}
    for header, raw in headers:
        if not header.startswith(_CE):
            continue
        name = header[3:].decode("latin-1")
        if not rules.is_name(name) or name == "datacontenttype":
            hint = "send Content-Type instead" if name == "datacontenttype" else "lower-case letters and digits only"
            msg = f"the header 'ce-{name}' cannot carry an attribute"
            raise MalformedEventError(msg, hint=hint)
        if name in attributes:
            msg = f"the header 'ce-{name}' is there twice"
            raise MalformedEventError(msg)
        try:
            attributes[name] = percent.decode(raw.strip(b" \t"))  # not all servers do (RFC 9112, 5.1)
        except ValueError as error:
            msg = f"the header 'ce-{name}' is not UTF-8 after percent-decoding"
            raise MalformedEventError(msg) from error
    if content_type:
        attributes["datacontenttype"] = content_type
    rules.check(attributes)
    return Event(attributes, body or None)


def is_event(content_type: str | None, headers: Headers) -> bool:
    """Whether an answer claims to be an event: structured, a batch, or with ``ce-`` headers."""
    if content_type and content_type.lower().startswith(STRUCTURED):
        return True
    return any(name.startswith(_CE) for name, _ in headers)


def encode_binary(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body of an event in binary mode."""
    headers: dict[str, str] = {}
    for name, value in event.attributes.items():
        if name == "datacontenttype":
            headers["content-type"] = value
        else:
            headers["ce-" + name] = percent.encode(value)
    return headers, event.data or b""


def encode_structured(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body of an event in structured mode, JSON."""
    return {"content-type": JSON}, jsonformat.encode(event)


def _require_json(kind: str) -> None:
    essence = kind.partition(";")[0].strip()
    if essence not in {f"{BATCH}+json", f"{STRUCTURED}+json"}:
        msg = f"the event format {essence!r} is not supported"
        raise MalformedEventError(msg, hint="send application/cloudevents+json, or binary mode")
