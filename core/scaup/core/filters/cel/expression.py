"""One CEL filter: checked, with its index conditions, ready to be evaluated for events. The story of the dialect.

A text goes through ``words`` (bounds), the engine (grammar and types), its shape (what is refused, index conditions)
and, for every event, ``work`` (is it affordable?) and the engine again.
"""

from __future__ import annotations

from typing import Any, Final

from scaup.core.filters.cel import engine
from scaup.core.filters.cel.condition import guard_of
from scaup.core.filters.cel.shapes import Shape, allowance, shape_of, weigh
from scaup.core.filters.cel.words import Words, split
from scaup.core.filters.cel.work import BUDGET, Scale, cost_of, measure_in, rounded
from scaup.core.filters.guards import Guard
from scaup.core.filters.subject import EvaluationError, FilterSyntaxError, Subject

_ALONE: Final = "cel"
_WITH_DATA: Final = "cel+data"
_MOST_JOINABLE: Final = 400
_TAKEN_OUT: Final = frozenset({"select", "index", "choice"})
"""Parts worth what others hold. Their type is a guess where those are mixed: ``{"a": true, "b": data}["b"]``."""


class CelExpression:
    """A checked expression. The engine gets it back when an event first asks for it: most wait for theirs in the index.

    ``canonical`` is the same text for expressions that differ in layout and comments only; ``guard`` holds for every
    event that matches; ``uses_data`` says whether the event's data is looked at; ``is_joinable``, whether it may be
    part of a joint (``joint.py``), for which ``tree`` and ``scale`` are.
    """

    __slots__ = (
        "_afforded", "_boolean", "_evaluate", "_program",
        "canonical", "guard", "is_joinable", "scale", "tree", "uses_data",
    )  # fmt: skip

    def __init__(self, words: Words, shape: Shape, compiled: Any) -> None:
        heaviest = weigh(shape, words)
        self.canonical: str = words.canonical
        self.uses_data: bool = shape.uses_data
        self.guard: Guard = guard_of(shape.tree, words.strings)
        self.is_joinable: bool = len(words.canonical) <= _MOST_JOINABLE and shape.is_flat
        self.tree = shape.tree
        self.scale = Scale(0, rounded(max(map(_bytes, words.strings), default=0), 16), rounded(heaviest, 16))
        self._afforded = 0
        self._boolean = compiled.return_type().name() == "BOOL" and shape.tree.kind not in _TAKEN_OUT
        self._program: bytes = engine.stored(compiled)
        self._evaluate: Any = None

    def matches(self, subject: Subject) -> bool:
        """Whether the event matches. Raises EvaluationError where CEL ends in an error, or in no boolean."""
        activation, size = bind(subject, with_data=self.uses_data)
        if size > self._afforded:
            self._afford(subject, size)
        try:
            result = (self._evaluate or self._load())(activation)
            if not self._boolean and not engine.is_boolean(result) and not engine.is_error(result):
                raise EvaluationError("cast", f"the expression is worth {result.type().name()}, not true or false")
            value = result.value()
        except engine.FAILURES as error:
            raise engine.error_of(str(error)) from error
        if value is True or value is False:
            return bool(value)
        raise engine.error_of(str(value))

    def evaluate(self, subject: Subject) -> Any:
        """What the expression is worth, in JSON types. Raises EvaluationError."""
        activation, size = bind(subject, with_data=self.uses_data)
        if size > self._afforded:
            self._afford(subject, size)
        try:
            result = (self._evaluate or self._load())(activation)
            if not engine.is_error(result):
                return engine.native(result)
            said = str(result.value())
        except engine.FAILURES as error:
            raise engine.error_of(str(error)) from error
        raise engine.error_of(said)

    def _load(self) -> Any:
        self._evaluate, self._program = engine.evaluation(self._program), b""
        return self._evaluate

    def _afford(self, subject: Subject, size: int) -> None:
        """Costs grow with the event: sizes are rounded up, and the largest one known to be affordable is kept."""
        if allowed := allowance(self.tree, self.scale, size):
            self._afforded = allowed
            return
        data = subject.json() if self.uses_data else None
        exact = self.scale._replace(size=size, measure=measure_in(subject.attributes, data, size))
        if cost_of(self.tree, exact) > BUDGET:
            raise EvaluationError("generic", f"the expression is too costly for an event of {size} bytes")


def bind(subject: Subject, *, with_data: bool) -> tuple[Any, int]:
    """The event as all CEL expressions share it, and its size in bytes."""
    key = _WITH_DATA if with_data else _ALONE
    bound: tuple[Any, int] | None = subject.shared.get(key)
    if bound is None:
        size = sum(map(_bytes, subject.attributes.values())) + sum(map(len, subject.attributes))
        if with_data:
            size += len(subject.data or b"")
        bound = subject.shared[key] = engine.activation(subject, with_data=with_data), size
    return bound


def compile_cel(text: str, *, boolean: bool = True) -> CelExpression:
    """The checked expression; with ``boolean`` off, of any type, which is for trying out and not for filters.

    Raises FilterSyntaxError for what does not parse, has the wrong types, is not bounded or is never a boolean;
    CelUnavailableError where there is no engine.
    """
    words = split(text)
    compiled = engine.compile_text(text)
    shape = shape_of(words)
    expression = CelExpression(words, shape, compiled)
    if boolean and (kind := compiled.return_type().name()) not in {"BOOL", "DYN"}:
        raise FilterSyntaxError(f"the expression is worth {kind}, not true or false")
    for literal, column in _checked(shape, words):
        if (wrong := engine.constant_error(literal)) is not None:
            raise FilterSyntaxError(wrong, column)
    return expression


def _checked(shape: Shape, words: Words) -> list[tuple[str, int]]:
    """Literals that can be wrong by themselves, as expressions that tell, and where they stand."""
    tests = [(f'"".matches({words.strings[int(node.name)]})', node) for node in shape.patterns]
    tests += [(f"timestamp(0).getHours({words.strings[int(node.name)]})", node) for node in shape.zones]
    return [(test, words.column(node.place)) for test, node in tests]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)
