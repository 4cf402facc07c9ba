"""Brokers, Triggers and what else is defined through a Kubernetes API, whoever speaks to it.

The API itself is given: one function that makes a request. Lists are shared by all who wait, for many wait at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

Object = dict[str, Any]

EVENTING: Final = "eventing.knative.dev/v1"
CLASS: Final = "eventing.knative.dev/broker.class"
MERGE_PATCH: Final = "application/merge-patch+json"
_FRESH_S: Final = 0.15
_PATHS: Final = {
    "Broker": "/apis/eventing.knative.dev/v1/namespaces/{}/brokers",
    "Trigger": "/apis/eventing.knative.dev/v1/namespaces/{}/triggers",
    "Service": "/api/v1/namespaces/{}/services",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
}


class Api(Protocol):
    """A Kubernetes API: a request, and the status and the JSON of its answer."""

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Raises OSError where nobody answers."""


def condition(value: Object, kind: str) -> Object:
    """A condition of an object, or nothing."""
    found = (value.get("status") or {}).get("conditions") or []
    return next((one for one in found if one.get("type") == kind), {})


def is_current(value: Object) -> bool:
    """Whether the status speaks of this generation."""
    generation = value["metadata"].get("generation")
    return generation is None or (value.get("status") or {}).get("observedGeneration") == generation


def ready(value: Object, status: str = "True") -> bool:
    """Whether Ready has that status, for this generation."""
    return is_current(value) and condition(value, "Ready").get("status") == status


class Definitions:
    """The objects of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._listed: dict[str, tuple[float, dict[str, Object]]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def path(self, kind: str, name: str = "") -> str:
        """Where objects of a kind are, or one of them."""
        base = _PATHS[kind].format(self.namespace)
        return f"{base}/{name}" if name else base

    async def create(
        self, kind: str, name: str, spec: Object, annotations: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Create an object; the status and the answer."""
        version = EVENTING if kind in {"Broker", "Trigger"} else "v1"
        metadata = {"name": name, "namespace": self.namespace, "annotations": annotations or {}}
        content = {"data": spec} if kind == "ConfigMap" else {"spec": spec}
        value = {"apiVersion": version, "kind": kind, "metadata": metadata, **content}
        return await self.api.request("POST", self.path(kind), value)

    async def patch(self, kind: str, name: str, change: Object) -> tuple[int, Any]:
        """Merge a change into an object; the status and the answer."""
        return await self.api.request("PATCH", self.path(kind, name), change, MERGE_PATCH)

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object; that it is not there is as good."""
        await self.api.request("DELETE", self.path(kind, name))

    async def get(self, kind: str, name: str) -> Object | None:
        """The object, or None."""
        status, value = await self.api.request("GET", self.path(kind, name))
        return value if status == 200 else None

    async def until(self, kind: str, name: str, holds: Callable[[Object], bool], within_s: float) -> Object | None:
        """The object as soon as it is so; as it is where it does not become so in time."""
        end = asyncio.get_running_loop().time() + within_s
        while True:
            value = (await self._list(kind)).get(name)
            if value is not None and holds(value):
                return value
            if asyncio.get_running_loop().time() > end:
                return await self.get(kind, name)
            await asyncio.sleep(_FRESH_S)

    async def _list(self, kind: str) -> dict[str, Object]:
        """All objects of a kind, as they were a moment ago."""
        async with self._locks.setdefault(kind, asyncio.Lock()):
            now = asyncio.get_running_loop().time()
            at, found = self._listed.get(kind, (float("-inf"), {}))
            if now - at > _FRESH_S:
                status, value = await self.api.request("GET", self.path(kind))
                items = value.get("items") or [] if status == 200 else []
                found = {item["metadata"]["name"]: item for item in items}
                self._listed[kind] = (now, found)
            return found
