"""Ports of loopback that are nobody else's, whether something listens on them just now or not."""

from __future__ import annotations

import os
import sys
from typing import Self

from scaup.core.http.server import bind


class Port(int):
    """A port's number, the port being its holder's for as long as this object lives.

    A socket is bound to it that never listens. Linux refuses connections then, and gives the port to nobody who asks
    for any port, be it to listen or to connect from; who asks for this one by its number may listen, also in another
    process and again and again. Elsewhere (macOS) it was free a moment ago, and no more can be said.
    """

    _descriptor: int

    def __new__(cls) -> Self:
        bound = bind("127.0.0.1", 0)
        port = super().__new__(cls, bound.getsockname()[1])
        port._descriptor = bound.detach()
        if sys.platform != "linux":
            port._give_back()
        return port

    def __del__(self) -> None:
        self._give_back()

    def _give_back(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
