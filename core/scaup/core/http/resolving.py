"""Names to addresses, so that no name keeps another waiting.

The system's resolver blocks, for half a minute where a name server is silent, and cannot be stopped. So every lookup
has a thread of its own. There is a bounded number of them, in shares (``Standing``), so that names known to hang leave
the others alone; a lookup that turns out to hang is no longer counted in its share, as far as ``MAX_HANGING`` goes.
A name is looked up once at a time, however many ask; what was found is used again for a few seconds, and longer where
no answer comes. The threads are daemons: a process can end while they hang.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from scaup.core.http.exchange import text_of

GetAddrInfo = Callable[..., list[tuple[Any, Any, int, str, tuple[Any, ...]]]]
"""``socket.getaddrinfo``, or what a test puts in its place."""

FRESH_S: Final = 5.0
"""Seconds that found addresses are used without asking again."""
LAST_KNOWN_S: Final = 300.0
"""Seconds after a name was last found in which its addresses are used where no new answer comes."""
PATIENCE_S: Final = 0.25
"""Seconds that a new answer is waited for where there are last known addresses."""
SLOW_S: Final = 1.0
"""A lookup that took longer, however it ended, puts its name among the slow ones until one is quicker."""
SHORTEST_FAILURE_S: Final = 1.0
LONGEST_FAILURE_S: Final = 30.0
"""A failure is remembered for as long as it took to come, within these bounds."""
MAX_HANGING: Final = 256
"""Lookups that were found to hang and have left their shares."""
MAX_NAMES: Final = 10_000
"""Names remembered."""
_MAX_ADDRESSES: Final = 16
_NO_SUCH_NAME: Final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class UnresolvedNameError(Exception):
    """There is no address for a name, for now. The text says why."""


class Standing(Enum):
    """What is known of a name's lookups."""

    KNOWN = "the last one found it, quickly"
    NEW = "there was none, or it quickly found nothing"
    SLOW = "the last one took long"


_THREADS: Final = {Standing.KNOWN: 32, Standing.NEW: 32, Standing.SLOW: 8}
"""How many names of each standing may be looked up at once."""


@dataclass(slots=True)
class _Share:
    """The threads of one standing, or those that hang."""

    size: int
    running: int = 0
    waiting: deque[_Lookup] = field(default_factory=deque)


@dataclass(slots=True)
class _Lookup:
    """One lookup, waiting or under way. ``ended`` is set with its end, whatever that is."""

    host: str
    share: _Share
    ended: asyncio.Future[None]
    impatience: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Name:
    """What is known of one name."""

    host: str
    standing: Standing = Standing.NEW
    addresses: tuple[str, ...] = ()
    found_at: float = 0.0
    settled_until: float = 0.0
    """Until then it is not asked for again."""
    error: str = ""
    """What the last lookup failed with; empty where it did not."""
    asked_at: float = 0.0
    lookup: _Lookup | None = None

    def last_known(self, now: float) -> tuple[str, ...]:
        """The addresses that may still be used."""
        return self.addresses if now < self.found_at + LAST_KNOWN_S else ()


class Resolver:
    """Looks names up in threads. Belongs to the event loop that asks it."""

    def __init__(self, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> None:
        self._getaddrinfo = getaddrinfo
        self._names: OrderedDict[str, _Name] = OrderedDict()
        self._shares = {standing: _Share(size) for standing, size in _THREADS.items()}
        self._hanging = _Share(MAX_HANGING)

    @property
    def under_way(self) -> int:
        """Lookups that have a thread."""
        return sum(share.running for share in (*self._shares.values(), self._hanging))

    @property
    def waiting(self) -> int:
        """Lookups that wait for a thread."""
        return sum(len(share.waiting) for share in self._shares.values())

    async def addresses(self, host: str, deadline: float) -> tuple[str, ...]:
        """The addresses of ``host``, the best first; itself where it is one.

        Raises UnresolvedNameError where it has none, and TimeoutError where none is known at ``deadline`` (loop time).
        """
        if _is_address(host):
            return (host,)
        loop = asyncio.get_running_loop()
        name = self._names.get(host) or self._add(host)
        self._names.move_to_end(host)
        now = loop.time()
        if name.lookup is None and now >= name.settled_until:
            self._ask(name, now)
        if name.lookup is not None:
            known = name.last_known(now)
            try:
                async with asyncio.timeout_at(min(deadline, name.asked_at + PATIENCE_S) if known else deadline):
                    await asyncio.shield(name.lookup.ended)
            except TimeoutError:
                if not known or loop.time() >= deadline:
                    raise
                return known
        if known := name.last_known(loop.time()):
            return known
        msg = f"no address for {host}: {name.error}"
        raise UnresolvedNameError(msg)

    def _add(self, host: str) -> _Name:
        if len(self._names) >= MAX_NAMES:
            idle = next((name for name in self._names.values() if name.lookup is None), None)
            if idle is None:
                msg = f"no address for {host}: too many names are being looked up"
                raise UnresolvedNameError(msg)
            del self._names[idle.host]
        name = self._names[host] = _Name(host)
        return name

    def _ask(self, name: _Name, now: float) -> None:
        """Have a name looked up, as soon as its share has a thread."""
        share = self._shares[name.standing]
        name.asked_at = now
        name.lookup = _Lookup(name.host, share, asyncio.get_running_loop().create_future())
        share.waiting.append(name.lookup)
        self._go_on(share)

    def _go_on(self, share: _Share) -> None:
        """Start what the share has room for."""
        loop = asyncio.get_running_loop()
        while share.waiting and share.running < share.size:
            lookup = share.waiting.popleft()
            share.running += 1
            if share is not self._shares[Standing.SLOW]:
                lookup.impatience = loop.call_later(SLOW_S, self._hangs, lookup)
            work = threading.Thread(
                target=self._look_up, args=(lookup, loop), name=f"lookup-{lookup.host}", daemon=True
            )
            try:
                work.start()
            except RuntimeError as error:  # the system has no thread left
                loop.call_soon(self._ended, lookup, error, 0.0)

    def _hangs(self, lookup: _Lookup) -> None:
        """A lookup takes long: its place in its share goes to the next, while that can be afforded."""
        if self._hanging.running >= self._hanging.size:
            lookup.impatience = asyncio.get_running_loop().call_later(SLOW_S, self._hangs, lookup)
            return
        left, lookup.share = lookup.share, self._hanging
        left.running -= 1
        self._hanging.running += 1
        self._go_on(left)

    def _look_up(self, lookup: _Lookup, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread."""
        began = time.monotonic()
        result: tuple[str, ...] | Exception
        try:
            result = _numeric(self._getaddrinfo(lookup.host, None, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - a name may be anything, and nobody else would hear of it
            result = error
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._ended, lookup, result, time.monotonic() - began)

    def _ended(self, lookup: _Lookup, result: tuple[str, ...] | Exception, took: float) -> None:
        now = asyncio.get_running_loop().time()
        name = self._names[lookup.host]  # one that is looked up is never forgotten
        if isinstance(result, Exception):
            name.error = text_of(result)
            name.settled_until = now + min(max(took, SHORTEST_FAILURE_S), LONGEST_FAILURE_S)
            if isinstance(result, socket.gaierror) and result.errno in _NO_SUCH_NAME:
                name.addresses = ()
        else:
            name.error, name.addresses, name.found_at = "", result, now
            name.settled_until = now + FRESH_S
        if took > SLOW_S:
            name.standing = Standing.SLOW
        else:
            name.standing = Standing.NEW if name.error else Standing.KNOWN
        name.lookup = None
        if lookup.impatience is not None:
            lookup.impatience.cancel()
        if not lookup.ended.done():
            lookup.ended.set_result(None)
        lookup.share.running -= 1
        self._go_on(lookup.share)


def _numeric(found: list[tuple[Any, Any, int, str, tuple[Any, ...]]]) -> tuple[str, ...]:
    """The addresses of an answer as text, each once. Those with a zone are left out: uvloop would drop the zone."""
    addresses = dict.fromkeys(
        str(address[0])
        for family, _, _, _, address in found
        if family == socket.AF_INET or (family == socket.AF_INET6 and not address[3])
    )
    if not addresses:
        msg = "the resolver knows none that can be connected to"
        raise OSError(msg)
    return tuple(addresses)[:_MAX_ADDRESSES]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
