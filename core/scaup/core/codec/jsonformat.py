"""The JSON event format and its batches (CloudEvents JSON format 1.0.2), strictly, and without touching data.

``data`` is not parsed and written anew: the very characters between its braces are the content, so that ``1.0``,
``1e400`` and repeated keys arrive as they were sent. Refused are NaN and Infinity, lone surrogates, repeated
attributes, nesting beyond what can be checked, and attribute values that no attribute type can hold. Events of
CloudEvents 0.3 are read and written by its JSON format, which has base64 elsewhere (``older``).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

import orjson

from scaup.core.codec import attributes as rules
from scaup.core.codec import older
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import OPTIONAL, REQUIRED, Event, is_json

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STRINGS_ONLY: Final = frozenset((*REQUIRED, *OPTIONAL))


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


class _Number(str):
    """An integer, still as its digits."""

    __slots__ = ()


class _Fraction:
    """Stands for a number with a fraction or exponent: no attribute type holds it, data keeps its own characters."""


_FRACTION: Final = _Fraction()
_scan: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder(
    parse_constant=_no_constant, parse_int=_Number, parse_float=lambda _: _FRACTION
).scan_once  # type: ignore[attr-defined]


def decode(body: bytes) -> Event:
    """The event in a JSON object; MalformedEventError where it is none."""
    text = _text(body)
    event, end = _event(text, _skip(text, 0), "the event")
    _expect_end(text, end)
    return event


def decode_batch(body: bytes) -> list[Event]:
    """The events in a JSON array, possibly none; MalformedEventError naming every bad one with its index."""
    text = _text(body)
    at = _skip(text, 0)
    if not text.startswith("[", at):
        msg = "a batch is a JSON array of events"
        raise MalformedEventError(msg)
    at = _skip(text, at + 1)
    events: list[Event] = []
    problems: list[str] = []
    index = 0
    while not (index == 0 and text.startswith("]", at)):
        start = at
        try:
            event, at = _event(text, at, f"event {index}")
            events.append(event)
        except MalformedEventError as error:
            problems.append(f"[{index}] {error}")
            at = _value(text, start, f"event {index}")[1]
        at = _skip(text, at)
        index += 1
        if text.startswith("]", at):
            break
        if not text.startswith(",", at):
            raise _syntax(text, at, "',' or ']' expected")
        at = _skip(text, at + 1)
    _expect_end(text, at + 1)
    if problems:
        msg = f"{len(problems)} of {index} events of the batch are bad, none was accepted: " + "; ".join(problems[:20])
        raise MalformedEventError(msg, hint="mend or leave out the named ones and send the batch again")
    if len(versions := {event.attributes["specversion"] for event in events}) > 1:
        msg = f"a batch of events of different versions: {', '.join(sorted(versions))}"
        raise MalformedEventError(msg, hint="send a batch of each")
    return events


def encode(event: Event) -> bytes:
    """An event as a compact JSON object. JSON and text stand in ``data``, all else in base64."""
    members = orjson.dumps(event.attributes)
    data = event.data
    if not data:
        return members
    is_older = event.attributes.get("specversion") == older.VERSION
    if is_older and (encoded := older.encode_data(event.attributes, data)) is not None:
        return members[:-1] + encoded + b"}"
    kind = event.attributes.get("datacontenttype")
    if kind is not None and is_json(kind):
        if _is_json_text(data):
            return members[:-1] + b',"data":' + data.strip() + b"}"
    elif kind is not None and kind.lower().startswith("text/"):
        try:
            return members[:-1] + b',"data":' + orjson.dumps(data.decode()) + b"}"
        except UnicodeDecodeError:
            pass
    if is_older:
        return members[:-1] + older.base64_members(data) + b"}"
    return members[:-1] + b',"data_base64":"' + base64.b64encode(data) + b'"}'


def encode_batch(events: list[Event]) -> bytes:
    """Events as one JSON array."""
    return b"[" + b",".join(encode(event) for event in events) + b"]"


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        msg = f"the body is not UTF-8 (at byte {error.start})"
        raise MalformedEventError(msg) from error


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect_end(text: str, at: int) -> None:
    if (end := _skip(text, at)) != len(text):
        raise _syntax(text, end, "nothing more expected")


def _syntax(text: str, at: int, what: str) -> MalformedEventError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return MalformedEventError(f"the body is not JSON: {what}, line {line} column {column}")


def _value(text: str, at: int, where: str) -> tuple[Any, int]:
    try:
        return _scan(text, at)
    except StopIteration as stop:
        raise _syntax(text, stop.value, "a value expected") from None
    except json.JSONDecodeError as error:
        raise _syntax(text, error.pos, error.msg) from None
    except RecursionError:
        msg = f"{where} is nested too deeply"
        raise MalformedEventError(msg) from None
    except ValueError as error:
        msg = f"{where}: {error}"
        raise MalformedEventError(msg) from None


def _event(text: str, at: int, where: str) -> tuple[Event, int]:
    """The object that begins at ``at`` as an event, and where it ends."""
    if not text.startswith("{", at):
        msg = f"{where} is not a JSON object"
        raise MalformedEventError(msg, hint="the JSON format is an object with specversion, id, source and type")
    spans: dict[str, tuple[Any, str]] = {}
    at = _skip(text, at + 1)
    while not (not spans and text.startswith("}", at)):
        if not text.startswith('"', at):
            raise _syntax(text, at, "a name in double quotes expected")
        name, at = _value(text, at, where)
        at = _skip(text, at)
        if not text.startswith(":", at):
            raise _syntax(text, at, "':' expected")
        start = _skip(text, at + 1)
        value, at = _value(text, start, where)
        if name in spans:
            msg = f"{where} has {name!r} twice"
            raise MalformedEventError(msg)
        spans[name] = (value, text[start:at])
        at = _skip(text, at)
        if text.startswith("}", at):
            break
        if not text.startswith(",", at):
            raise _syntax(text, at, "',' or '}' expected")
        at = _skip(text, at + 1)
    return _assemble(spans), at + 1


def _assemble(spans: dict[str, tuple[Any, str]]) -> Event:
    is_older = spans.get("specversion", ("",))[0] == older.VERSION
    if is_older:
        older.check_members(spans)
    data = spans.pop("data", None)
    encoded = spans.pop("data_base64", None)
    attributes: dict[str, str] = {}
    for name, (value, _) in spans.items():
        if value is None:
            continue  # "null MUST be read as unset"
        if not rules.is_name(name):
            msg = f"{name!r} cannot name an attribute: lower-case letters and digits only"
            raise MalformedEventError(msg)
        attributes[name] = _canonical(name, value)
    if encoded is not None and encoded[0] is not None:
        if data is not None:
            msg = "the event has both data and data_base64"
            raise MalformedEventError(msg, hint="send one of them")
        content: bytes | None = _from_base64(encoded[0], "data_base64")
    elif data is None:
        content = None
    elif is_older and older.take_encoding(attributes):
        content = _from_base64(older.unfolded(data[0]), "data")
    else:
        content = _content(data, attributes)
    rules.check(attributes)
    return Event(attributes, content or None)


def _canonical(name: str, value: Any) -> str:
    """The canonical string of an attribute's value (CloudEvents 1.0, "Type System")."""
    if value is True or value is False:
        text = "true" if value else "false"
    elif isinstance(value, _Number):
        if len(value) > 11 or not -(2**31) <= int(value) < 2**31:
            msg = f"the attribute {name!r} is {value[:20]}, beyond 32 bits"
            raise MalformedEventError(msg, hint="send it as a string")
        text = str(int(value))
    elif isinstance(value, str):
        return str(value)
    else:
        kind = "an object" if isinstance(value, dict) else "an array" if isinstance(value, list) else "a fraction"
        msg = f"the attribute {name!r} is {kind}, which no attribute can be"
        raise MalformedEventError(msg, hint="send a string, an integer or a boolean")
    if name in _STRINGS_ONLY:
        msg = f"the attribute {name!r} is {text}, but has to be a string"
        raise MalformedEventError(msg)
    return text


def _content(data: tuple[Any, str], attributes: dict[str, str]) -> bytes:
    """The data bytes: its own characters where it is JSON, the string itself where it is not."""
    value, span = data
    kind = attributes.get("datacontenttype")
    if kind is None or is_json(kind):
        # Stored in binary mode, where the default of the JSON format has to be written out (JSON format 3.1).
        attributes.setdefault("datacontenttype", "application/json")
        return span.encode()
    if not isinstance(value, str) or isinstance(value, _Number):
        msg = f"data is not a string, but datacontenttype is {kind!r}"
        raise MalformedEventError(msg, hint="send a string, data_base64, or a JSON datacontenttype")
    if _SURROGATE.search(value):
        msg = "data holds a lone surrogate, which is no text"
        raise MalformedEventError(msg)
    return value.encode()


def _from_base64(value: Any, member: str) -> bytes:
    if isinstance(value, str) and not isinstance(value, _Number):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    msg = f"{member} is not base64 (RFC 4648 section 4, padded)"
    raise MalformedEventError(msg)


def _is_json_text(data: bytes) -> bool:
    try:
        text = data.decode()
        at = _skip(text, 0)
        return _skip(text, _value(text, at, "data")[1]) == len(text)
    except (UnicodeDecodeError, MalformedEventError):
        return False
