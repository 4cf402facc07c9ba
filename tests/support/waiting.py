"""Waiting for something to become true: bounded, and with a word about what was waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, overload

T = TypeVar("T")

WITHIN_S: Final = 20.0
"""Far from what is well: machines stand still for seconds."""


@overload
async def eventually(condition: Callable[[], Awaitable[T]], what: str, *, within_s: float = WITHIN_S) -> T: ...
@overload
async def eventually(condition: Callable[[], T], what: str, *, within_s: float = WITHIN_S) -> T: ...
async def eventually(condition: Callable[[], object], what: str, *, within_s: float = WITHIN_S) -> object:
    """Ask again and again until ``condition`` gives something true, and give that back."""
    end = time.monotonic() + within_s
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > end:
            msg = f"not within {within_s:g} s: {what} (last: {found!r})"
            raise AssertionError(msg)
        await asyncio.sleep(0.01)


def wait_for(condition: Callable[[], T], what: str, within_s: float = WITHIN_S) -> T:
    """Ask again and again until ``condition`` gives something true, and give that back."""
    end = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:g} s: {what} (last: {found!r})")
        time.sleep(0.02)
    return found
