"""How the targets stand, for the metrics: looked at now and then, for nobody should pay for it at every attempt.

Only what is busy or failing is looked at closely: ten thousand quiet Triggers cost nothing. Must not change any target.
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
        """Set them, and to zero those of targets that have nothing to do any more, or are gone."""
        busy: dict[Lane, _Labels] = {}
        for lane, target in targets.items():
            is_busy = target.running or target.breaker.is_open
            if is_busy and (labels := self._labels(lane)) is not None:
                busy[lane] = labels
        # These first: another Trigger may have the name of one that is gone. Once, or what was removed would come back.
        for lane in self._shown.keys() - busy.keys():
            metrics.BREAKER_OPEN.labels(*self._shown[lane]).set(0)
            metrics.TRIGGER_IN_FLIGHT.labels(*self._shown[lane]).set(0)
        for lane, labels in busy.items():
            target = targets[lane]
            # Who does not work the queue may not hear for long that a sink is well again.
            metrics.BREAKER_OPEN.labels(*labels).set(target.breaker.is_open and self._owns(lane.trigger))
            metrics.TRIGGER_IN_FLIGHT.labels(*labels).set(target.running)
        self._shown = busy

    def _labels(self, lane: Lane) -> _Labels | None:
        trigger = self._definitions.triggers.get(lane.trigger)
        broker = self._definitions.brokers.get(lane.broker)
        if trigger is None or broker is None:
            return None
        return trigger.namespace, broker.name, trigger.name, lane.kind
