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
        self._is_due = False
        definitions.on_change(self._on_change)

    def _on_change(self, keys: set[str]) -> None:
        if not self._is_due and any(self._is_gone(key) for key in keys):
            self._is_due = True
            asyncio.get_running_loop().call_later(self._after_s, self.remove)

    def _is_gone(self, key: str) -> bool:
        kind, _, uid = key.partition(".")
        if kind == "broker":
            return uid not in self._definitions.brokers
        return kind == "trigger" and uid not in self._definitions.triggers

    def remove(self) -> None:
        """Remove every series that names a Broker or Trigger which is not there."""
        self._is_due = False
        brokers, triggers = self._definitions.brokers, self._definitions.triggers
        there: set[tuple[str, ...]] = {(broker.namespace, broker.name) for broker in brokers.values()}
        for trigger in triggers.values():
            if (broker := brokers.get(trigger.broker)) is not None:
                there.add((trigger.namespace, broker.name))
                there.add((trigger.namespace, broker.name, trigger.name))
        for metric in {id(one): one for one in REGISTRY._names_to_collectors.values()}.values():  # noqa: SLF001
            if isinstance(metric, MetricWrapperBase):
                _remove(metric, there)


def _remove(metric: MetricWrapperBase, there: set[tuple[str, ...]]) -> None:
    names = metric._labelnames  # noqa: SLF001 - which labels a metric has, and its series, cannot be asked for otherwise
    of = [names.index(name) for name in _OF if name in names]
    if len(of) < 2:
        return
    for values in list(metric._metrics):  # noqa: SLF001
        found = tuple(values[place] for place in of)
        if found not in there and found[1]:  # without a Broker's name it is about none
            metric.remove(*values)
