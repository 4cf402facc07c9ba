"""Patches: JSON merge patch (RFC 7386), JSON patch (RFC 6902), Kubernetes' strategic merge patch. Pure."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from scaup.core.bus.kv import dumps

MOST_OPERATIONS: Final = 10_000
"""Operations of one JSON patch, as on a cluster."""
TOO_MANY: Final = f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}"
_MOST_COPIED: Final = 3 << 20
"""Bytes that one JSON patch may copy: each copy of a copy doubles what there is."""


class PatchError(ValueError):
    """The patch is malformed, or does not fit the object; the text says where."""


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


def strategic(target: Any, patch: Any, keys: Mapping[str, str], path: str = "") -> Any:
    """Kubernetes' strategic merge patch, for objects. ``target`` stays as it is.

    ``keys`` says by dotted path which lists are merged, and by which field of their items ("" for lists of values);
    other lists are replaced. Raises PatchError for a directive that is malformed.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    match patch.get("$patch"):
        case "replace":
            return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
        case "delete":
            return {}
        case other if "$patch" in patch:
            raise PatchError(f"unknown patch type: {other} in map: {patch}")
    whole = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        place = f"{path}.{key}" if path else key
        if key.startswith("$"):
            continue
        if value is None:
            whole.pop(key, None)
        elif isinstance(value, list) and place in keys:
            whole[key] = _merged_list(whole.get(key), value, keys, place)
        elif isinstance(value, dict):
            whole[key] = strategic(whole.get(key), value, keys, place)
        else:
            whole[key] = copy.deepcopy(value)
    _direct(whole, target, patch, keys, path)
    return whole


def _direct(whole: dict[str, Any], target: Any, patch: dict[str, Any], keys: Mapping[str, str], path: str) -> None:
    """What the directives about the fields of an object say."""
    for name, value in patch.items():
        directive, _, field = name.partition("/")
        if directive in {"$patch", "$retainKeys"} or not name.startswith("$"):
            continue
        if directive not in {"$setElementOrder", "$deleteFromPrimitiveList"} or not isinstance(value, list):
            raise PatchError(f"the directive {name} is not known")
        found = whole.get(field)
        if not isinstance(found, list):
            continue
        if directive == "$deleteFromPrimitiveList":
            gone = {_own(one, "") for one in value}
            whole[field] = [one for one in found if _own(one, "") not in gone]
        else:
            before = target.get(field) if isinstance(target, dict) else None
            whole[field] = _ordered(found, value, before or [], keys.get(f"{path}.{field}" if path else field, ""))
    if isinstance(retained := patch.get("$retainKeys"), list):
        if lost := [name for name in patch if not name.startswith("$") and name not in retained]:
            raise PatchError(f"invalid patch format of retainKeys: {', '.join(lost)} would be lost")
        for name in [name for name in whole if name not in retained]:
            del whole[name]


def _merged_list(target: Any, patch: list[Any], keys: Mapping[str, str], path: str) -> list[Any]:
    before, key = list(target) if isinstance(target, list) else [], keys[path]
    if not key:
        return _ordered(list({_own(one, key): one for one in [*before, *patch]}.values()), patch, before, key)
    if any(isinstance(one, dict) and one.get("$patch") == "replace" for one in patch):
        return [copy.deepcopy(one) for one in patch if not (isinstance(one, dict) and "$patch" in one)]
    if any(not isinstance(one, dict) or key not in one for one in patch):
        raise PatchError(f"an item of {path} has no {key}, by which the list is merged")
    gone = {_own(one, key) for one in patch if one.get("$patch") == "delete"}
    found = [one for one in before if _own(one, key) not in gone]
    places = _places(found, key)
    for item in patch:
        if item.get("$patch") == "delete":
            continue
        place = places.setdefault(_own(item, key), len(found))
        if place == len(found):
            found.append({})
        found[place] = strategic(found[place], item, keys, path)
    return _ordered(found, patch, before, key)


def _ordered(found: list[Any], order: list[Any], before: list[Any], key: str) -> list[Any]:
    """The items that the patch names in its order; one of the others comes where it stood before the next of them."""
    wanted, stood = _places(order, key), _places(before, key)
    named = deque(sorted((one for one in found if _own(one, key) in wanted), key=lambda one: wanted[_own(one, key)]))
    whole: list[Any] = []
    for other in found:
        if (name := _own(other, key)) in wanted:
            continue
        while named and not stood.get(name, len(stood)) < stood.get(_own(named[0], key), -1):
            whole.append(named.popleft())
        whole.append(other)
    return [*whole, *named]


def _own(item: Any, key: str) -> bytes:
    """What tells an item of a list from the others."""
    return dumps(item.get(key) if key and isinstance(item, dict) else item)


def _places(items: list[Any], key: str) -> dict[bytes, int]:
    """Where each stands first."""
    return {_own(one, key): place for place, one in reversed(list(enumerate(items)))}


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902: the operations one after the other, all or none. ``target`` stays as it is; raises PatchError."""
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        msg = "a JSON patch is an array of operations"
        raise PatchError(msg)
    patched = {"": copy.deepcopy(target)}  # the document has a place too: the pointer "" names it
    copied = 0
    try:
        for operation in operations:
            copied += _operate(patched, operation)
            if copied > _MOST_COPIED:
                raise PatchError(f"the copies are {copied} bytes, exceeding the limit {_MOST_COPIED}")
        dumps(patched)
    except (TypeError, RecursionError) as error:
        raise PatchError(f"what it makes cannot be an object of the API: {error}") from error
    return patched[""]


def _operate(document: dict[str, Any], operation: dict[str, Any]) -> int:
    """Do one operation; gives back how many bytes it copied."""
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
            found = _find(document, operation.get("from"))
            _add(document, path, copy.deepcopy(found))
            return len(dumps(found))
        case "test":
            if dumps(_find(document, path)) != dumps(_value(operation)):
                raise PatchError(f"testing value {path} failed")
        case other:
            raise PatchError(f"unexpected kind of operation: {other}")
    return 0


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
