"""Index conditions of a CEL expression: what must hold of the attributes where it is true. Only sound, never complete.

Both ``&&`` and ``||`` absorb errors of one side where the other decides (CEL specification, "Logical Operators"):
``a && b`` is true only where both are, ``a || b`` only where one is. Everything else that is not listed says nothing.
"""

from __future__ import annotations

from scaup.core.filters.cel.tree import Node
from scaup.core.filters.cel.words import value_of
from scaup.core.filters.guards import ANYTHING, NOTHING, Guard, begins, both, either, equals


def guard_of(node: Node, strings: tuple[str, ...]) -> Guard:
    """What the expression needs to be true. ``strings`` are its string literals, as written."""
    match node.kind, node.name:
        case "and", _:
            return both(guard_of(part, strings) for part in node.args)
        case "or", _:
            return either(guard_of(part, strings) for part in node.args)
        case "scalar", "false":
            return NOTHING
        case "relation", "==":
            left, right = node.args
            return _equal(left, (right,), strings) or _equal(right, (left,), strings)
        case "relation", "in":
            wanted, among = node.args
            return _equal(wanted, among.args, strings) if among.kind == "list" else ANYTHING
        case "method", "startsWith":
            name, prefix = _attribute(node.args[0], strings), _string(node.args[1], strings)
            return begins(name, prefix) if name is not None and prefix is not None else ANYTHING
        case _:
            return ANYTHING


def _equal(node: Node, among: tuple[Node, ...], strings: tuple[str, ...]) -> Guard:
    name = _attribute(node, strings)
    if name is None:
        return ANYTHING
    values = [_string(value, strings) for value in among]
    known = [value for value in values if value is not None]
    return equals(name, *known) if len(known) == len(values) else ANYTHING


def _attribute(node: Node, strings: tuple[str, ...]) -> str | None:
    """The attribute that ``ce.x`` or ``ce["x"]`` is about."""
    if node.kind not in {"select", "index"} or node.args[0].kind != "name" or node.args[0].name != "ce":
        return None
    return node.name if node.kind == "select" else _string(node.args[1], strings)


def _string(node: Node, strings: tuple[str, ...]) -> str | None:
    return value_of(strings[int(node.name)]) if node.kind == "string" else None
