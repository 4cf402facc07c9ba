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
_SCHEMA: Final = ("dataschema", "schemaurl")
STANDS_FOR: Final = {_MEDIA_TYPE: ("datacontenttype",), "dataschema": _SCHEMA, "schemaurl": _SCHEMA}
"""Names that look at an attribute of another name: at which it may be, by the version of the event.

The schema is ``dataschema`` in 1.0 and ``schemaurl`` in 0.3, and is found by either name (Knative's filter does it so).
"""


def compile_attributes(wanted: Mapping[str, str]) -> Predicate | None:
    """A predicate over an event's attributes; None where nothing is wanted, which every event fulfils."""
    named = [(name, value) for name, value in wanted.items() if name not in STANDS_FOR]
    pairs = tuple(pair for pair in named if pair[1])
    present = tuple(name for name, value in named if not value)
    schemas = tuple(wanted[name] for name in _SCHEMA if name in wanted)
    media = wanted.get(_MEDIA_TYPE)
    if not wanted:
        return None

    def matches(attributes: Mapping[str, str]) -> bool:
        for name, value in pairs:
            if attributes.get(name) != value:
                return False
        for name in present:
            if not attributes.get(name):
                return False
        if schemas and not _has_schemas(attributes, schemas):
            return False
        return media is None or _has_media_type(attributes, media)

    return matches


def _has_schemas(attributes: Mapping[str, str], wanted: tuple[str, ...]) -> bool:
    schema = attributes.get("schemaurl" if attributes.get("specversion") == "0.3" else "dataschema")
    return bool(schema) and all(not one or one == schema for one in wanted)


def _has_media_type(attributes: Mapping[str, str], wanted: str) -> bool:
    kind = attributes.get("datacontenttype")
    if kind is None:
        return False
    return not wanted or kind.partition(";")[0].strip().lower() == wanted.lower()
