"""Index conditions of a CEL expression: what must hold of the attributes where it is true. Only sound, never complete.

Both ``&&`` and ``||`` absorb errors of one side where the other decides (CEL specification, "Logical Operators"):
``a && b`` is true only where both are, ``a || b`` only where one is. Almost everything else is strict: it needs the
attributes and the members of data that it names to be there.
"""

from __future__ import annotations

from scaup.core.filters.cel.tree import Node
from scaup.core.filters.cel.words import value_of
from scaup.core.filters.guards import ANYTHING, NOTHING, Guard, begins, both, either, equals, has_data, present


def guard_of(node: Node, strings: tuple[str, ...]) -> Guard:
    """What the expression needs to be true. ``strings`` are its string literals, as written."""
    match node.kind, node.name:
        case "and", _:
            return both(guard_of(part, strings) for part in node.args)
        case "or", _:
            return either(guard_of(part, strings) for part in node.args)
        case "choice", _:
            question, *branches = node.args
            branched = either(guard_of(branch, strings) for branch in branches)
            return both((branched, *_needed(question, strings)))
        case "scalar", "false":
            return NOTHING
        case "relation", "==":
            left, right = node.args
            known = _equal(left, (right,), strings) or _equal(right, (left,), strings)
        case "relation", "in":
            wanted, among = node.args
            known = _equal(wanted, among.args, strings) if among.kind == "list" else ANYTHING
        case "method", "startsWith":
            name, prefix = _attribute(node.args[0], strings), _string(node.args[1], strings)
            known = begins(name, prefix) if name is not None and prefix is not None else ANYTHING
        case "call", "has":
            known = _there(node.args[0], strings)
        case _:
            known = ANYTHING
    return both(_needed(node, strings)) if known is ANYTHING else known


def _equal(node: Node, among: tuple[Node, ...], strings: tuple[str, ...]) -> Guard:
    name = _attribute(node, strings)
    if name is None:
        return ANYTHING
    values = [_string(value, strings) for value in among]
    known = [value for value in values if value is not None]
    return equals(name, *known) if len(known) == len(values) else ANYTHING


def _needed(node: Node, strings: tuple[str, ...]) -> set[Guard]:
    """What has to be there for the evaluation not to end in an error, as far as the tree says it surely.

    Functions and operators are strict: an error of a part is one of the whole. Not so ``&&`` and ``||``, the branches
    of a choice, and the body of a macro; ``has`` forgives that the last member is missing.
    """
    match node.kind:
        case "and" | "or":
            return set.intersection(*(_needed(part, strings) for part in node.args))
        case "choice":
            return _needed(node.args[0], strings)
        case "method" if node.macro():
            return _needed(node.args[0], strings)
        case "call" if node.name == "has":
            return set().union(*(_needed(part, strings) for part in node.args[0].args))
        case "select" | "index" if (there := _there(node, strings)) is not ANYTHING:
            return {there}
        case "name" if node.name == "data":
            return {has_data()}
        case _:
            return set().union(*(_needed(part, strings) for part in node.args))


def _there(node: Node, strings: tuple[str, ...]) -> Guard:
    """That the member of ``ce`` or ``data`` is there which ``ce.x`` or ``data["x"]`` is about."""
    name, root = _member(node, strings)
    if name is None:
        return ANYTHING
    return present(name) if root == "ce" else has_data(name)


def _attribute(node: Node, strings: tuple[str, ...]) -> str | None:
    """The attribute that ``ce.x`` or ``ce["x"]`` is about."""
    name, root = _member(node, strings)
    return name if root == "ce" else None


def _member(node: Node, strings: tuple[str, ...]) -> tuple[str | None, str]:
    """``(member, "ce" or "data")`` of a member of one of the two; ``(None, "")`` of anything else."""
    if node.kind not in {"select", "index"} or node.args[0].kind != "name" or node.args[0].name not in {"ce", "data"}:
        return None, ""
    name = node.name if node.kind == "select" else _string(node.args[1], strings)
    return name, node.args[0].name


def _string(node: Node, strings: tuple[str, ...]) -> str | None:
    return value_of(strings[int(node.name)]) if node.kind == "string" else None
