"""Conditions of the Knative kind: what they are, how ``Ready`` follows from them, how they stand in a status. Pure.

CP-39: a list with unique types; CP-40/41: ``Ready`` sums up; CP-42: what is not True has a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. ``reason`` is a word for programs, ``message`` a sentence for people."""

    type: str
    status: State
    reason: str = ""
    message: str = ""
    severity: str = ""
    """Empty for what ``Ready`` follows from; ``Warning`` for what is only to be seen (knative.dev/pkg/apis)."""

    @property
    def is_true(self) -> bool:
        """Whether it holds."""
        return self.status == "True"

    def renamed(self, name: str) -> Condition:
        """The same under another name: how one condition is copied into another."""
        return Condition(name, self.status, self.reason, self.message)


def true(name: str, reason: str = "", message: str = "") -> Condition:
    """A condition that holds."""
    return Condition(name, "True", reason, message)


def false(name: str, reason: str, message: str) -> Condition:
    """A condition that does not hold, and will not by waiting alone."""
    return Condition(name, "False", reason, message)


def unknown(name: str, reason: str, message: str) -> Condition:
    """A condition that is on its way."""
    return Condition(name, "Unknown", reason, message)


def note(name: str, reason: str, message: str) -> Condition:
    """A condition that does not hold and should be looked at, though nothing stops working for it."""
    return Condition(name, "False", reason, message, "Warning")


def ready(conditions: Sequence[Condition]) -> Condition:
    """``Ready``: the first that is False, else the first that is Unknown, else True."""
    for status in ("False", "Unknown"):
        for condition in conditions:
            if condition.status == status and not condition.severity:
                return condition.renamed("Ready")
    return true("Ready")


def written(conditions: Sequence[Condition], present: Any, now: str) -> list[dict[str, Any]]:
    """``conditions`` as they stand in a status, by type; the time of a transition stays while the status does.

    ``present`` is what stands there now (anything), ``now`` an RFC 3339 time.
    """
    before = by_type(present)
    result = []
    for condition in sorted(conditions, key=lambda c: c.type):
        old = before.get(condition.type, {})
        time = old.get("lastTransitionTime") if old.get("status") == condition.status else None
        result.append(_plain(condition) | {"lastTransitionTime": time if isinstance(time, str) else now})
    return result


def differ(conditions: Sequence[Condition], present: Any) -> bool:
    """Whether ``present`` says something else than ``conditions``, times aside."""
    if not isinstance(present, list) or len(present) != len(conditions):
        return True
    before = by_type(present)
    for condition in conditions:
        old = before.get(condition.type)
        if old is None or {k: v for k, v in old.items() if k != "lastTransitionTime"} != _plain(condition):
            return True
    return False


def _plain(condition: Condition) -> dict[str, Any]:
    plain = {"type": condition.type, "status": condition.status}
    if condition.reason:
        plain["reason"] = condition.reason
    if condition.message:
        plain["message"] = condition.message
    if condition.severity:
        plain["severity"] = condition.severity
    return plain


def by_type(present: Any) -> dict[str, dict[str, Any]]:
    """The conditions in a status, whatever else stands there."""
    if not isinstance(present, list):
        return {}
    return {c["type"]: c for c in present if isinstance(c, dict) and isinstance(c.get("type"), str)}
