"""The typed syntax tree of a CESQL expression: what was written, before anything is decided about running it.

Logic operators that stand in a row without parentheses (``a AND b AND c``) are one node, so that long filters are not
deep ones. ``column`` is where the node begins, from 1; ``depth`` how many levels it has, itself included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from scaup.core.filters.cesql.functions import resolve
from scaup.core.filters.cesql.like import Pattern
from scaup.core.filters.cesql.values import ResultType, Value, type_of

LogicOperator = Literal["AND", "OR", "XOR"]
Comparison = Literal["=", "!=", "<", "<=", ">", ">="]
ArithmeticOperator = Literal["+", "-", "*", "/", "%"]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Where a node stands, and how deep it is."""

    column: int
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Node):
    """A literal (2.2)."""

    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Attribute(Node):
    """The value of an attribute, by its name in lower case (3.2)."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Exists(Node):
    """``EXISTS name`` (3.4.4)."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Not(Node):
    """``NOT x`` (3.4.1)."""

    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class Negate(Node):
    """``-x`` (3.4.1)."""

    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class Logic(Node):
    """Two or more operands, all joined by the same operator (3.4.2)."""

    operator: LogicOperator
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Compare(Node):
    """``x = y`` and its siblings (3.4.2); ``<>`` is ``!=``."""

    operator: Comparison
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic(Node):
    """``x + y`` and its siblings (3.4.2)."""

    operator: ArithmeticOperator
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, eq=False)
class Like(Node):
    """``x [NOT] LIKE 'pattern'`` (3.4.3)."""

    operand: Node
    pattern: Pattern
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class In(Node):
    """``x [NOT] IN (…)`` (3.4.5)."""

    operand: Node
    elements: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """A function's name in upper case, and its arguments (3.5)."""

    name: str
    arguments: tuple[Node, ...]


_OF_OPERATORS: Final[dict[type[Node], ResultType]] = {
    Attribute: "str",
    Exists: "bool",
    Not: "bool",
    Negate: "int",
    Logic: "bool",
    Compare: "bool",
    Arithmetic: "int",
    Like: "bool",
    In: "bool",
}


def result_type(node: Node) -> ResultType:
    """What a node yields, as far as its text tells: attributes are strings; an unknown function could be anything."""
    if isinstance(node, Constant):
        return type_of(node.value)
    if isinstance(node, Call):
        function = resolve(node.name, len(node.arguments))
        return function.result if function else "any"
    return _OF_OPERATORS[type(node)]


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below one."""
    match node:
        case Not(operand=operand) | Negate(operand=operand) | Like(operand=operand):
            return (operand,)
        case Logic(operands=operands):
            return operands
        case Compare(left=left, right=right) | Arithmetic(left=left, right=right):
            return left, right
        case In(operand=operand, elements=elements):
            return operand, *elements
        case Call(arguments=arguments):
            return arguments
        case _:
            return ()


def canonical(node: Node) -> str:
    """A text that two expressions share only if they mean the same, whatever their spaces, cases and parentheses.

    It is a key, not always CESQL: backslashes are doubled. Operands keep their order, because errors depend on it.
    """
    match node:
        case Constant(value=value):
            return _quoted(value) if isinstance(value, str) else str(value).upper()
        case Attribute(name=name):
            return name
        case Exists(name=name):
            return f"(EXISTS {name})"
        case Not(operand=operand) | Negate(operand=operand):
            return f"({'NOT' if isinstance(node, Not) else '-'} {canonical(operand)})"
        case Logic(operator=operator, operands=operands):
            return "(" + f" {operator} ".join(map(canonical, operands)) + ")"
        case Compare(operator=sign, left=left, right=right) | Arithmetic(operator=sign, left=left, right=right):
            return f"({canonical(left)} {sign} {canonical(right)})"
        case Like(operand=operand, pattern=pattern):
            return f"({canonical(operand)} {_word(node)} {_quoted(pattern.text)})"
        case In(operand=operand, elements=elements):
            return f"({canonical(operand)} {_word(node)} ({_listed(elements)}))"
        case Call(name=name, arguments=arguments):
            return f"{name}({_listed(arguments)})"
        case _:
            raise TypeError(node)


def _word(node: Like | In) -> str:
    return f"{'NOT ' if node.negated else ''}{type(node).__name__.upper()}"


def _listed(nodes: tuple[Node, ...]) -> str:
    return ", ".join(map(canonical, nodes))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
