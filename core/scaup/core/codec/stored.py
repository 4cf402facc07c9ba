"""Events as entries of the event log: the CloudEvents NATS binding 1.0.3-wip, binary mode.

All attributes are ``ce-`` headers (``ce-datacontenttype`` included), lower case, percent-encoded; the content is the
data. Any NATS client can read them. Request headers that travel with the event keep their own names beside them.
"""

from __future__ import annotations

from scaup.core.codec import percent
from scaup.core.model.event import Event, is_passed


def to_headers(event: Event, passed: dict[str, str] | None = None) -> dict[str, str]:
    """The headers of an entry."""
    headers = {"ce-" + name: percent.encode(value) for name, value in event.attributes.items()}
    return headers | passed if passed else headers


def from_headers(headers: dict[str, str], data: bytes) -> Event:
    """The event of an entry. What is no attribute is passed over."""
    attributes: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            attributes[name[3:]] = percent.decode(value.encode()) if "%" in value else value
    return Event(attributes, data or None)


def passed_headers(headers: dict[str, str]) -> dict[str, str]:
    """The request headers that travel with the event."""
    return {name: value for name, value in headers.items() if is_passed(name)}
