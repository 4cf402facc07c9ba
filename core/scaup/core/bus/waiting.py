"""How many events wait in the queues of a Broker, by lane, as the subjects of its stream say.

Must not read or change an entry.
"""

from __future__ import annotations

from collections import Counter

from scaup.core.bus.connection import Bus
from scaup.core.model.names import BrokerUid, Lane, events_of_subject, lane_of_subject, queue_stream


async def waiting(bus: Bus, broker: BrokerUid, subjects: str = ">") -> Counter[Lane]:
    """Events in the entries under ``subjects`` (wildcards are allowed). Raises BusError.

    Every waiting retry has a subject of its own, so the answer is long where very many wait.
    """
    found: Counter[Lane] = Counter()
    offset = 0
    while True:
        request = {"subjects_filter": subjects, "offset": offset}
        info = await bus.api(f"STREAM.INFO.{queue_stream(broker)}", request, timeout=15)
        page: dict[str, int] = info["state"].get("subjects") or {}
        for subject, entries in page.items():
            if (lane := lane_of_subject(subject)) is not None:
                found[lane] += entries * events_of_subject(subject)
        offset += len(page)
        if not page or offset >= info.get("total", 0):
            return found
