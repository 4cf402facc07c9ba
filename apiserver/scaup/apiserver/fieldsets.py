"""Sets of fields: which are in an object, what changed between two, and their form in ``managedFields``. Pure.

A path is a tuple of steps as ``FieldsV1`` writes them (``meta/v1``): ``f:name`` a field, ``k:{"name":"a"}`` an item of
a list of objects by its keys, ``v:"a"`` an item of a set. What is replaced as a whole is one field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

Path = tuple[str, ...]
Fields = frozenset[Path]
Schema = Mapping[str, Any]

NOTHING: Final[Fields] = frozenset()
_EMPTY: Final[Schema] = {}
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"
MAP_TYPE: Final = "x-kubernetes-map-type"


class Difference(NamedTuple):
    """What is in a new object and was not in an old one, what is another, and what is not there any more."""

    added: Fields
    modified: Fields
    removed: Fields


# --- schemas ------------------------------------------------------------------------------------------------------


def child(schema: Schema, name: str) -> tuple[Schema, bool]:
    """The schema of a field, empty where nothing is known of it, and whether the schema names the field."""
    if (found := (schema.get("properties") or _EMPTY).get(name)) is not None:
        return found, True
    more = schema.get("additionalProperties")
    return (more if isinstance(more, Mapping) else _EMPTY), False


def is_map(value: Any, schema: Schema) -> bool:
    """Whether the fields of a value are fields of their own."""
    return isinstance(value, dict) and schema.get(MAP_TYPE) != "atomic"


def is_keyed(value: Any, schema: Schema) -> bool:
    """Whether the items of a value are fields of their own."""
    return isinstance(value, list) and schema.get(LIST_TYPE) in {"map", "set"}


def items(value: list[Any], schema: Schema) -> dict[str, Any]:
    """The items of a keyed list by their steps, in order; of those with one step the last."""
    if schema[LIST_TYPE] == "set":
        return {f"v:{_json(item)}": item for item in value}
    keys = list(schema.get(LIST_KEYS) or ())
    described = item_schema(schema)
    return {_key(item, keys, described): item for item in value}


def item_schema(schema: Schema) -> Schema:
    """The schema of a list's items."""
    found = schema.get("items")
    return found if isinstance(found, Mapping) else _EMPTY


def _key(item: Any, keys: Iterable[str], schema: Schema) -> str:
    if not isinstance(item, dict):
        return f"v:{_json(item)}"
    found = {}
    for key in sorted(keys):
        value = item.get(key, child(schema, key)[0].get("default"))
        if value is not None:
            found[key] = value
    return f"k:{_json(found)}"


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


# --- sets of an object ----------------------------------------------------------------------------------------------


def of(value: Any, schema: Schema) -> Fields:
    """The fields that a client states with an object: leaves, items of lists, and objects of unnamed fields."""
    return frozenset(_stated(value, schema, ()))


def _stated(value: Any, schema: Schema, path: Path) -> Iterator[Path]:
    for step, below, described, is_named in _children(value, schema):
        place = (*path, step)
        has_more = _has_children(below, described)
        if not has_more or not is_named:
            yield place
        if has_more:
            yield from _stated(below, described, place)


def every(value: Any, schema: Schema, path: Path) -> Iterator[Path]:
    """All places in a value, its own and those of the objects between too."""
    yield path
    for step, below, described, _ in _children(value, schema):
        yield from every(below, described, (*path, step))


def _children(value: Any, schema: Schema) -> Iterator[tuple[str, Any, Schema, bool]]:
    if is_map(value, schema):
        for name, below in value.items():
            described, is_named = child(schema, name)
            yield f"f:{name}", below, described, is_named
    elif is_keyed(value, schema):
        described = item_schema(schema)
        for step, below in items(value, schema).items():
            yield step, below, described, False


def _has_children(value: Any, schema: Schema) -> bool:
    return bool(value) and (is_map(value, schema) or is_keyed(value, schema))


def difference(old: Any, new: Any, schema: Schema) -> Difference:
    """What changed from one object to another."""
    added: set[Path] = set()
    modified: set[Path] = set()
    removed: set[Path] = set()

    def compare(before: Any, after: Any, described: Schema, path: Path) -> None:
        if (is_map(before, described) and is_map(after, described)) or (
            is_keyed(before, described) and is_keyed(after, described)
        ):
            olds = {step: (below, lower) for step, below, lower, _ in _children(before, described)}
            news = {step: (below, lower) for step, below, lower, _ in _children(after, described)}
            for step, (below, lower) in news.items():
                if step in olds:
                    compare(olds[step][0], below, lower, (*path, step))
                else:
                    added.update(every(below, lower, (*path, step)))
            for step, (below, lower) in olds.items():
                if step not in news:
                    removed.update(every(below, lower, (*path, step)))
        elif _json(before) != _json(after):
            modified.add(path)
            olds_below = set(every(before, described, path)) - {path}
            news_below = set(every(after, described, path)) - {path}
            added.update(news_below - olds_below)
            removed.update(olds_below - news_below)

    compare(old, new, schema, ())
    return Difference(frozenset(added), frozenset(modified), frozenset(removed))


# --- FieldsV1 -------------------------------------------------------------------------------------------------------


def to_v1(fields: Fields) -> dict[str, Any]:
    """The form that ``managedFields`` has it in."""
    tree: dict[str, Any] = {}
    members: set[int] = set()
    for path in sorted(fields):
        place = tree
        for step in path:
            place = place.setdefault(step, {})
        members.add(id(place))

    def marked(node: dict[str, Any]) -> dict[str, Any]:
        below = {step: marked(lower) for step, lower in node.items()}
        return {".": {}, **below} if below and id(node) in members else below

    return marked(tree)


def from_v1(tree: Any) -> Fields:
    """What ``to_v1`` made; raises ValueError for anything else."""
    found: set[Path] = set()

    def read(node: Any, path: Path) -> None:
        if not isinstance(node, dict):
            raise ValueError(f"there is no object at {path}")  # noqa: TRY004 - one error for all that is malformed
        for step, below in node.items():
            if step == ".":
                found.add(path)
            elif step[:2] in {"f:", "k:", "v:", "i:"}:
                if below == {}:
                    found.add((*path, step))
                read(below, (*path, step))
            else:
                raise ValueError(f"there is no step {step!r}")

    read(tree, ())
    return frozenset(found - {()})


def shown(path: Path) -> str:
    """A path as people read it: ``.spec.stalks[name="a"].length``."""
    parts = []
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            parts.append(f".{rest}")
        elif kind == "v":
            parts.append(f"[={rest}]")
        else:
            keys = orjson.loads(rest)
            parts.append(f"[{','.join(f'{key}={_json(value)}' for key, value in keys.items())}]")
    return "".join(parts)
