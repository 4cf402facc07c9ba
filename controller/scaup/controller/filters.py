"""Checks what a Trigger filters by. Pure. Fails closed: what is not understood here never becomes "every event"."""

from __future__ import annotations

from typing import Any, Final

from scaup.controller.api import FilterShape, read, shown
from scaup.core.filters.compiled import check_text
from scaup.core.filters.parse import parse_filters
from scaup.core.model.annotations import CEL, KNOWN, nearest, strange
from scaup.core.model.errors import DefinitionError

_ELSEWHERE: Final = f"; where Knative's own kinds are, cel is given by the annotation {CEL.name} alone"
"""Of ``cel`` in ``spec.filters`` their schema leaves ``{}`` (decision 0020)."""


def check_cel(annotations: dict[str, Any]) -> Any:
    """What the annotation ``scaup.dev/cel`` says, None where there is none.

    Raises DefinitionError where a name that nobody reads was probably meant to be it: other annotations may be mistyped
    and everything goes on, but a filter that is passed over would let every event through.
    """
    for name in annotations:
        if strange(CEL.kind, [name]) and nearest(name, (one.name for one in KNOWN if one.kind == CEL.kind)) == CEL.name:
            raise DefinitionError(f"metadata.annotations[{name}]", f"not known; did you mean {CEL.name}?")
    return annotations.get(CEL.name)


def check_filters(legacy: Any, filters: Any, cel: Any = None) -> tuple[dict[str, Any], ...]:
    """The checked filters of a Trigger: all of them have to match; none at all lets every event through.

    ``legacy`` is ``spec.filter``, ``filters`` is ``spec.filters``: a list with something in it replaces the former,
    an empty one does not. ``cel`` is the annotation ``scaup.dev/cel``, which has to match beside either. Raises
    DefinitionError naming the path, CelUnavailableError where CEL cannot be evaluated.
    """
    if filters is not None and not isinstance(filters, list):
        raise DefinitionError("spec.filters", f"expected a list, found {shown(filters)}")
    attributes = None if filters else read(FilterShape, legacy, "spec.filter").attributes
    written = list(filters or ())
    if attributes:
        written.append({"attributes": dict(attributes)})
    if cel is not None:
        written.append({"cel": cel})
    try:
        parse_filters(written, check=check_text)
    except DefinitionError as error:
        text = str(error).removeprefix(f"{error.path}: ")
        text += _ELSEWHERE if {} in written else ""
        last = f"spec.filters[{len(written) - 1}]" if cel is not None else None
        raise DefinitionError(_place(error.path, last, is_legacy=bool(attributes)), text) from error
    return tuple(written)


def _place(path: str, of_annotation: str | None, *, is_legacy: bool) -> str:
    """Where its author wrote what stands at ``path`` of the whole list."""
    if of_annotation is not None and path.startswith(of_annotation):
        return CEL.path
    return path.replace("spec.filters[0]", "spec.filter", 1) if is_legacy else path
