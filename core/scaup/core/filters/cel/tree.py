"""The syntax tree of a CEL expression, by the grammar that ``cel-python`` ships. Only parses; the engine evaluates.

The grammar is read from the installed package without importing it: importing takes long and loads an evaluator, its
``Environment`` raises the interpreter's recursion limit, and its parser is one for the process with a tree class that
whoever came first has chosen. It is only ever given the words of ``words.py``, because its own pattern for strings
backtracks exponentially on a string without an end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from scaup.core.filters.cel.engine import CelUnavailableError
from scaup.core.filters.subject import FilterSyntaxError

MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
"""Methods whose first argument names a variable (CEL specification, "Macros")."""


class Node(NamedTuple):
    """One part of an expression.

    ``kind``: string (``name`` is its number), bytes, scalar (``name`` is the word), name, select, index, call, method
    (receiver first), list, map (keys and values in turn), and, or, not, choice, relation and math (``name`` is the
    operator), object. ``place`` is the offset of its word in the shape.
    """

    kind: str
    name: str = ""
    args: tuple[Node, ...] = ()
    place: int = 0

    def macro(self) -> bool:
        """``x.all(v, …)`` and its like."""
        return self.kind == "method" and self.name in MACROS and len(self.args) > 2 and self.args[1].kind == "name"


def parse(shape: str) -> Node:
    """The tree of an expression that the engine has accepted. Raises FilterSyntaxError, CelUnavailableError."""
    lark, parser = _parser()
    try:
        tree = parser.parse(shape)
    except lark.exceptions.LarkError as error:
        raise FilterSyntaxError("the syntax is not supported here") from error
    if not isinstance(tree, Node):
        raise FilterSyntaxError("the syntax is not supported here")
    return tree


def parts(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.args


@cache
def _parser() -> tuple[Any, Any]:
    """The ``lark`` package and a parser that makes nodes."""
    try:
        import lark
    except ImportError as error:
        raise CelUnavailableError("cel-python, whose grammar is needed, is not installed") from error
    found = find_spec("celpy")
    if found is None or not found.submodule_search_locations:
        raise CelUnavailableError("cel-python, whose grammar is needed, is not installed")
    grammar = (Path(next(iter(found.submodule_search_locations))) / "cel.lark").read_text("utf-8")
    parser = lark.Lark(
        grammar,
        parser="lalr",
        start="expr",
        g_regex_flags=re.MULTILINE,
        lexer_callbacks={"IDENT": _or_boolean(lark.Token)},
        maybe_placeholders=False,
        transformer=_Build(),
    )
    return lark, parser


def _or_boolean(token: Any) -> Any:
    """``true`` and ``false`` are written like names, and the grammar leaves telling them apart to the lexer."""
    return lambda word: token("BOOL_LIT", word.value) if word.value in {"true", "false"} else word


class _Build:
    """Nodes from the grammar's rules; called bottom up while parsing, so that no depth of nesting recurses."""

    def __getattr__(self, rule: str) -> Any:
        """Lark asks for every rule's name, and takes a missing one for "leave it as it is"."""
        kind, _, half = rule.partition("_")
        if half in _HALVES and kind in {"relation", "addition", "multiplication", "unary"}:
            return lambda children: _Half(_HALVES[half], children)
        raise AttributeError(rule)

    @staticmethod
    def expr(children: list[Any]) -> Any:
        return children[0] if len(children) == 1 else Node("choice", "", tuple(children))

    @staticmethod
    def conditionalor(children: list[Any]) -> Any:
        return _joined("or", children)

    @staticmethod
    def conditionaland(children: list[Any]) -> Any:
        return _joined("and", children)

    @staticmethod
    def relation(children: list[Any]) -> Any:
        return _halved("relation", children)

    @staticmethod
    def addition(children: list[Any]) -> Any:
        return _halved("math", children)

    @staticmethod
    def multiplication(children: list[Any]) -> Any:
        return _halved("math", children)

    @staticmethod
    def unary(children: list[Any]) -> Any:
        if len(children) == 1:
            return children[0]
        sign, operand = children[0].sign, children[1]
        if operand.kind == sign:  # the specification's grammar lets signs cancel out in pairs, however long the row
            return operand.args[0]
        return Node(sign, "", (operand,))

    @staticmethod
    def member(children: list[Any]) -> Any:
        return children[0]

    primary = member

    @staticmethod
    def paren_expr(children: list[Any]) -> Any:
        return children[0]

    @staticmethod
    def member_dot(children: list[Any]) -> Node:
        return Node("select", str(children[1]), (children[0],), children[1].start_pos)

    @staticmethod
    def member_dot_arg(children: list[Any]) -> Node:
        args = children[2] if len(children) == 3 else ()
        return Node("method", str(children[1]), (children[0], *args), children[1].start_pos)

    @staticmethod
    def member_index(children: list[Any]) -> Node:
        return Node("index", "", tuple(children))

    @staticmethod
    def member_object(children: list[Any]) -> Node:
        return Node("object", "", (children[0],))

    @staticmethod
    def dot_ident(children: list[Any]) -> Node:
        return Node("name", f".{children[0]}", (), children[0].start_pos)

    @staticmethod
    def dot_ident_arg(children: list[Any]) -> Node:
        return Node("call", f".{children[0]}", tuple(children[1:] and children[1]), children[0].start_pos)

    @staticmethod
    def ident(children: list[Any]) -> Node:
        return Node("name", str(children[0]), (), children[0].start_pos)

    @staticmethod
    def ident_arg(children: list[Any]) -> Node:
        return Node("call", str(children[0]), tuple(children[1:] and children[1]), children[0].start_pos)

    @staticmethod
    def list_lit(children: list[Any]) -> Node:
        return Node("list", "", tuple(children and children[0]))

    @staticmethod
    def map_lit(children: list[Any]) -> Node:
        return Node("map", "", tuple(children and children[0]))

    @staticmethod
    def exprlist(children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    mapinits = exprlist
    fieldinits = exprlist

    @staticmethod
    def literal(children: list[Any]) -> Node:
        token = children[0]
        if token.type in {"STRING_LIT", "MLSTRING_LIT"}:
            return Node("string", token[1:-1], (), token.start_pos)
        return Node("bytes" if token.type == "BYTES_LIT" else "scalar", str(token), (), token.start_pos)


class _Half(NamedTuple):
    """An operator that still waits for its right side."""

    sign: str
    left: list[Any]


_HALVES: Final = {
    "lt": "<", "le": "<=", "ge": ">=", "gt": ">", "eq": "==", "ne": "!=", "in": "in",
    "add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%", "not": "not", "neg": "negative",
}  # fmt: skip


def _joined(kind: str, children: list[Any]) -> Any:
    """``a && b && c`` as one node, so that the depth of the tree does not grow with the length of such a chain."""
    if len(children) == 1:
        return children[0]
    first = children[0]
    return Node(kind, "", (*first.args, children[1]) if first.kind == kind else tuple(children))


def _halved(kind: str, children: list[Any]) -> Any:
    if len(children) == 1:
        return children[0]
    half, right = children
    return Node(kind, half.sign, (half.left[0], right))
