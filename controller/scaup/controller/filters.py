"""Checks what a Trigger filters by. Pure. Fails closed: what is not understood here never becomes "every event"."""

from __future__ import annotations

from typing import Any

from scaup.controller.api import FilterShape, read, shown
from scaup.core.filters.compiled import check_text
from scaup.core.filters.parse import parse_filters
from scaup.core.model.errors import DefinitionError


def check_filters(legacy: Any, filters: Any) -> tuple[dict[str, Any], ...]:
    """The checked filters of a Trigger: all of them have to match; none at all lets every event through.

    ``legacy`` is ``spec.filter``, ``filters`` is ``spec.filters``: a list with something in it replaces the former,
    an empty one does not. Raises DefinitionError naming the path, CelUnavailableError where CEL cannot be evaluated.
    """
    if filters is not None and not isinstance(filters, list):
        raise DefinitionError("spec.filters", f"expected a list, found {shown(filters)}")
    if filters:
        parse_filters(filters, check=check_text)
        return tuple(filters)
    attributes = read(FilterShape, legacy, "spec.filter").attributes
    if not attributes:
        return ()
    checked = ({"attributes": dict(attributes)},)
    try:
        parse_filters(checked)
    except DefinitionError as error:
        path = error.path.replace("spec.filters[0]", "spec.filter", 1)  # where its author wrote it
        raise DefinitionError(path, str(error).removeprefix(f"{error.path}: ")) from error
    return checked
