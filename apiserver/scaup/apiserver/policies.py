"""The admission policies that a cluster has beside our kinds (``deploy/base/crds/policies.yaml``), asked here too.

They refuse what a schema cannot: unknown fields of kinds that keep them, and changes of annotations. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from scaup.apiserver.answers import ApiError
from scaup.apiserver.celengine import RuleError, compiled, given, is_there
from scaup.apiserver.kinds import Kind, Resource

Ask = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Check:
    policy: str
    ask: Ask
    say: Ask | None
    message: str


@dataclass(frozen=True, slots=True)
class _Checks:
    """All checks of a kind: as one, which almost always holds, and each with its words."""

    whole: Ask
    each: list[_Check]


def refusal(kind: Kind, made: dict[str, Any], present: dict[str, Any] | None) -> ApiError | None:
    """The first policy that denies the object in the place of ``present``, in Kubernetes' words."""
    if kind.resource not in _policies() or not is_there():
        return None
    checks = _checks(kind.resource)
    values = given({"object": made, "oldObject": present})
    if _holds(checks.whole, values):
        return None
    for check in checks.each:
        try:
            if check.ask(values) is True:
                continue
            said = check.say(values) if check.say is not None else check.message
        except RuleError as error:
            said = str(error)
        name = str(made["metadata"].get("name", ""))
        why = f"ValidatingAdmissionPolicy '{check.policy}' with binding '{check.policy}' denied request: {said}"
        details = {"name": name, "group": kind.group, "kind": kind.plural, "causes": [{"message": why}]}
        return ApiError(422, "Invalid", f'{kind.resource_name} "{name}" is forbidden: {why}', details)
    return None


def _holds(ask: Ask, values: Any) -> bool:
    try:
        return ask(values) is True
    except RuleError:
        return False


@cache
def _policies() -> dict[Resource, Any]:
    """The policies as they were written, by what they are about."""
    text = files("scaup.apiserver").joinpath("definitions/policies.json").read_bytes()
    found = {}
    for policy in orjson.loads(text):
        rule = policy["spec"]["matchConstraints"]["resourceRules"][0]
        found[Resource(rule["apiGroups"][0], rule["resources"][0])] = policy
    return found


@cache
def _checks(resource: Resource) -> _Checks:
    """The checks of a policy, compiled when the first object of its kind is written: that loads the engine."""
    policy = _policies()[resource]
    spec = policy["spec"]
    variables = spec.get("variables") or []
    whole = " && ".join(f"({one['expression']})" for one in spec["validations"])
    each = [
        _Check(
            policy["metadata"]["name"],
            compiled(_bound(variables, one["expression"])),
            compiled(_bound(variables, one["messageExpression"])) if "messageExpression" in one else None,
            one.get("message") or f"failed expression: {one['expression']}",
        )
        for one in spec["validations"]
    ]
    return _Checks(compiled(_bound(variables, whole)), each)


def _bound(variables: list[dict[str, str]], expression: str) -> str:
    """The expression with the policy's variables that it needs, which may need the ones before them."""
    text = expression
    for number in range(len(variables), 0, -1):
        known = variables[number - 1]
        if f"variables.{known['name']}" in text:
            text = text.replace(f"variables.{known['name']}", known["name"])
            text = f"cel.bind({known['name']}, ({known['expression']}), ({text}))"
    return text
