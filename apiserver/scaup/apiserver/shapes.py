"""The fields of the kinds that have no CRD, and of everybody's metadata: what may stand there, and what it is. Pure.

One table serves three: bodies that cannot be such an object are refused in Kubernetes' words, unknown fields are found
(``fieldvalidation``), and ``openapi`` describes the kinds by it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import orjson

from scaup.apiserver import fieldvalidation, schemas
from scaup.apiserver.fieldvalidation import cannot_be
from scaup.apiserver.kinds import Kind
from scaup.apiserver.shown import shown
from scaup.apiserver.structural import Node


class Field(NamedTuple):
    """A field: its type (``string``, ``[]ServicePort``, ``map[string]string`` …) and what it is for."""

    type: str
    about: str


Fields = dict[str, Field]

_GO_KINDS: Final = ((bool, "bool"), (str, "string"), ((int, float), "number"), (list, "array"), (dict, "object"))
_PLAIN: Final = {
    "string": (str, "string"),
    "bytes": (str, "[]uint8"),
    "time": (str, "v1.Time"),
    "bool": (bool, "bool"),
    "int32": (int, "int32"),
    "int64": (int, "int64"),
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


def taken(kind: Kind, made: dict[str, Any]) -> dict[str, Any]:
    """The object as the kind takes it, with its defaults; raises ApiError where that is not what was asked for."""
    unknown: list[str] = []
    more: list[str] = []
    struct = struct_of(kind)
    try:
        metadata = _fit("ObjectMeta", made["metadata"], "ObjectMeta", "", "metadata", unknown)
        if struct is not None:
            made = _fit(struct, made, struct, "", "", unknown)
    except _MisfitError as error:
        raise cannot_be(kind, f"json: cannot unmarshal {error}") from error
    sent = made
    made = schemas.taken(kind, made | {"metadata": metadata}, more)
    if (known := schemas.of(kind)) is not None:
        made = _with_embedded(kind, known.node, made, "", more)
    unknown = list(dict.fromkeys(unknown)) + sorted(more)
    present = fieldvalidation.present()
    if present is not None:
        present.judge(kind, sent, unknown)
    return made


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
        found = _fit("ObjectMeta", value, "ObjectMeta", "", path, unknown)
    except _MisfitError as error:
        why = str(error).replace(" into Go struct field . of type", " into Go value of type")
        raise cannot_be(kind, f"{path}: Invalid value: {shown(value)}: json: cannot unmarshal {why}") from error
    return {key: one for key, one in found.items() if one not in (None, "", [], {})}


def _fit(struct: str, value: Any, root: str, go_path: str, path: str, unknown: list[str]) -> dict[str, Any]:
    """An object with the fields of its structure only."""
    fields, found = structs()[struct], {}
    for key, one in value.items():
        field = fields.get(key)
        if field is None:
            unknown.append(f"{path}.{key}" if path else key)
        else:
            below = (f"{go_path}.{key}" if go_path else key, f"{path}.{key}" if path else key)
            found[key] = _fitted(field.type, one, root, below, unknown)
    return found


def _fitted(kind: str, value: Any, root: str, where: tuple[str, str], unknown: list[str]) -> Any:
    go_path, path = where
    if value is None or kind in {"any", "intOrString", "microTime"}:
        return value
    if kind.startswith("[]"):
        _require(value, list, f"[]{_go_name(kind[2:])}", root, go_path)
        return [_fitted(kind[2:], one, root, (go_path, f"{path}[{n}]"), unknown) for n, one in enumerate(value)]
    if kind.startswith("map[string]"):
        _require(value, dict, f"map[string]{_go_name(kind[11:])}", root, go_path)
        return {k: _fitted(kind[11:], v, root, (go_path, f"{path}.{k}"), unknown) for k, v in value.items()}
    if kind in _PLAIN:
        wanted, name = _PLAIN[kind]
        _require(value, wanted, name, root, go_path)
        if kind == "int32" and not -_INT32 <= value < _INT32:
            raise _MisfitError(f"number {value} into Go struct field {root}.{go_path} of type int32")
        return value
    _require(value, dict, _go_name(kind), root, go_path)
    if kind == "ObjectMeta":
        root, go_path = kind, ""
    return _fit(kind, value, root, go_path, path, unknown)


def _go_name(kind: str) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind][1]
    return kind if kind.startswith(("[]", "map[")) else f"v1.{kind}"


def _require(value: Any, wanted: type, name: str, root: str, go_path: str) -> None:
    is_right = isinstance(value, wanted) and not (isinstance(value, bool) and wanted is not bool)
    if not is_right:
        got = next((said for kind, said in _GO_KINDS if isinstance(value, kind)), "null")
        raise _MisfitError(f"{got} into Go struct field {root}.{go_path} of type {name}")
