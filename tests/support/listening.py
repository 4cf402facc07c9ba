"""What a plain NATS client hears: one that knows nothing of Scaup."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.msg import Msg


@asynccontextmanager
async def listening(url: str, subject: str) -> AsyncIterator[asyncio.Queue[Msg]]:
    """Everything that is published to a subject from now on."""
    reader = await nats.connect(url)
    try:
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        await reader.subscribe(subject, cb=heard.put)
        # The server answers in turn. flush() would not do: its ping overtakes a subscription that waits to be sent.
        await reader.request("$JS.API.INFO", timeout=10)
        yield heard
    finally:
        await reader.close()
