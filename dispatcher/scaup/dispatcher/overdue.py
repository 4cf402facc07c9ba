"""Entries of the queues whose time the server has lost: they are stored once more.

nats-server (2.15.1) tries to bring a scheduled entry once: where it has no room for it at that moment, it does not try
again before it restarts. And where its clock jumps back, what was due in a second waits as long as the jump. Stored
anew under its subject, in one step, an entry is scheduled anew.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from scaup.core.bus import entries
from scaup.core.bus.connection import Bus
from scaup.core.bus.entries import StoredEntry
from scaup.core.bus.kv import WRONG_LAST_SEQUENCE
from scaup.core.codec import kept
from scaup.core.model import names
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import BrokerUid

log = structlog.get_logger()

_LATE: Final = timedelta(seconds=10)
"""The server is 0.3 s late as a rule, and a few seconds where very many are due at once."""
_LOOKED_AT: Final = 64
_AT_MOST: Final = 1_000


class Overdue:
    """Looks at the waiting entries of Brokers, a few at a time, oldest first, over and over."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._next: dict[BrokerUid, int] = {}

    async def look_after(self, broker: BrokerUid, info: dict[str, Any]) -> None:
        """Look at the next few, and store again what is late; ``info`` is JetStream's of the Broker's queues, just now.

        Raises BusError, which ends this round.
        """
        stream = names.queue_stream(broker)
        if not info["state"]["messages"]:
            self._next.pop(broker, None)
            return
        now = datetime.fromisoformat(info["ts"])  # by the server's clock, as all times of the stream are
        looked_at = again = 0
        while looked_at < _LOOKED_AT and again < _AT_MOST:
            sequence = self._next.pop(broker, info["state"]["first_seq"])
            entry = await entries.get(self._bus, stream, sequence, next_of=names.retry_subjects(broker))
            if entry is None:
                break  # begin at the front again
            if (due := due_again(entry, now)) is not None:
                again += await self._store_again(entry, due)
            elif datetime.fromisoformat(entry.stored_at) > now - _LATE:
                break  # what was stored since then is not late
            else:
                looked_at += 1
            self._next[broker] = entry.sequence + 1
        if again:
            log.warning("overdue.stored_again", broker=broker, entries=again)

    async def _store_again(self, entry: StoredEntry, due: datetime) -> bool:
        """In the place of the old one, unless that has gone meanwhile: then False."""
        headers = entry.headers | {
            "Nats-Expected-Last-Subject-Sequence": str(entry.sequence),
            "Nats-Schedule": f"@at {due.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}",
            kept.NOT_BEFORE: f"{due.timestamp():.3f}",
        }
        headers.pop("Nats-Msg-Id", None)  # by which the server would take it for the same
        try:
            await self._bus.acked.store(entry.subject, entry.data, headers)
        except BusRequestError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:
                raise
            return False
        return True


def due_again(entry: StoredEntry, now: datetime) -> datetime | None:
    """When an entry is to be brought whose time was lost; None where it only has to wait.

    What was stored in the future was stored before the clock jumped back: its wait begins anew.
    """
    try:
        due = datetime.fromtimestamp(float(entry.headers[kept.NOT_BEFORE]), UTC)
    except (KeyError, ValueError, OverflowError):
        return None
    stored_at = datetime.fromisoformat(entry.stored_at)
    if stored_at > now + _LATE:
        return now + max(due - stored_at, timedelta())
    return due if due < now - _LATE else None
