"""The connection to NATS of a command: there soon, or an error that says why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from scaup.cli.access import NatsAccess
from scaup.cli.problems import NotReachableError
from scaup.core.bus import check
from scaup.core.bus.connection import Bus, BusAccess, connect

_CONNECT_S = 3.0


@asynccontextmanager
async def open_bus(nats: NatsAccess) -> AsyncIterator[Bus]:
    """The bus; NotReachableError where it does not answer within 3 s."""
    access = BusAccess(nats.url, nats.creds, nats.ca, nats.token)
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(_CONNECT_S):
                bus = await stack.enter_async_context(connect(access, "scaup-cli"))
        except (TimeoutError, OSError) as error:
            found = await check.problems(access)
            why = found[0] if found else f"NATS at {check.without_secret(nats.url)} did not answer"
            raise NotReachableError(why, hint="is `scaup up` running? else use --nats-url") from error
        yield bus
