"""CloudEvents SQL (CESQL 1.0): expressions over an event's attributes, checked once and run as closures.

Pure: knows events' attributes and nothing else of the world; expressions cannot loop, recurse or call anything outside.
Where the specification, its grammar and its test kit disagree, decision 0008 says which of them is followed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from scaup.core.filters.cesql import tree
from scaup.core.filters.cesql.closures import compile_tree
from scaup.core.filters.cesql.conditions import guard_of
from scaup.core.filters.cesql.functions import FUNCTIONS, resolve, takes
from scaup.core.filters.cesql.limits import MAX_DEPTH, MAX_TEXT
from scaup.core.filters.cesql.values import UNSET, ZERO, FailFastError, ResultType, Value, shown
from scaup.core.filters.guards import Guard
from scaup.core.filters.subject import Subject

__all__ = ["MAX_DEPTH", "MAX_TEXT", "Expression", "compile_cesql"]

_MAX_PROBLEMS: Final = 8
_NOUNS: Final[dict[ResultType, str]] = {"int": "an integer", "str": "a string"}


class Expression:
    """A compiled expression. Safe to share between threads; nothing of an evaluation stays in it."""

    __slots__ = ("_run", "_zero", "canonical", "guard", "problems", "result_type", "text")

    def __init__(self, text: str, root: tree.Node) -> None:
        self.text = text
        self.result_type: ResultType = tree.result_type(root)
        """What it yields as far as its text tells; ``any`` where an unknown function is its root."""
        self.guard: Guard = guard_of(root)
        """What must hold of an event's attributes, all strings, before it can match."""
        self.canonical = tree.canonical(root)
        """A key that only expressions of the same meaning share. Not always an expression itself."""
        self.problems: tuple[tuple[str, int], ...] = _problems(root, self.result_type)
        """Why it should not become a filter although it parses: message and column of unknown functions, wrong
        numbers of arguments, and of an expression that is no condition. At most eight."""
        # What a missing attribute would have been is unknown, so alone it is worth the Boolean zero (3.2).
        self._zero = False if isinstance(root, tree.Attribute) else ZERO[self.result_type]
        self._run = compile_tree(root).run

    @property
    def is_boolean(self) -> bool:
        """Whether it can be a condition. Attributes alone are strings, and so are none."""
        return self.result_type in {"bool", "any"}

    def evaluate(self, subject: Subject) -> Value:
        """The result for one event. Raises EvaluationError at the first error, with the value specified beside it."""
        try:
            return self._run(subject.attributes)  # type: ignore[no-any-return]
        except FailFastError as failure:
            if failure.value is UNSET:
                failure.value = self._zero
            raise

    def matches(self, subject: Subject) -> bool:
        """Whether the event passes: the result is the Boolean true (1.2). Raises EvaluationError as ``evaluate``."""
        try:
            return self._run(subject.attributes) is True
        except FailFastError as failure:
            if failure.value is UNSET:
                failure.value = self._zero
            raise

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_cesql(text: str) -> Expression:
    """The expression that ``text`` is. Raises FilterSyntaxError where it does not parse or breaks a limit."""
    from scaup.core.filters.cesql.grammar import parse

    return Expression(text, parse(text))


def _problems(root: tree.Node, result: ResultType) -> tuple[tuple[str, int], ...]:
    found = [
        (
            f"the expression yields {_NOUNS[result]}, not true or false: expected a condition such as type = 'x'",
            root.column,
        )
    ] if result in _NOUNS else []  # fmt: skip
    for call in _calls(root):
        if len(found) == _MAX_PROBLEMS:
            break
        if call.name not in FUNCTIONS:
            close = difflib.get_close_matches(call.name[:20], FUNCTIONS, 1)
            known = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(sorted(FUNCTIONS))}"
            found.append((f"there is no function {shown(call.name)}: {known}", call.column))
        elif resolve(call.name, len(call.arguments)) is None:
            found.append((f"{call.name} takes {takes(call.name)}, not {len(call.arguments)}", call.column))
    return tuple(found)


def _calls(node: tree.Node) -> Iterator[tree.Call]:
    if isinstance(node, tree.Call):
        yield node
    for child in tree.children(node):
        yield from _calls(child)
