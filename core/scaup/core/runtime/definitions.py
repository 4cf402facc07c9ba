"""The data plane's view of the definitions: the bucket's content as values, followed as it changes.

Nothing is served before the first complete load. A bucket that comes back smaller without marks of deletion, and
without the controller's word that it is complete so, takes nothing away: the last good snapshot stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog

from scaup.core.bus.connection import Bus
from scaup.core.bus.kv import Bucket, Entry, Reloaded
from scaup.core.model import definitions as model
from scaup.core.model.definitions import AddressBookEntry, BrokerDefinition, Complete, TriggerDefinition
from scaup.core.model.errors import NotLoadedError
from scaup.core.model.names import COMPLETE_KEY, DEFINITIONS_BUCKET, SUBSCRIBER, BrokerUid, Lane, TriggerUid

log = structlog.get_logger()

Listener = Callable[[set[str]], None]
_READERS: Final[dict[str, Callable[[dict[str, Any]], model.Definition]]] = {
    "broker": model.broker_from_json,
    "trigger": model.trigger_from_json,
    "address": model.address_from_json,
    COMPLETE_KEY: model.complete_from_json,
}


class Definitions:
    """All Brokers, Triggers and addresses at ``revision``.

    Read-only for everybody but ``follow``. Listeners get the keys that changed, after each change is applied.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.created = ""
        self.is_loaded = False
        self.loaded = asyncio.Event()
        self.brokers: dict[BrokerUid, BrokerDefinition] = {}
        self.brokers_by_name: dict[tuple[str, str], BrokerDefinition] = {}
        self.triggers: dict[TriggerUid, TriggerDefinition] = {}
        self.address_book: dict[str, AddressBookEntry] = {}
        self.deleted_triggers: set[TriggerUid] = set()
        self._values: dict[str, model.Definition] = {}
        self._kept: set[str] = set()
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Call ``listener(changed keys)`` after each change, and once for the first load."""
        self._listeners.append(listener)

    def is_ordered(self, lane: Lane) -> bool:
        """Whether the events of a lane are to be delivered in order: the subscriber's, where its Trigger says so."""
        trigger = self.triggers.get(lane.trigger)
        return trigger is not None and trigger.ordered and lane.kind == SUBSCRIBER

    def require_loaded(self) -> None:
        """Raise NotLoadedError before the first complete load."""
        if not self.is_loaded:
            msg = "the definitions are not loaded yet"
            raise NotLoadedError(msg, hint="try again in a moment; if it stays so, look at the controller")

    def why_not_ready(self) -> str | None:
        """For the readiness check."""
        return None if self.is_loaded else "no complete snapshot of the definitions yet"

    async def follow(self, bus: Bus) -> None:
        """Keep up with the bucket. Never ends."""
        async for change in Bucket(bus, DEFINITIONS_BUCKET).watch():
            self.apply(change)

    def apply(self, change: Reloaded | Entry) -> None:
        """Take in one change of the bucket."""
        if isinstance(change, Reloaded):
            self._reload(change)
            return
        changed = {change.key} if self._set(change.key, change.value) else set()
        self._kept.discard(change.key)
        if self._kept:
            changed |= self._let_go()
        self.revision = change.revision
        if not self.is_loaded:
            self._finish_loading(set(self._values))
        elif changed:
            self._tell(changed)

    def _reload(self, change: Reloaded) -> None:
        fresh = {key: value for key, entry in change.entries.items() if (value := _read(key, entry.value))}
        deleted = {key for key, entry in change.entries.items() if entry.value is None}
        missing = set(self._values) - set(fresh) - deleted
        if missing and not _is_complete(fresh):
            log.warning("definitions.shrunk", missing=len(missing), kept=True)
            fresh |= {key: self._values[key] for key in missing}
            self._kept = missing
        else:
            self._kept = set()
        changed = {key for key in set(self._values) | set(fresh) if self._values.get(key) != fresh.get(key)}
        for key in changed | deleted:
            self._store(key, fresh.get(key))
        self.revision, self.created = change.revision, change.created
        if not self.is_loaded:
            self._finish_loading(set(fresh))
        elif changed:
            self._tell(changed)

    def _let_go(self) -> set[str]:
        """Drop what was kept from a bucket that shrank, once the bucket is complete without it; gives back the keys."""
        if not _is_complete({key: value for key, value in self._values.items() if key not in self._kept}):
            return set()
        gone, self._kept = self._kept, set()
        for key in gone:
            self._store(key, None)
        return gone

    def _finish_loading(self, keys: set[str]) -> None:
        if not _is_complete(self._values):
            return
        self.is_loaded = True
        self.loaded.set()
        log.info(
            "definitions.loaded",
            revision=self.revision,
            brokers=len(self.brokers),
            triggers=len(self.triggers),
        )
        self._tell(keys)

    def _tell(self, keys: set[str]) -> None:
        for listener in self._listeners:
            listener(keys)

    def _set(self, key: str, raw: bytes | None) -> bool:
        value = _read(key, raw)
        if value is not None and self._values.get(key) == value:
            return False
        self._store(key, value)
        return True

    def _namesake(self, namespace: str, name: str) -> BrokerDefinition | None:
        """A Broker that was made anew under the name of the one that goes."""
        return next((b for b in self.brokers.values() if (b.namespace, b.name) == (namespace, name)), None)

    def _store(self, key: str, value: model.Definition | None) -> None:
        old = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        match value or old:
            case BrokerDefinition(uid=uid, namespace=namespace, name=name):
                _put(self.brokers, uid, value)
                present = self.brokers_by_name.get((namespace, name))
                if value is not None or (present is not None and present.uid == uid):
                    _put(self.brokers_by_name, (namespace, name), value or self._namesake(namespace, name))
            case TriggerDefinition(uid=uid):
                _put(self.triggers, uid, value)
            case AddressBookEntry():
                _put(self.address_book, key, value)
            case _:
                pass
        if value is None and key.startswith("trigger."):
            self.deleted_triggers.add(TriggerUid(key.removeprefix("trigger.")))


def _put(values: dict[Any, Any], key: Any, value: Any) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _read(key: str, raw: bytes | None) -> model.Definition | None:
    if raw is None:
        return None
    reader = _READERS.get(key.partition("/")[0].partition(".")[0])
    return reader(orjson.loads(raw)) if reader else None


def _is_complete(values: dict[str, model.Definition]) -> bool:
    mark = values.get(COMPLETE_KEY)
    if not isinstance(mark, Complete):
        return False
    kinds = [type(value) for value in values.values()]
    counts = (kinds.count(BrokerDefinition), kinds.count(TriggerDefinition), kinds.count(AddressBookEntry))
    return counts == (mark.brokers, mark.triggers, mark.addresses)
