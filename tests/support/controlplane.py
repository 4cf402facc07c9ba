"""The control plane for tests: the real local API as a process, the controller in this one, replicas that report."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaup.controller import kube
from scaup.controller.app import Controller, Mandate
from scaup.controller.kube import Api, ApiRefusedError
from scaup.core.bus.connection import Bus, BusAccess, connect
from scaup.core.runtime.definitions import Definitions
from scaup.core.runtime.replicas import leave, report
from tests.support import warm
from tests.support.ports import Port
from tests.support.waiting import eventually

EVENTING = "/apis/eventing.knative.dev/v1"
PUBLIC_URL = "http://127.0.0.1:8080"


@dataclass
class ApiServer:
    """The local API as a process, which can be killed and started again on the same port."""

    directory: Path
    nats_url: str
    port: int = field(default_factory=Port)
    process: warm.Process | None = None

    def start(self, deadline_s: float = 45.0) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "apiserver.log"
        environ = os.environ | {"SCAUP_NATS_URL": self.nats_url, "SCAUP_LISTEN": f"127.0.0.1:{self.port}"}
        with log.open("wb") as file:
            self.process = warm.start("apiserver", out=file, error=file, env=environ)
        end = time.monotonic() + deadline_s
        while b"apiserver.listening" not in (text := log.read_bytes()):
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(text.decode()[-2000:])
            time.sleep(0.01)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def kubeconfig(self) -> str:
        """A file that says where it is."""
        path = self.directory / "kubeconfig"
        path.write_text(
            f"""{{"apiVersion": "v1", "kind": "Config", "current-context": "t",
            "clusters": [{{"name": "t", "cluster": {{"server": "http://127.0.0.1:{self.port}"}}}}],
            "contexts": [{{"name": "t", "context": {{"cluster": "t", "user": "t"}}}}],
            "users": [{{"name": "t", "user": {{}}}}]}}"""
        )
        return str(path)


@contextmanager
def api_server(directory: Path, nats_url: str) -> Iterator[ApiServer]:
    """A local API for the length of a test."""
    server = ApiServer(directory, nats_url)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@dataclass
class World:
    """What a test of the controller has in its hands."""

    bus: Bus
    api: Api
    server: ApiServer
    running: list[asyncio.Task[None]] = field(default_factory=list)
    controllers: list[Controller] = field(default_factory=list)

    async def answers(self) -> None:
        """Wait until the local API has loaded what it stores."""

        async def lists() -> bool:
            with suppress(kube.ApiError):
                await self.api.list(f"{EVENTING}/brokers")
                return True
            return False

        _: bool = await eventually(lists, "the local API answers")

    async def start_api(self) -> None:
        """Start the local API again."""
        await asyncio.to_thread(self.server.start)
        await self.answers()

    async def create(self, path: str, value: dict[str, Any]) -> dict[str, Any]:
        return await self.api.request("POST", path, body=value)

    async def get(self, path: str) -> dict[str, Any] | None:
        try:
            return await self.api.request("GET", path)
        except ApiRefusedError as error:
            if error.status == 404:
                return None
            raise

    async def patch(self, path: str, value: dict[str, Any]) -> dict[str, Any]:
        return await self.api.request("PATCH", path, body=value)

    async def delete(self, path: str) -> None:
        await self.api.request("DELETE", path)

    async def broker(self, name: str = "default", **spec: Any) -> str:
        annotations = spec.pop("annotations", {})
        value = {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Broker",
            "metadata": {"name": name, "namespace": "default", "annotations": annotations},
            "spec": spec,
        }
        await self.create(f"{EVENTING}/namespaces/default/brokers", value)
        return f"{EVENTING}/namespaces/default/brokers/{name}"

    async def trigger(self, name: str, subscriber: Any, broker: str = "default", **spec: Any) -> str:
        annotations = spec.pop("annotations", {})
        value = {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Trigger",
            "metadata": {"name": name, "namespace": "default", "annotations": annotations},
            "spec": {"broker": broker, "subscriber": subscriber} | spec,
        }
        await self.create(f"{EVENTING}/namespaces/default/triggers", value)
        return f"{EVENTING}/namespaces/default/triggers/{name}"

    async def until(self, path: str, condition: str, status: str, reason: str | None = None) -> dict[str, Any]:
        """The object, once its condition has that status (and reason)."""
        seen: dict[str, Any] = {}

        async def says() -> dict[str, Any]:
            value = await self.get(path) or {}
            seen["last"] = value.get("status")
            found = condition_of(value, condition)
            fits = found.get("status") == status and (reason is None or found.get("reason") == reason)
            return value if fits else {}

        try:
            value: dict[str, Any] = await eventually(says, f"{path}: {condition} is {status} {reason or ''}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it says: {seen.get('last')}") from None
        return value

    def start_controller(self) -> Controller:
        controller = Controller(self.bus, self.api, Mandate(PUBLIC_URL))
        self.controllers.append(controller)
        self.running.append(asyncio.create_task(controller.run()))
        return controller

    async def stop_controller(self) -> None:
        task = self.running.pop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def pond_kind(kind: str) -> dict[str, Any]:
    """The definition of a kind of the group ``pond.test``, which may have any members."""
    singular = kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.pond.test"},
        "spec": {
            "group": "pond.test",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": f"{singular}s", "singular": singular, "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }


def condition_of(value: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """A condition of an object; empty where it has none of that name."""
    listed = ((value or {}).get("status") or {}).get("conditions") or []
    return next((c for c in listed if c["type"] == name), {})


@asynccontextmanager
async def replica(bus: Bus, role: str, name: str = "one") -> AsyncIterator[Definitions]:
    """A replica of the data plane that follows the definitions and reports, and does nothing else."""
    definitions = Definitions()
    tasks = [
        asyncio.create_task(definitions.follow(bus)),
        asyncio.create_task(report(bus, role, name, definitions)),
    ]
    try:
        yield definitions
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await leave(bus, role, name)


@asynccontextmanager
async def data_plane(bus: Bus) -> AsyncIterator[Definitions]:
    """One replica of each role; gives the dispatcher's view."""
    async with replica(bus, "ingress"), replica(bus, "filter"), replica(bus, "dispatcher") as definitions:
        yield definitions


@asynccontextmanager
async def world(directory: Path, nats_url: str) -> AsyncIterator[World]:
    """A bus, the local API, and a controller that is not started yet."""
    with api_server(directory / "api", nats_url) as server:
        async with kube.connect(server.kubeconfig()) as api, connect(BusAccess(nats_url), "test") as bus:
            made = World(bus, api, server)
            await made.answers()
            try:
                yield made
            finally:
                while made.running:
                    await made.stop_controller()
