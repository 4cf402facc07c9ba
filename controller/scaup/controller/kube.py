"""The Kubernetes API as the controller needs it: one request, one list, one watch, as plain JSON.

The official client (its async half) does configuration, credentials and TLS; its models are not used, for making
objects of thousands of answers costs more than everything else here. Only this module imports it.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
import structlog
import yaml
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from scaup.core.model.errors import ScaupError, SettingsError

log = structlog.get_logger()

REQUEST_TIMEOUT_S: Final = 15.0
WATCH_S: Final = 290
"""A watch is ended by the server after so long; the next goes on where it ended."""
_SILENCE_S: Final = WATCH_S + 30.0
"""A watch that has been silent for longer has been forgotten by its server, for it should have ended."""
_CONNECT_S: Final = 5.0
_DEAD_AFTER: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A watch may be silent for minutes; these find out that its peer is gone, in 30 s."""
_PAGE: Final = 500
_ATTEMPTS: Final = 4
_PATIENCE_S: Final = 10.0
"""Whoever asks for more patience than this is left to the caller, who tries again anyhow."""
_RELOAD_EVERY_S: Final = 5.0
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"


class ApiError(ScaupError):
    """The Kubernetes API did not do what was asked; trying again later may help."""

    code = "api"


class ApiUnreachableError(ApiError):
    """No connection, or no answer in time."""

    code = "api.unreachable"


class ApiRefusedError(ApiError):
    """The API answered with an error: ``status`` is the HTTP status.

    ``retry_after_s`` is for how long it wants to be left alone; 0 where it does not say.
    """

    code = "api.refused"

    def __init__(self, message: str, *, status: int, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class _Rest(RESTClientObject):
    """The client's HTTP half with connections that notice when their peer is gone, and no limit to their number."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=0, ssl=self.ssl_context, socket_factory=_socket)


class Api:
    """One API server. ``load`` makes a client from what the settings name, as it is by then."""

    def __init__(self, client: ApiClient, load: Callable[[], Awaitable[ApiClient]]) -> None:
        self._client = client
        self._load = load
        self._loaded_at = -_RELOAD_EVERY_S
        self._old: list[ApiClient] = []
        self.host = str(client.configuration.host)

    async def close(self) -> None:
        """End all connections."""
        for client in (*self._old, self._client):
            await client.close()  # type: ignore[no-untyped-call]

    async def identity(self) -> str:
        """The uid of the namespace that every cluster has for as long as it lives; empty where we may not get it.

        The local API has no ``kube-system``; its ``default`` cannot be deleted either. Raises ApiUnreachableError
        where there is neither: an API that has not begun yet cannot be told from another one.
        """
        for name in ("kube-system", "default"):
            try:
                found = await self.request("GET", f"/api/v1/namespaces/{name}")
            except ApiRefusedError as error:
                if error.status == 404:
                    continue
                if error.status == 403:
                    return ""
                raise
            if uid := str((found.get("metadata") or {}).get("uid") or ""):
                return uid
        msg = "the API does not say which cluster it is: no namespace kube-system or default that has a uid, yet"
        raise ApiUnreachableError(msg)

    async def request(self, method: str, path: str, *, query: Any = None, body: Any = None) -> dict[str, Any]:
        """The JSON answer to a request. Raises ApiRefusedError or ApiUnreachableError."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, connect=_CONNECT_S)
        response = await self._send(method, path, query, body, timeout)
        async with response:
            try:
                data = await response.read()
                answer = orjson.loads(data)
            except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
                msg = f"{method} {path}: {_words(error)}"
                raise ApiUnreachableError(msg) from error
        if not isinstance(answer, dict):
            msg = f"{method} {path}: the answer is no JSON object"
            raise ApiUnreachableError(msg)
        return answer

    async def patch_status(self, path: str, uid: str, status: dict[str, Any]) -> None:
        """Merge ``status`` into an object's, if it is still the object of that uid (else refused with 409)."""
        await self.request("PATCH", f"{path}/status", body={"metadata": {"uid": uid}, "status": status})

    async def list(self, path: str) -> tuple[list[dict[str, Any]], str]:
        """All objects under ``path`` and the resourceVersion they were read at, page by page."""
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            query = {"limit": _PAGE} | ({"continue": token} if token else {})
            page = await self.request("GET", path, query=query)
            items += [item for item in page.get("items") or () if isinstance(item, dict)]
            metadata = page.get("metadata") or {}
            token = metadata.get("continue") or ""
            if not token:
                return items, str(metadata.get("resourceVersion", ""))

    @asynccontextmanager
    async def watch(self, path: str, resource_version: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The changes under ``path`` after ``resource_version``, until the server ends the watch.

        Entering means that the server has begun to answer. Raises ApiRefusedError (status 410: too old a version)
        and ApiUnreachableError, then or later.
        """
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": WATCH_S,
        }
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=_SILENCE_S)
        response = await self._send("GET", path, query, None, timeout)
        try:
            yield _changes(path, response)
        finally:
            response.close()

    async def _send(
        self, method: str, path: str, query: Any, body: Any, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """The answer, when it begins. Where the API asks for patience (429, 503) it is asked again a little later."""
        for attempt in range(_ATTEMPTS):
            try:
                return await self._send_once(method, path, query, body, timeout)
            except ApiRefusedError as error:
                if error.status == 401:
                    await self._reload()
                if not 0 < error.retry_after_s <= _PATIENCE_S or attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(error.retry_after_s * random.uniform(1.0, 1.2))  # noqa: S311 - no secret
        raise AssertionError  # the last attempt returns or raises

    async def _reload(self) -> None:
        """Read again what the settings name: credentials, certificates and addresses change while we run."""
        now = asyncio.get_running_loop().time()
        if now - self._loaded_at < _RELOAD_EVERY_S:
            return
        self._loaded_at = now
        try:
            fresh = await self._load()
        except SettingsError as error:  # it is just being written, perhaps
            log.warning("api.settings_not_read", why=str(error))
            return
        for old in self._old:
            await old.close()  # type: ignore[no-untyped-call]
        # What is under way on the old connections goes on; it is closed when nothing can be any more.
        self._old, self._client = [self._client], fresh
        self.host = str(fresh.configuration.host)

    async def _send_once(
        self, method: str, path: str, query: Any, body: Any, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        patch = JSON_PATCH if isinstance(body, list) else MERGE_PATCH
        headers = {"Accept": "application/json"} | ({"Content-Type": patch} if method == "PATCH" else {})
        try:
            where, _, fixed = path.partition("?")
            _, url, headers, body, _ = await self._client.param_serialize(
                method, where, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            url += _with_query(fixed, query)
            answer = await self._client.call_api(method, url, headers, body, _request_timeout=timeout)
        except (aiohttp.ClientError, TimeoutError, OSError, ConfigException) as error:
            if isinstance(error, aiohttp.ClientSSLError):  # the authority that we know may be another by now
                await self._reload()
            msg = f"{method} {path}: {_words(error)}"
            raise ApiUnreachableError(msg) from error
        response = cast("aiohttp.ClientResponse", answer.response)
        if response.status < 300:
            return response
        async with response:
            raise await _refused(f"{method} {path}", response)


def _with_query(fixed: str, query: Any) -> str:
    """What stands behind a path: the part that it has of its own, such as a field selector, and a request's."""
    parts = [part for part in (fixed, urlencode(query or {})) if part]
    return f"?{'&'.join(parts)}" if parts else ""


@asynccontextmanager
async def connect(kubeconfig: str | None) -> AsyncIterator[Api]:
    """The API that the settings name; nothing is asked of it yet. Raises SettingsError where they name none."""
    api = Api(await _client(kubeconfig), lambda: _client(kubeconfig))
    try:
        yield api
    finally:
        await api.close()


async def _client(kubeconfig: str | None) -> ApiClient:
    configuration = Configuration()
    try:
        if kubeconfig:
            await load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await _load_found(configuration)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        where = kubeconfig or "neither in a cluster nor in ~/.kube/config"
        msg = f"SCAUP_KUBECONFIG = {where!r}: no usable Kubernetes API: {error}"
        raise SettingsError(msg, hint="name a kubeconfig file in SCAUP_KUBECONFIG") from error
    if urlsplit(configuration.host).hostname in {"127.0.0.1", "::1", "localhost"}:
        # The client asks the environment for a proxy; nothing on this machine is behind one.
        configuration.client_session_kwargs = {"trust_env": False}
    try:
        client = ApiClient(configuration)
        client.rest_client = _Rest(configuration)
    except OSError as error:  # ssl.SSLError is one
        msg = f"SCAUP_KUBECONFIG: its certificates cannot be used: {error}"
        raise SettingsError(msg, hint="look at the files that it names") from error
    client.user_agent = "scaup-controller"
    return client


async def _load_found(configuration: Configuration) -> None:
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        await load_kube_config(config_file=_users_own(), client_configuration=configuration)  # type: ignore[no-untyped-call]


def _users_own() -> str:
    try:
        return str(Path("~/.kube/config").expanduser())
    except RuntimeError as error:  # a container's user often has no home
        raise ConfigException(str(error)) from error


def _socket(info: Any) -> socket.socket:
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _DEAD_AFTER.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


async def _changes(path: str, response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    try:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _change(path, line)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        msg = f"watch of {path}: {_words(error)}"
        raise ApiUnreachableError(msg) from error


def _change(path: str, line: bytes) -> dict[str, Any]:
    try:
        change = orjson.loads(line)
        kind, value = change["type"], change["object"]
        _ = value.get("metadata", {}).get("name")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        msg = f"watch of {path}: a line that is no change"
        raise ApiUnreachableError(msg) from error
    if kind == "ERROR":
        msg = f"watch of {path}: {value.get('message', 'ended with an error')}"
        code = value.get("code")
        raise ApiRefusedError(msg, status=code if isinstance(code, int) else 500)
    return cast("dict[str, Any]", change)


async def _refused(what: str, response: aiohttp.ClientResponse) -> ApiRefusedError:
    text = ""
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            data = await response.content.read(64 << 10)
        answer = orjson.loads(data)
        text = str(answer.get("message") or "") if isinstance(answer, dict) else ""
    except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError):
        pass
    said = f"{what}: {response.status} {text or response.reason}"
    return ApiRefusedError(said, status=response.status, retry_after_s=_retry_after(response))


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """What the API asks for where it has too much to do; it says it in whole seconds."""
    text = response.headers.get("Retry-After", "")
    return float(text) if response.status in {429, 503} and text.isdecimal() and len(text) < 6 else 0.0


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
