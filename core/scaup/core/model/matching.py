"""The question "who wants these?" and its answer, as they travel between dispatcher and filter.

A match names the Trigger's uid and generation; the answer names the snapshot it was made from, so that whoever is
behind it can wait instead of guessing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scaup.core.model.names import TriggerUid


@dataclass(slots=True)
class Question:
    """Attributes of events of one Broker, asked by a dispatcher that has applied ``revision``."""

    events: list[dict[str, str]]
    revision: int = 0
    created: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        return {"events": self.events, "revision": self.revision, "created": self.created}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Question:
        """What ``to_json`` made."""
        return cls(value["events"], value["revision"], value["created"])


@dataclass(slots=True)
class MatchAnswer:
    """For each event the Triggers that want it, as positions in ``triggers`` (uid, generation), at ``revision``.

    ``retry`` says why there is no answer: the broker is unknown here, or this replica is behind. *Not knowing* is not
    *not matching*: the dispatcher asks again, or hands the events back.
    """

    revision: int
    triggers: list[tuple[TriggerUid, int]] = field(default_factory=list)
    events: list[list[int]] = field(default_factory=list)
    retry: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        return {"revision": self.revision, "triggers": self.triggers, "events": self.events, "retry": self.retry}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> MatchAnswer:
        """What ``to_json`` made."""
        triggers = [(TriggerUid(uid), generation) for uid, generation in value["triggers"]]
        return cls(value["revision"], triggers, value["events"], value["retry"])
