"""Whole objects in a field of another (``x-kubernetes-embedded-resource``): they say what they are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from scaup.apiserver import metadata
from scaup.apiserver.answers import Problem, required, wrong
from scaup.apiserver.crdnames import NO_LABEL, is_label
from scaup.apiserver.structural import Node

_SLASHES: Final = re.compile("/.*/")


def problems(node: Node, value: Any, path: str = "") -> Iterator[Problem]:
    """What is wrong with the type and the metadata of the objects in a value."""
    if not node.has_embedded:
        return
    if isinstance(value, dict):
        if node.is_embedded:
            yield from _own(value, path)
        for key, one in value.items():
            if isinstance(one, dict | list) and (below := node.below(key)) is not None:
                yield from problems(below, one, node.place(path, key))
    elif isinstance(value, list) and node.items is not None:
        for number, one in enumerate(value):
            yield from problems(node.items, one, f"{path}[{number}]")


def _own(value: dict[str, Any], path: str) -> Iterator[Problem]:
    for name in ("apiVersion", "kind"):
        text, where = value.get(name), f"{path}.{name}"
        if name not in value:
            yield required(where)
        elif not isinstance(text, str):
            yield wrong(where, text, "must be a string")
        elif not text:
            yield wrong(where, text, "must not be empty")
        elif name == "apiVersion" and _SLASHES.search(text):
            yield wrong(where, text, f"unexpected GroupVersion string: {text}")
        elif name == "kind" and not is_label(text.lower()):
            yield wrong(where, text, f"may have mixed case, but should otherwise match: {NO_LABEL}")
    if isinstance(about := value.get("metadata"), dict):
        for problem in metadata.embedded_problems(about):
            yield Problem(f"{path}.{problem.path}", problem.reason, problem.message)
