"""Which dead letters a command is about: what was asked for, and reading them page by page.

Must not change any.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from scaup.cli.access import ApiAccess
from scaup.cli.kinds import BROKER, TRIGGER
from scaup.cli.kube import open_api
from scaup.cli.problems import FailedError, UsageError
from scaup.core.bus import deadletters
from scaup.core.bus.connection import Bus
from scaup.core.bus.deadletters import DeadLetter, Part
from scaup.core.model.durations import parse_duration
from scaup.core.model.names import BrokerUid

PAGE: Final = 256
DELETED: Final = " (deleted)"
_SHORT = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}-[0-9]{1,19}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters of a namespace; None, or empty, where all are wanted.

    ``since`` and ``until`` are about when a dead letter was stored, ``names`` are those that `list` shows.
    """

    namespace: str
    broker: str | None = None
    trigger: str | None = None
    limit: int | None = 1000
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    event_id: str | None = None
    source: str | None = None
    names: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether nothing but the namespace was said."""
        said = (self.broker, self.trigger, self.since, self.until, self.reason, self.event_id, self.source)
        return not self.names and all(value is None for value in said)


def moment(text: str, now: datetime, option: str) -> datetime:
    """A time: RFC 3339, or a duration back from now (``2h``, ``1h30m``, ``PT2H``). Raises UsageError."""
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper().replace(" ", "T"))
        found = _SHORT.fullmatch(text)
        if found and text:
            days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
            return now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        msg = f"{option} {text!r} is no time"
        raise UsageError(msg, hint="write 2026-01-02T03:04:05Z, or how long ago: 2h, 1h30m, PT2H") from None


def name_of(letter: DeadLetter) -> str:
    """Its name, as ``list`` shows it."""
    return f"{letter.broker}-{letter.sequence}"


def parse_name(name: str) -> tuple[BrokerUid, int]:
    """Broker and sequence of a name. Raises UsageError."""
    uid, _, sequence = name.rpartition("-")
    if not _NAME.fullmatch(name):
        msg = f"{name!r} is no name of a dead letter"
        raise UsageError(msg, hint="`scaup deadletters list` shows them in its first column")
    return BrokerUid(uid), int(sequence)


def is_wanted(letter: DeadLetter, wanted: Wanted) -> bool:
    """By what the dead letter itself says; whose it is is the scope's to say."""
    if wanted.since is not None or wanted.until is not None:
        stored_at = datetime.fromisoformat(letter.stored_at)
        if wanted.since is not None and stored_at < wanted.since:
            return False
        if wanted.until is not None and stored_at >= wanted.until:
            return False
    attributes = letter.event.attributes
    return (
        (wanted.reason is None or wanted.reason.casefold() in letter.facts.reason.casefold())
        and wanted.event_id in {None, attributes.get("id")}
        and wanted.source in {None, attributes.get("source")}
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """A Broker whose dead letters are looked at: through sequence ``through``, so never what came later."""

    uid: BrokerUid
    name: str
    through: int
    triggers: dict[str, str] = field(default_factory=dict, repr=False)
    """The names of the Triggers that are there now, by uid."""

    @property
    def is_deleted(self) -> bool:
        """Whether the Broker is no more."""
        return self.name.endswith(DELETED)

    def trigger_of(self, letter: DeadLetter) -> str:
        """The name of its Trigger and whether that is still there; "-" where nobody had been asked yet."""
        if letter.trigger is None:
            return "-"
        return self.triggers.get(letter.trigger) or f"{letter.trigger_name.rpartition('/')[2] or '?'}{DELETED}"


async def scopes(access: ApiAccess, bus: Bus, wanted: Wanted) -> list[Scope]:
    """The Brokers that are meant, the deleted ones first."""
    async with open_api(access) as api:
        brokers = (await api.get(BROKER.path(wanted.namespace))).get("items") or []
        items = (await api.get(TRIGGER.path(wanted.namespace))).get("items") or []
    triggers = {item["metadata"]["uid"]: item["metadata"]["name"] for item in items}
    present = {item["metadata"]["uid"]: item["metadata"]["name"] for item in brokers}
    deleted = {
        keeping.broker: keeping.name + DELETED
        for keeping in await deadletters.keepings(bus)
        if keeping.namespace == wanted.namespace and keeping.broker not in present
    }
    every = {uid: name for uid, name in {**deleted, **present}.items() if is_named(name, wanted.broker)}
    if wanted.broker is not None and not every:
        msg = f"there is no Broker {wanted.namespace}/{wanted.broker}"
        raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
    return [
        Scope(BrokerUid(uid), name, await deadletters.last_sequence(bus, BrokerUid(uid)), triggers)
        for uid, name in every.items()
    ]


def is_named(name: str, wanted: str | None) -> bool:
    """Whether this is the name that is wanted, of one that is there or was deleted."""
    return wanted is None or name.removesuffix(DELETED) == wanted


async def select(bus: Bus, scope: Scope, wanted: Wanted, size: int = PAGE) -> AsyncIterator[list[DeadLetter]]:
    """The dead letters of a scope that are wanted, oldest first, page by page (some may be empty)."""
    if wanted.names:
        for sequence in sorted(number for uid, number in map(parse_name, wanted.names) if uid == scope.uid):
            found = await deadletters.one(bus, scope.uid, sequence) if sequence <= scope.through else None
            yield _wanted_of([found] if found else [], scope, wanted)
        return
    async for some in deadletters.pages(bus, Part(scope.uid, 1, scope.through), size):
        yield _wanted_of(some, scope, wanted)


def _wanted_of(some: Sequence[DeadLetter], scope: Scope, wanted: Wanted) -> list[DeadLetter]:
    return [a for a in some if is_named(scope.trigger_of(a), wanted.trigger) and is_wanted(a, wanted)]


def check_names(names: Sequence[str], every: Sequence[Scope]) -> None:
    """Raise where a name is none, or names a Broker that is not in the namespace."""
    known = {scope.uid for scope in every}
    for name in names:
        if parse_name(name)[0] not in known:
            msg = f"there is no dead letter {name} in this namespace"
            raise FailedError(msg, hint="`scaup deadletters list -n NAMESPACE` lists those there are")


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
