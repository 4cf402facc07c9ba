"""The shapes of a SinkBinding's parts, and what a label selector selects. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scaup.controller.api import Reference, _Shape
from scaup.core.model.errors import DefinitionError

_OPERATORS: Final = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}
"""Whether an operator goes with values (metav1.LabelSelectorRequirement)."""


class Requirement(_Shape):
    """One expression of a selector."""

    key: str | None = None
    operator: str | None = None
    values: list[str] | None = None

    def check(self, path: str) -> None:
        """Raises DefinitionError where it is none."""
        if not self.key:
            raise DefinitionError(f"{path}.key", "missing")
        if self.operator not in _OPERATORS:
            raise DefinitionError(
                f"{path}.operator", f"expected one of {', '.join(_OPERATORS)}, found {self.operator!r}"
            )
        if bool(self.values) != _OPERATORS[self.operator]:
            raise DefinitionError(
                f"{path}.values", f"expected {'some' if _OPERATORS[self.operator] else 'none'} for {self.operator}"
            )

    def holds(self, labels: Mapping[str, Any]) -> bool:
        """Whether an object with these labels meets it; without the key it is also not in any values."""
        present, among = self.key in labels, labels.get(self.key or "") in (self.values or ())
        return {"In": among, "NotIn": not among, "Exists": present, "DoesNotExist": not present}[self.operator or ""]


class SelectorShape(_Shape):
    """A metav1.LabelSelector; an empty one selects everything."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None

    def check(self, path: str) -> None:
        """Raises DefinitionError where it is none."""
        for number, requirement in enumerate(self.match_expressions or ()):
            requirement.check(f"{path}.matchExpressions[{number}]")

    def selects(self, labels: Mapping[str, Any]) -> bool:
        """Whether an object with these labels is meant."""
        return all(labels.get(key) == value for key, value in (self.match_labels or {}).items()) and all(
            requirement.holds(labels) for requirement in self.match_expressions or ()
        )


class SubjectShape(_Shape):
    """A tracker.Reference: an object by name, or objects by selector."""

    api_version: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    selector: SelectorShape | None = None

    @property
    def reference(self) -> Reference:
        """The same as a reference to one object; to any where it has no name."""
        return Reference.model_validate({"apiVersion": self.api_version, "kind": self.kind, "name": self.name or "any"})


class CeOverrides(_Shape):
    """What sources shall add to the events they make."""

    extensions: dict[str, str] | None = None


class BindingSpec(_Shape):
    """``spec`` of a SinkBinding, its parts still as they were written."""

    subject: Any = None
    sink: Any = None
    ce_overrides: Any = None
