"""The fields of the kinds that have no CRD, and of everybody's metadata: what may stand there, and what it is. Pure.

One table serves three: bodies that cannot be such an object are refused in Kubernetes' words, unknown fields are found
(``fieldvalidation``), and ``openapi`` describes the kinds by it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import orjson

from scaup.apiserver import fieldvalidation, schemas
from scaup.apiserver.answers import bad_request
from scaup.apiserver.fieldvalidation import cannot_be, misfit
from scaup.apiserver.formats import is_of_format
from scaup.apiserver.kinds import Kind
from scaup.apiserver.shown import shown
from scaup.apiserver.structural import Node


class Field(NamedTuple):
    """A field: its type (``string``, ``[]ServicePort``, ``map[string]string`` …) and what it is for."""

    type: str
    about: str


Fields = dict[str, Field]

_GO_KINDS: Final = ((bool, "bool"), (str, "string"), ((int, float), "number"), (list, "array"), (dict, "object"))
_PLAIN: Final[dict[str, tuple[Any, str]]] = {
    "string": (str, "string"),
    "bytes": (str, "[]uint8"),
    "time": (str, "v1.Time"),
    "microTime": (str, "v1.MicroTime"),
    "bool": (bool, "bool"),
    "int32": (int, "int32"),
    "int64": (int, "int64"),
    "number": ((int, float), "float64"),
}
_NOTHING: Final = {"bool": False, "int32": 0, "int64": 0, "number": 0}
_SCHEMA_OR: Final = frozenset({"schemaOrBool", "schemaOrList"})
_TIMES: Final = {
    "time": ("2006-01-02T15:04:05Z07:00", re.compile(r"[-0-9]{10}T[:0-9]{8}([.,]\d+)?(Z|[-+]\d\d:\d\d)")),
    "microTime": ("2006-01-02T15:04:05.000000Z07:00", re.compile(r"[-0-9]{10}T[:0-9]{8}[.,]\d{6}(Z|[-+]\d\d:\d\d)")),
}
_INT32: Final = 1 << 31


class _MisfitError(Exception):
    """A value is not of the type of its field: the words of Go's JSON package."""


@cache
def structs() -> dict[str, Fields]:
    """All structures by name."""
    text = files("scaup.apiserver").joinpath("definitions/structs.json").read_bytes()
    return {
        name: {field: Field(*said) for field, said in fields.items()} for name, fields in orjson.loads(text).items()
    }


def struct_of(kind: Kind) -> str | None:
    """The structure of a kind without a CRD."""
    return kind.kind if not kind.is_custom and kind.kind in structs() else None


def fields_of(struct: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is set of the fields of a structure that is no kind; raises ApiError 400 where one cannot be that."""
    try:
        return _fit(struct, given, "", "", [])
    except _MisfitError as error:
        raise bad_request(str(error)) from error


def require_fit(kind: Kind, body: Any) -> None:
    """Raise ApiError 400 where a body cannot be such an object, also in what the server decides itself."""
    if isinstance(body, dict) and isinstance(body.get("metadata"), dict | None):
        _fitted_whole(kind, body, [])


def taken(kind: Kind, made: dict[str, Any]) -> dict[str, Any]:
    """The object as the kind takes it, with its defaults; raises ApiError where that is not what was asked for."""
    unknown: list[str] = []
    more: list[str] = []
    sent = _fitted_whole(kind, made, unknown)
    made = schemas.taken(kind, sent, more)
    if (known := schemas.of(kind)) is not None:
        made = _with_embedded(kind, known.node, made, "", more)
    unknown = list(dict.fromkeys(unknown)) + sorted(more)
    present = fieldvalidation.present()
    if present is not None:
        present.judge(kind, sent, unknown)
    return made


def _fitted_whole(kind: Kind, body: dict[str, Any], unknown: list[str]) -> dict[str, Any]:
    """``_fit_all``; raises ApiError where the body cannot be such an object."""
    try:
        return _fit_all(kind, body, unknown)
    except _MisfitError as error:
        raise misfit(kind, body, str(error)) from error


def undeclared(kind: Kind, stated: dict[str, Any]) -> list[str]:
    """The fields of what is applied that the kind does not have."""
    unknown: list[str] = []
    try:
        _fit_all(kind, stated, unknown)
    except _MisfitError:
        return []  # the whole object will say so
    schemas.taken(kind, stated, unknown)
    return sorted(set(unknown))


def _with_embedded(kind: Kind, node: Node, value: Any, path: str, unknown: list[str]) -> Any:
    """The value with the metadata of the objects in it as metadata is; raises ApiError where it cannot be."""
    if not node.has_embedded:
        return value
    if isinstance(value, dict):
        return {key: _embedded_field(kind, node, key, one, path, unknown) for key, one in value.items()}
    if isinstance(value, list) and node.items is not None:
        return [_with_embedded(kind, node.items, one, f"{path}[{n}]", unknown) for n, one in enumerate(value)]
    return value


def _embedded_field(kind: Kind, node: Node, key: str, value: Any, path: str, unknown: list[str]) -> Any:
    where, below = node.place(path, key), node.below(key)
    if node.is_embedded and key == "metadata":
        return _embedded_metadata(kind, value, where, unknown)
    if node.is_embedded and key in {"apiVersion", "kind"} and not isinstance(value, str):
        raise cannot_be(kind, f"{where}: Invalid value: {shown(value)}: must be a string")
    return value if below is None else _with_embedded(kind, below, value, where, unknown)


def _embedded_metadata(kind: Kind, value: Any, path: str, unknown: list[str]) -> Any:
    try:
        _require(value, dict, "v1.ObjectMeta", "", "")
        found = _fit("ObjectMeta", value, "", path, unknown)
    except _MisfitError as error:
        raise cannot_be(kind, f"{path}: Invalid value: {shown(value)}: {error}") from error
    return {key: one for key, one in found.items() if one not in (None, "", [], {})}


def _fit_all(kind: Kind, body: dict[str, Any], unknown: list[str]) -> dict[str, Any]:
    """The body with the fields that are known: all of a kind without a CRD, else of the metadata."""
    if (struct := struct_of(kind)) is not None:
        return _fit(struct, body, "", "", unknown)
    return body | {"metadata": _fit("ObjectMeta", body.get("metadata") or {}, "", "metadata", unknown)}


def _fit(struct: str, value: Any, go_path: str, path: str, unknown: list[str]) -> dict[str, Any]:
    """An object with the fields of its structure only; what is empty is as good as not there."""
    fields, found = structs()[struct], {}
    for key, one in value.items():
        field = fields.get(key)
        if field is None:
            unknown.append(f"{path}.{key}" if path else key)
        elif one is not None:
            below = (f"{go_path}.{key}" if go_path else key, f"{path}.{key}" if path else key)
            fitted = _fitted(field.type, one, struct, below, unknown)
            if fitted is not None and not (fitted in ([], {}) and field.type.startswith(("[]", "map["))):
                found[key] = fitted
    return found


def _fitted(kind: str, value: Any, struct: str, where: tuple[str, str], unknown: list[str]) -> Any:
    """A value that fits its type; ``struct`` is the one that has the field."""
    go_path, path = where
    if kind in {"any", "JSON"} or (kind == "intOrString" and isinstance(value, str)):
        return value
    kind = "int32" if kind == "intOrString" else kind
    if kind.startswith("[]"):
        of = kind[2:]
        _require(value, list, f"[]{_go_name(of)}", struct, go_path)
        return [_within(of, one, struct, (go_path, f"{path}[{n}]"), unknown) for n, one in enumerate(value)]
    if kind.startswith("map[string]"):
        of = kind[11:]
        _require(value, dict, f"map[string]{_go_name(of)}", struct, go_path)
        return {k: _within(of, one, struct, (go_path, f"{path}.{k}"), unknown) for k, one in value.items()}
    if kind in _SCHEMA_OR:
        return _fitted_choice(kind, value, where, unknown)
    if kind in _PLAIN:
        wanted, name = _PLAIN[kind]
        _require(value, wanted, name, struct, go_path)
        if kind == "int32" and not -_INT32 <= value < _INT32:
            raise _misfit(f"number {value}", name, struct, go_path)
        if (layout := _TIMES.get(kind)) and not (layout[1].fullmatch(value) and is_of_format("date-time", value)):
            said = shown(value)
            raise _MisfitError(f'parsing time {said} as "{layout[0]}": cannot parse {said} as "2006"')
        return value
    _require(value, dict, _go_name(kind), struct, go_path)
    return _fit(kind, value, go_path, path, unknown)


def _within(kind: str, value: Any, struct: str, where: tuple[str, str], unknown: list[str]) -> Any:
    """A value in a list or map: null there is what Go has for nothing."""
    if value is None and kind not in {"any", "JSON", *_SCHEMA_OR}:
        return {} if kind in structs() else _NOTHING.get(kind, "")
    return _fitted(kind, value, struct, where, unknown)


def _fitted_choice(kind: str, value: Any, where: tuple[str, str], unknown: list[str]) -> Any:
    """A schema, or what may stand in the place of one; no items are as good as ones that are none."""
    if isinstance(value, dict):
        return _fit("JSONSchemaProps", value, *where, unknown)
    if kind == "schemaOrBool" and not isinstance(value, bool):
        raise _MisfitError("boolean or JSON schema expected")
    return value if isinstance(value, bool | list) else None


def _go_name(kind: str) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind][1]
    if kind == "any":
        return "interface {}"
    return kind if kind.startswith(("[]", "map[")) else f"v1.{kind}"


def _require(value: Any, wanted: Any, name: str, struct: str, go_path: str) -> None:
    is_right = isinstance(value, wanted) and not (isinstance(value, bool) and wanted is not bool)
    if not is_right:
        got = next((said for kind, said in _GO_KINDS if isinstance(value, kind)), "null")
        is_part = isinstance(value, float) and wanted is int
        raise _misfit(f"number {value}" if is_part else got, name, struct, go_path)


def _misfit(got: str, name: str, struct: str, go_path: str) -> _MisfitError:
    place = f"struct field {struct}.{go_path}" if go_path else "value"
    return _MisfitError(f"json: cannot unmarshal {got} into Go {place} of type {name}")
