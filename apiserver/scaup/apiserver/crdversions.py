"""The versions of a CustomResourceDefinition: their names, and what each says besides its schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scaup.apiserver.answers import Problem, required
from scaup.apiserver.celrules import steps
from scaup.apiserver.crdnames import label_problem
from scaup.apiserver.crdstructure import Schema, properties_of
from scaup.apiserver.shown import shown
from scaup.core.bus.kv import dumps

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SELECTABLE: Final = ("string", "boolean", "integer")
_MOST_SELECTABLE: Final = 8
_MOST_WARNING: Final = 256

Version = Mapping[str, Any]


def problems(versions: list[Version]) -> Iterator[Problem]:
    """What is wrong with the versions."""
    for number, version in enumerate(versions):
        path, name = f"spec.versions[{number}]", version.get("name") or ""
        if why := label_problem(name):
            yield wrong(f"{path}.name", name, why)
            if number == 0 and name:
                yield wrong("spec.version", name, why)
        yield from _warning_problems(version, f"{path}.deprecationWarning")
    for field, check in (
        ("subresources", _subresources_problems),
        ("additionalPrinterColumns", _column_problems),
        ("selectableFields", _selectable_problems),
    ):
        for path, version in placed(versions, field) if versions else ():
            if version.get(field):
                yield from check(version, path)
    if len({version.get("name") for version in versions}) != len(versions):
        yield of_versions(versions, "must contain unique version names")
    if sum(1 for version in versions if version.get("storage")) != 1:
        yield of_versions(versions, "must have exactly one version marked as storage version")


def placed(versions: list[Version], field: str) -> list[tuple[str, Version]]:
    """Where a field of the versions stands: a cluster keeps what all versions have in common apart from them."""
    written = {dumps(version.get(field)) for version in versions}
    if len(written) == 1:
        return [(f"spec.{field}", versions[0])]
    return [(f"spec.versions[{number}].{field}", version) for number, version in enumerate(versions)]


def of_versions(versions: Any, detail: str) -> Problem:
    """What is wrong with all of them together."""
    return wrong("spec.versions", versions or None, detail)


def wrong(path: str, value: Any, detail: str) -> Problem:
    """A field has a value that it cannot have; all of the value is shown."""
    return Problem(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def _warning_problems(version: Version, path: str) -> Iterator[Problem]:
    said = version.get("deprecationWarning")
    if said is None:
        return
    if not version.get("deprecated"):
        yield wrong(path, said, "can only be set for deprecated versions")
        return
    if len(said.encode()) > _MOST_WARNING:
        yield wrong(path, said, f"must be <= {_MOST_WARNING} characters long")
    if not said:
        yield wrong(path, said, "must not be an empty string")
    at = next((len(said[:n].encode()) for n, one in enumerate(said) if not one.isprintable()), None)
    if at is not None:
        detail = f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
        yield wrong(path, said, detail)


def _subresources_problems(version: Version, path: str) -> Iterator[Problem]:
    scale = version["subresources"].get("scale")
    if scale is None:
        return
    for field, roots in (
        ("specReplicasPath", ("spec",)),
        ("statusReplicasPath", ("status",)),
        ("labelSelectorPath", ("spec", "status")),
    ):
        where, given = f"{path}.scale.{field}", scale.get(field)
        if given:
            yield from _path_problems(given, where, roots)
        elif len(roots) == 1:
            yield required(where)


def _path_problems(given: str, where: str, roots: tuple[str, ...] = ()) -> Iterator[Problem]:
    if not given.startswith("."):
        yield wrong(where, given, "must be a simple json path starting with .")
    elif roots and not given.startswith(tuple(f".{root}." for root in roots)):
        below = f"either {' or '.join(f'.{root}' for root in roots)}" if len(roots) > 1 else f".{roots[0]}"
        yield wrong(where, given, f"should be a json path under {below}")


def _column_problems(version: Version, path: str) -> Iterator[Problem]:
    for number, column in enumerate(version["additionalPrinterColumns"]):
        where, one = f"{path}[{number}]", column or {}
        if not one.get("name"):
            yield required(f"{where}.name")
        known = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not one.get("type"):
            yield required(f"{where}.type", known)
        elif one["type"] not in _COLUMN_TYPES:
            yield wrong(f"{where}.type", one["type"], known)
        if one.get("format") and one["format"] not in _COLUMN_FORMATS:
            yield wrong(f"{where}.format", one["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
        if not one.get("jsonPath"):
            yield required(f"{where}.JSONPath")
        else:
            yield from _path_problems(one["jsonPath"], f"{where}.JSONPath")


def _selectable_problems(version: Version, path: str) -> Iterator[Problem]:
    schema, seen = (version.get("schema") or {}).get("openAPIV3Schema") or {}, set()
    for number, one in enumerate(version["selectableFields"]):
        where, given = f"{path}[{number}].jsonPath", (one or {}).get("jsonPath")
        if not given:
            yield required(where)
            continue
        found = _field(schema, given)
        if found is None:
            yield wrong(where, given, "is an invalid path: does not refer to a valid field")
        elif found.get("type") not in _SELECTABLE:
            detail = "Enum string fields and strings with formats are allowed."
            yield wrong(where, given, f"must point to a field of type string, boolean or integer. {detail}")
        elif given in seen:
            yield Problem(where, "FieldValueDuplicate", f"Duplicate value: {shown(given)}")
        seen.add(given)
    if len(seen) > _MOST_SELECTABLE:
        message = f"Too many: {len(seen)}: must have at most {_MOST_SELECTABLE} items"
        yield Problem(path, "FieldValueTooMany", message)


def _field(schema: Schema, path: str) -> Schema | None:
    """The schema of a field; None where there is none."""
    for name in (found := steps(path)):
        if (below := properties_of(schema).get(name)) is None:
            return None
        schema = below
    return schema if found else None
