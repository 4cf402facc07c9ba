"""The matching index of one Broker: from an event's attributes to the Triggers that want it.

The cost of a match grows with the Triggers that match (and those whose filters cannot be indexed), not with those
that exist. Filters that want a ``type`` or a ``source`` are found by it; the rest of such a filter is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scaup.core.filters.attributes import Predicate, compile_attributes
from scaup.core.model.definitions import TriggerDefinition
from scaup.core.model.names import TriggerUid

Key = tuple[str | None, str | None]
Match = tuple[TriggerUid, int]
_INDEXED: Final = ("type", "source")


class BrokerIndex:
    """Triggers by the type and source they want; Triggers come and go one at a time."""

    def __init__(self) -> None:
        self._buckets: dict[Key, dict[TriggerUid, tuple[Match, Predicate | None]]] = {}
        self._keys: dict[TriggerUid, Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, trigger: TriggerDefinition) -> None:
        """Take a Trigger in, in place of an earlier version of it. One that must not match is taken out."""
        self.remove(trigger.uid)
        if not trigger.matching:
            return
        wanted: dict[str, str] = {}
        rests: list[Predicate] = []
        for spec in trigger.filters:
            attributes = spec["attributes"]
            for name in _INDEXED:
                if (value := attributes.get(name)) and wanted.setdefault(name, value) != value:
                    return  # no event has two types, or two sources
            if rest := compile_attributes({n: v for n, v in attributes.items() if n not in _INDEXED}):
                rests.append(rest)
        key: Key = (wanted.get("type"), wanted.get("source"))
        self._buckets.setdefault(key, {})[trigger.uid] = ((trigger.uid, trigger.generation), _all_of(rests))
        self._keys[trigger.uid] = key

    def remove(self, uid: TriggerUid) -> None:
        """Forget a Trigger, if it is known."""
        if (key := self._keys.pop(uid, None)) is not None:
            bucket = self._buckets[key]
            del bucket[uid]
            if not bucket:
                del self._buckets[key]

    def match(self, attributes: Mapping[str, str]) -> list[Match]:
        """The ``(uid, generation)`` of every Trigger that wants an event of these attributes."""
        kind, source = attributes.get("type"), attributes.get("source")
        found: list[Match] = []
        for key in ((kind, source), (kind, None), (None, source), (None, None)):
            if bucket := self._buckets.get(key):
                for match, rest in bucket.values():
                    if rest is None or rest(attributes):
                        found.append(match)
        return found


def _all_of(predicates: list[Predicate]) -> Predicate | None:
    if len(predicates) < 2:
        return predicates[0] if predicates else None
    return lambda attributes: all(predicate(attributes) for predicate in predicates)
