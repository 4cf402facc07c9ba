"""From the filters of a Trigger to the tree, with the path of every mistake. Fails closed: what is not understood is an
error, never "every event".

Subscriptions API of CloudEvents, "Filter dialects"; Knative's ``spec.filters``. Two recorded deviations from the
reference, which lets these through and then matches everything: ``{}``, and empty names, values, lists and maps.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from scaup.core.filters.tree import (
    Attributes,
    Cel,
    Cesql,
    Every,
    Exact,
    Inverse,
    Prefix,
    Some,
    Suffix,
    Tree,
)
from scaup.core.model.errors import DefinitionError

MAX_DEPTH: Final = 32
MAX_NODES: Final = 1_024
MAX_TEXT: Final = 16 << 10
MAX_VALUE: Final = 8 << 10
_NAME: Final = re.compile(r"[a-z][a-z0-9]*")  # Knative: trigger_validation.go
_MAPS: Final[dict[str, type[Attributes | Exact | Prefix | Suffix]]] = {
    "exact": Exact,
    "prefix": Prefix,
    "suffix": Suffix,
}
_LISTS: Final[dict[str, type[Every | Some]]] = {"all": Every, "any": Some}
_TEXTS: Final[dict[str, type[Cesql | Cel]]] = {"cesql": Cesql, "cel": Cel}
DIALECTS: Final = (*_MAPS, *_LISTS, "not", *_TEXTS)

CheckText = Callable[[str, str, str], None]
"""Called with path, dialect and text of every expression; raises DefinitionError where it does not check."""


def parse_filters(filters: Any, path: str = "spec.filters", check: CheckText | None = None) -> Tree:
    """The tree of a list of filter objects, all of which have to match.

    ``{"attributes": {...}}`` stands for the legacy ``spec.filter.attributes``. Raises DefinitionError naming the path
    of the first mistake. ``check`` looks at the expressions.
    """
    if not isinstance(filters, list | tuple):
        raise DefinitionError(path, f"expected a list of filters, found {_shown(filters)}")
    return _Parser(check).every(list(filters), path)


class _Parser:
    def __init__(self, check: CheckText | None) -> None:
        self._check = check
        self._nodes = 0

    def every(self, filters: list[Any], path: str) -> Tree:
        parts = tuple(self.one(value, f"{path}[{index}]", 1) for index, value in enumerate(filters))
        return parts[0] if len(parts) == 1 else Every(parts)

    def one(self, value: Any, path: str, depth: int) -> Tree:
        self._nodes += 1
        if depth > MAX_DEPTH:
            raise DefinitionError(path, f"filters are nested deeper than {MAX_DEPTH} levels")
        if self._nodes > MAX_NODES:
            raise DefinitionError(path, f"there are more than {MAX_NODES} filters in this Trigger")
        if not isinstance(value, dict):
            raise DefinitionError(path, f"expected a filter, an object with one dialect, found {_shown(value)}")
        if len(value) != 1:
            raise DefinitionError(path, _not_one(value))
        dialect, content = next(iter(value.items()))
        return self._dialect(dialect, content, path, depth)

    def _dialect(self, dialect: Any, content: Any, path: str, depth: int) -> Tree:
        here = f"{path}.{dialect}" if isinstance(dialect, str) else path
        if dialect == "attributes":
            return Attributes(tuple(_pairs(content, here, may_be_empty=True)))
        if dialect in _MAPS:
            return _MAPS[dialect](tuple(_pairs(content, here, may_be_empty=False)))
        if dialect in _LISTS:
            if not isinstance(content, list) or not content:
                raise DefinitionError(here, f"expected a list of at least one filter, found {_shown(content)}")
            parts = tuple(self.one(part, f"{here}[{index}]", depth + 1) for index, part in enumerate(content))
            return _LISTS[dialect](parts)
        if dialect == "not":
            return Inverse(self.one(content, here, depth + 1))
        if dialect in _TEXTS:
            return _TEXTS[dialect](self._text(content, here, dialect))
        raise DefinitionError(path, _unknown(dialect))

    def _text(self, content: Any, path: str, dialect: str) -> str:
        if not isinstance(content, str) or not content.strip():
            raise DefinitionError(path, f"expected an expression, found {_shown(content)}")
        if len(content) > MAX_TEXT:
            raise DefinitionError(path, f"the expression has {len(content)} characters; {MAX_TEXT} are allowed")
        if self._check is not None:
            self._check(path, dialect, content)
        return content


def _pairs(content: Any, path: str, *, may_be_empty: bool) -> Iterator[tuple[str, str]]:
    if not isinstance(content, dict) or not (content or may_be_empty):
        raise DefinitionError(path, f"expected a map of attributes to values, found {_shown(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DefinitionError(
                path, f"{_shown(name)} is not the name of an attribute: lower-case letters and digits, a letter first"
            )
        if not isinstance(value, str):
            raise DefinitionError(f"{path}.{name}", f"expected a string, found {_shown(value)}")
        if not value and not may_be_empty:
            raise DefinitionError(f"{path}.{name}", "expected a value, found an empty string")
        if len(value) > MAX_VALUE:
            raise DefinitionError(f"{path}.{name}", f"the value is longer than {MAX_VALUE} characters")
        yield name, value


def _not_one(value: dict[Any, Any]) -> str:
    if not value:
        return f"an empty filter says nothing; expected one of {', '.join(DIALECTS)}"
    names = ", ".join(sorted(str(name)[:32] for name in value)[:8])
    return f"multiple dialects found ({names}); expected exactly one in a filter"


def _unknown(dialect: Any) -> str:
    near = difflib.get_close_matches(str(dialect)[:32], DIALECTS, 1)
    advice = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(DIALECTS)}"
    return f"unknown dialect {_shown(dialect)}; {advice}"


def _shown(value: Any) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", type(None): "nothing"}
    if type(value) in kinds:
        return kinds[type(value)] if value or value is None else f"{kinds[type(value)]} with nothing in it"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
