"""From the tree to a predicate: true, false, or the error that stood in the way.

Three values, by Kleene: an error does not match, is not turned into a match by ``not``, and does not hide what the
other parts of ``any`` or ``all`` decide on their own. (The reference negates an error into a match, decision 0010.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, assert_never

from scaup.core.filters import guards
from scaup.core.filters.attributes import STANDS_FOR, compile_attributes
from scaup.core.filters.cel import CelExpression, compile_cel
from scaup.core.filters.cesql import compile_cesql
from scaup.core.filters.guards import Guard
from scaup.core.filters.subject import EvaluationError, FilterSyntaxError, Subject
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

Result = bool | EvaluationError
Predicate = Callable[[Subject], Result]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A filter ready to be evaluated.

    ``predicate`` is None where every event matches. ``guard`` holds for every event that matches; ``is_guard`` says
    that it is all there is, so nothing is left to evaluate where one of its atoms holds. ``cel`` is the
    expression of a filter that is nothing else and may be asked together with others (``cel/joint.py``).
    """

    predicate: Predicate | None
    guard: Guard
    is_guard: bool = False
    uses_data: bool = False
    cel: CelExpression | None = None


ALWAYS: Final = Compiled(None, guards.ANYTHING)


def check_text(path: str, dialect: str, text: str) -> None:
    """Raise DefinitionError where an expression does not parse, cannot be a filter, or uses what does not exist."""
    try:
        if dialect == "cel":
            compile_cel(text)
            return
        problems = compile_cesql(text).problems
    except FilterSyntaxError as error:
        raise DefinitionError(path, f"{_short(text)}: {error}") from error
    if problems:
        message, column = problems[0]
        where = f"at column {column}: " if column else ""
        raise DefinitionError(path, f"{_short(text)}: {where}{message}")


def compile_tree(tree: Tree) -> Compiled:
    """The predicate and the guard of a tree that was checked."""
    match tree:
        case Attributes(pairs):
            return _attributes(pairs)
        case Exact(pairs):
            return _exact(pairs)
        case Prefix(pairs):
            guard = guards.both(guards.begins(name, value) for name, value in pairs)
            return Compiled(_affix(pairs, str.startswith), guard, is_guard=len(pairs) == 1)
        case Suffix(pairs):
            return Compiled(_affix(pairs, str.endswith), guards.both(guards.present(name) for name, _ in pairs))
        case Every(parts):
            return _every([compile_tree(part) for part in parts])
        case Some(parts):
            return _some([compile_tree(part) for part in parts])
        case Inverse(part):
            inner = compile_tree(part)
            return Compiled(_inverse(inner.predicate), guards.ANYTHING, uses_data=inner.uses_data)
        case Cesql(text):
            return _cesql(text)
        case Cel(text):
            return _cel(text)
        case _ as never:
            assert_never(never)


def evaluate(compiled: Compiled, subject: Subject) -> Result:
    """True, False, or the error."""
    return True if compiled.predicate is None else compiled.predicate(subject)


def _attributes(pairs: tuple[tuple[str, str], ...]) -> Compiled:
    matches = compile_attributes(dict(pairs))
    if matches is None:
        return ALWAYS
    plain = [(name, value) for name, value in pairs if value and name not in STANDS_FOR]
    known = [guards.equals(name, value) for name, value in plain]
    known += [guards.either(guards.present(one) for one in STANDS_FOR.get(name, (name,))) for name, _ in pairs]
    guard = guards.both(known)
    return Compiled(lambda subject: matches(subject.attributes), guard, is_guard=len(plain) == len(pairs) == 1)


def _exact(pairs: tuple[tuple[str, str], ...]) -> Compiled:
    guard = guards.both(guards.equals(name, value) for name, value in pairs)
    if len(pairs) == 1:
        ((only, wanted),) = pairs
        return Compiled(lambda subject: subject.attributes.get(only) == wanted, guard, is_guard=True)

    def exact(subject: Subject) -> Result:
        get = subject.attributes.get
        return all(get(name) == value for name, value in pairs)

    return Compiled(exact, guard)


def _affix(pairs: tuple[tuple[str, str], ...], test: Callable[[str, str], bool]) -> Predicate:
    if len(pairs) == 1:
        ((only, wanted),) = pairs

        def one(subject: Subject) -> Result:
            value = subject.attributes.get(only)
            return value is not None and test(value, wanted)

        return one

    def many(subject: Subject) -> Result:
        for name, wanted in pairs:
            value = subject.attributes.get(name)
            if value is None or not test(value, wanted):
                return False
        return True

    return many


def _every(parts: list[Compiled]) -> Compiled:
    parts = [part for part in parts if part.predicate is not None]
    if len(parts) <= 1:
        return parts[0] if parts else ALWAYS
    predicates = tuple(part.predicate for part in parts if part.predicate is not None)

    def every(subject: Subject) -> Result:
        error: EvaluationError | None = None
        for predicate in predicates:
            result = predicate(subject)
            if result is False:
                return False
            if result is not True:
                error = result
        return True if error is None else error

    guard = guards.both(part.guard for part in parts)
    return Compiled(every, guard, uses_data=any(part.uses_data for part in parts))


def _some(parts: list[Compiled]) -> Compiled:
    if any(part.predicate is None for part in parts):
        return ALWAYS
    if len(parts) == 1:
        return parts[0]
    predicates = tuple(part.predicate for part in parts if part.predicate is not None)

    def some(subject: Subject) -> Result:
        error: EvaluationError | None = None
        for predicate in predicates:
            result = predicate(subject)
            if result is True:
                return True
            if result is not False:
                error = result
        return False if error is None else error

    guard = guards.either(part.guard for part in parts)
    is_guard = guard is not None and all(part.is_guard for part in parts)
    return Compiled(some, guard, is_guard=is_guard, uses_data=any(part.uses_data for part in parts))


def _inverse(predicate: Predicate | None) -> Predicate:
    if predicate is None:
        return lambda _subject: False

    def inverse(subject: Subject) -> Result:
        result = predicate(subject)
        return result if isinstance(result, EvaluationError) else not result

    return inverse


@lru_cache(maxsize=4096)
def _cesql(text: str) -> Compiled:
    """Equal expressions of many Triggers are one: compiled once, and evaluated once an event."""
    expression = compile_cesql(text)
    return Compiled(_shared("cesql", expression.canonical, expression.matches), expression.guard)


@lru_cache(maxsize=4096)
def _cel(text: str) -> Compiled:
    expression = compile_cel(text)
    shared = _shared("cel", expression.canonical, expression.matches)
    cel = expression if expression.is_joinable else None
    return Compiled(shared, expression.guard, uses_data=expression.uses_data, cel=cel)


def _shared(dialect: str, canonical: str, matches: Callable[[Subject], bool]) -> Predicate:
    key = f"{dialect}:{canonical}"

    def shared(subject: Subject) -> Result:
        result: Result | None = subject.shared.get(key)
        if result is None:
            try:
                result = matches(subject)
            except EvaluationError as error:
                result = error
            subject.shared[key] = result
        return result

    return shared


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 80 else f"{one_line[:77]}..."
