"""The question "who wants these?" and its answer, as they travel between dispatcher and filter.

A match names the Trigger's uid and generation; the answer names the snapshot it was made from, so that whoever is
behind it can wait instead of guessing. Data travel only for Brokers that have filters on data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from scaup.core.model.names import TriggerUid


@dataclass(slots=True)
class Question:
    """Attributes of events of one Broker, asked by a dispatcher that has applied ``revision``.

    ``data`` is the events' data, in the same order, or nothing at all where the asker was not told to send it.
    """

    events: list[dict[str, str]]
    revision: int = 0
    created: str = ""
    data: list[bytes] | None = None

    def to_bytes(self) -> bytes:
        """As it travels: one line of JSON, then the data one after another, their sizes in the JSON."""
        head: dict[str, Any] = {"events": self.events, "revision": self.revision, "created": self.created}
        if self.data is None:
            return orjson.dumps(head)
        head["sizes"] = [len(data) for data in self.data]
        return b"".join((orjson.dumps(head), b"\n", *self.data))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Question:
        """What ``to_bytes`` made."""
        line, _, rest = raw.partition(b"\n")
        head = orjson.loads(line)
        data: list[bytes] | None = None
        if (sizes := head.get("sizes")) is not None:
            data, at = [], 0
            for size in sizes:
                data.append(rest[at : at + size])
                at += size
        return cls(head["events"], head["revision"], head["created"], data)


@dataclass(slots=True)
class MatchAnswer:
    """For each event the Triggers that want it, as positions in ``triggers`` (uid, generation), at ``revision``.

    ``retry`` says why there is no answer: the broker is unknown here, this replica is behind, or it wants the data.
    *Not knowing* is not *not matching*: the dispatcher asks again, or hands the events back. ``wants_data`` says
    whether questions about this Broker should bring data.
    """

    revision: int
    triggers: list[tuple[TriggerUid, int]] = field(default_factory=list)
    events: list[list[int]] = field(default_factory=list)
    retry: str = ""
    wants_data: bool = False

    def to_bytes(self) -> bytes:
        """As it travels."""
        return orjson.dumps(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> MatchAnswer:
        """What ``to_bytes`` made."""
        value = orjson.loads(raw)
        triggers = [(TriggerUid(uid), generation) for uid, generation in value["triggers"]]
        return cls(value["revision"], triggers, value["events"], value["retry"], value.get("wants_data", False))
