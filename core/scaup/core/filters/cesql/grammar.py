"""The grammar of CESQL (CESQL 1.0, 2 and 3.6; CESQLParser.g4), and how what it finds becomes a tree.

LALR(1), so neither parsing nor building recurses, and both take time in proportion to the text. Precedence is in the
rules, tightest last. AND, OR and XOR are of one level, and stand in a row only with their like (decision 0008).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, cast

from lark import Lark, Transformer, UnexpectedToken
from lark.lexer import Token

from scaup.core.filters.cesql import like, tree
from scaup.core.filters.cesql.advice import explained
from scaup.core.filters.cesql.lexer import CesqlLexer, check_size, too_deep
from scaup.core.filters.cesql.limits import MAX_DEPTH
from scaup.core.filters.cesql.values import integer_of, shown
from scaup.core.filters.subject import FilterSyntaxError

_GRAMMAR: Final = r"""
    ?start: logic
    ?logic: comparison | comparison ((AND | OR | XOR) comparison)+ -> logic
    ?comparison: sum | comparison COMPARE sum -> compare
    ?sum: product | sum (PLUS | MINUS) product -> arithmetic
    ?product: tested | product (STAR | SLASH | PERCENT) tested -> arithmetic
    ?tested: unary
        | tested [NOT] LIKE STRING -> like
        | tested [NOT] IN set -> is_in
    ?unary: atom | NOT unary -> negation | MINUS unary -> minus
    ?atom: STRING -> string | INT -> integer | TRUE -> true | FALSE -> false | NAME -> attribute
        | EXISTS NAME -> exists
        | NAME OPEN [logic (COMMA logic)*] CLOSE -> call
        | OPEN logic CLOSE -> inner
    set: OPEN logic (COMMA logic)* CLOSE
    %declare AND OR XOR NOT LIKE IN EXISTS TRUE FALSE COMPARE PLUS MINUS STAR SLASH PERCENT
    %declare OPEN CLOSE COMMA STRING INT NAME
"""

_ESCAPED: Final = {quote: re.compile(rf"\\([\\{quote}])") for quote in "'\""}
_FUNCTION: Final = re.compile(r"[A-Za-z][A-Za-z_]*")
Parts = list[Any]


def parse(text: str) -> tree.Node:
    """The tree of an expression. Raises FilterSyntaxError, with what was expected, and nothing else."""
    check_size(text)
    try:
        return cast("tree.Node", _parser().parse(text))
    except UnexpectedToken as error:
        raise explained(error, text) from None


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer=CesqlLexer, transformer=_Builder(), maybe_placeholders=False)


class _Builder(Transformer[Token, tree.Node]):
    """One method a rule of the grammar: from tokens and nodes, in the order of the text, to a node."""

    def string(self, parts: Parts) -> tree.Node:
        return tree.Constant(parts[0].column, 1, _unquoted(parts[0]))

    def integer(self, parts: Parts) -> tree.Node:
        number = integer_of(parts[0])
        if number is None:
            raise FilterSyntaxError(f"{shown(parts[0])} is no 32-bit integer", parts[0].column)
        return tree.Constant(parts[0].column, 1, number)

    def true(self, parts: Parts) -> tree.Node:
        return tree.Constant(parts[0].column, 1, True)

    def false(self, parts: Parts) -> tree.Node:
        return tree.Constant(parts[0].column, 1, False)

    def attribute(self, parts: Parts) -> tree.Node:
        return tree.Attribute(parts[0].column, 1, _attribute_name(parts[0]))

    def exists(self, parts: Parts) -> tree.Node:
        return tree.Exists(parts[0].column, 1, _attribute_name(parts[1]))

    def call(self, parts: Parts) -> tree.Node:
        name, arguments = parts[0], _nodes(parts)
        if _FUNCTION.fullmatch(name) is None:
            raise FilterSyntaxError(f"{shown(name)} names no function: expected letters and underscores", name.column)
        return tree.Call(name.column, _depth(name, *arguments), name.upper(), arguments)

    def inner(self, parts: Parts) -> tree.Node:
        return cast("tree.Node", parts[1])

    def negation(self, parts: Parts) -> tree.Node:
        return tree.Not(parts[0].column, _depth(*parts), parts[1])

    def minus(self, parts: Parts) -> tree.Node:
        return tree.Negate(parts[0].column, _depth(*parts), parts[1])

    def logic(self, parts: Parts) -> tree.Node:
        operators = parts[1::2]
        for operator in operators:
            if operator.type != operators[0].type:
                a, b = operators[0].type, operator.type
                raise FilterSyntaxError(
                    f"expected parentheses where {a} and {b} are mixed: write (x {a} y) {b} z or x {a} (y {b} z)",
                    operator.column,
                )
        return tree.Logic(parts[0].column, _depth(*parts), operators[0].type, _nodes(parts))

    def compare(self, parts: Parts) -> tree.Node:
        left, operator, right = parts
        sign = "!=" if operator == "<>" else str(operator)
        return tree.Compare(left.column, _depth(*parts), cast("tree.Comparison", sign), left, right)

    def arithmetic(self, parts: Parts) -> tree.Node:
        left, operator, right = parts
        return tree.Arithmetic(left.column, _depth(*parts), cast("tree.ArithmeticOperator", str(operator)), left, right)

    def like(self, parts: Parts) -> tree.Node:
        pattern = like.parse(_unquoted(parts[-1]))
        return tree.Like(parts[0].column, _depth(*parts), parts[0], pattern, _negated(parts))

    def is_in(self, parts: Parts) -> tree.Node:
        elements = parts[-1]
        return tree.In(parts[0].column, _depth(*parts[:-1], *elements), parts[0], elements, _negated(parts))

    def set(self, parts: Parts) -> tuple[tree.Node, ...]:
        return _nodes(parts)


def _nodes(parts: Parts) -> tuple[tree.Node, ...]:
    return tuple(part for part in parts if isinstance(part, tree.Node))


def _negated(parts: Parts) -> bool:
    return isinstance(parts[1], Token) and parts[1].type == "NOT"


def _depth(*parts: Token | tree.Node) -> int:
    """How deep a node above ``parts`` is; too deep a one is refused, since the tree is walked by recursion."""
    depth = 1 + max((part.depth for part in parts if isinstance(part, tree.Node)), default=0)
    if depth > MAX_DEPTH:
        token = next(part for part in parts if isinstance(part, Token))
        raise too_deep(token.column or 0)
    return depth


def _attribute_name(token: Token) -> str:
    """Case is folded, as the reference grammar and the kit do it (decision 0008)."""
    if "_" in token:
        raise FilterSyntaxError(f"{shown(token)} names no attribute: expected letters and digits", token.column or 0)
    return token.lower()


def _unquoted(token: Token) -> str:
    r"""A backslash takes its meaning from the delimiter only; before anything else, ``\\`` included, it stays (2.2)."""
    quote = token[0]
    if "\\" not in token:
        return token[1:-1]
    return _ESCAPED[quote].sub(lambda found: quote if found[1] == quote else found[0], token[1:-1])
