"""Why a filter matches an event, or not: every part of the tree with its own result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaup.core.filters.compiled import compile_tree, evaluate
from scaup.core.filters.subject import EvaluationError, Subject
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


@dataclass(frozen=True, slots=True)
class Explained:
    """One part: what it says, what came of it (``error`` says why not), and the same of its parts."""

    text: str
    result: bool | None
    error: str = ""
    parts: tuple[Explained, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as JSON; ``result`` is null where there was an error."""
        value: dict[str, Any] = {"filter": self.text, "result": self.result}
        if self.error:
            value["error"] = self.error
        if self.parts:
            value["parts"] = [part.to_json() for part in self.parts]
        return value


def explain(tree: Tree, subject: Subject) -> Explained:
    """The whole tree, each part evaluated by itself, also those that a short cut would skip."""
    match tree:
        case Every(parts=()):
            return Explained("no filter: every event", result=True)
        case Every(parts):
            return _explained("all", tree, subject, tuple(explain(part, subject) for part in parts))
        case Some(parts):
            return _explained("any", tree, subject, tuple(explain(part, subject) for part in parts))
        case Inverse(part):
            return _explained("not", tree, subject, (explain(part, subject),))
        case Cesql(text):
            return _explained(f"cesql {text}", tree, subject)
        case Cel(text):
            return _explained(f"cel {text}", tree, subject)
        case Attributes(pairs) | Exact(pairs) | Prefix(pairs) | Suffix(pairs):
            word = type(tree).__name__.lower()
            if len(pairs) == 1:
                return _explained(_pair(word, pairs[0], subject), tree, subject)
            single = tuple(explain(type(tree)((pair,)), subject) for pair in pairs)
            return _explained(word, tree, subject, single)


def _explained(text: str, tree: Tree, subject: Subject, parts: tuple[Explained, ...] = ()) -> Explained:
    result = evaluate(compile_tree(tree), subject)
    if isinstance(result, EvaluationError):
        return Explained(text, None, f"{result.kind}: {result}", parts)
    return Explained(text, result, "", parts)


def _pair(word: str, pair: tuple[str, str], subject: Subject) -> str:
    name, wanted = pair
    value = subject.attributes.get(name)
    found = "the event has no such attribute" if value is None else f"the event has {value!r}"
    return f"{word} {name}: {wanted!r} ({found})"
