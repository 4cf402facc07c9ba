"""The legacy dialect, ``spec.filter.attributes``: every named attribute present, and equal where a value is given.

Knative control plane, "Trigger filters": "" matches all values but the empty one; comparison is exact and
case-sensitive. An event without the attribute never matches, ``time`` and ``subject`` included (the reference makes
up values for them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

Predicate = Callable[[Mapping[str, str]], bool]

_MEDIA_TYPE: Final = "datamediatype"
STANDS_FOR: Final = {"schemaurl": "dataschema", _MEDIA_TYPE: "datacontenttype"}
"""Names of older specifications, and the attribute that each looks at."""


def compile_attributes(wanted: Mapping[str, str]) -> Predicate | None:
    """A predicate over an event's attributes; None where nothing is wanted, which every event fulfils."""
    named = [(STANDS_FOR.get(name, name), value) for name, value in wanted.items() if name != _MEDIA_TYPE]
    pairs = tuple(pair for pair in named if pair[1])
    present = tuple(name for name, value in named if not value)
    media = wanted.get(_MEDIA_TYPE)
    if not pairs and not present and media is None:
        return None

    def matches(attributes: Mapping[str, str]) -> bool:
        for name, value in pairs:
            if attributes.get(name) != value:
                return False
        for name in present:
            if not attributes.get(name):
                return False
        return media is None or _has_media_type(attributes, media)

    return matches


def _has_media_type(attributes: Mapping[str, str], wanted: str) -> bool:
    kind = attributes.get("datacontenttype")
    if kind is None:
        return False
    return not wanted or kind.partition(";")[0].strip().lower() == wanted.lower()
