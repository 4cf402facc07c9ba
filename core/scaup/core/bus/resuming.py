"""What replays there are and how far they are, kept in a bucket, so that each can be gone on with by its id.

Must not know how a replay is worked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import STREAM_NOT_FOUND, WRONG_LAST_SEQUENCE, Bucket, dumps
from scaup.core.bus.replaying import Progress, ReplayError, Wanted
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import DEFINITIONS_BUCKET, REPLAYS_BUCKET, BrokerUid, TriggerUid

KEPT_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Record:
    """A replay as it was last written, at ``revision``. ``dead`` is the last dead letter of before it began."""

    wanted: Wanted
    progress: Progress
    began: str
    dead: int = 0
    is_done: bool = False
    revision: int = 0


class Records:
    """A bucket of replays. Entries go ``kept_s`` after they were last written (0: never)."""

    def __init__(self, bus: Bus, bucket: str = REPLAYS_BUCKET, kept_s: float = KEPT_S) -> None:
        self._bus = bus
        self._bucket = Bucket(bus, bucket)
        self._kept_s = kept_s
        self._unsure: bytes = b""

    async def ensure(self) -> None:
        """Make the bucket, on as many servers as the definitions are. Raises BusError."""
        info = await self._bus.api(f"STREAM.INFO.{Bucket(self._bus, DEFINITIONS_BUCKET).stream}")
        replicas = info["config"]["num_replicas"]
        await self._bucket.ensure(ttl_s=self._kept_s, replicas=replicas, description="how far replays of history are")

    async def write(self, record: Record, key: str) -> Record:
        """Keep the record under ``key``, and give it back as it was written. Raises BusError.

        ReplayError where somebody else has written it since: the same replay is gone on with elsewhere.
        """
        value = dumps(_plain(record))
        try:
            revision = await self._bucket.put(key, value, expected=record.revision)
        except BusRequestError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:
                raise
            there = await self._bucket.get(key)
            if there is None or there.value not in {value, self._unsure}:  # else our own, of which we never heard
                raise ReplayError(f"replay {record.wanted.id} is gone on with elsewhere") from error
            is_there = there.value == value
            revision = there.revision if is_there else await self._bucket.put(key, value, expected=there.revision)
        except BaseException:
            self._unsure = value
            raise
        return replace(record, revision=revision)

    async def remove(self, key: str) -> None:
        """Forget a record. Raises BusError."""
        await self._bucket.purge(key)

    async def read(self, key: str) -> Record | None:
        """The record under a key; None where there is none (any more). Raises BusError."""
        try:
            found = await self._bucket.get(key)
        except BusRequestError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            return None
        return None if found is None or found.value is None else record_of(found.value, found.revision)


def _plain(record: Record) -> dict[str, Any]:
    value = asdict(record)
    del value["revision"]
    return value


def record_of(raw: bytes, revision: int = 0) -> Record:
    """The record that a bucket's value is."""
    value = orjson.loads(raw)
    wanted, progress = value["wanted"], value["progress"]
    made = Wanted(**wanted | {"broker": BrokerUid(wanted["broker"]), "trigger": TriggerUid(wanted["trigger"])})
    return Record(made, Progress(**progress), value["began"], value["dead"], value["is_done"], revision)
