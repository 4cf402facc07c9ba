"""Sets of fields: which are in an object, what changed between two, and their form in ``managedFields``. Pure.

A path is a tuple of steps as ``FieldsV1`` writes them (``meta/v1``): ``f:name`` a field, ``k:{"name":"a"}`` an item of
a list of objects by its keys, ``v:"a"`` an item of a set. What is replaced as a whole is one field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import orjson

Path = tuple[str, ...]
Fields = frozenset[Path]
Schema = Mapping[str, Any]
Form = Literal["map", "list", "leaf"]

NOTHING: Final[Fields] = frozenset()
ABSENT: Final = object()
"""The value of a field that is not there: null is one that is."""
_EMPTY: Final[Schema] = {}
_KEYED: Final = frozenset({"map", "set"})
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
    return isinstance(value, list) and schema.get(LIST_TYPE) in _KEYED


def form(value: Any, schema: Schema) -> Form:
    """How a value is taken apart; a null is what its schema says that it could be."""
    if value is None:
        if schema.get("type") == "array":
            return "list" if schema.get(LIST_TYPE) in _KEYED else "leaf"
        return "map" if schema.get("type", "object") == "object" and schema.get(MAP_TYPE) != "atomic" else "leaf"
    return "map" if is_map(value, schema) else "list" if is_keyed(value, schema) else "leaf"


def steps(value: list[Any], schema: Schema) -> list[tuple[str, Any]]:
    """The items of a keyed list with their steps."""
    if schema[LIST_TYPE] == "set":
        return [(f"v:{_json(item)}", item) for item in value]
    keys = list(schema.get(LIST_KEYS) or ())
    described = item_schema(schema)
    return [(_key(item, keys, described), item) for item in value]


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
    """The fields that a client states with an object: leaves, what is empty, items of lists, and unnamed fields."""
    return frozenset(_stated(value, schema, ()))


def _stated(value: Any, schema: Schema, path: Path) -> Iterator[Path]:
    if is_map(value, schema):
        for name, below in value.items():
            described, is_named = child(schema, name)
            place = (*path, f"f:{name}")
            if not is_named or below in ({}, None) or form(below, described) == "leaf":
                yield place
            yield from _stated(below, described, place)
    elif is_keyed(value, schema):
        for step, found in _grouped(value, schema).items():
            yield (*path, step)
            if len(found) == 1:
                yield from _stated(found[0], item_schema(schema), (*path, step))


def twice(value: Any, schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Path]]:
    """The lists with keys in which something stands twice, and what that is."""
    if is_map(value, schema):
        for name, below in value.items():
            yield from twice(below, child(schema, name)[0], (*path, f"f:{name}"))
    elif is_keyed(value, schema):
        for step, found in _grouped(value, schema).items():
            yield from ((path, (step,)) for _ in found[1:])
            for item in found:
                yield from twice(item, item_schema(schema), (*path, step))


def with_named(fields: Fields, schema: Schema) -> Fields:
    """The fields, and the named ones in which they are."""
    found = set(fields)
    for path in fields:
        described = schema
        for length, step in enumerate(path[:-1], 1):
            if step[:2] == "f:":
                described, is_named = child(described, step[2:])
                if is_named:
                    found.add(path[:length])
            else:
                described = item_schema(described)
    return frozenset(found)


def difference(old: Any, new: Any, schema: Schema) -> Difference:
    """What changed from one object to another."""
    found = _Comparison(set(), set(), set())
    found.compare(old, new, schema, ())
    return Difference(frozenset(found.added), frozenset(found.modified), frozenset(found.removed))


class _Comparison(NamedTuple):
    added: set[Path]
    modified: set[Path]
    removed: set[Path]

    def compare(self, old: Any, new: Any, schema: Schema, path: Path) -> None:
        """Two values at one place; where they are of two forms each has its say, the new one last."""
        is_leaf = False
        for one in dict.fromkeys(form(value, schema) for value in (old, new) if value is not ABSENT):
            is_leaf = not self._compare_as(one, old, new, schema, path)
        if not is_leaf:
            self._only_one(old, new, path)

    def _compare_as(self, one: Form, old: Any, new: Any, schema: Schema, path: Path) -> bool:
        """Compare what is in the values; False where they are compared as a whole."""
        kind = {"map": dict, "list": list}.get(one)
        before, after = ((value if kind and isinstance(value, kind) else ()) for value in (old, new))
        if not before and not after:
            if not self._only_one(old, new, path) and _json(old) != _json(new):
                self.modified.add(path)
            return False
        if one == "map":
            olds, news = dict(before), dict(after)
            for name in {**olds, **news}:
                lower = olds.get(name, ABSENT), news.get(name, ABSENT)
                self.compare(*lower, child(schema, name)[0], (*path, f"f:{name}"))
        else:
            lefts, rights = _grouped(list(before), schema), _grouped(list(after), schema)
            for step in {**lefts, **rights}:
                self._compare_items(lefts.get(step, []), rights.get(step, []), item_schema(schema), (*path, step))
        return True

    def _compare_items(self, olds: list[Any], news: list[Any], schema: Schema, path: Path) -> None:
        """The items of one step; those that stand twice are one field."""
        if len(olds) > 1 and len(news) > 1:
            if _json(olds) != _json(news):
                self.modified.add(path)
            return
        old, new = (found[0] if len(found) == 1 else ABSENT for found in (olds, news))
        if old is not ABSENT or new is not ABSENT:
            self.compare(old, new, schema, path)
        if len(olds) > 1:
            self.removed.add(path)
        if len(news) > 1:
            self.added.add(path)

    def _only_one(self, old: Any, new: Any, path: Path) -> bool:
        if old is ABSENT:
            self.added.add(path)
        elif new is ABSENT:
            self.removed.add(path)
        return old is ABSENT or new is ABSENT


def _grouped(value: list[Any], schema: Schema) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for step, item in steps(value, schema):
        found.setdefault(step, []).append(item)
    return found


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
