"""What the snapshot shall hold, as bytes under keys: the plan's definitions, as far as the bus is ready for them. Pure.

What has no new definition, or not yet the ground for one, keeps what it has: the data plane goes on with the last good.
When a Trigger's pause ends the moment is written down, and stays: what waited meanwhile has not waited for its sink.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from scaup.controller.plan import BrokerPlan, Plan
from scaup.core.bus.kv import dumps
from scaup.core.model.definitions import Definition, TriggerDefinition, to_json
from scaup.core.model.names import broker_key


class Wanted:
    """Makes the bytes, and remembers those of what has not changed."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Definition, bytes]] = {}

    def of(
        self, plan: Plan, is_provisioned: Callable[[BrokerPlan], bool], stored: Callable[[str], bytes | None], now: str
    ) -> tuple[dict[str, bytes], set[str]]:
        """``(key → value, keys that keep their value)`` for a plan; anything else shall not be there.

        ``stored`` gives the value that a key has; ``now`` is RFC 3339 text.
        """
        definitions: dict[str, Any] = {}
        keep: set[str] = set()
        for key, entry in plan.addresses.items():
            if entry is None:
                keep.add(key)
            else:
                definitions[key] = entry
        for broker in plan.brokers.values():
            if broker.definition is not None and is_provisioned(broker):
                definitions[broker.key] = broker.definition
            else:
                keep.add(broker.key)
        for trigger in plan.triggers.values():
            # With an address that is not known yet its events would fail: a moment later they will not.
            if trigger.keep or any(plan.addresses[a] is None and stored(a) is None for a in trigger.address_keys):
                keep.add(trigger.key)
            elif trigger.definition is not None:
                owner = broker_key(trigger.definition.broker)
                if owner in definitions or stored(owner) is not None:
                    definitions[trigger.key] = trigger.definition
        self._made = {key: self._make(key, definition, stored, now) for key, definition in definitions.items()}
        return {key: value for key, (_, value) in self._made.items()}, keep

    def _make(
        self, key: str, definition: Definition, stored: Callable[[str], bytes | None], now: str
    ) -> tuple[Definition, bytes]:
        before = self._made.get(key)
        if before is not None and (before[0] is definition or before[0] == definition):
            return before
        return definition, dumps(to_json(_resumed(definition, stored(key), now)))


def _resumed(definition: Definition, before: bytes | None, now: str) -> Definition:
    """A Trigger that is not paused with the moment at which its last pause ended: now, where it is paused until now."""
    if not isinstance(definition, TriggerDefinition) or definition.paused or before is None:
        return definition
    value = orjson.loads(before)
    return replace(definition, resumed_at=now if value.get("paused") else value.get("resumed_at", ""))
