"""Whether sinks are there: what the address book says of them, what dispatchers say, and a connection from here.

A connection is opened and closed again; no request is sent. That it fails from here says little where the dispatchers
are elsewhere, which is why it is no more than a warning then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from scaup.cli.doctor.findings import Finding, error, warning
from scaup.cli.doctor.work import about_trigger
from scaup.cli.plane import Snapshot
from scaup.core.http.networks import Networks
from scaup.core.http.origin import Origin
from scaup.core.model.definitions import TriggerDefinition, UnresolvedError, resolve
from scaup.core.model.names import DEAD_LETTER, SUBSCRIBER
from scaup.core.model.trail import Told

_CONNECT_S: Final = 2.0
_AT_ONCE: Final = 32
_MOST: Final = 500
"""Distinct addresses that are connected to."""


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the events of a Trigger, or its dead letters, go."""

    trigger: TriggerDefinition
    kind: str
    url: str
    host: str
    port: int

    @property
    def words(self) -> str:
        """Which sink of its Trigger."""
        return "its dead letter sink" if self.kind == DEAD_LETTER else "its sink"


def sinks(snapshot: Snapshot) -> tuple[list[Sink], list[Finding]]:
    """All that have an address, and a finding for each that has none. Pure."""
    found: list[Sink] = []
    missing: list[Finding] = []
    for trigger in snapshot.triggers.values():
        for kind, destination in ((SUBSCRIBER, trigger.subscriber), (DEAD_LETTER, trigger.delivery.dead_letter_sink)):
            if destination is None:
                continue
            words = "its dead letter sink" if kind == DEAD_LETTER else "its sink"
            try:
                address = resolve(destination, snapshot.address_book)
                origin = Origin.parse(address.url)
            except UnresolvedError as why:
                do = "make the object, or wait until it has status.address.url; its events wait meanwhile"
                missing.append(error("sink.no_address", about_trigger(trigger), f"{words} has no address: {why}", do))
            except ValueError as why:
                do = "write an absolute http or https URL"
                missing.append(error("sink.no_address", about_trigger(trigger), f"{words}: {why}", do))
            else:
                found.append(Sink(trigger, kind, address.url, origin.host, origin.port))
    return found, missing


async def reachable(every: Iterable[Sink], told: Iterable[Told]) -> list[Finding]:
    """A finding for each sink that keeps failing by what dispatchers say, or that nobody listens at."""
    every = list(every)
    ill = {(one.way.trigger, one.way.kind) for answer in told for one in answer.unwell}
    places = list(dict.fromkeys((sink.host, sink.port) for sink in every))[:_MOST]
    gate = asyncio.Semaphore(_AT_ONCE)
    why = dict(zip(places, await asyncio.gather(*(_why_not(*place, gate) for place in places)), strict=True))
    found: list[Finding] = []
    for sink in every:
        refused = why.get((sink.host, sink.port), "")
        is_ill = (sink.trigger.uid, sink.kind) in ill
        do = "start or mend it; what waits is tried again by itself, and `scaup trace ID` shows the attempts"
        if is_ill:
            more = f"; from here: {refused}" if refused else ""
            says = f"{sink.words} at {sink.url} keeps failing, and is asked for one event at a time{more}"
            found.append(error("sink.failing", about_trigger(sink.trigger), says, do))
        elif refused:
            says = f"{sink.words} at {sink.url} cannot be reached from here: {refused}"
            far = "; if dispatchers run elsewhere it may be well for them"
            found.append(warning("sink.unreachable", about_trigger(sink.trigger), says, do + far))
    return found


async def _why_not(host: str, port: int, gate: asyncio.Semaphore) -> str:
    """Why nothing can be connected to there; empty where it can."""
    async with gate:
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return f"no connection within {_CONNECT_S:g} s"
        except ConnectionRefusedError:
            return "connection refused"
        except OSError as why:
            return why.strerror or str(why)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""


def denied(every: Iterable[Sink], told: Iterable[Told]) -> tuple[list[Sink], list[Finding]]:
    """Those where ``SCAUP_SINK_DENY`` of the dispatchers lets attempts be made, and a finding for each other. Pure.

    A name is let through: what it stands for is asked at each attempt.
    """
    networks = [Networks.parse(text) for text in {one.settings.get("SCAUP_SINK_DENY", "") for one in told} if text]
    allowed: list[Sink] = []
    found: list[Finding] = []
    for sink in every:
        network = next((held for members in networks if (held := _holding(members, sink.host))), None)
        if network is None:
            allowed.append(sink)
        else:
            says = f"{sink.words} is at {sink.url}, and SCAUP_SINK_DENY of the dispatchers denies {network}"
            do = "move the sink, or change SCAUP_SINK_DENY: every attempt fails as it is"
            found.append(error("settings.sink_denied", about_trigger(sink.trigger), says, do))
    return allowed, found


def _holding(members: Networks, host: str) -> object:
    try:
        return members.holding(host)
    except ValueError:
        return None
