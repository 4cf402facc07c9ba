"""The local API in this process, on a real socket and a real nats-server, and a small client for it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from scaup.apiserver.__main__ import serve
from scaup.apiserver.settings import ApiServerSettings
from scaup.core.http.server import bind
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.settings import BusSettings
from tests.support.waiting import eventually

EVENTING = "/apis/eventing.knative.dev/v1"
BROKERS = f"{EVENTING}/namespaces/default/brokers"
TRIGGERS = f"{EVENTING}/namespaces/default/triggers"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def broker(name: str = "b", **more: Any) -> dict[str, Any]:
    """A Broker as a user writes it."""
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": name}} | more


def trigger(name: str = "t", **spec: Any) -> dict[str, Any]:
    """A Trigger as a user writes it."""
    whole = {"broker": "default", "subscriber": {"uri": "http://127.0.0.1:8088/"}} | spec
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": name}, "spec": whole}


def config_map(name: str = "c", **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@dataclass
class Answer:
    """Status, headers and body of an answer."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def revision(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])


@dataclass
class ApiClient:
    """Requests to one API server."""

    port: int
    session: aiohttp.ClientSession
    life: Life = field(default_factory=Life)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: str
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        sent = dict(headers or {})
        if body is not None:
            sent = {"Content-Type": "application/json"} | sent
        text = body if isinstance(body, bytes | None) else orjson.dumps(body)
        data = None if text is None else io.BytesIO(text)
        params = {k.rstrip("_"): v for k, v in query.items()}
        async with self.session.request(method, self.url + path, data=data, headers=sent, params=params) as answer:
            came = await answer.read()
            is_json = answer.content_type == "application/json"
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, orjson.loads(came) if is_json else came.decode())

    async def answers(self) -> bool:
        """Whether somebody listens."""
        try:
            return (await self("GET", "/healthz")).status == 200
        except aiohttp.ClientError:
            return False

    async def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        return await self.answers() and (await self("GET", "/readyz")).status == 200

    async def patch(self, path: str, body: Any, form: str = "merge-patch") -> Answer:
        """A PATCH in one of the forms there are."""
        return await self("PATCH", path, body, {"Content-Type": f"application/{form}+json"})

    async def made(self, path: str, body: Any) -> Any:
        """Create, and give back what was made."""
        answer = await self("POST", path, body)
        assert answer.status == 201, answer.body
        return answer.body

    async def until_gone(self, path: str) -> None:
        """Wait until an object is not there any more."""

        async def is_gone() -> bool:
            return (await self("GET", path)).status == 404

        await eventually(is_gone, f"{path} is gone")

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[Watched]:
        """The events of a watch, as they come."""
        params = {"watch": "true"} | query
        async with self.session.get(self.url + path, params=params) as answer:
            assert answer.status == 200, await answer.text()
            yield Watched(answer)


@dataclass
class Watched:
    """A running watch."""

    answer: aiohttp.ClientResponse

    async def next(self, within_s: float = 10.0) -> tuple[str, Any] | None:
        """The next event's type and object; None at the end."""
        async with asyncio.timeout(within_s):
            line = await self.answer.content.readline()
        if not line:
            return None
        event = orjson.loads(line)
        return event["type"], event["object"]

    async def names(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        found = [await self.next() for _ in range(count)]
        return [(event[0], event[1]["metadata"]["name"]) for event in found if event]


@asynccontextmanager
async def api_server(nats_url: str, **settings: Any) -> AsyncIterator[ApiClient]:
    """A ready API server and its client; ends as a signal would end it."""
    life = Life()
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    running = asyncio.create_task(serve(ApiServerSettings(bus=BusSettings(url=nats_url), **settings), life, sock))
    try:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, read_bufsize=2**21) as session:
            api = ApiClient(port, session, life)
            await eventually(api.is_ready, "the API is ready")
            yield api
    finally:
        life.stop()
        async with asyncio.timeout(10):
            await running
