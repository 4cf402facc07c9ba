r"""The paths of printer columns (``jsonPath`` of a CRD): the subset of JSONPath that they are written in. Pure.

``.a.b``, ``.a['x.y']``, ``.a\.b``, ``[0]``, ``[-1]``, ``[*]``, ``[?(@.type=="Ready")]``. A path that is none of these
finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

import orjson

Step = Callable[[Any], Iterable[Any]]

_TOKEN: Final = re.compile(
    r"""(?P<all>\[\s*\*\s*\]|\.\*)"""
    r"""|\.(?P<name>(?:\\.|[^.\[\\])+)"""
    r"""|\[\s*(?P<quote>['"])(?P<quoted>(?:\\.|(?!(?P=quote)).)*)(?P=quote)\s*\]"""
    r"""|\[\s*(?P<index>-?\d+)\s*\]"""
    r"""|\[\?\(\s*@(?P<path>[^=!<>]*?)\s*(?:(?P<operator>==|!=)\s*(?P<value>[^)]*?)\s*)?\)\]"""
)


@lru_cache(maxsize=4096)
def compiled(path: str) -> Callable[[Any], list[Any]]:
    """A function that finds what stands at a path in an object, in order; nothing for a path that is not understood."""
    steps = _steps(path)
    if steps is None:
        return lambda _whole: []

    def find(whole: Any) -> list[Any]:
        found = [whole]
        for step in steps:
            found = [below for one in found for below in step(one)]
        return found

    return find


def _steps(path: str) -> list[Step] | None:
    path = path.strip().removeprefix("$")
    steps: list[Step] = []
    place = 0
    while place < len(path):
        token = _TOKEN.match(path, place)
        step = _step(token) if token else None
        if token is None or step is None:
            return None
        steps.append(step)
        place = token.end()
    return steps


def _step(token: re.Match[str]) -> Step | None:
    if (name := token["name"]) is not None or (name := token["quoted"]) is not None:
        return _field(re.sub(r"\\(.)", r"\1", name))
    if token["index"] is not None:
        return _item(int(token["index"]))
    if token["all"]:
        return _everything
    return _filter(token["path"], token["operator"], token["value"])


def _field(name: str) -> Step:
    return lambda one: [one[name]] if isinstance(one, dict) and name in one else []


def _item(index: int) -> Step:
    return lambda one: [one[index]] if isinstance(one, list) and -len(one) <= index < len(one) else []


def _everything(one: Any) -> Iterable[Any]:
    return one if isinstance(one, list) else one.values() if isinstance(one, dict) else ()


def _filter(path: str, operator: str | None, text: str | None) -> Step | None:
    below = _steps(path)
    if below is None:
        return None
    find = compiled(path)
    if operator is None or text is None:
        return lambda one: [item for item in one if find(item)] if isinstance(one, list) else []
    value = text[1:-1] if text[:1] == "'" == text[-1:] else _parsed(text)
    is_equal = operator == "=="
    return lambda one: (
        [item for item in one if (found := find(item)) and (found[0] == value) is is_equal]
        if isinstance(one, list)
        else []
    )


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
