"""LocalSinks: objects of the local API that ``scaup up`` runs, each an in-process sink on a port of its own.

Responsible for following the objects, for running what they say, and for writing their address and condition into
their status. Must not know Triggers: whoever wants such a sink finds it by its address, as any Addressable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from scaup.cli.kinds import LOCAL_SINK
from scaup.cli.kube import MERGE_PATCH, Api, watch
from scaup.cli.problems import RefusedError
from scaup.cli.sink import Behaviour, Sink, serve
from scaup.cli.up.layout import LOOPBACK
from scaup.core.http.server import HttpServer, PortTakenError
from scaup.core.model.errors import DefinitionError, ScaupError
from scaup.core.model.event import Event

_AGAIN_S: Final = 0.5
Shown = Callable[[Event, str], None]


def parse(spec: Any) -> tuple[int, Behaviour]:
    """Port (before the offset) and behaviour of a LocalSink's spec; DefinitionError naming the field."""
    if not isinstance(spec, dict):
        raise DefinitionError("spec", "is missing", hint="spec.port is needed")
    known = {"port", "status", "delaySeconds", "failFirst", "reply"}
    for name in spec:
        if name not in known:
            raise DefinitionError(f"spec.{name}", f"is not known; known are {', '.join(sorted(known))}")
    port = _number(spec, "port", 1, 65535)
    reply = spec.get("reply")
    if reply is not None and not (isinstance(reply, str) and reply):
        raise DefinitionError("spec.reply", "expected the type of an event")
    behaviour = Behaviour(
        status=_number(spec, "status", 200, 599, default=202),
        delay_s=float(spec["delaySeconds"]) if _is_seconds(spec) else 0.0,
        fail_first=_number(spec, "failFirst", 0, 1 << 31, default=0),
        reply=reply,
    )
    return port, behaviour


def _is_seconds(spec: dict[str, Any]) -> bool:
    value = spec.get("delaySeconds")
    if value is None:
        return False
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86_400:
        raise DefinitionError("spec.delaySeconds", "expected a number of seconds from 0 to 86400")
    return True


def _number(spec: dict[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    value = spec.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DefinitionError(f"spec.{name}", f"expected a whole number from {low} to {high}")
    return value


@dataclass(slots=True)
class _Running:
    port: int
    sink: Sink
    server: HttpServer
    task: asyncio.Task[None]

    async def stop(self) -> None:
        self.sink.stopping.set()
        self.server.stop()
        await asyncio.wait({self.task}, timeout=2.0)
        self.task.cancel()


class LocalSinks:
    """All LocalSinks of a local API. ``shown(event, sink name)`` is called for each event."""

    def __init__(self, api: Api, offset: int, shown: Shown, say: Callable[[str], None]) -> None:
        self._api = api
        self._offset = offset
        self._shown = shown
        self._say = say
        self._running: dict[tuple[str, str], _Running] = {}
        self._problems: dict[tuple[str, str], str] = {}
        self.synced = asyncio.Event()
        self.kind = LOCAL_SINK
        """As the API has it: with a status subresource or without."""

    def addresses(self) -> dict[str, str]:
        """URL by name (``namespace/name`` outside ``default``) of every sink that runs."""
        return {
            _shown_name(namespace, name): _address(running.port)
            for (namespace, name), running in sorted(self._running.items())
        }

    async def follow(self) -> None:
        """Run what the API says, as it changes. Never ends; a restart of the API is waited out."""
        while True:
            try:
                listed = await self._api.get(LOCAL_SINK.path(None))
                items = listed.get("items") or []
                present = {_key(item) for item in items}
                for key in set(self._running) - present:
                    await self._remove(key)
                for item in items:
                    await self._set(item)
                self.synced.set()
                revision = str(listed["metadata"]["resourceVersion"])
                async for event in watch(self._api.server, LOCAL_SINK.path(None), revision):
                    if event["type"] == "DELETED":
                        await self._remove(_key(event["object"]))
                    elif event["type"] in {"ADDED", "MODIFIED"}:
                        await self._set(event["object"])
            except ScaupError:
                await asyncio.sleep(_AGAIN_S)
            else:
                await asyncio.sleep(0.05)  # the server ended the watch, as it may

    async def stop(self) -> None:
        """Stop every sink."""
        await asyncio.gather(*(running.stop() for running in self._running.values()))
        self._running.clear()

    async def _set(self, item: dict[str, Any]) -> None:
        key = _key(item)
        try:
            port, behaviour = parse(item.get("spec"))
            await self._run(key, port + self._offset, behaviour)
        except (DefinitionError, PortTakenError) as error:
            await self._remove(key)
            if self._problems.get(key) != str(error):
                self._problems[key] = str(error)
                self._say(f"LocalSink {_shown_name(*key)} cannot run: {error}")
            reason = "PortTaken" if isinstance(error, PortTakenError) else "InvalidSpec"
            await self._write(item, None, reason, str(error))
            return
        self._problems.pop(key, None)
        await self._write(item, _address(port + self._offset))

    async def _run(self, key: tuple[str, str], port: int, behaviour: Behaviour) -> None:
        running = self._running.get(key)
        if running is not None and running.port == port:
            running.sink.behaviour = behaviour
            return
        await self._remove(key)
        name = _shown_name(*key)
        sink = Sink(behaviour, lambda event: self._shown(event, name), key[1])
        server = serve(sink, port)
        task = asyncio.create_task(server.run(), name=f"LocalSink {name}")
        self._running[key] = _Running(port, sink, server, task)

    async def _remove(self, key: tuple[str, str]) -> None:
        if running := self._running.pop(key, None):
            await running.stop()

    async def _write(self, item: dict[str, Any], url: str | None, reason: str = "", message: str = "") -> None:
        status = item.get("status") or {}
        address = status.get("address") or {}
        before: dict[str, Any] = next((c for c in status.get("conditions") or [] if c.get("type") == "Ready"), {})
        truth = "True" if url else "False"
        same = (before.get("status"), before.get("reason", ""), before.get("message", "")) == (truth, reason, message)
        # Without a status subresource every write of a status is a new generation.
        generation = item["metadata"].get("generation") if self.kind.has_status else None
        if same and address.get("url") == url and status.get("observedGeneration") == generation:
            return
        condition = {"type": "Ready", "status": truth, "reason": reason, "message": message}
        condition["lastTransitionTime"] = (
            before["lastTransitionTime"]
            if before.get("status") == truth and before.get("lastTransitionTime")
            else datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        change = {
            "status": {
                "address": {"url": url} if url else None,
                "conditions": [condition],
                "observedGeneration": generation,
            }
        }
        path = self.kind.path(*_key(item)) + ("/status" if self.kind.has_status else "")
        try:
            await self._api.request("PATCH", path, change, MERGE_PATCH)
        except RefusedError as error:
            if error.status != 404:  # deleted in between
                self._say(f"LocalSink {_shown_name(*_key(item))} runs, but its status cannot be written: {error}")


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return str(item["metadata"].get("namespace", "default")), str(item["metadata"]["name"])


def _shown_name(namespace: str, name: str) -> str:
    return name if namespace == "default" else f"{namespace}/{name}"


def _address(port: int) -> str:
    return f"http://{LOOPBACK}:{port}/"
