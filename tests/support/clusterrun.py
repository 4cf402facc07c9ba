"""A whole installation beside a genuine API server: NATS, controller, ingress, filter and dispatcher as processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.natsserver import NatsServer, nats_server
from tests.support.rawhttp import BINARY, Answer, send
from tests.support.realkube import Kube
from tests.support.services import Service, service
from tests.support.waiting import eventually


@dataclass
class Installation:
    """What a test has in its hands: objects go in by kubectl, events by POST."""

    cluster: Kube
    nats: NatsServer
    controller: Service
    ingress: Service
    rest: list[Service] = field(default_factory=list)
    """The filter and the dispatcher, in that order."""
    stack: ExitStack = field(default_factory=ExitStack)
    """What is started in place of another ends with the installation."""

    def until_ready(self) -> None:
        """Wait until every service says that it is; for fixtures, which no loop runs yet."""

        async def all_of_them() -> None:
            for one in (self.controller, self.ingress, *self.rest):
                await one.until_ready(120)

        asyncio.run(all_of_them())

    def apply(self, *objects: dict[str, Any]) -> None:
        """``kubectl apply`` these, all in one go; the server judges them, kubectl need not load its whole schema."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.cluster.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(listed))

    def address(self, resource: str, name: str, namespace: str, **status: Any) -> None:
        """Write the status of an object as its own controller would."""
        patch = json.dumps({"status": status})
        where = ("-n", namespace, resource, name)
        self.cluster.kubectl("patch", *where, "--subresource=status", "--type=merge", "-p", patch)

    def get(self, resource: str, name: str, namespace: str) -> dict[str, Any]:
        """An object as it is now; empty where there is none."""
        done = self.cluster.kubectl_run("get", resource, name, "-n", namespace, "-o", "json")
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def listed(self, resources: str, namespace: str) -> list[dict[str, Any]]:
        """All objects of some kinds in a namespace."""
        found: list[dict[str, Any]] = json.loads(self.cluster.kubectl("get", resources, "-n", namespace, "-o", "json"))[
            "items"
        ]
        return found

    def condition(self, resource: str, name: str, namespace: str, condition: str = "Ready") -> dict[str, Any]:
        """A condition of an object; empty where it has none of that name."""
        listed = (self.get(resource, name, namespace).get("status") or {}).get("conditions") or []
        return next((dict(one) for one in listed if one["type"] == condition), {})

    async def until(
        self, resource: str, name: str, namespace: str, reason: str, condition: str = "Ready"
    ) -> dict[str, Any]:
        """The condition, once its reason is that; ``""``: once it is True."""

        def says() -> dict[str, Any]:
            found = self.condition(resource, name, namespace, condition)
            seen.append(found)
            is_it = found.get("reason") == reason if reason else found.get("status") == "True"
            return found if is_it else {}

        seen: list[dict[str, Any]] = []
        try:
            return await eventually(says, f"{resource} {namespace}/{name}: {condition} {reason or 'True'}", within_s=45)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {seen[-1]}") from None

    def wait_ready(self, *names: str, namespace: str) -> None:
        """``kubectl wait`` until these are Ready."""
        self.cluster.kubectl("wait", "--for=condition=Ready", "--timeout=45s", "-n", namespace, *names)

    async def post(self, path: str, event_id: str, **attributes: str) -> Answer:
        """POST an event to ``/namespace/broker`` at the ingress."""
        extra = {f"ce-{name}": value for name, value in attributes.items()}
        return await send(self.ingress.port, "POST", path, BINARY | {"ce-id": event_id} | extra)


@contextmanager
def installation(cluster: Kube, directory: Path, kubeconfig: str = "", **controller: str) -> Iterator[Installation]:
    """All of it, started and perhaps not ready yet. ``kubeconfig`` is the controller's, ``controller`` its settings."""
    with ExitStack() as stack:
        nats = stack.enter_context(nats_server(directory / "nats"))

        def start(home: str, **settings: str) -> Service:
            return stack.enter_context(service(home, directory, nats.url, **settings))

        ingress = start("ingress")
        settings = {
            "SCAUP_KUBECONFIG": kubeconfig or cluster.kubeconfig,
            "SCAUP_PUBLIC_URL": f"http://127.0.0.1:{ingress.port}",
        }
        running = start("controller", **(settings | controller))
        yield Installation(cluster, nats, running, ingress, [start("filter"), start("dispatcher")], stack)
