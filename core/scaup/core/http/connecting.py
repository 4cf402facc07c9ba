"""From an origin to an open connection: resolve, check what may be connected to, connect, prove who answers.

The address that was checked is the one connected to: between the two nothing is resolved again, whatever a name
server says the second time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from scaup.core.http.exchange import Connection, NoAnswerError, text_of
from scaup.core.http.networks import Networks
from scaup.core.http.origin import Origin
from scaup.core.http.resolving import Resolver, UnresolvedNameError

_HEAD_START_S: Final = 0.25
_MAX_TRIED: Final = 8
_MAX_CONTEXTS: Final = 64
_Opened = Connection | str
"""A connection, or why there is none."""


class Connector:
    """Opens connections to where it is allowed."""

    def __init__(self, denied: Networks, resolver: Resolver) -> None:
        self._denied = denied
        self._resolver = resolver
        self._trust = _Trust()

    async def connect(self, origin: Origin, make: Callable[[], Connection], deadline: float) -> Connection:
        """An open connection. Raises TimeoutError at ``deadline`` (loop time), NoAnswerError where there is none."""
        addresses = self._allowed(await self._look_up(origin.host, deadline))
        try:
            async with asyncio.timeout_at(deadline):
                context = await self._trust.context(origin.ca_certs) if origin.is_tls else None
                return await _first([self._opening(origin, address, make, context) for address in addresses])
        except TimeoutError:
            msg = "still connecting"
            raise TimeoutError(msg) from None
        except (OSError, ValueError) as error:  # CAs that are none
            msg = f"cannot connect: {text_of(error)}"
            raise NoAnswerError(msg) from error

    async def _look_up(self, host: str, deadline: float) -> Sequence[str]:
        try:
            return await self._resolver.addresses(host, deadline)
        except TimeoutError:
            msg = "its name is still being looked up"
            raise TimeoutError(msg) from None
        except UnresolvedNameError as error:
            msg = f"cannot connect: {error}"
            raise NoAnswerError(msg) from error

    def _allowed(self, addresses: Sequence[str]) -> Sequence[str]:
        if not self._denied.members:
            return addresses[:_MAX_TRIED]
        allowed = [address for address in addresses if self._denied.holding(address) is None]
        if not allowed:
            network = self._denied.holding(addresses[0])
            msg = f"{addresses[0]} is in a network that SCAUP_SINK_DENY forbids ({network})"
            raise NoAnswerError(msg)
        return allowed[:_MAX_TRIED]

    @staticmethod
    def _opening(
        origin: Origin, address: str, make: Callable[[], Connection], context: ssl.SSLContext | None
    ) -> Callable[[], Coroutine[Any, Any, _Opened]]:
        async def opened() -> _Opened:
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    make,
                    address,
                    origin.port,
                    ssl=context,
                    server_hostname=origin.tls_name if context else None,
                    flags=socket.AI_NUMERICHOST,
                )
            except (OSError, ValueError) as error:  # ssl's errors are OSErrors
                why = text_of(error)
                return why if address == origin.host else f"{address}: {why}"
            return connection

        return opened


async def _first(openings: Sequence[Callable[[], Coroutine[Any, Any, _Opened]]]) -> Connection:
    """The first connection to succeed; each address gets a head start over the next (RFC 8305, in short)."""
    left = deque(openings)
    tasks: list[asyncio.Task[_Opened]] = []
    errors: list[str] = []
    winner: asyncio.Task[_Opened] | None = None
    try:
        while left or any(not task.done() for task in tasks):
            if left:
                tasks.append(asyncio.create_task(left.popleft()(), name="connecting"))
            running = [task for task in tasks if not task.done()]
            await asyncio.wait(running, timeout=_HEAD_START_S if left else None, return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                if not task.done():
                    continue
                result = task.result()
                if isinstance(result, Connection):
                    winner = task
                    return result
                errors.append(result)
    finally:
        for task in tasks:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_close_late)
    msg = f"cannot connect: {'; '.join(dict.fromkeys(errors))}"
    raise NoAnswerError(msg)


def _close_late(task: asyncio.Task[_Opened]) -> None:
    if not task.cancelled() and isinstance(result := task.result(), Connection):
        result.close()


class _Trust:
    """TLS contexts: the system's CAs, and those that an Addressable names (``CACerts``) beside them, as in Knative.

    Reading the system's takes a tenth of a second and nearly a megabyte, so it is done in a thread and seldom.
    """

    def __init__(self) -> None:
        self._contexts: OrderedDict[str | None, asyncio.Task[ssl.SSLContext]] = OrderedDict()

    async def context(self, ca_certs: str | None) -> ssl.SSLContext:
        """Raises OSError or ValueError where ``ca_certs`` are none."""
        task = self._contexts.get(ca_certs)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._contexts[ca_certs] = asyncio.create_task(asyncio.to_thread(_trusting, ca_certs), name="trust")
            task.add_done_callback(_hear)
        self._contexts.move_to_end(ca_certs)
        if len(self._contexts) > _MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        return await asyncio.shield(task)


def _hear(task: asyncio.Task[ssl.SSLContext]) -> None:
    if not task.cancelled():
        task.exception()  # it may be that nobody waits for it any more


def _trusting(ca_certs: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_certs:
        context.load_verify_locations(cadata=ca_certs)
    return context
