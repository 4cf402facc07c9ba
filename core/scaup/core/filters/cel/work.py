"""How much work an evaluation can be, before it is begun: an upper bound from the tree and the size of the event.

The engine counts loop iterations only. One iteration may compare, search or copy all of the data, ``map`` and
``filter`` copy their list at every step, and a few doublings make a value of a gigabyte. So the cost of the worst case
is reckoned here, and an expression that could take longer than ``BUDGET`` for an event of this size ends in an error
instead. The numbers are measured upper bounds (decision 0009); one unit is about 10 ns. Nothing is evaluated, and no
clock is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from scaup.core.filters.cel.tree import Node

BUDGET: Final = 2_000_000
"""Units one evaluation may cost: some 20 ms where everything is as bad as can be, in practice a tenth of that."""

MAX_ITERATIONS: Final = 10_000
"""The engine's own bound on the iterations of all loops of one evaluation together."""

_STEP: Final = 8
"""One operation, one element made."""

_COMPARED: Final = 5
_ZONE: Final = 100
_PER_INSTRUCTION: Final = 80
_ROOTS: Final = frozenset({"ce", "data"})

Measure = Callable[[Node], "tuple[int, int] | None"]
"""Size and number of elements of what a path from ``ce`` or ``data`` leads to in one event; None for other nodes."""


class Scale(NamedTuple):
    """How large things are: the event (``size``, bytes), the longest string literal, the heaviest pattern."""

    size: int
    longest: int = 0
    heaviest: int = 0
    measure: Measure | None = None


class Cost(NamedTuple):
    """An upper bound of the size of a value (bytes, as a tree) and of the work of getting it (units)."""

    size: int
    work: int


def rounded(size: int, least: int = 256) -> int:
    """The next power of two, from ``least`` for anything but nothing: few scales, so that each is reckoned once."""
    return 0 if size == 0 else max(least, 1 << (size - 1).bit_length())


def cost_of(node: Node, scale: Scale) -> int:
    """Units that evaluating the expression and looking at what it is worth take at most."""
    return sum(_Reckoning(scale).cost(node, {}, 1))


class _Reckoning:
    """One pass over a tree. Recursion is bounded: the engine, asked before, takes trees of about 30 levels."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale

    def cost(self, node: Node, variables: Mapping[str, int], rounds: int) -> Cost:
        """``variables`` are the sizes of loop variables, ``rounds`` how often the enclosing loops run this."""
        if (measured := self._measured(node, variables)) is not None:
            return Cost(measured[0], _STEP)
        match node.kind:
            case "string" | "bytes":
                return Cost(self._scale.longest, _STEP)
            case "name":
                return Cost(self._named(node.name, variables), _STEP)
            case "method" if node.macro():
                return self._loop(node, variables, rounds)
        return self._combined(node, [self.cost(part, variables, rounds) for part in node.args])

    def _combined(self, node: Node, parts: list[Cost]) -> Cost:
        """A node from its parts."""
        work = _STEP + sum(part.work for part in parts)
        sizes = [part.size for part in parts]
        match node.kind:
            case "select":
                return Cost(sizes[0], work)
            case "index":
                return Cost(sizes[0], work + (0 if node.args[1].kind in {"string", "scalar"} else sizes[1]))
            case "list":
                return Cost(sum(sizes) + _STEP * len(sizes), work + _STEP * len(sizes))
            case "map":
                return Cost(sum(sizes) + _STEP * len(sizes), work + _STEP * len(sizes) + sum(sizes))
            case "choice":
                return Cost(max(sizes[1:]), work)
            case "relation":
                return Cost(_STEP, work + self._compared(node, sizes))
            case "math" if node.name == "+":
                return Cost(sum(sizes), work + 2 * sum(sizes))
            case "call" | "method":
                return self._called(node.name, sizes, work)
            case _:
                return Cost(_STEP, work)

    def _measured(self, node: Node, variables: Mapping[str, int]) -> tuple[int, int] | None:
        """What is known of this event, where no loop variable hides one of its names."""
        known = self._scale.measure
        return None if known is None or not variables.keys().isdisjoint(_ROOTS) else known(node)

    def _named(self, name: str, variables: Mapping[str, int]) -> int:
        if name in variables:
            return variables[name]
        return self._scale.size if name in _ROOTS else _STEP

    @staticmethod
    def _compared(node: Node, sizes: list[int]) -> int:
        if node.name == "in":
            return _COMPARED * sizes[1] + sizes[0]
        return _COMPARED * min(sizes) if node.args[0].kind != "scalar" and node.args[1].kind != "scalar" else 0

    def _called(self, name: str, sizes: list[int], work: int) -> Cost:
        match name:
            case "has" | "dyn" | "type":
                return Cost(sizes[0], work)
            case "matches":
                weight = self._scale.heaviest
                return Cost(_STEP, work + _PER_INSTRUCTION * weight + sizes[0] * weight)
            case "contains":  # the C++ library's search is quadratic at worst: 64 bytes compared in 10 ns
                return Cost(_STEP, work + sizes[0] * (1 + sizes[-1] // 64))
            case "string":
                return Cost(2 * sizes[0] + 4 * _STEP, work + 4 * _STEP + 2 * sizes[0])
            case _:
                return Cost(max(sizes, default=0) + _STEP, work + sum(sizes) + (_ZONE if name.startswith("get") else 0))

    def _loop(self, node: Node, variables: Mapping[str, int], rounds: int) -> Cost:
        """A macro: costs of the body are reckoned for all the small elements and once for one that is the whole range.

        The costs of a body grow at least linearly with the size of its variable, so that elements of given size
        together cost the most when one of them has it all.
        """
        over, variable = self.cost(node.args[0], variables, rounds), node.args[1].name
        count = min(self._elements(node.args[0], over.size, variables), max(1, MAX_ITERATIONS // rounds))
        small, whole = dict(variables), dict(variables)
        small[variable], whole[variable] = _STEP, over.size
        work = over.work + _STEP
        size = 0
        for body in node.args[2:]:
            each = self.cost(body, small, rounds * max(count, 1))
            once = self.cost(body, whole, rounds)
            work += count * (each.work + _STEP) + once.work
            size = count * (each.size + _STEP) + once.size
        match node.name:
            case "map":
                return Cost(size, work + 3 * count * count)
            case "filter":
                return Cost(over.size + _STEP * count, work + 3 * count * count)
            case _:
                return Cost(_STEP, work)

    def _elements(self, node: Node, size: int, variables: Mapping[str, int]) -> int:
        """How many elements a range has. In JSON, each takes two bytes at least."""
        if node.kind == "list":
            return len(node.args)
        if (measured := self._measured(node, variables)) is not None:
            return measured[1]
        return size // 2 + 1


def measure_in(attributes: Mapping[str, str], data: Any, size: int) -> Measure:
    """Sizes of what plain paths (``ce.type``, ``data.items``) lead to in one event, each looked at once.

    Lists and maps of texts and numbers are measured, other containers count as the whole.
    """
    roots: dict[str, Any] = {"ce": attributes, "data": data}
    known: dict[tuple[str, ...], tuple[int, int]] = {}

    def extent(path: tuple[str, ...]) -> tuple[int, int]:
        value: Any = roots
        for name in path:
            if not isinstance(value, Mapping) or name not in value:
                return 0, 0
            value = value[name]
        if not isinstance(value, Mapping | list):
            return _length(value), 0
        leaves = [*value, *value.values()] if isinstance(value, Mapping) else value
        if any(isinstance(leaf, Mapping | list) for leaf in leaves):
            return size, len(value)
        return min(size, sum(map(_length, leaves)) + _STEP * len(value)), len(value)

    def measure(node: Node) -> tuple[int, int] | None:
        names: list[str] = []
        while node.kind == "select":
            names.append(node.name)
            node = node.args[0]
        if node.kind != "name" or node.name not in roots:
            return None
        path = (node.name, *reversed(names))
        if path not in known:
            known[path] = extent(path)
        return known[path]

    return measure


def _length(value: Any) -> int:
    return len(value.encode(errors="replace")) if isinstance(value, str) else _STEP
