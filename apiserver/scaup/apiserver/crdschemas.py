"""Whether the schemas of a CustomResourceDefinition make sense. Pure.

In the words and the order of ``apiextensions.k8s.io/v1``: what is no structural schema (``crdstructure``), or else
defaults that do not fit; what may not be said in a schema of an API; and, where nothing was found, rules (CEL). What a
cluster estimates, such as the cost of rules, and types in rules are not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from scaup.apiserver import checks, crdstructure, embedded
from scaup.apiserver.answers import Problem, forbidden_field, required, unsupported
from scaup.apiserver.celengine import RuleError, is_there
from scaup.apiserver.celrules import broken, compiled_rule, rules_of, steps, uses_old
from scaup.apiserver.crdstructure import (
    EMBEDDED,
    KEEPS,
    RULES,
    Schema,
    below,
    junctions,
    properties_of,
)
from scaup.apiserver.crdversions import placed
from scaup.apiserver.crdversions import wrong as _wrong
from scaup.apiserver.fieldsets import LIST_KEYS, LIST_TYPE, MAP_TYPE
from scaup.apiserver.shown import as_go
from scaup.apiserver.structural import Node, pruned_value, read
from scaup.core.bus.kv import dumps

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES: Final = ("atomic", "set", "map")
_MAP_TYPES: Final = ("atomic", "granular")
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_META: Final = ("metadata", "kind", "apiVersion")
_NOT_SUPPORTED: Final = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_BREAKS: Final = re.compile(r"[\n\r]")
_CLUSTERS_ONLY: Final = re.compile(
    r"undeclared reference to '(?:quantity|isQuantity|url|isURL|ip|isIP|cidr|isCIDR|semver|isSemver|format|sets|"
    r"find|findAll|isSorted|sum|min|max|get\w+|containsIP|containsCIDR|family|masked|prefixLength|validate|jsonpatch|"
    r"is\w+|as\w+|compareTo|sign|add|sub|reverse|sort|distinct|flatten|slice|two|listTypes?|transform\w*|lists|"
    r"contains|equivalent|intersects|regex|base64)'"
)
"""Functions that only a cluster's CEL has: a rule that uses them is accepted, and left out here."""


def problems(versions: list[Any]) -> Iterator[Problem]:
    """What is wrong with the schemas of the versions."""
    for path, version in placed(versions, "schema") if versions else ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            yield from _root_problems(schema, f"{path.replace('spec.schema', 'spec.validation')}.openAPIV3Schema")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the whole a schema stands: why no default may be there, and within what no old value can be told."""

    path: str
    why_no_default: str = ""
    is_in_meta: bool = False
    without_old: str = ""


def _root_problems(schema: Schema, path: str) -> Iterator[Problem]:
    if schema.get("nullable"):
        yield forbidden_field(f"{path}.nullable", "nullable cannot be true at the root")
    found = list(crdstructure.problems(schema, path)) or list(_default_problems(read(schema, path)))
    found += _problems(schema, _Place(path), is_root=True)
    yield from found
    if not found:
        yield from _rule_problems(schema, _Place(path), is_root=True)


# --- defaults ---------------------------------------------------------------------------------------------------


def _default_problems(node: Node) -> Iterator[Problem]:
    if node.has_default:
        yield from _own_default_problems(node)
    for one in (*node.properties.values(), *((node.items,) if node.items else ())):
        yield from _default_problems(one)


def _own_default_problems(node: Node) -> Iterator[Problem]:
    default, path = node.default, f"{node.path}.default"
    if dumps(pruned_value(node, default)) != dumps(default):
        yield _wrong(path, default, "must not have unknown fields")
    found = list(embedded.problems(node, default, path))
    if not found:
        said = checks.problems(node, default)
        found = [replace(p, path=p.path if p.path == "<nil>" else f"{path}.{p.path}".rstrip(".")) for p in said]
    rules = rules_of(node, [], is_root=False)
    yield from found or broken(rules, default, default, path)
    if not found:
        yield from broken(rules, default, None, path)


# --- what may be said -------------------------------------------------------------------------------------------


def _problems(schema: Schema, place: _Place, *, is_root: bool = False) -> Iterator[Problem]:
    path, kind = place.path, schema.get("type") or ""
    if kind and kind not in _TYPES:
        yield unsupported(f"{path}.type", kind, _TYPES)
    if kind == "null":
        yield forbidden_field(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if place.why_no_default and schema.get("default") is not None:
        yield forbidden_field(f"{path}.default", f"must not be set {place.why_no_default}")
    yield from _unsupported_problems(schema, path)
    if place.is_in_meta and schema.get(EMBEDDED):
        yield forbidden_field(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")
    yield from _merging_problems(schema, path)
    yield from _form_problems(schema, path)
    for one, within in _places(schema, place, is_root=is_root):
        yield from _problems(one, within)
    for where, one in junctions(schema, path):
        yield from _problems(one, replace(place, path=where))


def _unsupported_problems(schema: Schema, path: str) -> Iterator[Problem]:
    """What JSON schema has, and schemas of an API have not."""
    for name in _NOT_SUPPORTED:
        if schema.get(name) or (name == "additionalItems" and schema.get(name) is not None):
            yield forbidden_field(f"{path}.{name}", f"{name} is not supported")
    if isinstance(schema.get("items"), list):
        yield forbidden_field(f"{path}.items", "items must be a schema object and not an array")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", detail)
    if schema.get("properties") and schema.get("additionalProperties") not in (None, True):
        yield forbidden_field(
            f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"
        )
    if schema.get(KEEPS) is False:
        yield _wrong(f"{path}.{KEEPS}", False, "must be true or undefined")


def _places(schema: Schema, place: _Place, *, is_root: bool) -> Iterator[tuple[Schema, _Place]]:
    """The schemas below, each with its place."""
    for where, one in below(schema, place.path):
        within = replace(place, path=where)
        if where == f"{place.path}.items" and schema.get(LIST_TYPE) != "map":
            within = replace(within, without_old=place.without_old or place.path)
        elif where == f"{place.path}.additionalProperties" and place.is_in_meta:
            within = replace(within, why_no_default="inside additionalProperties applying to object metadata")
        elif where.startswith(f"{place.path}.properties["):
            name = where.removeprefix(f"{place.path}.properties[")[:-1]
            if name in _META and (is_root or schema.get(EMBEDDED)):
                why = f"in top-level {name}" if is_root else place.why_no_default
                within = replace(within, is_in_meta=True, why_no_default=why)
        yield one, within


def _merging_problems(schema: Schema, path: str) -> Iterator[Problem]:
    """Lists that are sets or maps, and objects that are one value."""
    kind, lists, maps = schema.get("type") or "", schema.get(LIST_TYPE), schema.get(MAP_TYPE)
    for name, wanted, given in ((MAP_TYPE, "object", maps), (LIST_TYPE, "array", lists)):
        if given is not None and kind != wanted:
            detail = f"must be {wanted} if {name} is specified"
            yield _wrong(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)
    if maps is not None and maps not in _MAP_TYPES:
        yield unsupported(f"{path}.{MAP_TYPE}", maps, _MAP_TYPES)
    if lists is not None and lists not in _LIST_TYPES:
        yield unsupported(f"{path}.{LIST_TYPE}", lists, _LIST_TYPES)
    if schema.get(LIST_KEYS) and lists != "map":
        where, detail = f"{path}.{LIST_TYPE}", f"must be map if {LIST_KEYS} is non-empty"
        yield required(where, detail) if lists is None else _wrong(where, lists, detail)
    items = schema.get("items")
    if not isinstance(items, Mapping):
        return
    if lists in {"set", "map"} and items.get("nullable"):
        yield forbidden_field(f"{path}.items.nullable", f"cannot be nullable when {LIST_TYPE} is {lists}")
    if lists == "set" and kind == "array":
        yield from _set_problems(items, f"{path}.items")
    elif lists == "map":
        yield from _map_problems(schema, items, path)


def _set_problems(items: Schema, path: str) -> Iterator[Problem]:
    detail = f"must be atomic as item of a list with {LIST_TYPE}=set"
    given = items.get(LIST_TYPE)
    if items.get("type") == "array" and given not in (None, "atomic"):
        yield _wrong(f"{path}.{LIST_TYPE}", given, detail)
    if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        yield _wrong(f"{path}.{MAP_TYPE}", given, detail)


def _map_problems(schema: Schema, items: Schema, path: str) -> Iterator[Problem]:
    keys, kind, of_parent = (
        schema.get(LIST_KEYS) or [],
        items.get("type") or "",
        f"if parent array's {LIST_TYPE} is map",
    )
    if not keys:
        yield required(f"{path}.{LIST_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if kind != "object":
        yield _wrong(f"{path}.items.type", kind, f"must be object {of_parent}")
    fields = properties_of(items)
    for number, key in enumerate(keys):
        field, where = fields.get(key), f"{path}.items.properties[{key}]"
        if key in keys[:number] and kind == "object":
            yield _wrong(f"{path}.{LIST_KEYS}", keys, "must not contain duplicate entries")
        if field is None:
            if kind == "object":
                yield _wrong(f"{path}.{LIST_KEYS}", keys, "entries must all be names of item properties")
            continue
        if field.get("type") in {"array", "object"} and kind == "object":
            yield _wrong(f"{where}.type", kind, f"must be a scalar type {of_parent}")
        of_keys = f"this property is in {LIST_KEYS}, so it"
        if key not in (items.get("required") or ()) and field.get("default") is None:
            yield required(f"{where}.default", f"{of_keys} must have a default or be a required property")
        if field.get("nullable"):
            yield forbidden_field(f"{where}.nullable", f"{of_keys} cannot be nullable")


# --- rules ------------------------------------------------------------------------------------------------------


def _form_problems(schema: Schema, path: str) -> Iterator[Problem]:
    """What is wrong with rules besides what they say."""
    for number, raw in enumerate(schema.get(RULES) or ()):
        where = f"{path}.{RULES}[{number}]"
        rule, message, expression, field = (
            raw.get(name) or "" for name in ("rule", "message", "messageExpression", "fieldPath")
        )
        if not rule.strip():
            yield required(f"{where}.rule", "rule is not specified")
        elif message and not message.strip():
            yield _wrong(f"{where}.message", message, "must be non-empty if specified")
        elif _BREAKS.search(message.strip()):
            yield _wrong(f"{where}.message", message, "must not contain line breaks")
        elif _BREAKS.search(rule.strip()) and not message:
            yield required(f"{where}.message", "message must be specified if rule contains line breaks")
        if expression and not expression.strip():
            yield required(f"{where}.messageExpression", "messageExpression must be non-empty if specified")
        if raw.get("reason") is not None and raw["reason"] not in _REASONS:
            yield unsupported(f"{where}.reason", raw["reason"], _REASONS)
        yield from _path_problems(schema, field, f"{where}.fieldPath")


def _path_problems(schema: Schema, field: str, where: str) -> Iterator[Problem]:
    if field and not field.strip():
        yield _wrong(where, field, "must be non-empty if specified")
    if _BREAKS.search(field):
        yield _wrong(where, field, "must not contain line breaks")
    if field and not _is_path(schema, field):
        yield _wrong(where, field, "must be a valid path")


def _rule_problems(schema: Schema, place: _Place, *, is_root: bool = False) -> Iterator[Problem]:
    for number, raw in enumerate(schema.get(RULES) or () if is_there() else ()):
        where = f"{place.path}.{RULES}[{number}]"
        for name, why in (
            ("rule", "compilation failed"),
            ("messageExpression", "messageExpression compilation failed"),
        ):
            try:
                compiled_rule(
                    {"rule": raw[name], "optionalOldSelf": raw.get("optionalOldSelf")}
                    if raw.get(name)
                    else {"rule": "true"}
                )
            except RuleError as error:
                if not _CLUSTERS_ONLY.search(str(error)):
                    message = f"Invalid value: {_rule_shown(raw)}: {why}: {error.picture or error}"
                    yield Problem(f"{where}.{name}", "FieldValueInvalid", message)
        if uses_old(raw["rule"]):
            if place.without_old:
                detail = (
                    f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.without_old}"
                )
                yield _wrong(f"{where}.rule", raw["rule"], detail)
        elif raw.get("optionalOldSelf") is not None:
            detail = "may not be set if oldSelf is not used in rule"
            yield _wrong(f"{where}.optionalOldSelf", raw["optionalOldSelf"], detail)
    for one, within in _places(schema, place, is_root=is_root):
        yield from _rule_problems(one, within)


def _is_path(schema: Schema, text: str) -> bool:
    """Whether a ``fieldPath`` leads to a field that the schema describes."""
    for name in steps(text) or (None,):
        one = properties_of(schema).get(name) if name is not None else None
        if one is None:
            one = schema.get("additionalProperties") if name is not None else None
        if not isinstance(one, Mapping):
            return False
        schema = one
    return True


def _rule_shown(raw: Mapping[str, Any]) -> str:
    """A rule as Go's JSON package writes it."""
    said = {
        "Rule": raw.get("rule", ""),
        "Message": raw.get("message", ""),
        "MessageExpression": raw.get("messageExpression", ""),
        "Reason": raw.get("reason"),
        "FieldPath": raw.get("fieldPath", ""),
        "OptionalOldSelf": raw.get("optionalOldSelf"),
    }
    return as_go(said)
