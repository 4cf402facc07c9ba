"""How the targets stand, for the metrics: looked at now and then, for nobody should pay for it at every attempt.

Only what is busy or failing gets a series: ten thousand healthy Triggers have none. Must not change any target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scaup.core.model.names import Lane, TriggerUid
from scaup.core.runtime.definitions import Definitions
from scaup.dispatcher import metrics
from scaup.dispatcher.target import Target

_Labels = tuple[str, str, str, str]


class TargetGauges:
    """The gauges of all targets of a dispatcher."""

    def __init__(self, definitions: Definitions, owns: Callable[[TriggerUid], bool]) -> None:
        self._definitions = definitions
        self._owns = owns
        self._shown: dict[Lane, _Labels] = {}

    def show(self, targets: Mapping[Lane, Target]) -> None:
        """Set them all, and to zero those of targets that have nothing to do any more."""
        for lane, target in targets.items():
            is_news = lane not in self._shown and (target.running or target.breaker.is_open)
            if is_news and (labels := self._labels(lane)) is not None:
                self._shown[lane] = labels
        # Those whose Trigger is gone come first, for the last time: another may have its name now.
        for lane, labels in sorted(self._shown.items(), key=lambda one: self._labels(one[0]) is not None):
            found = targets.get(lane)
            # Who does not work the queue may not hear for long that a sink is well again.
            is_open = found is not None and found.breaker.is_open and self._owns(lane.trigger)
            metrics.BREAKER_OPEN.labels(*labels).set(is_open)
            metrics.TRIGGER_IN_FLIGHT.labels(*labels).set(found.running if found else 0)
            if self._labels(lane) is None:
                del self._shown[lane]  # else what is removed with it would come back

    def _labels(self, lane: Lane) -> _Labels | None:
        trigger = self._definitions.triggers.get(lane.trigger)
        broker = self._definitions.brokers.get(lane.broker)
        if trigger is None or broker is None:
            return None
        return trigger.namespace, broker.name, trigger.name, lane.kind
