"""Many CEL filters in one evaluation, that says where none of them matches.

Going to the engine and back costs more than what is done there: 32 filters joined with ``||`` take about as long as
four by themselves. Errors are absorbed only by a part that is true: *false* means that all are false without an error.
"""

from __future__ import annotations

from typing import Any, Final

from scaup.core.filters.cel import engine
from scaup.core.filters.cel.expression import CelExpression, bind
from scaup.core.filters.cel.shapes import allowance
from scaup.core.filters.cel.tree import Node
from scaup.core.filters.cel.work import Scale
from scaup.core.filters.subject import FilterSyntaxError, Subject

MOST: Final = 32
"""Expressions that may be joined."""


class CelJoint:
    """Joinable expressions as one. Raises FilterSyntaxError where the engine does not take them together."""

    __slots__ = ("_afforded", "_evaluate", "_scale", "_tree", "_uses_data")

    def __init__(self, expressions: list[CelExpression]) -> None:
        scales = [one.scale for one in expressions]
        self._scale = Scale(0, max(scale.longest for scale in scales), max(scale.heaviest for scale in scales))
        self._tree = Node("or", "", tuple(one.tree for one in expressions))
        self._uses_data = any(one.uses_data for one in expressions)
        self._afforded = 0
        texts = [f"({one.canonical})" for one in expressions]
        if len(texts) == 1:
            texts.append("false")  # what an || is worth is never null, which could not be asked for its value
        self._evaluate: Any = engine.compile_text(" || ".join(texts)).eval

    def is_surely_false(self, subject: Subject) -> bool:
        """Whether all are false, with no error on the way. Where that cannot be said cheaply the answer is no."""
        activation, size = bind(subject, with_data=self._uses_data)
        if size > self._afforded:
            self._afforded = allowance(self._tree, self._scale, size) or self._afforded
            if size > self._afforded:
                return False
        try:
            return self._evaluate(activation).value() is False
        except engine.FAILURES:
            return False


def join_cel(expressions: list[CelExpression]) -> CelJoint | None:
    """The joint of up to ``MOST`` joinable expressions; None where the engine does not take them together."""
    try:
        return CelJoint(expressions)
    except FilterSyntaxError:
        return None
