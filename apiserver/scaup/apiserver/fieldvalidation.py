"""``fieldValidation``: unknown fields and fields that stand twice are refused, warned of or ignored, as is asked.

What one request asked for, and what it is warned of, goes with its task: the parts that find something are far apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from scaup.apiserver.answers import ApiError, Problem, bad_request, invalid_options, unsupported
from scaup.apiserver.kinds import Kind
from scaup.apiserver.query import OPTIONS
from scaup.apiserver.shown import shown
from scaup.core.bus.kv import dumps

_MODES: Final = ("", "Ignore", "Strict", "Warn")
_MOST: Final = 64
"""Warnings of one request."""


class FieldValidation:
    """What one write asked for."""

    def __init__(self, query: Mapping[str, str], verb: str) -> None:
        asked = query.get("fieldValidation", "")
        self.is_patch = verb == "patch"
        self.is_of_objects = verb in {"create", "update"} and asked != "Ignore"
        self.mode = asked or "Warn"
        self.twice: list[str] = []
        self.warnings: list[str] = []
        if asked not in _MODES and verb in OPTIONS:
            raise invalid_options([unsupported("fieldValidation", asked, _MODES)], OPTIONS[verb])

    def judge(self, kind: Kind, made: Any, unknown: list[str]) -> None:
        """Say what was found, or raise ApiError where that was asked for."""
        said = [*self.twice, *(f"unknown field {shown(path)}" for path in unknown)]
        if not said or self.mode == "Ignore":
            return
        if self.mode == "Strict":
            why = f"strict decoding error: {', '.join(said)}"
            raise misfit(kind, made, why)
        self.warnings += [one for one in said if one not in self.warnings][: _MOST - len(self.warnings)]

    def headers(self) -> list[str]:
        """The ``Warning`` headers."""
        return [_header(said) for said in self.warnings if "\n" not in said]


def of_kind(kind: Kind) -> list[str]:
    """The ``Warning`` header of a deprecated version, for everyone who asks for it."""
    return [_header(kind.warning)] if kind.warning else []


def _header(said: str) -> str:
    return f"299 - {shown(said)}"


_present: ContextVar[FieldValidation | None] = ContextVar("field_validation", default=None)


@contextmanager
def asking(query: Mapping[str, str], verb: str, warnings: list[str]) -> Iterator[None]:
    """While a request is answered; what it is to be warned of is added to ``warnings``."""
    found = FieldValidation(query, verb)
    token = _present.set(found)
    try:
        yield
    finally:
        _present.reset(token)
        warnings += found.headers()


def present() -> FieldValidation | None:
    """That of the request which is being answered; None where the API writes of its own accord."""
    return _present.get()


def cannot_be(kind: Kind, why: str) -> ApiError:
    """A body that cannot be an object of this kind."""
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')


def misfit(kind: Kind, made: Any, why: str) -> ApiError:
    """What was sent, or what a patch makes, cannot be an object of this kind."""
    asked = present()
    return _patch_refused(made, why) if asked is not None and asked.is_patch else cannot_be(kind, why)


def _patch_refused(made: Any, why: str) -> ApiError:
    problem = Problem("patch", "FieldValueInvalid", f"Invalid value: {shown(dumps(made).decode())}: {why}")
    return ApiError(422, "Invalid", f' "" is invalid: {problem}', {"causes": [problem.cause()]})
