"""The formats of strings that Kubernetes checks, such as ``date-time`` and ``uri``. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

_HEX8: Final = "[0-9a-f]{8}-?[0-9a-f]{4}-?"
_UUID_END: Final = "-?[0-9a-f]{12}"
_LETTER: Final = "[a-zA-Z0-9\u00a1-\uffff]"
_PATTERNS: Final = {
    "uuid": f"(?i){_HEX8}[0-9a-f]{{4}}-?[0-9a-f]{{4}}{_UUID_END}",
    "uuid3": f"(?i){_HEX8}3[0-9a-f]{{3}}-?[0-9a-f]{{4}}{_UUID_END}",
    "uuid4": f"(?i){_HEX8}4[0-9a-f]{{3}}-?[89ab][0-9a-f]{{3}}{_UUID_END}",
    "uuid5": f"(?i){_HEX8}5[0-9a-f]{{3}}-?[89ab][0-9a-f]{{3}}{_UUID_END}",
    "bsonobjectid": "(?i)[0-9a-f]{24}",
    "mac": "(?i)([0-9a-f]{2}:){5,7}[0-9a-f]{2}|([0-9a-f]{2}-){5,7}[0-9a-f]{2}|([0-9a-f]{4}\\.){2,3}[0-9a-f]{4}",
    "hexcolor": "#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})",
    "rgbcolor": r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)",
    "ssn": r"\d{3}[- ]?\d{2}[- ]?\d{4}",
    "isbn": r"[\d -]{9,16}[\dXx]",
    "isbn10": r"[\d -]{9,12}[\dXx]",
    "isbn13": r"[\d -]{13,17}",
    "creditcard": r"[\d -]{13,23}",
    "email": r"(.*<)?[^\s@<>]+@[^\s@<>]+(>)?",
    "hostname": f"{_LETTER}((-?{_LETTER}){{0,62}})?(\\.{_LETTER}(-?{_LETTER}){{1,62}})*",
    "duration": r"[-+]?(\d+(\.\d*)?|\.\d+)?\s*"
    r"(((\d+(\.\d*)?|\.\d+)\s*)?(ns|us|µs|μs|ms|s|m|h|nanos?|micros?|millis?|secs?|mins?|hours?|days?|weeks?|"
    r"nanoseconds?|microseconds?|milliseconds?|seconds?|minutes?|hr|d|w|wk))+|0",
    "uri": r"([a-zA-Z][a-zA-Z0-9+.-]*:|/)[^\s]*",
    "k8sshortname": "(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "k8slongname": r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
}  # fmt: skip
_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)


def is_date_time(text: str) -> bool:
    """RFC 3339, or one of the shorter forms that Kubernetes takes."""
    if not _DATE_TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.replace(",", ".").upper()[:19].replace("Z", ""))
    except ValueError:
        return False
    return True


def _is_date(text: str) -> bool:
    date.fromisoformat(text)
    return len(text) == len("2006-01-02")


def _is_bytes(text: str) -> bool:
    base64.b64decode(text, validate=True)
    return True


_READ: Final[dict[str, Callable[[str], Any]]] = {
    "datetime": is_date_time,
    "date": _is_date,
    "byte": _is_bytes,
    "ipv4": lambda text: bool(ipaddress.IPv4Address(text)) or True,
    "ipv6": lambda text: bool(ipaddress.IPv6Address(text)) or True,
    "cidr": lambda text: "/" in text and bool(ipaddress.ip_interface(text)),
} | {name: re.compile(pattern).fullmatch for name, pattern in _PATTERNS.items()}


def is_of_format(name: str, text: str) -> bool:
    """Whether a text is of a format; of one that is not known every text is."""
    check = _READ.get(name.replace("-", ""))
    if check is None:
        return True
    try:
        return bool(check(text))
    except (ValueError, binascii.Error):
        return False
