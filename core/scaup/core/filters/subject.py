"""What a filter looks at: an event's attributes and, only when asked for, its data as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from scaup.core.model.event import is_json

ABSENT: Final = object()
"""There is no data, it is not JSON, or it does not parse."""


class Subject:
    """One event as filters see it. Attributes are canonical strings; data is parsed once, and only if asked for."""

    __slots__ = ("_json", "attributes", "data", "shared")

    def __init__(self, attributes: Mapping[str, str], data: bytes | None = None) -> None:
        self.attributes = attributes
        self.data = data
        self.shared: dict[str, Any] = {}
        """What filters keep for each other while this event is looked at: results of equal parts, activations."""
        self._json: Any = None

    def json(self) -> Any:
        """The data as a JSON value, or ABSENT. Never raises."""
        if self._json is None:
            self._json = (self._parse(),)
        return self._json[0]

    def _parse(self) -> Any:
        kind = self.attributes.get("datacontenttype")
        if not self.data or (kind is not None and not is_json(kind)):
            return ABSENT
        try:
            return orjson.loads(self.data)
        except orjson.JSONDecodeError:
            return ABSENT


class EvaluationError(Exception):
    """A filter could not be evaluated for this event: no match, counted apart.

    ``kind`` is one of the CESQL error kinds in camel case (``cast``, ``math``, ``missingAttribute``,
    ``missingFunction``, ``functionEvaluation``, ``generic``), also for other dialects; ``value`` what the expression is
    worth all the same, where its specification says so.
    """

    def __init__(self, kind: str, message: str, value: Any = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.value = value


class FilterSyntaxError(Exception):
    """A filter's text does not parse or does not check. ``column`` counts from 1, 0 where there is no place."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(f"at column {column}: {message}" if column else message)
        self.column = column
