"""Checks what a Trigger filters by. Pure. Fails closed: what is not understood here never becomes "every event"."""

from __future__ import annotations

import re
from typing import Any

from scaup.controller.api import FilterShape, read, shown
from scaup.core.model.errors import DefinitionError

_NAME = re.compile(r"[a-z][a-z0-9]*")  # trigger_validation.go; TV5 in the reference


class FilterNotSupportedError(DefinitionError):
    """The filter may be right, but this version cannot evaluate it."""

    code = "definition.filter-not-supported"


def check_filters(legacy: Any, filters: Any) -> tuple[dict[str, Any], ...]:
    """The checked filters of a Trigger: all of them have to match; none at all lets every event through.

    ``legacy`` is ``spec.filter``, ``filters`` is ``spec.filters``: a list with something in it replaces the former,
    an empty one does not. Raises DefinitionError, or FilterNotSupportedError, naming the path.
    """
    if filters is not None and not isinstance(filters, list):
        raise DefinitionError("spec.filters", f"expected a list, found {shown(filters)}")
    if filters:
        first = filters[0]
        dialect = next(iter(first), "") if isinstance(first, dict) else ""
        path = f"spec.filters[0].{dialect}" if isinstance(dialect, str) and dialect else "spec.filters[0]"
        raise FilterNotSupportedError(
            path,
            "filters of this kind cannot be evaluated by this version of Scaup; use spec.filter.attributes",
        )
    attributes = read(FilterShape, legacy, "spec.filter").attributes
    for name in attributes or ():
        if not _NAME.fullmatch(name):
            raise DefinitionError(
                f"spec.filter.attributes[{shown(name)}]",
                "not the name of an attribute; expected lower-case letters and digits, a letter first",
            )
    return ({"attributes": dict(attributes)},) if attributes else ()
