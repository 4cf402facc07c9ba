"""The formats of strings that Kubernetes checks, such as ``date-time`` and ``uri``. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final

_HEX2: Final = "[0-9a-f]{2}"
_HEX8: Final = "[0-9a-f]{8}-?[0-9a-f]{4}-?"
_UUID_END: Final = "-?[0-9a-f]{12}"
_SIGN: Final = r"(?:[^\W\d_]|[0-9$+<=>^`|~])"
"""A letter, digit or symbol: what clusters take in host names (of symbols that are not ASCII, none)."""
_BYTE: Final = r"(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
_SIXTYFOUR: Final = "[A-Za-z0-9+/]"
_ATOM: Final = r"[^\s@<>.]+(?:\.[^\s@<>.]+)*"
_ESCAPED: Final = "%[0-9a-fA-F]{2}"
_PATH: Final = rf"(?:[^%?]|{_ESCAPED})*(?:\?.*)?"
_AUTHORITY: Final = (
    rf"(?:(?:[\w.~!$&'()*+,;=:@-]|{_ESCAPED})*@)?"
    rf"(?:\[[^\]/?]*\]|(?:[\w.~!$&'()*+,;=\[\]<>\"-]|[^\x00-\x7f]|%25|%[89a-fA-F][0-9a-fA-F])*)(?::\d*)?"
)
_MAC_BYTES: Final = (6, 8, 20)
_PATTERNS: Final = {
    "uuid": f"(?i){_HEX8}[0-9a-f]{{4}}-?[0-9a-f]{{4}}{_UUID_END}",
    "uuid3": f"(?i){_HEX8}3[0-9a-f]{{3}}-?[0-9a-f]{{4}}{_UUID_END}",
    "uuid4": f"(?i){_HEX8}4[0-9a-f]{{3}}-?[89ab][0-9a-f]{{3}}{_UUID_END}",
    "uuid5": f"(?i){_HEX8}5[0-9a-f]{{3}}-?[89ab][0-9a-f]{{3}}{_UUID_END}",
    "bsonobjectid": "(?i)[0-9a-f]{24}",
    "mac": "(?i)" + "|".join(
        f"(?:{_HEX2}:){{{n - 1}}}{_HEX2}|(?:{_HEX2}-){{{n - 1}}}{_HEX2}|(?:{_HEX2 * 2}\\.){{{n // 2 - 1}}}{_HEX2 * 2}"
        f"|(?:{_HEX2}){{{n}}}" for n in _MAC_BYTES
    ),
    "hexcolor": "#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})",
    "rgbcolor": rf"rgb\(\s*{_BYTE}\s*,\s*{_BYTE}\s*,\s*{_BYTE}\s*\)",
    "ssn": "[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}",
    "isbn": r"[\d -]{9,16}[\dXx]",
    "isbn10": r"[\d -]{9,12}[\dXx]",
    "isbn13": r"[\d -]{13,17}",
    "creditcard": r"[\d -]{13,23}",
    "email": rf"(?:.*<)?{_ATOM}@{_ATOM}>?",
    "byte": f"(?:{_SIXTYFOUR}{{4}})*(?:{_SIXTYFOUR}{{2}}==|{_SIXTYFOUR}{{3}}=|{_SIXTYFOUR}{{4}})",
    "hostname": rf"(?=.{{1,255}}$)(?!.*[^.]{{64}})(?:{_SIGN}(?:-?{_SIGN}{{0,62}})?|"
    rf"(?:{_SIGN}(?:(?:{_SIGN}|-){{0,61}}{_SIGN})?\.)+[^\W\d_]{{2,63}})",
    "uri": rf"(?!.*[\x00-\x1f\x7f])(?:/{_PATH}|[a-zA-Z][a-zA-Z0-9+.-]*:(?://{_AUTHORITY}(?:/{_PATH}|\?.*)?|/(?!/){_PATH}|[^/].*|))",
    "k8sshortname": "(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "k8slongname": r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
}  # fmt: skip
_DATE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(.\d+)?(z|[+-]\d\d:\d\d)", re.ASCII)
_DURATION: Final = re.compile(
    r"^[-+]?0$|\d+\s*(?:(?:ns|us|µs|μs|ms|s|m|hr?|d|wk?)(?![a-zµ])|nano|micro|milli|sec|min|hour|day|week)",
    re.IGNORECASE | re.ASCII,
)


def _is_date_time(text: str) -> bool:
    """RFC 3339; what stands behind a second ``T`` is not looked at."""
    day, *rest = text.lower().split("t")
    return bool(rest) and _is_date(day) and _TIME.fullmatch(rest[0]) is not None


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))


def _is_ipv4(text: str) -> bool:
    """Zeros in front are taken, and an IPv4 address that is written as an IPv6 one."""
    return "." in text and bool(ipaddress.ip_address(re.sub(r"(?<![0-9a-f:])0+(?=\d)", "", text)))


def _is_network(text: str) -> bool:
    return text.rpartition("/")[2].isdecimal() and "/" in text and bool(ipaddress.ip_interface(text))


_CHECKS: Final[dict[str, Callable[[str], Any]]] = {
    "datetime": _is_date_time,
    "date": _is_date,
    "duration": _DURATION.search,
    "ipv4": _is_ipv4,
    "ipv6": lambda text: "%" not in text and bool(ipaddress.IPv6Address(text)),
    "cidr": _is_network,
}
_READ: Final = _CHECKS | {name: re.compile(pattern).fullmatch for name, pattern in _PATTERNS.items()}


def is_of_format(name: str, text: str) -> bool:
    """Whether a text is of a format; of one that is not known every text is."""
    check = _READ.get(name.replace("-", ""))
    if check is None:
        return True
    try:
        return bool(check(text))
    except ValueError:
        return False
