"""Where a check does its work: it posts events, makes sinks and Triggers, and waits for what arrives.

Everything that is sent, answered and received is noted, so that a failure can be shown with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from scaup.conformance.event import BASE, STRUCTURED, binary, id_of
from scaup.conformance.kube import CLASS, EVENTING, Definitions, Object, condition, ready
from scaup.conformance.sink import Reaction, Sink, SinkServer
from scaup.conformance.wire import Address, Answer, Connection, Headers, Request, connection, with_length

KEY: Final = "conformancecase"
"""The extension that says which check an event is for: every Trigger of a check asks for its own."""


class UnmetError(Exception):
    """What a row asks for is not so."""


class UnshownError(Exception):
    """This broker does not do what a row speaks of, and need not."""


@dataclass
class Ground:
    """What all checks of a run share. ``settle_s``: how long nothing has to arrive where nothing should."""

    broker: Address
    sinks: SinkServer
    nonce: str
    definitions: Definitions | None = None
    broker_name: str = ""
    base: Address | None = None
    observers: dict[str, Sink] = field(default_factory=dict)
    broker_class: str | None = None
    settle_s: float = 1.5
    within_s: float = 20.0

    def sink(self, path: str) -> Sink:
        """A sink of this run."""
        return self.sinks.sink(f"{self.nonce}/{path}")

    def reached(self, url: str) -> Address:
        """A Broker's address as it is reached from here: ``base`` stands before its path where one was given."""
        found = Address.of(url)
        if self.base is None:
            return found
        return Address(self.base.host, self.base.port, found.target, self.base.tls)


@dataclass
class Place:
    """The place of one check."""

    ground: Ground
    key: str
    notes: list[str] = field(default_factory=list)
    _made: list[tuple[str, str]] = field(default_factory=list)
    _sinks: list[Sink] = field(default_factory=list)
    _count: int = 0

    # -- events -------------------------------------------------------------------------------------------------

    def event(self, **attributes: str) -> dict[str, str]:
        """The attributes of a new event of this check."""
        self._count += 1
        return {**BASE, "id": f"{self.key}-{self._count}", KEY: self.key, **attributes}

    async def post(
        self,
        attributes: dict[str, str],
        data: bytes = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        to: Address | None = None,
    ) -> Answer:
        """An event in binary mode."""
        return await self.send([*binary(attributes), *headers], data, to=to)

    async def send(
        self, headers: Headers, body: bytes = b"", *, method: str = "POST", to: Address | None = None
    ) -> Answer:
        """Any request, on a connection of its own."""
        where = to or self.ground.broker
        request = Request(method, where.target, with_length(headers, body, where.authority), body)
        async with self.connection(where) as one:
            await one.write(request.bytes)
            self.note("sent", request)
            found = await one.answer(method)
        self.note("answered", found)
        return found

    async def take(self, attributes: dict[str, str], data: bytes = b"", **more: Any) -> str:
        """Post an event that has to be accepted; its id."""
        found = await self.post(attributes, data, **more)
        self.need(found.accepted, f"a valid event is answered with {found.status}")
        return attributes["id"]

    @asynccontextmanager
    async def connection(self, to: Address | None = None) -> AsyncIterator[Connection]:
        """A connection to the broker, for who decides about every byte."""
        async with connection(to or self.ground.broker) as one:
            yield one

    # -- sinks --------------------------------------------------------------------------------------------------

    def sink(self, name: str = "sink", *reactions: Reaction) -> Sink:
        """A sink of this check."""
        found = self.ground.sink(f"{self.key}/{name}")
        if reactions:
            found.then(*reactions)
        self._sinks.append(found)
        return found

    async def arrived(self, where: Sink, event_id: str, times: int = 1, within_s: float | None = None) -> list[Request]:
        """The requests with this event, once there are that many."""

        def enough(requests: list[Request]) -> bool:
            return sum(id_of(request) == event_id for request in requests) >= times

        within_s = within_s or self.ground.within_s
        came = await where.until(enough, within_s)
        found = self.of(where, event_id)
        self.need(came, f"event {event_id} came {len(found)} times to {where.url} within {within_s:g} s, not {times}")
        return found

    async def observed(self, event_id: str, mode: str = "binary") -> Request | None:
        """The event as the broker sends it on, in this mode; None where no Trigger can be made to see it."""
        observer = self.ground.observers.get(mode)
        if observer is None:
            return None
        found = (await self.arrived(observer, event_id))[0]
        self.note(f"sent on ({mode})", found)
        return found

    @staticmethod
    def of(where: Sink, event_id: str) -> list[Request]:
        """The requests with this event so far."""
        return [request for request in where.requests if id_of(request) == event_id]

    async def settle(self) -> None:
        """Wait for what should not come."""
        await asyncio.sleep(self.ground.settle_s)

    def times(self, where: Sink, event_id: str, times: int) -> None:
        """The event came so often to this sink, and no more."""
        found = len(self.of(where, event_id))
        self.need(found == times, f"event {event_id} came {found} times to {where.url}, not {times}")

    # -- definitions --------------------------------------------------------------------------------------------

    @property
    def definitions(self) -> Definitions:
        """The API; only checks that need Triggers ask for it."""
        found = self.ground.definitions
        assert found is not None  # noqa: S101 - the run leaves such checks out
        return found

    def name(self, what: str) -> str:
        """A name of this check for an object."""
        return f"c{self.ground.nonce}-{self.key}-{what}"

    def trigger_spec(self, subscriber: Sink | Object, *, broker: str = "", **spec: Any) -> Object:
        """The spec of a Trigger for this check's events and no others."""
        to = {"uri": subscriber.url} if isinstance(subscriber, Sink) else subscriber
        made: Object = {"broker": broker or self.ground.broker_name, "subscriber": to, **spec}
        if "filters" in made:
            made["filters"] = [{"exact": {KEY: self.key}}, *made["filters"]]
        elif "filter" not in made:
            made["filter"] = {"attributes": {KEY: self.key}}
        return made

    async def create(self, kind: str, what: str, spec: Object, annotations: dict[str, str] | None = None) -> int:
        """Create an object; the status of the answer."""
        name = self.name(what)
        status, value = await self.definitions.create(kind, name, spec, annotations)
        self._made.append((kind, name))
        self.note(f"created {kind} {name}: {status}", spec if status < 400 else {"spec": spec, "answer": value})
        return status

    async def trigger(self, what: str, subscriber: Sink | Object, **spec: Any) -> Object:
        """A Trigger that has to become Ready."""
        status = await self.create("Trigger", what, self.trigger_spec(subscriber, **spec))
        self.need(status < 300, f"a valid Trigger is refused with {status}")
        return await self.is_ready("Trigger", what)

    async def broker(self, what: str = "broker", **spec: Any) -> Address:
        """A Broker that has to become Ready; its address as reached from here."""
        annotations = {CLASS: self.ground.broker_class} if self.ground.broker_class else {}
        status = await self.create("Broker", what, spec, annotations)
        self.need(status < 300, f"a valid Broker is refused with {status}")
        value = await self.is_ready("Broker", what)
        return self.ground.reached((value["status"].get("address") or {}).get("url") or "")

    async def is_ready(self, kind: str, what: str, status: str = "True") -> Object:
        """The object, once its Ready has this status for its generation."""
        return await self.becomes(kind, what, f"Ready is {status}", lambda value: ready(value, status))

    async def becomes(self, kind: str, what: str, says: str, holds: Any, within_s: float | None = None) -> Object:
        """The object, once it is so."""
        value = await self.definitions.until(kind, self.name(what), holds, within_s or self.ground.within_s)
        self.note(f"{kind} {self.name(what)}", (value or {}).get("status"))
        told = condition(value or {}, "Ready")
        self.need(
            value is not None and holds(value),
            f"{kind} {what} does not come to this: {says}; Ready is {told.get('status')} ({told.get('reason')}: "
            f"{told.get('message')})",
        )
        return value or {}

    async def not_ready(self, what: str, status: int) -> bool:
        """Whether a Trigger was refused, or is not Ready."""
        if status >= 400:
            return True
        within_s = self.ground.within_s
        value = await self.definitions.until("Trigger", self.name(what), _decided, within_s)
        self.note(f"Trigger {what}", (value or {}).get("status"))
        return value is not None and condition(value, "Ready").get("status") != "True"

    def reference(self, kind: str, what: str) -> Object:
        """A reference to an object of this check."""
        version = EVENTING if kind in {"Broker", "Trigger"} else "v1"
        return {"ref": {"apiVersion": version, "kind": kind, "name": self.name(what)}}

    # -- findings -----------------------------------------------------------------------------------------------

    def need(self, holds: bool, otherwise: str) -> None:
        """UnmetError where it does not hold."""
        if not holds:
            raise UnmetError(otherwise)

    def note(self, what: str, value: object) -> None:
        """Keep what happened, for the report."""
        self.notes.append(f"--- {what}\n{value}")

    def evidence(self, most: int = 12) -> list[str]:
        """What was sent, answered and received, the last of it."""
        came = [f"--- came to {sink.url}\n{request}" for sink in self._sinks for request in sink.requests[-4:]]
        return [*self.notes[-most:], *came[-most:]]

    async def clean(self) -> None:
        """Delete what was made, Triggers first."""
        for kind, name in reversed(self._made):
            with suppress(OSError):
                await self.definitions.delete(kind, name)


def binary_of(place: Place, data: bytes = b"", **attributes: str) -> tuple[Headers, bytes]:
    """Headers and body of a new event in binary mode."""
    return binary(place.event(**attributes)), data


def structured_headers(suffix: str = "") -> Headers:
    """The headers of structured mode."""
    return [("Content-Type", STRUCTURED + suffix)]


def _decided(value: Object) -> bool:
    """Whether somebody has looked at this generation."""
    return condition(value, "Ready").get("status") in {"True", "False"} and (
        (value.get("status") or {}).get("observedGeneration") in {None, value["metadata"].get("generation")}
    )
