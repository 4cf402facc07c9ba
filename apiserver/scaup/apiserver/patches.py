"""Patches: JSON merge patch (RFC 7386), JSON patch (RFC 6902), and as much of the strategic one as is safe. Pure."""

from __future__ import annotations

import copy
from typing import Any

from scaup.core.bus.kv import dumps


class PatchError(ValueError):
    """The patch is malformed, or does not fit the object; the text says where."""


class StrategicPatchError(ValueError):
    """The strategic patch needs what is not known here: how the elements of a list are told apart."""


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null removes, anything else replaces. ``target`` stays as it is."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(target: Any, patch: Any) -> Any:
    """A strategic merge patch without directives and lists of objects, where it means the same as a merge patch.

    Raises StrategicPatchError for the others: a list that is merged by the wrong key is data lost.
    """
    _require_plain(patch, "")
    return merge(target, patch)


def _require_plain(patch: Any, path: str) -> None:
    if isinstance(patch, dict):
        for key, value in patch.items():
            if key.startswith("$"):
                raise StrategicPatchError(f"{path}/{key}")
            _require_plain(value, f"{path}/{key}")
    elif isinstance(patch, list) and any(isinstance(one, dict) for one in patch):
        raise StrategicPatchError(path)


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902: the operations one after the other, all or none. ``target`` stays as it is; raises PatchError."""
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        msg = "a JSON patch is an array of operations"
        raise PatchError(msg)
    patched = {"": copy.deepcopy(target)}  # the document has a place too: the pointer "" names it
    for operation in operations:
        _operate(patched, operation)
    return patched[""]


def _operate(document: dict[str, Any], operation: dict[str, Any]) -> None:
    path = operation.get("path")
    match operation.get("op"):
        case "add":
            _add(document, path, _value(operation))
        case "remove":
            _take(document, path)
        case "replace":
            _find(document, path)
            _set(document, path, _value(operation))
        case "move":
            source = operation.get("from")
            if str(path).startswith(f"{source}/"):
                raise PatchError(f"{source} cannot be moved into itself")
            _add(document, path, _take(document, source))
        case "copy":
            _add(document, path, copy.deepcopy(_find(document, operation.get("from"))))
        case "test":
            if dumps(_find(document, path)) != dumps(_value(operation)):
                raise PatchError(f"testing value {path} failed")
        case other:
            raise PatchError(f"unexpected kind of operation: {other}")


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchError(f"the operation {operation.get('op')} at {operation.get('path')} has no value")
    return copy.deepcopy(operation["value"])


def _steps(pointer: Any) -> list[str]:
    """RFC 6901; the first step is always the document itself."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise PatchError(f"{pointer!r} is not a JSON pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]


def _parent(document: dict[str, Any], pointer: Any) -> tuple[Any, str]:
    *above, last = _steps(pointer)
    place: Any = document
    for step in above:
        place = _child(place, step, pointer)
    return place, last


def _child(place: Any, step: str, pointer: Any) -> Any:
    if isinstance(place, dict) and step in place:
        return place[step]
    if isinstance(place, list):
        return place[_index(place, step, pointer)]
    raise PatchError(f"there is nothing at {pointer}")


def _index(place: list[Any], step: str, pointer: Any, *, room: int = 0) -> int:
    if not (step.isascii() and step.isdigit() and (step == "0" or step[0] != "0")) or int(step) >= len(place) + room:
        raise PatchError(f"there is nothing at {pointer}")
    return int(step)


def _find(document: dict[str, Any], pointer: Any) -> Any:
    return _child(*_parent(document, pointer), pointer)


def _add(document: dict[str, Any], pointer: Any, value: Any) -> None:
    place, last = _parent(document, pointer)
    if isinstance(place, list):
        place.insert(len(place) if last == "-" else _index(place, last, pointer, room=1), value)
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise PatchError(f"there is nothing at {pointer}")


def _set(document: dict[str, Any], pointer: Any, value: Any) -> None:
    place, last = _parent(document, pointer)
    place[_index(place, last, pointer) if isinstance(place, list) else last] = value


def _take(document: dict[str, Any], pointer: Any) -> Any:
    found = _find(document, pointer)
    place, last = _parent(document, pointer)
    del place[_index(place, last, pointer) if isinstance(place, list) else last]
    return found
