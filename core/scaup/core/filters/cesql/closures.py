"""From the tree to closures over an event's attributes, which is what runs.

Fail-fast (CESQL 1.0, 4.1): the first error ends the evaluation, as a FailFastError. What can be decided from the tree
is decided here: a cast that is never needed costs nothing, and a comparison with a literal is one closure. The closures
take any mapping of attributes: strings in the data plane, and also integers and booleans where an event's JSON says so
(3.2). They never change it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from scaup.core.filters.cesql import tree
from scaup.core.filters.cesql.functions import FUNCTIONS, resolve
from scaup.core.filters.cesql.values import (
    CASTS,
    UNSET,
    FailFastError,
    MissingAttributeError,
    ResultType,
    Value,
    to_boolean,
    to_integer,
    to_string,
    type_of,
    within_32_bits,
)
from scaup.core.filters.subject import EvaluationError

Run = Callable[[Mapping[str, Any]], Any]

REQUIRED: Final = frozenset(("id", "source", "specversion", "type"))
_NOT_HINT: Final = "; NOT binds tighter than LIKE, IN and comparisons: x NOT LIKE 'y', or NOT (x = 'y')"
_ORDER: Final[dict[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SET_OUTSIDE: Final = ("LEFT", "RIGHT", "ABS")
"""The functions whose failures have a value of their own; only the root of an expression passes it on."""


class Part(NamedTuple):
    """A compiled node: ``type`` is what it surely yields, ``any`` for attributes, which may be typed."""

    run: Run
    type: ResultType
    node: tree.Node

    @property
    def literal(self) -> Value | None:
        """The value, where the node is a literal."""
        return self.node.value if isinstance(self.node, tree.Constant) else None


def compile_tree(node: tree.Node, *, root: bool = True) -> Part:
    """The closure of a node and of all below it; recursion is bounded by the depth of the tree."""
    match node:
        case tree.Constant(value=value):
            return Part(lambda _: value, type_of(value), node)
        case tree.Attribute(name=name):
            return Part(_attribute(name), "any", node)
        case tree.Call():
            return _call(node, root=root)
        case _:
            return Part(_OPERATORS[type(node)](node), tree.result_type(node), node)


def _below(node: tree.Node) -> Part:
    return compile_tree(node, root=False)


def _attribute(name: str) -> Run:
    def attribute(attributes: Mapping[str, Any]) -> Any:
        value = attributes.get(name)
        if value is None:
            raise MissingAttributeError(name)
        return value

    return attribute


def _cast(part: Part, target: ResultType) -> Run:
    """The part's value as a ``target``."""
    run = part.run
    if target in {part.type, "any"}:
        return run
    if isinstance(part.node, tree.Attribute) and target == "str":
        return _text_attribute(part.node.name)
    cast = CASTS[target]
    return lambda attributes: cast(run(attributes))


def _text_attribute(name: str) -> Run:
    def text(attributes: Mapping[str, Any]) -> str:
        value = attributes.get(name)
        if value.__class__ is str:
            return value
        if value is None:
            raise MissingAttributeError(name)
        return to_string(value)

    return text


def _exists(node: tree.Exists) -> Run:
    """Required attributes always exist (3.4.4): an event without them is none."""
    name = node.name
    if name in REQUIRED:
        return lambda _: True
    return lambda attributes: attributes.get(name) is not None


def _negation(node: tree.Not) -> Run:
    operand = _below(node.operand)
    run = operand.run
    if operand.type == "bool":
        return lambda attributes: not run(attributes)

    def negation(attributes: Mapping[str, Any]) -> bool:
        value = run(attributes)
        try:
            return not to_boolean(value)
        except FailFastError as failure:
            raise FailFastError(failure.kind, f"{failure}{_NOT_HINT}") from None

    return negation


def _minus(node: tree.Negate) -> Run:
    run = _cast(_below(node.operand), "int")
    return lambda attributes: within_32_bits(-run(attributes))


def _logic(node: tree.Logic) -> Run:
    """AND and OR look at no more operands than they need (3.4.2); XOR looks at all of them."""
    runs: tuple[Callable[[Mapping[str, Any]], bool], ...] = tuple(
        _cast(_below(operand), "bool") for operand in node.operands
    )
    if node.operator == "XOR":
        return lambda attributes: sum(run(attributes) for run in runs) % 2 == 1
    if len(runs) == 2:
        left, right = runs
        if node.operator == "AND":
            return lambda attributes: left(attributes) and right(attributes)
        return lambda attributes: left(attributes) or right(attributes)
    decisive = node.operator == "OR"

    def logic(attributes: Mapping[str, Any]) -> bool:
        for run in runs:  # a generator would cost more than the operands
            if run(attributes) is decisive:
                return decisive
        return not decisive

    return logic


def _comparison(node: tree.Compare) -> Run:
    left, right = _below(node.left), _below(node.right)
    if node.operator in _ORDER:
        return _binary(left, right, _ORDER[node.operator])
    hit = node.operator == "="
    wanted = right.literal
    if isinstance(node.left, tree.Attribute) and isinstance(wanted, str):
        return _text_equality(node.left.name, wanted, hit=hit)
    first, second = left.run, right.run
    if left.type == right.type != "any":
        return lambda attributes: (first(attributes) == second(attributes)) is hit
    if right.type != "any":
        cast = CASTS[right.type]

        def known(attributes: Mapping[str, Any]) -> bool:
            value, other = first(attributes), second(attributes)
            return (cast(value) == other) is hit

        return known

    def equality(attributes: Mapping[str, Any]) -> bool:
        # The type on the right decides (3.7): `=` is defined for pairs of one type only.
        value, other = first(attributes), second(attributes)
        return (CASTS[type_of(other)](value) == other) is hit

    return equality


def _text_equality(name: str, wanted: str, *, hit: bool) -> Run:
    """What nearly every filter begins with."""

    def text_equality(attributes: Mapping[str, Any]) -> bool:
        value = attributes.get(name)
        if value.__class__ is str:
            return (value == wanted) is hit
        if value is None:
            raise MissingAttributeError(name)
        return (to_string(value) == wanted) is hit

    return text_equality


def _binary(left: Part, right: Part, apply: Callable[[int, int], Any]) -> Run:
    """Of two integers. Both sides are evaluated before either is cast, so that a missing attribute is the error."""
    first, second = left.run, right.run
    if left.type == "int":
        if isinstance(number := right.literal, int) and right.type == "int":
            return lambda attributes: apply(first(attributes), number)
        if right.type == "int":
            return lambda attributes: apply(first(attributes), second(attributes))

    def binary(attributes: Mapping[str, Any]) -> Any:
        value, other = first(attributes), second(attributes)
        return apply(to_integer(value), to_integer(other))

    return binary


def _divide(dividend: int, divisor: int) -> int:
    if divisor == 0:
        raise FailFastError("math", f"{dividend} is divided by 0")
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _remainder(dividend: int, divisor: int) -> int:
    return dividend - divisor * _divide(dividend, divisor)


_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _remainder,
}


def _arithmetic(node: tree.Arithmetic) -> Run:
    run = _binary(_below(node.left), _below(node.right), _ARITHMETIC[node.operator])
    return lambda attributes: within_32_bits(run(attributes))


def _like(node: tree.Like) -> Run:
    text, matches, hit = _cast(_below(node.operand), "str"), node.pattern.matcher(), not node.negated
    if hit:
        return lambda attributes: matches(text(attributes))
    return lambda attributes: not matches(text(attributes))


def _membership(node: tree.In) -> Run:
    """Elements are cast to the type of what is looked for, one after the other, up to the first that is equal."""
    operand, elements, hit = _below(node.operand), [_below(element) for element in node.elements], not node.negated
    first, others = operand.run, tuple(element.run for element in elements)

    def one_by_one(value: Value, attributes: Mapping[str, Any]) -> bool:
        cast = CASTS[type_of(value)]
        return any(cast(run(attributes)) == value for run in others) is hit

    literals = [element.literal for element in elements]
    texts = frozenset(to_string(literal) for literal in literals if literal is not None)
    if operand.type not in {"str", "any"} or None in literals:
        return lambda attributes: one_by_one(first(attributes), attributes)

    def membership(attributes: Mapping[str, Any]) -> bool:
        value = first(attributes)
        if value.__class__ is str:
            return (value in texts) is hit
        return one_by_one(value, attributes)

    return membership


def _call(node: tree.Call, *, root: bool) -> Part:
    function = resolve(node.name, len(node.arguments))
    if function is None:
        return Part(_unknown(node), "any", node)
    run = function.run
    types = (*function.parameters, *[function.rest or "any"] * (len(node.arguments) - len(function.parameters)))
    arguments = tuple(_cast(_below(each), wanted) for each, wanted in zip(node.arguments, types, strict=True))
    if len(arguments) == 1:
        (only,) = arguments
        called: Run = lambda attributes: run(only(attributes))  # noqa: E731
    else:
        called = lambda attributes: run(*[argument(attributes) for argument in arguments])  # noqa: E731
    if not root and node.name in _SET_OUTSIDE:
        called = _without_value(called)
    return Part(called, function.result, node)


def _unknown(node: tree.Call) -> Run:
    """A call that cannot be dispatched is false and an error, whatever its arguments (3.5)."""
    known = node.name in FUNCTIONS
    what = f"no function {node.name} of {len(node.arguments)} arguments" if known else f"no function {node.name}"

    def unknown(_: Mapping[str, Any]) -> Any:
        raise FailFastError("missingFunction", f"there is {what}")

    return unknown


def _without_value(run: Run) -> Run:
    def called(attributes: Mapping[str, Any]) -> Any:
        try:
            return run(attributes)
        except EvaluationError as failure:
            failure.value = UNSET
            raise

    return called


_OPERATORS: Final[dict[type[tree.Node], Callable[[Any], Run]]] = {
    tree.Exists: _exists,
    tree.Not: _negation,
    tree.Negate: _minus,
    tree.Logic: _logic,
    tree.Compare: _comparison,
    tree.Arithmetic: _arithmetic,
    tree.Like: _like,
    tree.In: _membership,
}
