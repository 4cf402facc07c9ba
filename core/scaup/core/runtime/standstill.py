"""Whether a service that has work is getting on with it: failures in a row, with the times handed in.

One failure is no reason not to be ready, nor are failures of long ago. It must not read a clock, nor know what the
work is.
"""

from __future__ import annotations


class Standstill:
    """One kind of work. ``why_not`` has something to say while nothing but failures came of it for ``patience_s``.

    When no failure was heard of for ``forget_s`` it has nothing to say any more: nobody knows then, and may try.
    """

    def __init__(self, patience_s: float, forget_s: float = 30.0) -> None:
        self._patience_s = patience_s
        self._forget_s = forget_s
        self._since: float | None = None
        self._last = 0.0
        self._why = ""

    def failed(self, now: float, why: str) -> None:
        """Nothing came of it this time."""
        if self._since is None or now - self._last > self._forget_s:
            self._since = now
        self._last = now
        self._why = why

    def went_well(self) -> None:
        """Something did."""
        self._since = None

    def why_not(self, now: float) -> str | None:
        """The last reason, with how long it has been so; None while there is none."""
        if self._since is None or now - self._last > self._forget_s or now - self._since < self._patience_s:
            return None
        return f"{self._why} (for {now - self._since:.0f} s)"
