"""What server-side apply makes of an object: merged with what is applied, without what nobody states any more. Pure.

Follows Kubernetes' structured merge: objects are merged, lists as their schema says (``x-kubernetes-list-type``), all
else is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scaup.apiserver.fieldsets import Fields, Path, Schema, child, is_keyed, is_map, item_schema, items


def merged(live: Any, applied: Any, schema: Schema) -> Any:
    """``live`` with what ``applied`` states; neither is changed."""
    if is_map(applied, schema) and is_map(live, schema):
        whole = dict(live)
        for name, value in applied.items():
            described = child(schema, name)[0]
            whole[name] = merged(whole[name], value, described) if name in whole else value
        return whole
    if is_keyed(applied, schema) and is_keyed(live, schema):
        described = item_schema(schema)
        found = items(live, schema)
        for step, item in items(applied, schema).items():
            found[step] = merged(found[step], item, described) if step in found else item
        return list(found.values())
    return applied


def without(whole: Any, gone: Fields, kept: Iterable[Fields], schema: Schema) -> Any:
    """The object without some fields, but with all that is in one of ``kept``; what is emptied by it goes as well."""
    protected = {path[:length] for fields in kept for path in fields for length in range(1, len(path) + 1)}
    doomed = gone - protected
    above = {path[:length] for path in doomed for length in range(len(path))}
    return _pruned(whole, schema, (), doomed, above, protected)[0]


def _pruned(
    value: Any, schema: Schema, path: Path, doomed: Fields, above: set[Path], protected: set[Path]
) -> tuple[Any, bool]:
    """The value, and whether it is left at all."""
    if path in doomed:
        return None, False
    if path not in above:
        return value, True
    if is_map(value, schema):
        left = {}
        for name, below in value.items():
            lower, stays = _pruned(below, child(schema, name)[0], (*path, f"f:{name}"), doomed, above, protected)
            if stays:
                left[name] = lower
        return left, bool(left) or not value or path in protected or len(path) <= 1
    if is_keyed(value, schema):
        described, kept = item_schema(schema), []
        for step, below in items(value, schema).items():
            lower, stays = _pruned(below, described, (*path, step), doomed, above, protected)
            if stays:
                kept.append(lower)
        return kept, bool(kept) or not value or path in protected
    return value, True
