"""Fields that stand twice in a JSON text: most readers keep the last of them and say nothing. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class _Twice(dict[str, Any]):
    """An object of which some fields stood twice."""

    names: list[str]


def in_json(data: bytes) -> list[str]:
    """``duplicate field "spec.name"`` for each, in the order of the text."""
    is_any = False

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_any
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        is_any = True
        twice = _Twice(found)
        names = [name for name, _ in pairs]
        twice.names = [name for name in found if names.count(name) > 1]
        return twice

    whole = json.loads(data, object_pairs_hook=made)
    return [f'duplicate field "{path}"' for path in _paths(whole, "")] if is_any else []


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            where = f"{path}.{name}" if path else name
            if isinstance(value, _Twice) and name in value.names:
                yield where
            yield from _paths(one, where)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _paths(one, f"{path}[{number}]")
