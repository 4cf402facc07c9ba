"""The event: attributes as their canonical strings, data as bytes.

One presentation for all: an attribute is text however the event came (binary mode has no types), data is never
parsed or written anew, time stays the text the producer wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

REQUIRED: Final = ("specversion", "id", "source", "type")
OPTIONAL: Final = ("datacontenttype", "dataschema", "subject", "time")

ARRIVAL_TIME: Final = "knativearrivaltime"
HOPS: Final = "knativebrokerttl"
HOPS_HEADER: Final = "scaup-hops"
"""Carries the count to a sink beside the event: no attribute, so the event is as it was sent, and a Broker goes on."""
MAX_HOPS: Final = 255
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")

PASSED_HEADERS: Final = ("x-request-id", "retry-after")
PASSED_PREFIXES: Final = ("knative-", "x-b3-")


@dataclass(slots=True)
class Event:
    """A CloudEvent, 1.0 or 0.3: ``attributes`` hold canonical strings (``specversion`` included), ``data`` the content.

    ``data`` is None where there is none; an empty content is the same as none, as in HTTP's binary mode.
    Treated as a value: whoever changes an attribute makes a copy (``with_attributes``).
    """

    attributes: dict[str, str]
    data: bytes | None = None

    @property
    def id(self) -> str:
        """The ``id`` attribute."""
        return self.attributes["id"]

    @property
    def source(self) -> str:
        """The ``source`` attribute."""
        return self.attributes["source"]

    @property
    def type(self) -> str:
        """The ``type`` attribute."""
        return self.attributes["type"]

    def with_attributes(self, **changes: str | None) -> Event:
        """A copy with attributes set, or removed where the value is None."""
        attributes = {**self.attributes}
        for name, value in changes.items():
            if value is None:
                attributes.pop(name, None)
            else:
                attributes[name] = value
        return Event(attributes, self.data)


def next_hops(given: str | None) -> int:
    """The hop count to store for an event that came with ``given``: 255 where absent or no integer, else one less.

    Never below 0, and 0 means the event must not be accepted (Knative's loop guard, ``knativebrokerttl``).
    """
    if given is None or not _INTEGER.fullmatch(given):
        return MAX_HOPS
    return max(int(given) - 1, 0)


def fewer_hops(one: str | None, other: str | None) -> str | None:
    """The lesser of two counts, of which either may be missing or no integer: nobody gets more hops by saying so."""
    counts = [text for text in (one, other) if text is not None and _INTEGER.fullmatch(text)]
    return min(counts, key=int, default=one)


def is_passed(header: str) -> bool:
    """Whether a request header (lower case) travels with the event to its subscribers."""
    return header in PASSED_HEADERS or header.startswith(PASSED_PREFIXES)


@lru_cache(maxsize=1024)
def is_json(datacontenttype: str) -> bool:
    """Whether a media type means JSON: ``*/json`` or ``*/*+json``, in any case, parameters aside."""
    essence = datacontenttype.partition(";")[0].strip().lower()
    return essence.endswith(("/json", "+json")) and "/" in essence
