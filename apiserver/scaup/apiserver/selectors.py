"""Label and field selectors: parsed once, asked for every object. Pure.

Grammar and meaning follow Kubernetes' ``labels.Parse`` and ``fields.ParseSelector``: ``!=`` and ``notin`` also match
where the key is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from scaup.apiserver import answers
from scaup.apiserver.kinds import NAMESPACES, Kind
from scaup.apiserver.metadata import is_label_value, is_qualified_name
from scaup.apiserver.objects import Object
from scaup.apiserver.shown import shown

Test = Callable[[Object], bool]
_LabelTest = Callable[[Mapping[str, str]], bool]

_REQUIREMENT: Final = re.compile(
    r"\s*(?:"
    r"!\s*(?P<absent>[^\s,!=<>()]+)"
    r"|(?P<key>[^\s,!=<>()]+)\s*(?:"
    r"(?P<op>==|=|!=|<|>)\s*(?P<value>[^\s,!=<>()]*)"
    r"|(?<=\s)(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r")?)\s*(?:,(?=\s*\S)|$)",
    re.ASCII,
)
_TERM: Final = re.compile(r"(?:[^,\\]|\\.?)+", re.DOTALL)
_FIELD: Final = re.compile(r"(?P<path>.*?)(?P<operator>!=|==|=)(?P<value>.*)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.?)|[,=]", re.DOTALL)
_INTEGER: Final = re.compile(r"[0-9]+")
_LARGEST: Final = (1 << 63) - 1
_OF_ALL: Final = frozenset({"metadata.name", "metadata.namespace"})


def label_selector(text: str) -> Test:
    """A test for ``a=b,c!=d,e,!f,g in (h,i),j notin (k)``; raises ApiError 400 where it is none."""
    tests = []
    position = 0
    while position < len(text) and text.strip():
        found = _REQUIREMENT.match(text, position)
        if not found:
            raise answers.bad_request(f"unable to parse requirement: {text[position:]!r} of label selector {text!r}")
        tests.append(_label_test(found, text))
        position = found.end()
    if not tests:
        return _everything

    def matches(whole: Object) -> bool:
        labels = whole["metadata"].get("labels") or {}
        return all(test(labels) for test in tests)

    return matches


def field_selector(text: str, kind: Kind) -> Test:
    """A test for ``metadata.name=x,metadata.namespace!=y``; raises ApiError 400 for fields that cannot be asked for."""
    tests = []
    for term in _TERM.findall(text):
        found = _FIELD.fullmatch(term)
        if not found:
            raise answers.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        path, wanted = found["path"], _unescaped(found["value"])
        if not path and not wanted:
            continue
        if path not in kind.selectable and (path not in _OF_ALL or (kind is NAMESPACES and path != "metadata.name")):
            raise answers.bad_request(_no_field(kind, path))
        tests.append((path.split("."), found["operator"] != "!=", wanted))
    if not tests:
        return _everything
    return lambda whole: all((_field(whole, path) == wanted) is positive for path, positive, wanted in tests)


def both(one: Test, other: Test) -> Test:
    """Matches what both match."""
    if one is _everything:
        return other
    return one if other is _everything else lambda whole: one(whole) and other(whole)


def _everything(_whole: Object) -> bool:
    return True


def _unescaped(value: str) -> str:
    """What a value of a field selector means: a comma, a backslash and ``=`` stand behind a backslash."""

    def meant(found: re.Match[str]) -> str:
        if found[1] is None:
            raise answers.bad_request(f"invalid field selector: unescaped character in value: {ord(found[0])}")
        if found[1] not in {",", "=", "\\"}:
            raise answers.bad_request(f"invalid field selector: invalid escape sequence: {found[0]}")
        return found[1]

    return _ESCAPED.sub(meant, value)


def _no_field(kind: Kind, path: str) -> str:
    """Kubernetes has other words for kinds whose fields nobody chose."""
    if kind.is_custom or kind is NAMESPACES or kind.selectable:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _field(whole: Object, path: list[str]) -> str:
    value: Any = whole
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _label_test(found: re.Match[str], text: str) -> _LabelTest:
    if absent := found["absent"]:
        _require_key(absent, text)
        return lambda labels: absent not in labels
    key, operator, value = found["key"], found["op"], found["value"]
    _require_key(key, text)
    if found["set"]:
        values = frozenset(one.strip() for one in found["values"].split(","))
        _require_values(values, text)
        if found["set"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if operator is None:
        return lambda labels: key in labels
    if operator in {"<", ">"}:
        return _compared(key, operator, value, text)
    _require_values({value}, text)
    if operator == "!=":
        return lambda labels: labels.get(key) != value
    return lambda labels: labels.get(key) == value


def _compared(key: str, operator: str, value: str, text: str) -> _LabelTest:
    _require_values({value}, text)
    limit = _integer(value)
    if limit is None:
        why = f"Invalid value: {shown(value)}: for 'Gt', 'Lt' operators, the value must be an integer"
        raise answers.bad_request(f"unable to parse requirement: values[0]: {why}")

    def compare(labels: Mapping[str, str]) -> bool:
        number = _integer(labels.get(key, ""))
        return number is not None and (number > limit if operator == ">" else number < limit)

    return compare


def _integer(text: str) -> int | None:
    """The number that a label's value is, in the 64 bits that Kubernetes has for it."""
    return int(text) if _INTEGER.fullmatch(text) and int(text) <= _LARGEST else None


def _require_key(key: str, text: str) -> None:
    if not is_qualified_name(key):
        raise answers.bad_request(f"unable to parse requirement: {key!r} is no label key in {text!r}")


def _require_values(values: set[str] | frozenset[str], text: str) -> None:
    for value in values:
        if not is_label_value(value):
            raise answers.bad_request(f"unable to parse requirement: {value!r} is no label value in {text!r}")
