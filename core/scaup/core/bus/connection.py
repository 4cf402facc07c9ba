"""The connection to NATS: connect, JetStream requests, and what happens when the connection is gone for good.

Must not know what is stored: streams and their meaning are in ``topology`` and its neighbours.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Any

import nats.errors
import orjson
import structlog
from nats.aio import transport
from nats.aio.msg import Msg

from scaup.core.bus.access import BusAccess
from scaup.core.bus.acked import AckedPublisher
from scaup.core.bus.client import QuickClient
from scaup.core.model.errors import BusRequestError, BusUnavailableError

log = structlog.get_logger()

__all__ = ["Bus", "BusAccess", "Msg", "allow_websockets", "connect"]

API_TIMEOUT_S = 5.0
_POSTS_S = 0.005
_DRAIN_S = 1.0
MIN_SERVER_VERSION = (2, 12, 0)
"""Scheduled messages, on which retries rest, came with this version."""


class Bus:
    """One connection to NATS, shared by everything in a process.

    ``epoch`` counts the times it was (re-)established; ``changed`` callbacks run after every loss and return.
    """

    def __init__(self, client: QuickClient, acked: AckedPublisher) -> None:
        self.client = client
        self.acked = acked
        self.epoch = 1
        self.closed: asyncio.Event = asyncio.Event()
        self._watchers: list[Callable[[bool], None]] = []
        self._outbox: list[tuple[str, bytes]] = []
        self._has_post = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether requests have somewhere to go right now."""
        return self.client.is_connected

    @property
    def max_payload(self) -> int:
        """The server's limit for one message, headers included, in bytes."""
        return int(self.client.max_payload)

    async def until_closed(self) -> None:
        """Return never, or raise when the client closed for good: the process has to end then."""
        await self.closed.wait()
        msg = "the connection to NATS was closed for good"
        raise BusUnavailableError(msg, hint="look at the log of the NATS server for the reason")

    def on_change(self, watcher: Callable[[bool], None]) -> Callable[[], None]:
        """Call ``watcher(is_connected)`` after each loss and return of the connection; gives back how to stop."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _change(self, is_connected: bool) -> None:
        for watcher in list(self._watchers):
            watcher(is_connected)

    async def api(self, subject: str, body: Any = None, *, timeout: float = API_TIMEOUT_S) -> dict[str, Any]:
        """A JetStream request (``STREAM.INFO.x``) and its answer.

        Raises BusRequestError where JetStream refuses, BusUnavailableError where nobody answers in time.
        """
        data = b"" if body is None else orjson.dumps(body)
        answer: dict[str, Any] = orjson.loads((await self.request(f"$JS.API.{subject}", data, timeout=timeout)).data)
        if error := answer.get("error"):
            description = error.get("description", "refused")
            message = f"JetStream refused {subject}: {description} ({error.get('err_code')})"
            raise BusRequestError(message, status=error.get("code", 500), err_code=error.get("err_code", 0))
        return answer

    async def request(self, subject: str, data: bytes, *, timeout: float) -> Msg:
        """A request and its one answer; BusUnavailableError where there is no responder, connection or time."""
        if not self.client.is_connected:
            msg = "no connection to NATS"
            raise BusUnavailableError(msg)
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            return await self.client.request(subject, data, timeout=timeout)
        except nats.errors.NoRespondersError as error:
            msg = f"nobody answers on {subject}"
            raise BusUnavailableError(msg) from error
        except nats.errors.ConnectionReconnectingError as error:
            msg = f"the connection to NATS was lost before the answer on {subject} came"
            raise BusUnavailableError(msg) from error
        except (TimeoutError, nats.errors.Error) as error:
            msg = f"no answer on {subject} within {timeout:g} s"
            raise BusUnavailableError(msg) from error
        finally:
            _heed_cancelling(task, cancelled)

    def post(self, subject: str, data: bytes) -> None:
        """Fire and forget, without waiting: acknowledgements by the thousand. Sent in order, some milliseconds later.

        What comes meanwhile goes with it: a write of its own would wake the server for each.
        """
        if not self._outbox:
            self._has_post.set()
        self._outbox.append((subject, data))

    async def deliver_posts(self) -> None:
        """Send what ``post`` took, until cancelled."""
        while True:
            await self._has_post.wait()
            await asyncio.sleep(_POSTS_S)
            self._has_post.clear()
            posts, self._outbox = self._outbox, []
            with suppress(nats.errors.Error):
                await self.client.send_many(posts)

    async def publish(self, subject: str, data: bytes = b"", reply: str = "") -> None:
        """Fire and forget: hints, acknowledgements, answers. Lost without a word when there is no connection."""
        with suppress(nats.errors.Error):
            await self.client.publish(subject, data, reply)

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], *, queue: str = "", drains: bool = False
    ) -> Callable[[], Awaitable[None]]:
        """Call ``callback`` for every message, in order; gives back the way to end it. No message is dropped here.

        With ``drains`` what the server has sent before it hears of the end is still given to ``callback``.
        """
        subscription = await self.client.subscribe(
            subject, queue=queue, cb=callback, pending_msgs_limit=0, pending_bytes_limit=0
        )

        async def end() -> None:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

        async def drain() -> None:
            with suppress(nats.errors.Error, TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await subscription.drain()  # type: ignore[no-untyped-call]
            await end()

        return drain if drains else end


async def _ignored(_error: Exception) -> None:
    """What nats-py reports here is seen again where it matters: at the request that fails, or as a lost connection."""


@asynccontextmanager
async def connect(access: BusAccess, name: str) -> AsyncIterator[Bus]:
    """Connect and stay connected: attempts go on for ever, also the first.

    A client that closes for good (which only happens when the server throws it out) sets ``bus.closed``; the
    process has to end then, for nothing can bring it back.
    """
    allow_websockets(access.servers)
    client = QuickClient()
    acked = AckedPublisher(client)
    bus = Bus(client, acked)

    async def disconnected() -> None:
        acked.connection_lost()
        client.give_up_requests()
        bus._change(False)  # noqa: SLF001

    async def reconnected() -> None:
        bus.epoch += 1
        bus._change(True)  # noqa: SLF001

    async def closed() -> None:
        acked.connection_lost()
        bus.closed.set()

    await client.connect(
        servers=access.servers,
        name=name,
        token=access.token,
        user_credentials=access.creds,
        tls=ssl.create_default_context(cafile=access.ca) if access.ca else None,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]
        connect_timeout=2,
        ping_interval=5,
        max_outstanding_pings=2,
        pending_size=64 << 20,
        skip_subject_validation=True,
        error_cb=_ignored,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        closed_cb=closed,
    )
    await acked.start()
    delivering = asyncio.create_task(bus.deliver_posts(), name="posts")
    try:
        yield bus
    finally:
        delivering.cancel()
        if bus._outbox:  # noqa: SLF001
            with suppress(nats.errors.Error):
                await client.send_many(bus._outbox)  # noqa: SLF001
        acked.connection_lost()
        with suppress(Exception):
            await asyncio.wait_for(client.close(), 2)


def allow_websockets(servers: Sequence[str]) -> None:
    """Give the client what it was loaded without (``core.lean``), where an address asks for it."""
    if any(server.startswith(("ws:", "wss:")) for server in servers):
        vars(transport).update({name: import_module(name) for name in ("aiohttp", "multidict")})


def _heed_cancelling(task: asyncio.Task[Any] | None, before: int) -> None:
    """Raise the cancellation that came while an answer did.

    The client waits with ``asyncio.wait_for``, which until Python 3.12 gives back the answer then and forgets the
    cancellation: a loop of requests would go on for ever.
    """
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
