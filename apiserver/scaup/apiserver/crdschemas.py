"""Whether the schemas of a CustomResourceDefinition are structural, and what is in them makes sense. Pure.

The common mistakes, in the words of ``apiextensions.k8s.io/v1``. What a cluster estimates, such as the cost of rules,
is not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from scaup.apiserver import checks
from scaup.apiserver.answers import Problem, forbidden_field, required, unsupported, wrong
from scaup.apiserver.celengine import RuleError, matches
from scaup.apiserver.celrules import compiled_rule
from scaup.apiserver.structural import read
from scaup.core.bus.kv import dumps

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES: Final = ("atomic", "map", "set")
_KEEP: Final = "x-kubernetes-preserve-unknown-fields"
_ANY: Final = "x-kubernetes-int-or-string"
_RULES: Final = "x-kubernetes-validations"
_CLUSTERS_ONLY: Final = re.compile(
    r"undeclared reference to '(?:quantity|isQuantity|url|isURL|ip|isIP|cidr|isCIDR|semver|isSemver|format|sets|"
    r"find|findAll|isSorted|sum|min|max|get\w+|containsIP|containsCIDR|family|masked|prefixLength|validate|jsonpatch|"
    r"is\w+|as\w+|compareTo|sign|add|sub|reverse|sort|distinct|flatten|slice|two|listTypes?|transform\w*|lists|"
    r"contains|equivalent|intersects|regex|base64)'"
)
"""Functions that only a cluster's CEL has: a rule that uses them is accepted, and left out here."""


def problems(versions: list[Any]) -> Iterator[Problem]:
    """What is wrong with the schemas of the versions."""
    found = [(number, _schema_of(version)) for number, version in enumerate(versions)]
    written = {dumps(schema) for _, schema in found}
    if len(written) == 1:  # a cluster keeps one schema of all versions apart from them
        found = found[:1]
    for number, schema in found:
        where = "spec.validation" if len(written) == 1 else f"spec.versions[{number}].schema"
        if isinstance(schema, Mapping):
            yield from _root_problems(schema, f"{where}.openAPIV3Schema")


def _schema_of(version: Any) -> Any:
    schema = version.get("schema") if isinstance(version, dict) else None
    return schema.get("openAPIV3Schema") if isinstance(schema, dict) else None


def _root_problems(schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if not schema.get("type"):
        yield required(f"{path}.type", "must not be empty at the root")
    elif schema["type"] != "object":
        yield wrong(f"{path}.type", schema["type"], "must be object at the root")
    yield from _problems(schema, path)


def _problems(schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    kind, properties, additional = schema.get("type"), schema.get("properties"), schema.get("additionalProperties")
    if kind and kind not in _TYPES:
        yield unsupported(f"{path}.type", kind, _TYPES)
        return
    if properties and additional:
        yield forbidden_field(
            f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"
        )
    if kind == "array" and not schema.get("items"):
        yield required(f"{path}.items", "must be specified")
    if schema.get("$ref"):
        yield forbidden_field(f"{path}.$ref", "$ref is not supported")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", detail)
    yield from _list_problems(schema, path)
    yield from _value_problems(schema, path)
    yield from _rule_problems(schema, path)
    for where, below, of in _below(schema, path):
        if not (below.get("type") or below.get(_KEEP) or below.get(_ANY)):
            yield required(f"{where}.type", f"must not be empty for specified {of}")
        yield from _problems(below, where)


def _below(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    for key, below in (schema.get("properties") or {}).items():
        if isinstance(below, Mapping) and not (path.endswith(".openAPIV3Schema") and key == "metadata"):
            yield f"{path}.properties[{key}]", below, "object fields"
    for key, of in (("additionalProperties", "object fields"), ("items", "array items")):
        if isinstance(schema.get(key), Mapping):
            yield f"{path}.{key}", schema[key], of


def _list_problems(schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    kind = schema.get("x-kubernetes-list-type")
    if kind is None:
        return
    if kind not in _LIST_TYPES:
        yield unsupported(f"{path}.x-kubernetes-list-type", kind, _LIST_TYPES)
    elif kind == "map" and not schema.get("x-kubernetes-list-map-keys"):
        detail = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{path}.x-kubernetes-list-map-keys", detail)


def _value_problems(schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if pattern := schema.get("pattern"):
        try:
            matches(pattern, "")
        except RuleError as error:
            detail = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            yield wrong(f"{path}.pattern", pattern, detail)
    if "default" in schema:
        for problem in checks.problems(read(schema), schema["default"]):
            where = problem.path if problem.path == "<nil>" else f"{path}.default.{problem.path}".rstrip(".")
            yield Problem(where, problem.reason, problem.message)


def _rule_problems(schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for number, raw in enumerate(schema.get(_RULES) or ()):
        try:
            compiled_rule(raw)
        except RuleError as error:
            if _CLUSTERS_ONLY.search(str(error)):
                continue
            shown = {
                "Rule": raw.get("rule", ""),
                "Message": raw.get("message", ""),
                "MessageExpression": raw.get("messageExpression", ""),
                "Reason": raw.get("reason"),
                "FieldPath": raw.get("fieldPath", ""),
                "OptionalOldSelf": raw.get("optionalOldSelf"),
            }
            text = orjson.dumps(shown).decode()
            for plain, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
                text = text.replace(plain, escape)
            message = f"Invalid value: {text}: compilation failed: {error.picture or error}"
            yield Problem(f"{path}.{_RULES}[{number}].rule", "FieldValueInvalid", message)
