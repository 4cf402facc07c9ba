"""A resolver's ``getaddrinfo`` that answers as a test says, or does not answer until it says so."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Found = list[tuple[Any, Any, int, str, tuple[Any, ...]]]


class Lookups:
    """Names that are known, names that fail, and all others, which are silent: asking for them hangs."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, ...]] = {}
        self.failing: dict[str, Exception] = {}
        self.asked: Counter[str] = Counter()
        self.silent = 0
        """How many lookups hang now."""
        self.most = 0
        """How many did at once, at most."""
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __call__(self, host: str, port: object, **_: object) -> Found:
        with self._lock:
            self.asked[host] += 1
        if host in self.failing:
            raise self.failing[host]
        if host not in self.known:
            with self._lock:
                self.silent += 1
                self.most = max(self.most, self.silent)
            self._over.wait(30)
            with self._lock:
                self.silent -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [_line(address) for address in self.known[host]]

    def end_silence(self) -> None:
        """Every lookup that hangs now fails, as it would after half a minute; later ones hang again."""
        over, self._over = self._over, threading.Event()
        over.set()


def _line(address: str) -> tuple[Any, Any, int, str, tuple[Any, ...]]:
    if ":" not in address:
        return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)
    text, _, zone = address.partition("%")
    return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (text, 0, 0, int(zone or 0))


@contextmanager
def lookups(**known: str) -> Iterator[Lookups]:
    """Lookups for the length of a test; a known name's addresses are separated by spaces."""
    made = Lookups()
    made.known = {name: tuple(addresses.split()) for name, addresses in known.items()}
    try:
        yield made
    finally:
        made.end_silence()
