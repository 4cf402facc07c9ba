"""Dead letters of what was deleted: kept for a stated time after the deletion, then removed.

When something was deleted is written where the dead letters are, in their stream's metadata, so that it survives every
process, and the definitions too. Must not touch what belongs to anything that is still there.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from scaup.core.bus import topology
from scaup.core.bus.connection import Bus
from scaup.core.bus.deadletters import Keeping, keepings
from scaup.core.bus.topology import DELETED_AT
from scaup.core.model import names

log = structlog.get_logger()


class Farewell:
    """Removes dead letters ``keep_s`` seconds after their Broker or Trigger was found to be gone."""

    def __init__(self, bus: Bus, keep_s: float) -> None:
        self._bus = bus
        self._keep = timedelta(seconds=keep_s)

    async def look(self, brokers: AbstractSet[str], triggers: AbstractSet[str]) -> None:
        """Mark what is gone, remove what was marked long enough ago. Raises BusError.

        ``brokers`` and ``triggers`` are the uids of all there are.
        """
        for keeping in await keepings(self._bus):
            if keeping.broker in brokers:
                await self._look_at_triggers(keeping, triggers)
            elif self._is_over(keeping.deleted_at):
                await topology.remove_stream(self._bus, keeping.config["name"])
                log.info("farewell.removed", namespace=keeping.namespace, broker=keeping.name)
            elif keeping.deleted_at is None:
                await topology.retire_dead_letters(self._bus, keeping.broker)

    async def _look_at_triggers(self, keeping: Keeping, triggers: AbstractSet[str]) -> None:
        stream = keeping.config["name"]
        request = {"subjects_filter": names.DEAD_SUBJECTS}
        subjects: dict[str, int] = (await self._bus.api(f"STREAM.INFO.{stream}", request))["state"].get(
            "subjects"
        ) or {}
        metadata: dict[str, str] = keeping.config.get("metadata") or {}
        marks = {key: value for key, value in metadata.items() if key.startswith(DELETED_AT + ".")}
        stay: dict[str, str] = {}
        for subject, number in subjects.items():
            uid = names.trigger_of_dead_subject(subject)
            if uid is None or uid in triggers:
                continue
            mark = f"{DELETED_AT}.{uid}"
            if self._is_over(marks.get(mark)):
                await self._bus.api(f"STREAM.PURGE.{stream}", {"filter": subject})
                log.info("farewell.purged", broker=keeping.name, trigger=uid, dead_letters=number)
            else:
                stay[mark] = marks.get(mark) or topology.now_text()
        if stay != marks:
            others: dict[str, Any] = {key: value for key, value in metadata.items() if key not in marks}
            await topology.set_metadata(self._bus, keeping.config, others | stay)

    def _is_over(self, deleted_at: str | None) -> bool:
        return deleted_at is not None and datetime.now(UTC) - datetime.fromisoformat(deleted_at) > self._keep
