"""What is known of an expression before its literals are: its tree, whether it uses data, and what is refused in it.

Thousands of filters that differ in their strings and numbers have one shape, which is parsed and examined once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from scaup.core.filters.cel.patterns import weight_of
from scaup.core.filters.cel.tree import Node, parse, parts
from scaup.core.filters.cel.words import Words, value_of
from scaup.core.filters.cel.work import BUDGET, Scale, cost_of, rounded
from scaup.core.filters.subject import FilterSyntaxError

MAX_PARTS: Final = 8192
"""Of a tree; those inside a loop count twice, inside two four times: as often as ``work.py`` looks at them."""

MAX_WEIGHT: Final = 10_000
"""Of one regular expression, see ``patterns.py``: about a millisecond to make."""

_FLAT: Final = 8
_KNOWN_SHAPES: Final = 4096
_ZONE_METHODS: Final = frozenset(
    {
        "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
        "getMinutes", "getMonth", "getSeconds",
    }
)  # fmt: skip
_FUNCTIONS: Final = (
    {
        "has", "size", "int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration", "type", "dyn",
        "matches", "contains", "startsWith", "endsWith",
    }
    | _ZONE_METHODS
)  # fmt: skip


class Shape(NamedTuple):
    """``patterns`` and ``zones`` are the string literals used as regular expression and as name of a time zone.

    ``is_flat`` says that there are few levels and no loops, of which the engine has a bounded number an evaluation.
    """

    tree: Node
    uses_data: bool
    patterns: tuple[Node, ...]
    zones: tuple[Node, ...]
    is_flat: bool


class _RefusedError(Exception):
    """Something that the engine takes and we do not; at this node."""

    def __init__(self, message: str, node: Node) -> None:
        super().__init__(message)
        self.node = node


def shape_of(words: Words) -> Shape:
    """The shape of an expression that the engine has accepted.

    Raises FilterSyntaxError where its cost could not be bounded; CelUnavailableError without the grammar.
    """
    try:
        return _examined(words.shape)
    except _RefusedError as refused:
        raise FilterSyntaxError(str(refused), words.column(refused.node.place)) from None
    except RecursionError:
        raise FilterSyntaxError("nested too deeply") from None


def weigh(shape: Shape, words: Words) -> int:
    """The weight of the heaviest pattern. Raises FilterSyntaxError for a pattern too heavy or an odd time zone."""
    for zone in shape.zones:
        name = value_of(words.strings[int(zone.name)])
        if name is None or name.startswith(("/", "file:")) or ".." in name:
            raise FilterSyntaxError("not the name of a time zone", words.column(zone.place))
    heaviest = 0
    for pattern in shape.patterns:
        written = words.strings[int(pattern.name)]
        # An escaped pattern is no lighter for being read with all its backslashes: they only weigh more.
        known = value_of(written)
        weight = weight_of(written.replace("\\\\", "\\") if known is None else known)
        if weight > MAX_WEIGHT:
            raise FilterSyntaxError("the regular expression is too large", words.column(pattern.place))
        heaviest = max(heaviest, weight)
    return heaviest


def allowance(tree: Node, scale: Scale, size: int) -> int:
    """Up to which size of an event, ``size`` bytes or some more, an expression is within the budget; 0: not surely."""
    most = rounded(size)
    return most if _affordable(tree, scale._replace(size=most)) else 0


@lru_cache(_KNOWN_SHAPES)
def _affordable(tree: Node, scale: Scale) -> bool:
    return cost_of(tree, scale) <= BUDGET


@lru_cache(_KNOWN_SHAPES)
def _examined(shape: str) -> Shape:
    tree = parse(shape)
    if _looks(tree, 1) > MAX_PARTS:
        raise _RefusedError("too many parts, or too many loops inside each other", Node("scalar"))
    patterns: list[Node] = []
    zones: list[Node] = []
    uses_data = False
    for node in parts(tree):
        uses_data = uses_data or (node.kind == "name" and node.name == "data")
        _check(node)
        if node.kind in {"call", "method"} and not node.macro():
            if node.name == "matches":
                patterns.append(_literal(node, "the regular expression has to be a string in the filter itself"))
            elif node.name in _ZONE_METHODS and len(node.args) > 1:
                zones.append(_literal(node, "the time zone has to be a string in the filter itself"))
    is_flat = _levels(tree) <= _FLAT and _brackets(shape) <= _FLAT and not any(node.macro() for node in parts(tree))
    return Shape(tree, uses_data, tuple(patterns), tuple(zones), is_flat)


def _levels(node: Node) -> int:
    return 1 + max(map(_levels, node.args), default=0)


def _brackets(shape: str) -> int:
    """How many are open at once."""
    depth = deepest = 0
    for character in shape:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _check(node: Node) -> None:
    if node.kind == "object":
        raise _RefusedError("messages cannot be made in a filter", node.args[0])
    if node.kind == "name" and node.name.startswith("."):
        raise _RefusedError("a name cannot begin with a dot", node)
    if node.kind in {"call", "method"} and node.name not in _FUNCTIONS and not node.macro():
        raise _RefusedError(f"there is no function {node.name}", node)


def _literal(node: Node, advice: str) -> Node:
    argument = node.args[-1]
    if argument.kind != "string":
        raise _RefusedError(advice, node)
    return argument


def _looks(node: Node, times: int) -> int:
    """At how many parts the reckoning of the cost looks."""
    if times > MAX_PARTS:
        return times
    ranges = 1 if node.macro() else len(node.args)
    return (
        times
        + sum(_looks(part, times) for part in node.args[:ranges])
        + sum(_looks(part, 2 * times) for part in node.args[ranges:])
    )
