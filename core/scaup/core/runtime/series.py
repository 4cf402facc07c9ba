"""What a replica shows of its definitions; and series that go with what they are about: those of Brokers and Triggers
that were deleted are removed, a while later.

Later, so that who reads the metrics now and then still sees the last of them, and because what is under way may still
count. Must not take away anything of what exists.
"""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.health import Health
from scaup.core.runtime.metrics import gauge

_REVISION = gauge(
    "scaup_definitions_revision",
    "Revision of the definitions that this replica has applied.",
    when_bad="It stays below `scaup_controller_snapshot_revision`: the replica works with old definitions; restart it.",
)
_AFTER_S: Final = 120.0
_AT_ONCE: Final = 500
_OF: Final = ("namespace", "broker", "trigger")


def watch_definitions(definitions: Definitions, health: Health) -> None:
    """Show which revision is applied, let series go with what they are about, and be ready only with a snapshot."""
    _REVISION.set_function(lambda: definitions.revision)
    Series(definitions)
    health.add("definitions", definitions.why_not_ready)


class Series:
    """Looks through all series of the process once some time after Brokers or Triggers went."""

    def __init__(self, definitions: Definitions, after_s: float = _AFTER_S) -> None:
        self._definitions = definitions
        self._after_s = after_s
        self._names: set[tuple[str, ...]] | None = None
        self._removing: asyncio.Task[None] | None = None
        definitions.on_change(self._on_change)

    def _on_change(self, keys: set[str]) -> None:
        self._names = None
        if self._removing is None and any(self._is_gone(key) for key in keys):
            self._removing = asyncio.get_running_loop().create_task(self._remove(), name="series")

    def _is_gone(self, key: str) -> bool:
        kind, _, uid = key.partition(".")
        if kind == "broker":
            return uid not in self._definitions.brokers
        return kind == "trigger" and uid not in self._definitions.triggers

    async def _remove(self) -> None:
        """Remove every series that names a Broker or Trigger which is not there; in pieces, for events wait."""
        await asyncio.sleep(self._after_s)
        self._removing = None
        for metric in _metrics():
            labels = metric._labelnames  # noqa: SLF001 - no public way tells a metric's labels, nor its series
            of = [labels.index(name) for name in _OF if name in labels]
            if len(of) < 2:
                continue
            for number, values in enumerate(list(metric._metrics)):  # noqa: SLF001
                if number % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)
                found = tuple(values[place] for place in of)
                if found[1] and found not in self._there():  # without a Broker's name it is about none
                    metric.remove(*values)

    def _there(self) -> set[tuple[str, ...]]:
        """What there is now, by the labels of its series."""
        if self._names is None:
            brokers = self._definitions.brokers
            self._names = {(broker.namespace, broker.name) for broker in brokers.values()}
            for trigger in self._definitions.triggers.values():
                if (broker := brokers.get(trigger.broker)) is not None:
                    self._names.add((trigger.namespace, broker.name))
                    self._names.add((trigger.namespace, broker.name, trigger.name))
        return self._names


def _metrics() -> list[MetricWrapperBase]:
    """All that have series of their own."""
    collectors = {id(one): one for one in REGISTRY._names_to_collectors.values()}  # noqa: SLF001
    return [one for one in collectors.values() if isinstance(one, MetricWrapperBase)]
