"""Filters that could not be evaluated: counted by Trigger, and remembered for as long as it goes on.

That an attribute is missing is what filters are for, so it is counted but is not worth a word in a Trigger's status.
"""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import Counter

from scaup.core.filters.subject import EvaluationError
from scaup.core.model.names import TriggerUid
from scaup.core.runtime.definitions import Definitions
from scaup.filter import metrics

_KINDS: Final = frozenset(
    {"cast", "math", "missingAttribute", "missingFunction", "functionEvaluation", "generic", "parse"}
)
_PERSISTS_S: Final = 300.0
_MOST: Final = 100


class Failures:
    """What failed lately."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._recent: dict[TriggerUid, tuple[float, str]] = {}
        self._counters: dict[tuple[TriggerUid, str], Counter] = {}

    def failed(self, uid: TriggerUid, error: EvaluationError) -> None:
        """One event could not be judged by one Trigger's filter."""
        kind = error.kind if error.kind in _KINDS else "generic"
        counter = self._counters.get((uid, kind))
        if counter is None:
            if (trigger := self._definitions.triggers.get(uid)) is None:
                return
            broker = self._definitions.brokers.get(trigger.broker)
            labels = (trigger.namespace, broker.name if broker else "", trigger.name, kind)
            counter = self._counters[uid, kind] = metrics.ERRORS.labels(*labels)
        counter.inc()
        if kind != "missingAttribute" and (uid in self._recent or len(self._recent) < _MOST):
            self._recent[uid] = (time.monotonic(), f"{kind}: {error}"[:256])

    def broken(self, uid: TriggerUid, why: str) -> None:
        """A filter cannot be compiled here at all, whatever the controller thought of it."""
        self._recent[uid] = (float("inf"), why[:256])

    def forget(self, uid: TriggerUid) -> None:
        """The Trigger has changed, or is gone."""
        self._recent.pop(uid, None)
        for key in [key for key in self._counters if key[0] == uid]:
            del self._counters[key]

    def lately(self) -> dict[str, str]:
        """What failed within the last five minutes, by uid."""
        oldest = time.monotonic() - _PERSISTS_S
        self._recent = {uid: one for uid, one in self._recent.items() if one[0] >= oldest}
        return {uid: why for uid, (_, why) in self._recent.items()}
