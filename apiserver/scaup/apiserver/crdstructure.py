"""Whether a schema is structural: every value in it is described once, outside of ``allOf``, ``anyOf`` … Pure.

Follows ``ValidateStructural`` of ``apiextensions.k8s.io``, in its words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scaup.apiserver.answers import Problem, forbidden_field, required, wrong
from scaup.apiserver.celengine import RuleError, matches
from scaup.apiserver.fieldsets import LIST_KEYS, LIST_TYPE, MAP_TYPE

Schema = Mapping[str, Any]

KEEPS: Final = "x-kubernetes-preserve-unknown-fields"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
RULES: Final = "x-kubernetes-validations"
_JUNCTIONS: Final = ("anyOf", "allOf", "oneOf")
_EITHER: Final = [{"type": "integer"}, {"type": "string"}]
"""The one ``anyOf`` that may name types: that of a value which is an integer or a text."""
_OUTSIDE: Final = {
    **dict.fromkeys(("type", "title", "description", LIST_KEYS, RULES), "must be empty to be structural"),
    **dict.fromkeys(("additionalProperties", "default", LIST_TYPE, MAP_TYPE), "must be undefined to be structural"),
    **dict.fromkeys(("nullable", KEEPS, EMBEDDED, INT_OR_STRING), "must be false to be structural"),
}
"""What may only be said outside of junctions."""
_ROOT, _ITEMS, _FIELDS = "at the root", "for specified array items", "for specified object fields"


def problems(schema: Schema, path: str) -> Iterator[Problem]:
    """What keeps a schema from being structural."""
    yield from _problems(schema, path, _ROOT)
    yield from _undescribed(schema, schema, path, path)


def properties_of(schema: Schema) -> dict[str, Schema]:
    """The fields that a schema describes."""
    return {key: below or {} for key, below in (schema.get("properties") or {}).items()}


def below(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """The schemas of the values in a value, and where they stand."""
    if isinstance(schema.get("items"), Mapping):
        yield f"{path}.items", schema["items"]
    for key, one in properties_of(schema).items():
        yield f"{path}.properties[{key}]", one
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield f"{path}.additionalProperties", schema["additionalProperties"]


def junctions(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """The schemas that have to hold besides."""
    for how in _JUNCTIONS:
        for number, one in enumerate(schema.get(how) or ()):
            yield f"{path}.{how}[{number}]", one or {}
    if schema.get("not") is not None:
        yield f"{path}.not", schema["not"]


def _problems(schema: Schema, path: str, level: str) -> Iterator[Problem]:
    kind, additional = schema.get("type") or "", schema.get("additionalProperties")
    if kind == "array" and not isinstance(schema.get("items"), Mapping):
        yield required(f"{path}.items", "must be specified")
    if level == _ROOT and additional is not None:
        yield forbidden_field(f"{path}.additionalProperties", "must not be used at the root")
    for where, one in below(schema, path):
        yield from _problems(one, where, _ITEMS if where == f"{path}.items" else _FIELDS)
    if schema.get(INT_OR_STRING):
        for name in (KEEPS, EMBEDDED):
            if schema.get(name):
                yield wrong(f"{path}.{name}", True, f"must be false if {INT_OR_STRING} is true")
    yield from _value_problems(schema, path, is_whole=True)
    yield from _embedded_problems(schema, path) if schema.get(EMBEDDED) else _type_problems(schema, path, level)
    if level == _ROOT and kind and kind != "object":
        yield wrong(f"{path}.type", kind, "must be object at the root")
    yield from _meta_problems(schema, path, level)


def _type_problems(schema: Schema, path: str, level: str) -> Iterator[Problem]:
    if not (schema.get("type") or schema.get(INT_OR_STRING) or schema.get(KEEPS)):
        yield required(f"{path}.type", f"must not be empty {level}")


def _embedded_problems(schema: Schema, path: str) -> Iterator[Problem]:
    kind, where = schema.get("type") or "", f"{path}.type"
    if kind != "object":
        detail = f"must be object if {EMBEDDED} is true"
        yield wrong(where, kind, detail) if kind else required(where, detail)
    if schema.get("additionalProperties") is not None:
        yield forbidden_field(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set")
    if not schema.get(KEEPS) and not schema.get("properties"):
        yield required(f"{path}.properties", f"must not be empty if {EMBEDDED} is true without {KEEPS}")


def _meta_problems(schema: Schema, path: str, level: str) -> Iterator[Problem]:
    """What is said of a whole object's own fields: little may be."""
    fields, is_object = properties_of(schema), level == _ROOT or schema.get(EMBEDDED)
    for name, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if is_object and name in fields and fields[name].get("type") != wanted:
            yield wrong(f"{path}.properties[{name}].type", fields[name].get("type") or "", f"must be {wanted}")
    if level == _ROOT and "metadata" in fields:
        about = fields["metadata"]
        more = about.keys() - {"type", "properties", "default"}
        if any(about[name] for name in more) or properties_of(about).keys() - {"name", "generateName"}:
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield forbidden_field(f"{path}.properties[metadata]", detail)


def _value_problems(schema: Schema, path: str, *, is_whole: bool, may_choose: bool = False) -> Iterator[Problem]:
    """``may_choose``: its ``anyOf`` may name types, as that of a whole schema may, and that of its first ``allOf``."""
    may_choose = may_choose or is_whole
    for where, one in junctions(schema, path):
        if may_choose and where.startswith(f"{path}.anyOf[") and schema["anyOf"] == _EITHER:
            continue
        yield from _nested_problems(one, where, may_choose=is_whole and where == f"{path}.allOf[0]")
    if pattern := schema.get("pattern"):
        try:
            matches(pattern, "")
        except RuleError as error:
            detail = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            yield wrong(f"{path}.pattern", pattern, detail)


def _nested_problems(schema: Schema, path: str, *, may_choose: bool = False) -> Iterator[Problem]:
    yield from _value_problems(schema, path, is_whole=False, may_choose=may_choose)
    for where, one in below(schema, path):
        if where != f"{path}.additionalProperties":
            yield from _nested_problems(one, where)
    for name, detail in _OUTSIDE.items():
        value = schema.get(name)
        if (
            value
            or (name == "additionalProperties" and isinstance(value, Mapping))
            or (name in {"default", LIST_TYPE, MAP_TYPE} and value is not None)
        ):
            yield forbidden_field(f"{path}.{name}", detail)
    if "metadata" in properties_of(schema):
        yield forbidden_field(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _undescribed(said: Schema, schema: Schema, path: str, said_path: str) -> Iterator[Problem]:
    """What a junction speaks of, and nothing describes: ``path`` is where that would stand."""
    for where, one in junctions(said, said_path):
        yield from _undescribed_below(one, schema, path, where)


def _undescribed_below(said: Schema, schema: Schema, path: str, said_path: str) -> Iterator[Problem]:
    yield from _undescribed(said, schema, path, said_path)
    described = {where.removeprefix(path): one for where, one in below(schema, path)}
    for where, one in below(said, said_path):
        step = where.removeprefix(said_path)
        if step == ".additionalProperties":  # forbidden there anyway
            continue
        if step in described:
            yield from _undescribed_below(one, described[step], f"{path}{step}", where)
        else:
            yield required(f"{path}{step}", f"because it is defined in {where}")
