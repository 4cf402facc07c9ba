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
from scaup.apiserver.fieldvalidation import misfit
from scaup.apiserver.kinds import Kind


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
_EMPTY: Final = {"string": "", "bytes": ""}
"""What null stands for in lists and maps of plain values; in a list of objects it is one without fields."""
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
        raise misfit(kind, made, f"json: cannot unmarshal {error}") from error
    sent = made
    made = schemas.taken(kind, made | {"metadata": metadata}, more)
    unknown = list(dict.fromkeys(unknown)) + sorted(more)
    present = fieldvalidation.present()
    if present is not None:
        present.judge(kind, sent, unknown)
    return made


def undeclared(kind: Kind, stated: dict[str, Any]) -> list[str]:
    """The fields of what is applied that the kind does not have."""
    unknown: list[str] = []
    struct = struct_of(kind)
    try:
        _fit("ObjectMeta", stated["metadata"], "ObjectMeta", "", "metadata", unknown)
        if struct is not None:
            _fit(struct, stated, struct, "", "", unknown)
    except _MisfitError:
        return []  # the whole object will say so
    schemas.taken(kind, stated, unknown)
    return sorted(set(unknown))


def _fit(struct: str, value: Any, root: str, go_path: str, path: str, unknown: list[str]) -> dict[str, Any]:
    """An object with the fields of its structure only; what is empty is as good as not there."""
    fields, found = structs()[struct], {}
    for key, one in value.items():
        field = fields.get(key)
        if field is None:
            unknown.append(f"{path}.{key}" if path else key)
        else:
            below = (f"{go_path}.{key}" if go_path else key, f"{path}.{key}" if path else key)
            fitted = _fitted(field.type, one, root, below, unknown)
            if fitted is not None and not (fitted in ([], {}) and field.type.startswith(("[]", "map["))):
                found[key] = fitted
    return found


def _fitted(kind: str, value: Any, root: str, where: tuple[str, str], unknown: list[str]) -> Any:
    go_path, path = where
    if value is None or kind in {"any", "intOrString", "microTime"}:
        return value
    if kind.startswith("[]"):
        _require(value, list, f"[]{_go_name(kind[2:])}", root, go_path)
        filled = [_EMPTY.get(kind[2:], {}) if one is None else one for one in value]
        return [_fitted(kind[2:], one, root, (go_path, f"{path}[{n}]"), unknown) for n, one in enumerate(filled)]
    if kind.startswith("map[string]"):
        _require(value, dict, f"map[string]{_go_name(kind[11:])}", root, go_path)
        filled_map = {k: _EMPTY.get(kind[11:]) if one is None else one for k, one in value.items()}
        return {k: _fitted(kind[11:], one, root, (go_path, f"{path}.{k}"), unknown) for k, one in filled_map.items()}
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
