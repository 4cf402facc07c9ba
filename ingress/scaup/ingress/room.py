"""How full the event logs are, as the ingress sees it: asked once a second where events come in, counted in between,
and ten times a second where one is nearly full, for the dispatchers make room there.

New events are refused at 90 %: the last tenth is for replies, which must not fail for what producers send.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from scaup.core.bus.connection import Bus
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusError, LogFullError
from scaup.core.model.names import BrokerUid, log_stream, trim_hint

_REFUSE_AT: Final = 0.9
_HINT_AT: Final = 0.8
_ASK_EVERY_S: Final = 1.0
_ASK_OFTEN_S: Final = 0.1
_ENTRY_OVERHEAD: Final = 32


@dataclass(slots=True)
class _Log:
    bytes: int = 0
    used: bool = True
    hinted: bool = False


class Room:
    """The room in every log this ingress writes to."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._logs: dict[BrokerUid, _Log] = {}

    def take(self, broker: BrokerDefinition, size: int) -> None:
        """Count an event of ``size`` bytes that is about to be stored; LogFullError where there is no room for it."""
        log = self._logs.get(broker.uid)
        if log is None:
            log = self._logs[broker.uid] = _Log()
        log.used = True
        after = log.bytes + size + _ENTRY_OVERHEAD
        if after > broker.log_max_bytes * _HINT_AT and not log.hinted:
            log.hinted = True
            asyncio.ensure_future(self._bus.publish(trim_hint(broker.uid)))  # noqa: RUF006 - a hint may get lost
        if after > broker.log_max_bytes * _REFUSE_AT:
            msg = (
                f"the event log of broker {broker.namespace}/{broker.name} is full "
                f"({log.bytes} of {broker.log_max_bytes} bytes, a tenth is kept for replies)"
            )
            raise LogFullError(msg, hint="try again later; raise the annotation scaup.dev/log-max-bytes")
        log.bytes = after

    async def keep_asking(self) -> None:
        """Ask the bus how full the logs in use are. Never ends."""
        asked = -_ASK_EVERY_S
        loop = asyncio.get_running_loop()
        while True:
            is_time = loop.time() - asked >= _ASK_EVERY_S
            if is_time:
                asked = loop.time()
            for uid, log in list(self._logs.items()):
                if log.used and (is_time or log.hinted):
                    with contextlib.suppress(BusError):
                        await self._ask(uid, log)
            await asyncio.sleep(_ASK_OFTEN_S)

    async def _ask(self, uid: BrokerUid, log: _Log) -> None:
        log.used = False
        before = log.bytes
        info = await self._bus.api(f"STREAM.INFO.{log_stream(uid)}")
        # What was counted while the question was under way is in the answer or not: counting it twice is the safe side.
        log.bytes = int(info["state"]["bytes"]) + (log.bytes - before)
        log.hinted = False
