"""How fast something may be done. Pure: times are handed in."""

from __future__ import annotations

from typing import Final

_CATCH_UP_S: Final = 0.1


class Pace:
    """So many a second, evenly; those that were not done in the last tenth of a second may follow at once.

    The generic cell rate algorithm: only the time of the next one is kept.
    """

    def __init__(self, rate: float) -> None:
        self._each_s = 1.0 / rate
        self._next_at = 0.0

    def take(self, now: float, number: int = 1) -> float:
        """Take the places of the next ones; seconds to wait before the first of them."""
        wait_s = max(self._next_at - max(_CATCH_UP_S - self._each_s, 0.0) - now, 0.0)
        self._next_at = max(self._next_at, now) + number * self._each_s
        return wait_s
