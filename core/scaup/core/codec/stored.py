"""Events as entries of the event log: the CloudEvents NATS binding 1.0.3-wip, binary mode.

All attributes are ``ce-`` headers (``ce-datacontenttype`` included), lower case, percent-encoded; the content is the
data. Any NATS client can read them. Request headers that travel with the event keep their own names beside them.
"""

from __future__ import annotations

from typing import Final

from scaup.core.codec import percent
from scaup.core.model.errors import EventTooLargeError
from scaup.core.model.event import Event, is_passed

MAX_HEADERS_BYTES: Final = 64 << 10
"""All headers of an entry together: filters look at attributes, and a queue entry has to have room for its facts."""


def to_headers(event: Event, passed: dict[str, str] | None = None) -> dict[str, str]:
    """The headers of an entry."""
    headers = {"ce-" + name: percent.encode(value) for name, value in event.attributes.items()}
    return headers | passed if passed else headers


def size_of(headers: dict[str, str]) -> int:
    """Bytes that the headers of an entry take. Raises EventTooLargeError above ``MAX_HEADERS_BYTES``."""
    values = "".join(headers.values())  # attributes are ASCII here, headers that travel need not be
    size = sum(map(len, headers)) + (len(values) if values.isascii() else len(values.encode()))
    if size > MAX_HEADERS_BYTES:
        msg = (
            f"the attributes of event {headers.get('ce-id', '')[:64]!r} take {size} bytes, {MAX_HEADERS_BYTES} at most"
        )
        raise EventTooLargeError(msg, hint="put what is large into the data")
    return size


def from_headers(headers: dict[str, str], data: bytes) -> Event:
    """The event of an entry. What is no attribute is passed over."""
    attributes: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            attributes[name[3:]] = percent.decode(value.encode()) if "%" in value else value
    return Event(attributes, data or None)


def add_passed(passed: dict[str, str], name: str, value: bytes) -> None:
    """Take in a header that travels with the event. One that is there twice is one with both values (RFC 9110, 5.3)."""
    try:
        text = value.decode()  # it is written as UTF-8 again
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    passed[name] = f"{passed[name]}, {text}" if name in passed else text


def passed_headers(headers: dict[str, str]) -> dict[str, str]:
    """The request headers that travel with the event."""
    return {name: value for name, value in headers.items() if is_passed(name)}
