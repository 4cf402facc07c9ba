"""Google's CEL engine as Kubernetes' rules and policies use it: with optional values and the string functions.

The one place here that knows its Python interface. It is loaded when the first rule is compiled. It bounds recursion
and loops itself (``core.filters.cel.engine`` says how), so a rule cannot hold a write up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from scaup.core.filters.cel.engine import FAILURES

NAMES: Final = ("self", "object", "oldObject", "before")
_KEY: Final = re.compile(r'Key not found in map : "?([^"]*)"?')
_PLACE: Final = re.compile(r"<input>:\d+:\d+: ([^\n]+)")
_STATUS: Final = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")


class RuleError(Exception):
    """An expression is none, or has no value. ``picture`` shows where in it, as the engine drew it."""

    def __init__(self, message: str, picture: str = "") -> None:
        super().__init__(message)
        self.picture = picture


@cache
def is_there() -> bool:
    """Whether there is an engine for this platform. Without one no rule and no policy is evaluated."""
    try:
        _engine()
    except RuleError:
        return False
    return True


def given(values: Mapping[str, Any]) -> Any:
    """Values (of ``NAMES`` and ``oldSelf``) for the engine, which takes each over once, when it is first asked for."""
    return _engine()[1].Activation(dict(values))


def compiled(text: str) -> Callable[[Any], Any]:
    """The function from what is ``given`` to true, false or a text. Raises RuleError, as does the function."""
    module, environment = _engine()
    try:
        program = environment.compile(text)
    except FAILURES as error:
        found = _PLACE.findall(str(error))
        picture = re.sub(r"^[A-Z]+_[A-Z_]+: |\s*\[[A-Z_]+\]$", "", str(error)).rstrip()
        raise RuleError("; ".join(found) or _sentence(str(error)), picture) from error
    wanted = (module.Type.BOOL, module.Type.STRING)

    def evaluate(values: Any) -> Any:
        try:
            result = program.eval(values)
            if result.type() == module.Type.ERROR:
                raise RuleError(_sentence(str(result.value())))
            if result.type() not in wanted:  # asking for a null would end the process
                raise RuleError(f"no such overload: the result is of type {result.type().name()}")
            return result.value()
        except FAILURES as error:
            raise RuleError(_sentence(str(error))) from error

    return evaluate


def _sentence(said: str) -> str:
    if found := _KEY.search(said):
        return f"no such key: {found[1]}"
    return " ".join(_STATUS.sub("", said).split())


@cache
def _engine() -> tuple[Any, Any]:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]
        from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings  # type: ignore[import-untyped]
    except ImportError as error:
        raise RuleError("there is no CEL engine for this platform") from error
    more = [ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_bindings.ExtBindings()]
    return cel, cel.NewEnv(variables=dict.fromkeys((*NAMES, "oldSelf"), cel.Type.DYN), extensions=more)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text, by RE2 as in a cluster: no pattern takes long. Raises RuleError.

    Without an engine by Python's expressions: they know almost all of RE2, and a pattern can take long.
    """
    if not is_there():
        try:
            return re.search(pattern, text) is not None
        except re.error as error:
            raise RuleError(str(error)) from error
    return _matching()(given({"self": text, "before": pattern})) is True


@cache
def _matching() -> Callable[[Any], Any]:
    return compiled("self.matches(before)")
