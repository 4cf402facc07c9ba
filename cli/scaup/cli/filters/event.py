"""The event that a filter is tried with: from a file, from attributes on the command line, or from a Broker's log.

Responsible for reading it, and for saying what is wrong with it. Must not judge it by any filter.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.problems import FailedError, UsageError
from scaup.core.codec import jsonformat
from scaup.core.codec.attributes import is_name
from scaup.core.filters.subject import Subject
from scaup.core.model.errors import MalformedEventError
from scaup.core.model.event import Event

STDIN: Final = Path("-")
_DIGITS: Final = 11
"""No integer of 32 bits is longer; Python refuses to read some that stand in data."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event in the log of a Broker: the newest with this ``id``, and ``source`` where that is not None."""

    api: ApiAccess
    nats: NatsAccess
    namespace: str
    broker: str
    id: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says of the event. ``attributes`` (name=value) go over those of ``file`` or ``stored``."""

    file: Path | None = None
    attributes: tuple[str, ...] = ()
    stored: Stored | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether no event was given at all."""
        return self.file is None and self.stored is None and not self.attributes


def read(given: Given, *, typed: bool = False) -> Subject:
    """The event as filters see it. Attributes alone are taken as they are, with ``specversion`` 1.0.

    ``typed`` as in ``decode``; what ``--attr`` gives is text.
    Raises UsageError where nothing is given, too much, or no event; FailedError where the log has no such event;
    NotReachableError and BusUnavailableError where API or NATS do not answer.
    """
    changes = dict(map(_attribute, given.attributes))
    if given.file is not None and given.stored is not None:
        raise UsageError("--event and --from-broker exclude each other")
    if given.is_nothing:
        raise UsageError("there is no event", hint="name its file with --event, or give attributes with --attr")
    if given.file is not None:
        subject = _decoded(given.file, typed=typed)
    elif given.stored is not None:
        event = asyncio.run(_fetched(given.stored))
        subject = Subject(event.attributes, event.data)
    else:
        subject = Subject({"specversion": "1.0"})
    return Subject({**subject.attributes, **changes}, subject.data)


def decode(content: bytes, *, typed: bool) -> Subject:
    """An event in the JSON format; MalformedEventError where it is none.

    Attributes are canonical strings, as a Broker stores them. ``typed`` leaves integers and booleans what they are in
    JSON, which is how CESQL defines its results (CESQL 1.0, 3.2): for looking at expressions, not at Triggers.
    """
    event = jsonformat.decode(content)
    if not typed:
        return Subject(event.attributes, event.data)
    members = json.loads(content, parse_int=lambda text: int(text) if len(text) <= _DIGITS else text)
    native = {name: members[name] for name in event.attributes if type(members.get(name)) in {int, bool}}
    return Subject({**event.attributes, **native}, event.data)


def _attribute(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not is_name(name):
        msg = f"--attr {given!a}: expected name=value, the name in lower-case letters and digits"
        raise UsageError(msg)
    if not is_text(value):
        msg = f"--attr {name}: the value is not UTF-8"
        raise UsageError(msg)
    return name, value


def is_text(value: str) -> bool:
    """Whether ``value`` is Unicode text. What is no UTF-8 on a command line arrives as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _content(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        msg = f"--event {path} cannot be read: {error.strerror}"
        raise UsageError(msg, hint="name a file with an event in the CloudEvents JSON format") from error


def _decoded(path: Path, *, typed: bool) -> Subject:
    try:
        return decode(_content(path), typed=typed)
    except MalformedEventError as error:
        msg = f"--event {path}: {error}"
        raise UsageError(msg, hint=error.hint) from error


async def _fetched(wanted: Stored) -> Event:
    from scaup.cli.bus import open_bus
    from scaup.cli.kinds import BROKER
    from scaup.cli.kube import open_api
    from scaup.core.bus import history
    from scaup.core.model.names import BrokerUid

    where = f"{wanted.namespace}/{wanted.broker}"
    async with open_api(wanted.api) as api:
        item = await api.find(BROKER.path(wanted.namespace, wanted.broker))
    if item is None:
        msg = f"there is no Broker {where}"
        raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
    async with open_bus(wanted.nats) as bus:
        event = await history.find(bus, BrokerUid(item["metadata"]["uid"]), wanted.id, wanted.source)
    if event is None:
        source = f" and source {wanted.source!r}" if wanted.source is not None else ""
        msg = f"there is no event with id {wanted.id!r}{source} among the last {history.DEFAULT_LIMIT:,} of {where}"
        raise FailedError(msg, hint="settled events are kept as long as the Broker's history settings say")
    return event
