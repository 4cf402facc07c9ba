"""One question to everybody who listens, and the answers of all: for what each process knows for itself.

Must not know what is asked.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from scaup.core.bus.connection import Bus, Msg

PATIENCE_S: Final = 0.5


async def gather(bus: Bus, subject: str, data: bytes, expected: int, within_s: float = PATIENCE_S) -> list[bytes]:
    """The answers that come: ``expected`` of them, or those that are there after ``within_s``. None where nobody is."""
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = bus.client.new_inbox()
    end = await bus.subscribe(inbox, answers.put)
    found: list[bytes] = []
    try:
        await bus.publish(subject, data, inbox)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not expected or len(found) < expected:
                    answer = await answers.get()
                    if (answer.headers or {}).get("Status") == "503":
                        break
                    found.append(answer.data)
    finally:
        await end()
    return found
