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
from scaup.apiserver.fieldvalidation import cannot_be
from scaup.apiserver.formats import is_date_time
from scaup.apiserver.kinds import Kind
from scaup.apiserver.shown import shown


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
    "microTime": (str, "v1.MicroTime"),
    "bool": (bool, "bool"),
    "int32": (int, "int32"),
    "int64": (int, "int64"),
}
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
        try:
            _fit_all(kind, body, [])
        except _MisfitError as error:
            raise cannot_be(kind, str(error)) from error


def taken(kind: Kind, made: dict[str, Any]) -> dict[str, Any]:
    """The object as the kind takes it, with its defaults; raises ApiError where that is not what was asked for."""
    unknown: list[str] = []
    more: list[str] = []
    try:
        made = _fit_all(kind, made, unknown)
    except _MisfitError as error:
        raise cannot_be(kind, str(error)) from error
    sent = made
    made = schemas.taken(kind, made, more)
    unknown = list(dict.fromkeys(unknown)) + sorted(more)
    present = fieldvalidation.present()
    if present is not None:
        present.judge(kind, sent, unknown)
    return made


def _fit_all(kind: Kind, body: dict[str, Any], unknown: list[str]) -> dict[str, Any]:
    """The body with the fields that are known: all of a kind without a CRD, else of the metadata."""
    if (struct := struct_of(kind)) is not None:
        return _fit(struct, body, "", "", unknown)
    return body | {"metadata": _fit("ObjectMeta", body.get("metadata") or {}, "", "metadata", unknown)}


def _fit(struct: str, value: Any, go_path: str, path: str, unknown: list[str]) -> dict[str, Any]:
    """An object with the fields of its structure only; null is as good as not there."""
    fields, found = structs()[struct], {}
    for key, one in value.items():
        field = fields.get(key)
        if field is None:
            unknown.append(f"{path}.{key}" if path else key)
        elif one is not None:
            below = (f"{go_path}.{key}" if go_path else key, f"{path}.{key}" if path else key)
            found[key] = _fitted(field.type, one, struct, below, unknown)
    return found


def _fitted(kind: str, value: Any, struct: str, where: tuple[str, str], unknown: list[str]) -> Any:
    """A value that fits its type; null in a list or map is what Go has for nothing."""
    go_path, path = where
    if kind == "any" or (kind == "intOrString" and isinstance(value, str)):
        return value
    kind = "int32" if kind == "intOrString" else kind
    if value is None:
        value = {} if kind in structs() else ""
    if kind.startswith("[]"):
        _require(value, list, f"[]{_go_name(kind[2:])}", struct, go_path)
        return [_fitted(kind[2:], one, struct, (go_path, f"{path}[{n}]"), unknown) for n, one in enumerate(value)]
    if kind.startswith("map[string]"):
        _require(value, dict, f"map[string]{_go_name(kind[11:])}", struct, go_path)
        return {k: _fitted(kind[11:], v, struct, (go_path, f"{path}.{k}"), unknown) for k, v in value.items()}
    if kind in _PLAIN:
        wanted, name = _PLAIN[kind]
        _require(value, wanted, name, struct, go_path)
        if kind == "int32" and not -_INT32 <= value < _INT32:
            raise _misfit(f"number {value} into Go struct field {struct}.{go_path} of type int32")
        if (layout := _TIMES.get(kind)) and not (layout[1].fullmatch(value) and is_date_time(value)):
            said = shown(value)
            raise _MisfitError(f'parsing time {said} as "{layout[0]}": cannot parse {said} as "2006"')
        return value
    _require(value, dict, _go_name(kind), struct, go_path)
    return _fit(kind, value, go_path, path, unknown)


def _go_name(kind: str) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind][1]
    return kind if kind.startswith(("[]", "map[")) else f"v1.{kind}"


def _require(value: Any, wanted: type, name: str, struct: str, go_path: str) -> None:
    is_right = isinstance(value, wanted) and not (isinstance(value, bool) and wanted is not bool)
    if not is_right:
        got = next((said for kind, said in _GO_KINDS if isinstance(value, kind)), "null")
        raise _misfit(f"{got} into Go struct field {struct}.{go_path} of type {name}")


def _misfit(what: str) -> _MisfitError:
    return _MisfitError(f"json: cannot unmarshal {what}")
