"""HTTP out: POST bytes over pooled connections, with a deadline for the whole and a bound for what is read.

Written for deliveries (decision 0005): a request is one ready-made head and a body, an answer is a status, its headers
and as much of its body as is asked for. Redirects are never followed, proxies and cookies never used. This is the pool;
``connecting`` fills it, ``exchange`` is what goes over one connection.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from scaup.core.http.connecting import Connector
from scaup.core.http.exchange import (
    Answer,
    Connection,
    Deadlines,
    KnownAnswers,
    Limit,
    NoAnswerError,
    StaleError,
    SwitchedError,
)
from scaup.core.http.networks import Networks
from scaup.core.http.origin import Origin
from scaup.core.http.resolving import Resolver

__all__ = ["Answer", "Limit", "NoAnswerError", "Origin", "Outbound", "SwitchedError"]

_IDLE_S: Final = 20.0
_SWEEP_S: Final = 5.0
_MAX_IDLE: Final = 1024
"""For one origin. Several Triggers may share one, and what is closed here is opened again in the next burst."""
_SMALL: Final = 64 << 10
"""Up to here a body is sent in one piece with its head; larger ones follow it, uncopied, as the sink takes them."""

_Key = tuple[str, int, bool, str | None]


class Outbound:
    """A pool of connections to everywhere. Who uses it bounds the requests under way."""

    def __init__(self, denied: Networks | None = None, resolver: Resolver | None = None) -> None:
        self._loop = asyncio.get_running_loop()  # looking it up costs a system call (Python 3.11)
        self._idle: dict[_Key, list[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._known = KnownAnswers()
        self._deadlines = Deadlines()
        self._connector = Connector(denied or Networks(), resolver or Resolver())

    async def post(self, origin: Origin, head: bytes, body: bytes, *, timeout_s: float, limit: Limit) -> Answer:
        """POST ``body`` with the header lines ``head`` (each ended by CRLF, without Content-Length).

        Raises TimeoutError after ``timeout_s`` seconds for all of it (its text says how far it came, where that is not
        waiting for the answer), NoAnswerError for anything else that is no answer. A pooled connection that turns out
        to be closed is replaced once.
        """
        size = len(body)
        rest = None if size <= _SMALL else body
        request = b"".join((origin.head, head, b"content-length: %d\r\n\r\n" % size, b"" if rest else body))
        deadline = self._loop.time() + timeout_s
        key = (origin.host, origin.port, origin.is_tls, origin.ca_certs)
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                try:
                    return await connection.exchange(request, rest, deadline, limit)
                except StaleError:
                    break
        connection = await self._connect(origin, key, deadline)
        try:
            return await connection.exchange(request, rest, deadline, limit)
        except StaleError as error:
            msg = "the connection was closed without an answer"
            raise NoAnswerError(msg) from error

    async def close(self) -> None:
        """Close all idle connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def _connect(self, origin: Origin, key: _Key, deadline: float) -> Connection:
        keep = partial(self._keep, key)
        return await self._connector.connect(origin, lambda: Connection(keep, self._known, self._deadlines), deadline)

    def _keep(self, key: _Key, connection: Connection) -> None:
        """Keep a connection for the next request."""
        idle = self._idle.get(key)
        if idle is None:
            idle = self._idle[key] = []
        if len(idle) >= _MAX_IDLE:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        oldest = self._loop.time() - _IDLE_S
        for key, connections in list(self._idle.items()):
            for connection in connections:
                if connection.idle_since < oldest:
                    connection.close()
            kept = [connection for connection in connections if connection.is_usable]
            if kept:
                connections[:] = kept
            else:
                del self._idle[key]
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep) if self._idle else None
