"""What a Trigger's filter makes of an event, and how that is told. Pure: no files, no network, no terminal.

The check is the controller's own, so that what is said here is what the Trigger's status would say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from scaup.cli.lines import clean
from scaup.core.filters.cel import CelUnavailableError
from scaup.core.filters.explain import Explained, explain
from scaup.core.filters.parse import parse_filters
from scaup.core.filters.subject import Subject
from scaup.core.filters.tree import Tree
from scaup.core.model.errors import DefinitionError

MARKS: Final[dict[bool | None, str]] = {True: "✓", False: "✗", None: "!"}
WORDS: Final[dict[bool | None, str]] = {True: "match", False: "no match", None: "error"}
_COLOURS: Final[dict[bool | None, str]] = {True: "32", False: "31", None: "33"}
_WIDTH: Final = 400
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a Trigger and an event: true, false, or None with the error.

    ``explained`` is None where the filter does not check, and then ``error`` is what the status says.
    """

    result: bool | None
    error: str = ""
    explained: Explained | None = None

    def to_json(self) -> dict[str, Any]:
        """``matches`` (null with an error), ``error``, and the whole tree as ``explanation``."""
        tree = self.explained.to_json() if self.explained else None
        return {"matches": self.result, "error": self.error or None, "explanation": tree}


def check(trigger: dict[str, Any]) -> tuple[Tree | None, str]:
    """The filter tree of a Trigger; or None and what its status would say is wrong with it, all of it."""
    from scaup.controller.api import TriggerSpec, annotations_of, sections
    from scaup.controller.filters import check_cel, check_filters

    parts, strange = sections(TriggerSpec, trigger.get("spec"), "spec")
    problems = [str(strange)] if strange else []
    try:
        filters = check_filters(parts.get("filter"), parts.get("filters"), check_cel(annotations_of(trigger)))
    except (DefinitionError, CelUnavailableError) as error:
        problems.append(str(error))
    return (None, "; ".join(problems)) if problems else (parse_filters(filters), "")


def judge(trigger: dict[str, Any], subject: Subject) -> Verdict:
    """What the filter of a Trigger makes of an event."""
    tree, problem = check(trigger)
    if tree is None:
        return Verdict(None, problem)
    explained = explain(tree, subject)
    return Verdict(explained.result, explained.error, explained)


def why(explained: Explained) -> str:
    """The part that decided, in one line: the first that failed, or stood in the way."""
    text, parts = clean(" ".join(explained.text.split()), _WIDTH), explained.parts
    if not parts:
        return f"{text}: {explained.error}" if explained.error else text
    if text == "not":
        return why(parts[0]) if explained.result is None else f"not: {why(parts[0])}"
    if text == "any" and explained.result is False:
        named = "; ".join(why(part) for part in parts[:_NAMED])
        more = f"; and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
        return f"none of any: {named}{more}"
    decided = next((part for part in parts if part.result is explained.result), None)
    return why(decided) if decided else text


def tree_lines(explained: Explained, mark: Callable[[bool | None], str], depth: int = 1) -> Iterator[str]:
    """The tree, a line each part, marked with its own result; an error stands where it arose."""
    text = clean(" ".join(explained.text.split()), _WIDTH)
    error = f": {clean(explained.error, _WIDTH)}" if explained.error and not explained.parts else ""
    yield f"{'  ' * depth}{mark(explained.result)} {text}{error}"
    for part in explained.parts:
        yield from tree_lines(part, mark, depth + 1)


def plain_mark(result: bool | None) -> str:
    """``✓``, ``✗`` or ``!``."""
    return MARKS[result]


def coloured_mark(result: bool | None) -> str:
    """The same in green, red or yellow (ECMA-48 SGR)."""
    return f"\x1b[{_COLOURS[result]}m{MARKS[result]}\x1b[0m"
