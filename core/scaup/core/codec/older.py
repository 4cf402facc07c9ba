"""CloudEvents 0.3, where its rules differ from those of 1.0: decision 0019. Pure.

``schemaurl`` stands in place of ``dataschema`` and may be relative, names begin with a letter, and JSON has no
``data_base64``: there ``datacontentencoding`` says that the text in ``data`` is base64. An event of 0.3 stays one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from scaup.core.model.errors import MalformedEventError

VERSION: Final = "0.3"
VERSIONS: Final = "1.0 or 0.3"
"""All that are known, for a person."""
ENCODING: Final = "datacontentencoding"
_BASE64: Final = "base64"
_STRINGS_ONLY: Final = ("schemaurl", ENCODING)
_LETTERS: Final = re.compile(r"[a-z]")


def check(attributes: Mapping[str, str]) -> None:
    """Raise MalformedEventError with the first thing that breaks a rule which 1.0 does not have."""
    for name in attributes:
        if not _LETTERS.match(name):
            msg = f"the attribute {name!r} does not begin with a letter, as CloudEvents 0.3 asks"
            raise MalformedEventError(msg)
    encoding = attributes.get(ENCODING)
    if encoding is not None and encoding.lower() != _BASE64:
        msg = f"the attribute {ENCODING!r} is {encoding!r}; CloudEvents 0.3 defines base64 only"
        raise MalformedEventError(msg, hint="leave it out, or send the data in base64")


def check_members(members: Mapping[str, tuple[Any, str]]) -> None:
    """The same for what only a JSON object can have: members of 1.0, and values that are no strings."""
    if "data_base64" in members:
        msg = "data_base64 is of CloudEvents 1.0"
        raise MalformedEventError(msg, hint="send base64 in data, with datacontentencoding: base64")
    for name in _STRINGS_ONLY:
        value = members.get(name, (None, ""))[0]
        if value is not None and type(value) is not str:
            msg = f"the attribute {name!r} has to be a string"
            raise MalformedEventError(msg)


def take_encoding(attributes: dict[str, str]) -> bool:
    """Whether the text in ``data`` is base64. What is kept are the bytes it stands for, so the attribute goes."""
    if attributes.get(ENCODING, "").lower() != _BASE64:
        return False
    del attributes[ENCODING]
    return True


def unfolded(value: Any) -> Any:
    """Base64 without its line breaks, which 0.3 allows by naming RFC 2045, section 6.8."""
    return "".join(value.split()) if type(value) is str else value


def encode_data(attributes: Mapping[str, str], data: bytes) -> bytes | None:
    """The members of a JSON object for data of an event that came with ``datacontentencoding`` in binary mode.

    The specification has such a body be what it is, SDKs have it be base64: text that is base64 is sent on as it is.
    None where the event has no such attribute.
    """
    if ENCODING not in attributes:
        return None
    text = data if _is_base64(data) else base64.b64encode(data)
    return b',"data":' + orjson.dumps(text.decode())


def base64_members(data: bytes) -> bytes:
    """The members of a JSON object for data that are neither JSON nor text."""
    return b',"' + ENCODING.encode() + b'":"base64","data":"' + base64.b64encode(data) + b'"'


def _is_base64(data: bytes) -> bool:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
