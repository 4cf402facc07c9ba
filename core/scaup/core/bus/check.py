"""Whether an existing NATS can carry Scaup: version, JetStream, limits. Asked once, before anything is started.

Responsible for finding every problem and saying each in one sentence. Must not change anything on the server.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from typing import Any, Final

import nats.errors
import orjson
from nats.aio.client import Client

from scaup.core.bus.connection import MIN_SERVER_VERSION, BusAccess, allow_websockets

_WITHIN_S: Final = 3.0
_UNREACHABLE: Final = " cannot be reached"
MIN_PAYLOAD: Final = 64 << 10
"""Under this the attributes alone (8 KiB of headers and more) leave no room for data."""
MIN_STORAGE: Final = 64 << 20
MIN_STREAMS: Final = 6
"""Three buckets and the three streams of one Broker."""


async def problems(access: BusAccess, *, within_s: float = _WITHIN_S) -> list[str]:
    """What keeps this server from carrying Scaup, in plain sentences; empty when nothing does."""
    allow_websockets(access.servers)
    client = Client()
    why = ""

    async def note(error: Exception) -> None:
        nonlocal why
        why = why or _in_words(error)

    try:
        async with asyncio.timeout(within_s):
            await client.connect(
                servers=access.servers,
                token=access.token,
                user_credentials=access.creds,
                tls=ssl.create_default_context(cafile=access.ca) if access.ca else None,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0.1,  # type: ignore[arg-type]
                connect_timeout=2,
                error_cb=note,
            )
        return await _look(client, within_s)
    except (TimeoutError, OSError, ValueError, nats.errors.Error) as error:
        return [f"NATS at {without_secret(access.url)}{_UNREACHABLE}: {why or _in_words(error)}"]
    finally:
        with suppress(Exception):
            async with asyncio.timeout(within_s):  # after a TLS handshake that failed the client waits for ever
                await client.close()
        if transport := client._transport:  # noqa: SLF001 - a refused connection is left open by the client
            transport.close()  # type: ignore[no-untyped-call]


def is_unreachable(found: list[str]) -> bool:
    """Whether these ``problems`` are that there is no server to be asked about others."""
    return any(_UNREACHABLE in problem for problem in found)


def without_secret(url: str) -> str:
    """A server's URL as it may be shown: without user, password and token."""
    return re.sub(r"//[^/@,]*@", "//", url)


async def _look(client: Client, within_s: float) -> list[str]:
    found: list[str] = []
    version = client.connected_server_version
    if (version.major, version.minor, version.patch) < MIN_SERVER_VERSION:
        wanted = ".".join(str(part) for part in MIN_SERVER_VERSION)
        found.append(f"its version is {version.major}.{version.minor}.{version.patch}; {wanted} or newer is needed")
    if client.max_payload < MIN_PAYLOAD:
        found.append(f"its max_payload is {client.max_payload} bytes; at least {MIN_PAYLOAD} are needed")
    try:
        answer = await client.request("$JS.API.INFO", b"", timeout=within_s)
        info: dict[str, Any] = orjson.loads(answer.data)
    except (TimeoutError, nats.errors.Error):
        return [*found, "JetStream does not answer: it is not enabled, or its cluster has no leader yet"]
    if error := info.get("error"):
        return [*found, f"JetStream is not usable with these credentials: {error.get('description', 'refused')}"]
    limits = info.get("limits", {})
    storage, streams = limits.get("max_storage", -1), limits.get("max_streams", -1)
    if 0 <= storage < MIN_STORAGE:
        found.append(f"the account may store {storage} bytes on disk; at least {MIN_STORAGE} are needed")
    if 0 < streams < MIN_STREAMS:
        found.append(f"the account may have {streams} streams; at least {MIN_STREAMS} are needed")
    return found


def _in_words(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
