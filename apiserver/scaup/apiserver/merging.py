"""What server-side apply makes of an object: merged with what is applied, without what nobody states any more. Pure.

Follows Kubernetes' structured merge: objects are merged, lists as their schema says (``x-kubernetes-list-type``), all
else is replaced.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from scaup.apiserver import fieldsets
from scaup.apiserver.fieldsets import (
    ABSENT,
    Fields,
    Path,
    Schema,
    child,
    form,
    is_keyed,
    is_map,
    item_schema,
    steps,
    with_named,
)


def merged(live: Any, applied: Any, schema: Schema) -> Any:
    """``live`` with what ``applied`` states; neither is changed. Null, and what is empty, takes nothing away."""
    if applied is ABSENT or live is ABSENT:
        return live if applied is ABSENT else applied
    as_ = form(applied, schema)
    if as_ == "map" and (applied or live) and is_map(live, schema):
        whole = dict(live)
        for name, value in (applied or {}).items():
            whole[name] = merged(live.get(name, ABSENT), value, child(schema, name)[0])
        return whole
    if as_ == "list" and (applied or live) and is_keyed(live, schema):
        return _merged_list(steps(live, schema), steps(applied or [], schema), item_schema(schema))
    return applied


def _merged_list(live: list[tuple[str, Any]], applied: list[tuple[str, Any]], schema: Schema) -> list[Any]:
    """The items of both, in the order of the applied ones; of those between the ones that were there come first."""
    here: dict[str, Any] = {}
    for step, item in live:
        here[step] = ABSENT if step in here else item  # what stands twice is not merged
    there = dict(applied)
    shared = deque(step for step in there if step in here)
    whole: list[Any] = []
    done: set[str] = set()
    left = deque(live)
    for step, item in there.items():
        while left:
            before, kept = left[0]
            if before not in there:
                whole.append(kept)
            elif before == step or before in done or before == next(iter(shared), before):
                break
            left.popleft()
        if left and (left[0][0] == step or left[0][0] in done):
            left.popleft()
        whole.append(merged(here.get(step, ABSENT), item, schema))
        done.add(step)
        if shared and shared[0] == step:
            shared.popleft()
    return [*whole, *(kept for step, kept in left if step not in there)]


def pruned(whole: Any, last: Fields, owned: Fields, schema: Schema) -> Any:
    """The merged object without what was stated ``last`` and is not among what is ``owned`` now."""
    if not last:
        return whole
    last, there = with_named(last, schema), with_named(fieldsets.of(whole, schema), schema)

    def without(fields: Fields) -> Any:
        return _without(whole, fields, schema)

    def left(value: Any) -> Fields:
        return with_named(fieldsets.of(value, schema), schema)

    kept = left(without(there - left(without(last)) - with_named(owned, schema)))
    return without((there - kept) & last)


def _without(whole: Any, gone: Fields, schema: Schema) -> Any:
    above = {path[:length] for path in gone for length in range(len(path))}
    return _removed(whole, schema, (), gone, above)


def _removed(value: Any, schema: Schema, path: Path, gone: Fields, above: set[Path]) -> Any:
    """The value without some fields; null where nothing is left of it."""
    if path not in above:
        return value
    if is_map(value, schema):
        return {
            name: _removed(below, child(schema, name)[0], (*path, f"f:{name}"), gone, above)
            for name, below in value.items()
            if (*path, f"f:{name}") not in gone
        } or None
    if is_keyed(value, schema):
        described = item_schema(schema)
        return [
            _removed(below, described, (*path, step), gone, above)
            for step, below in steps(value, schema)
            if (*path, step) not in gone
        ] or None
    return None if isinstance(value, dict | list) else value
