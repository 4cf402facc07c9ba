"""The rules for attributes: names, required ones, and the syntax of values (CloudEvents 1.0, "Context Attributes").

What is otherwise in 0.3 stands in ``older``. Only what the specification forbids is refused. URIs are looked at
leniently: senders that never percent-encode make a URI with escapes arrive decoded (decision 0004).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from scaup.core.codec import older
from scaup.core.model.errors import MalformedEventError

_NAME: Final = re.compile(r"[a-z0-9]+")
# U+0000-1F, U+7F-9F, surrogates and noncharacters ("Type System", String).
_FORBIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(f"{chr((plane << 16) + 0xFFFE)}{chr((plane << 16) + 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
_TIME: Final = re.compile(
    r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_SHORT_MONTHS: Final = {"02": 29, "04": 30, "06": 30, "09": 30, "11": 30}
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Every space belongs to one place only: otherwise a few dozen "; " take the expression for ever.
_MEDIA_TYPE: Final = re.compile(rf'{_WORD}/{_WORD}[ \t]*(;[ \t]*({_WORD}=({_WORD}|"([^"\\]|\\.)*")[ \t]*)?)*')
_ABSOLUTE_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+", re.DOTALL)

_DOCS: Final = "https://github.com/cloudevents/spec"


@lru_cache(maxsize=1024)
def is_name(name: str) -> bool:
    """Whether ``name`` may name an attribute: lower-case letters and digits, at least one."""
    return bool(_NAME.fullmatch(name)) and name != "data"


@lru_cache(maxsize=1024)
def is_media_type(text: str) -> bool:
    """Whether ``text`` has the syntax of RFC 2046, parameters included."""
    return bool(_MEDIA_TYPE.fullmatch(text))


def is_time(text: str) -> bool:
    """Whether ``text`` is an RFC 3339 timestamp, of a day that its month has (RFC 3339 5.7)."""
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    if found[3] < "29":
        return True
    if found[2] == "02" and found[3] == "29":
        year = int(found[1])
        return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return int(found[3]) <= _SHORT_MONTHS.get(found[2], 31)


def check(attributes: dict[str, str]) -> None:
    """Raise MalformedEventError with the first thing that breaks the specification; names are checked by the caller.

    An empty subject is taken out: Knative reads it as none, where the specification forbids it.
    """
    version = attributes.get("specversion")
    if version != "1.0":
        _check_other_version(version, attributes)
    for name in ("id", "source", "type"):
        if not attributes.get(name, "").strip():
            what = "is empty" if name in attributes else "is missing"
            msg = f"the required attribute {name!r} {what}"
            raise MalformedEventError(msg, hint=f"set {name} to a non-empty string")
    if not "".join(attributes.values()).isprintable():
        _check_characters(attributes)
    if len(attributes) == 4:
        return
    if (time := attributes.get("time")) is not None and not is_time(time):
        msg = f"the attribute 'time' is {time!r}, which is no RFC 3339 timestamp"
        raise MalformedEventError(msg, hint="write it like 2026-11-22T10:00:00Z")
    if (media := attributes.get("datacontenttype")) is not None and not is_media_type(media):
        msg = f"the attribute 'datacontenttype' is {media!r}, which is no media type"
        raise MalformedEventError(msg, hint="write it like application/json")
    schema = attributes.get("dataschema")
    if schema is not None and version == "1.0" and not _ABSOLUTE_URI.fullmatch(schema):
        msg = f"the attribute 'dataschema' is {schema!r}, which is no absolute URI"
        raise MalformedEventError(msg, hint="write it like https://example.com/schema")
    if attributes.get("subject") == "":
        del attributes["subject"]


def _check_characters(attributes: dict[str, str]) -> None:
    for name, value in attributes.items():
        if found := _FORBIDDEN.search(value):
            msg = f"the attribute {name!r} holds the character U+{ord(found[0]):04X}, which no attribute may hold"
            raise MalformedEventError(msg, hint="send such content as data")


def _check_other_version(version: str | None, attributes: dict[str, str]) -> None:
    if version != older.VERSION:
        raise _version_error(version)
    older.check(attributes)


def _version_error(version: str | None) -> MalformedEventError:
    if version is None:
        msg = "this is no CloudEvent: there is no 'specversion'"
        return MalformedEventError(
            msg,
            hint="send the headers ce-specversion, ce-id, ce-source and ce-type, or application/cloudevents+json",
        )
    msg = f"CloudEvents version {version!r} is not supported"
    return MalformedEventError(msg, hint=f"send specversion {older.VERSIONS}")
