"""The streams of Brokers: made before a Broker's definition is published, removed after it is gone.

A Broker whose streams the bus refuses does not hold up the others; it is tried again now and then. What all Brokers
need, the buckets, is kept on as many servers as the Broker that is kept on the most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog

from scaup.core.bus import topology
from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import Bucket
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.errors import BusRequestError
from scaup.core.model.names import (
    DEFINITIONS_BUCKET,
    OBJECTS_BUCKET,
    REPLAYS_BUCKET,
    REPLICAS_BUCKET,
    STARTS_BUCKET,
    BrokerUid,
)

log = structlog.get_logger()

_AT_ONCE: Final = 8
RETRY_S: Final = 5.0


class Provisioner:
    """What has been provisioned in this era of the bus: since the connection was made, and the bucket."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._era: tuple[Any, ...] = ()
        self._done: dict[str, tuple[Any, ...]] = {}
        self._removed: set[str] = set()
        self._retry_at: dict[str, float] = {}
        self._kept_on = 1
        self.problems: dict[str, str] = {}
        self.is_left_over = False

    def is_done(self, broker: BrokerDefinition) -> bool:
        """Whether everything that a Broker needs is on the bus, as its definition says."""
        return self._done.get(broker.uid) == _wanted(broker)

    def enter(self, era: tuple[Any, ...]) -> None:
        """Take nothing for granted that was done in another era: the bus may have lost everything since."""
        if era != self._era:
            self._era = era
            self._kept_on = 1
            for remembered in (self._done, self._removed, self._retry_at):
                remembered.clear()

    async def ensure(self, brokers: Iterable[BrokerDefinition]) -> None:
        """Make what is missing or different. Raises BusUnavailableError where the bus is away."""
        now = asyncio.get_running_loop().time()
        todo = [b for b in brokers if not self.is_done(b) and self._retry_at.get(_attempt(b), 0.0) <= now]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(broker: BrokerDefinition) -> None:
            async with gate:
                await self._ensure(broker)

        for result in await asyncio.gather(*map(one, todo), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        await self._keep_buckets()

    async def remove(self, brokers: Iterable[str]) -> None:
        """Remove what Brokers have left behind that are no more. Raises BusUnavailableError where the bus is away.

        ``is_left_over`` says that something could not be removed, and is tried again when it is asked for again.
        """
        self.is_left_over = False
        now = asyncio.get_running_loop().time()
        for uid in [uid for uid in brokers if uid not in self._removed and self._retry_at.get(uid, 0.0) <= now]:
            self._done.pop(uid, None)
            self.problems.pop(uid, None)
            try:
                await topology.remove_broker(self._bus, BrokerUid(uid))
            except BusRequestError as error:
                log.warning("provision.not_removed", broker=uid, why=str(error))
                self._retry_at[uid] = now + RETRY_S
                self.is_left_over = True
            else:
                log.info("provision.removed", broker=uid)
                self._removed.add(uid)
                self._retry_at.pop(uid, None)

    async def _keep_buckets(self) -> None:
        """On as many servers as the streams of a Broker are, never on fewer again: a Broker is no safer than they."""
        most = max((replicas for *_, replicas in self._done.values()), default=1)
        if most <= self._kept_on:
            return
        self._kept_on = most
        for name in (DEFINITIONS_BUCKET, REPLICAS_BUCKET, OBJECTS_BUCKET, REPLAYS_BUCKET, STARTS_BUCKET):
            try:
                await Bucket(self._bus, name).keep_on(most)
            except BusRequestError as error:
                log.warning("provision.bucket_refused", bucket=name, replicas=most, why=str(error))

    async def _ensure(self, broker: BrokerDefinition) -> None:
        try:
            await topology.ensure_broker(self._bus, broker)
        except BusRequestError as error:
            if self.problems.get(broker.uid) != str(error):
                log.warning("provision.refused", namespace=broker.namespace, broker=broker.name, why=str(error))
            self.problems[broker.uid] = str(error)
            self._retry_at[_attempt(broker)] = asyncio.get_running_loop().time() + RETRY_S
            return
        self.problems.pop(broker.uid, None)
        self._retry_at.pop(_attempt(broker), None)
        self._done[broker.uid] = _wanted(broker)


def _wanted(broker: BrokerDefinition) -> tuple[Any, ...]:
    """What of a definition the streams depend on."""
    return (broker.namespace, broker.name, broker.log_max_bytes, broker.dedupe_window_s, broker.replicas)


def _attempt(broker: BrokerDefinition) -> str:
    """What is not tried again at once: the same Broker with the same wishes."""
    return f"{broker.uid}/{broker.log_max_bytes}/{broker.dedupe_window_s}/{broker.replicas}"
