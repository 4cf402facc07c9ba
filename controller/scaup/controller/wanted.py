"""What the snapshot shall hold, as bytes under keys: the plan's definitions, as far as the bus is ready for them. Pure.

What has no new definition, or not yet the ground for one, keeps what it has: the data plane goes on with the last good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scaup.controller.plan import BrokerPlan, Plan
from scaup.core.bus.kv import dumps
from scaup.core.model.definitions import Definition, to_json
from scaup.core.model.names import broker_key


class Wanted:
    """Makes the bytes, and remembers those of what has not changed."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Definition, bytes]] = {}

    def of(
        self, plan: Plan, is_provisioned: Callable[[BrokerPlan], bool], is_stored: Callable[[str], bool]
    ) -> tuple[dict[str, bytes], set[str]]:
        """``(key → value, keys that keep their value)`` for a plan; anything else shall not be there."""
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
            if trigger.keep or any(plan.addresses[a] is None and not is_stored(a) for a in trigger.address_keys):
                keep.add(trigger.key)
            elif trigger.definition is not None:
                owner = broker_key(trigger.definition.broker)
                if owner in definitions or is_stored(owner):
                    definitions[trigger.key] = trigger.definition
        made = {}
        for key, definition in definitions.items():
            before = self._made.get(key)
            is_same = before is not None and (before[0] is definition or before[0] == definition)
            made[key] = before if before is not None and is_same else (definition, dumps(to_json(definition)))
        self._made = made
        return {key: value for key, (_, value) in made.items()}, keep
