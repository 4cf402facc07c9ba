"""A Kubernetes API over HTTP: one request, its JSON, and errors of our own tree.

Plain local servers are spoken to directly (a command starts in 0.3 s); everything with TLS, tokens or exec plugins
goes through the official client. Must not know what kinds mean.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson

from scaup.cli.access import ApiAccess, plain_server
from scaup.cli.problems import NotReachableError, RefusedError

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
CONCURRENT: Final = 16
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)

Send = Callable[[str, str, bytes | None, str], Awaitable[tuple[int, bytes]]]
"""(method, path with query, body, content type) to (status, body)."""


class Api:
    """One API server."""

    def __init__(self, server: str, send: Send) -> None:
        self.server = server
        self._send = send

    async def request(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Any:
        """A request and the JSON of its answer.

        Raises RefusedError for every status from 400 on, NotReachableError where nobody answers.
        """
        data = None if body is None else orjson.dumps(body)
        try:
            status, answer = await self._send(method, path, data, content_type)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self.server, error) from error
        if status < 400:
            return _json(answer)
        raise _refusal(method, path, status, answer)

    async def get(self, path: str) -> Any:
        """GET, JSON."""
        return await self.request("GET", path)

    async def find(self, path: str) -> Any | None:
        """GET, JSON; None for 404."""
        try:
            return await self.get(path)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise


def unreachable(server: str, error: BaseException) -> NotReachableError:
    """One sentence for all the ways of not getting an answer."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, ConnectionRefusedError):
        why = "connection refused"
    elif isinstance(cause, TimeoutError):
        why = "no answer in time"
    else:
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return NotReachableError(f"cannot reach {server}: {why}", hint="is `scaup up` running, or the cluster there?")


@asynccontextmanager
async def open_api(access: ApiAccess) -> AsyncIterator[Api]:
    """The API of a kubeconfig. Its server is printed where it was not chosen for Scaup."""
    server = plain_server(access)
    if server is not None:
        async with open_plain(server) as api:
            _announce(access, server)
            yield api
        return
    async with _open_cluster(access) as api:
        _announce(access, api.server)
        yield api


@asynccontextmanager
async def open_plain(server: str) -> AsyncIterator[Api]:
    """An API that is plain HTTP without credentials."""
    connector = aiohttp.TCPConnector(limit=CONCURRENT, keepalive_timeout=30)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:

        async def send(method: str, path: str, body: bytes | None, content_type: str) -> tuple[int, bytes]:
            headers = {"content-type": content_type} if body is not None else None
            for again in (True, False):
                try:
                    async with session.request(method, server + path, data=body, headers=headers) as answer:
                        return answer.status, await answer.read()
                except aiohttp.ServerDisconnectedError:
                    # A kept connection that the server had closed. Repeating a write is safe: a second
                    # create is refused as a conflict, a merge patch says the same again.
                    if not again:
                        raise
            raise AssertionError

        yield Api(server, send)


async def watch(server: str, path: str, revision: str) -> AsyncIterator[dict[str, Any]]:
    """The changes of a collection of a plain API after ``revision``: watch events, until the server ends the stream.

    Raises RefusedError (410 where the revision is too old) and NotReachableError.
    """
    url = f"{server}{path}?watch=true&resourceVersion={revision}&allowWatchBookmarks=true"
    timeout = aiohttp.ClientTimeout(total=None, connect=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20) as session,
            session.get(url) as answer,
        ):
            if answer.status >= 400:
                raise _refusal("GET", path, answer.status, await answer.read())
            async for line in answer.content:
                if not line.strip():
                    continue
                event: dict[str, Any] = orjson.loads(line)
                if event.get("type") == "ERROR":
                    raise _refusal("GET", path, int(event["object"].get("code", 500)), orjson.dumps(event["object"]))
                yield event
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise unreachable(server, error) from error


@asynccontextmanager
async def _open_cluster(access: ApiAccess) -> AsyncIterator[Api]:
    from kubernetes.aio.client import ApiClient, Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config

    configuration = Configuration()
    try:
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=access.kubeconfig,
            context=access.context,
            client_configuration=configuration,
            persist_config=False,
        )
    except (ConfigException, OSError, ValueError) as error:
        msg = f"the kubeconfig {access.kubeconfig} cannot be used: {error}"
        raise NotReachableError(msg, hint="look at its contexts and credentials") from error
    async with ApiClient(configuration) as client:

        async def send(method: str, path: str, body: bytes | None, content_type: str) -> tuple[int, bytes]:
            headers = {"Accept": JSON, "Content-Type": content_type}
            value = None if body is None else orjson.loads(body)
            request = await client.param_serialize(
                method, path, header_params=headers, body=value, auth_settings=["BearerToken"]
            )
            answer = await client.call_api(*request, _request_timeout=30)
            return int(answer.status), bytes(await answer.read() or b"")

        yield Api(str(configuration.host), send)


def _announce(access: ApiAccess, server: str) -> None:
    if access.announce:
        sys.stderr.write(f"using the API at {server} ({access.kubeconfig})\n")


def _refusal(method: str, path: str, status: int, answer: bytes) -> RefusedError:
    value = _json(answer)
    said = value if isinstance(value, dict) else {}
    message = said.get("message") or answer[:200].decode("utf-8", "replace").strip() or "no reason given"
    return RefusedError(f"{message} ({status} for {method} {path})", status=status, reason=said.get("reason", ""))


def _json(answer: bytes) -> Any:
    try:
        return orjson.loads(answer) if answer else None
    except orjson.JSONDecodeError:
        return None
