"""How much one sink gets at a time: an in-flight limit that adapts, and a breaker that stops asking a dead one.

Plain arithmetic over times that are handed in.
"""

from __future__ import annotations

from typing import Final

_START: Final = 64
_DECREASE: Final = 0.7
_DECREASE_EVERY_S: Final = 0.2
_OPEN_AFTER: Final = 8
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0


class InFlightLimit:
    """Additive increase while the limit is what holds back, multiplicative decrease when the sink is hurt.

    The decrease is in proportion to the attempts that hurt since the last one: a sink that refuses one event in a
    hundred for ever is not overloaded, and keeps its limit for the others.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = self._allowed = maximum
        self._limit = float(min(_START, maximum))
        self.current = int(self._limit)
        """Attempts that may be under way, at least one."""
        self._decreased_at = 0.0
        self._well = self._hurts = 0

    def allow(self, most: int | None) -> None:
        """No more than this from now on, whatever the sink would take; None: what it was made for."""
        self._allowed = self._maximum if most is None else min(most, self._maximum)
        self._change(self._limit)

    def succeeded(self, *, was_full: bool) -> None:
        """An attempt went well; ``was_full`` says that the limit kept others waiting."""
        self._well += 1
        if was_full and self._limit < self._maximum:
            self._change(self._limit + 1.0 / self._limit)

    def hurt(self, now: float) -> None:
        """The sink was slow, overloaded or gone."""
        self._hurts += 1
        if now - self._decreased_at >= _DECREASE_EVERY_S:
            share = self._hurts / (self._hurts + self._well)
            self._decreased_at = now
            self._well = self._hurts = 0
            self._change(max(1.0, self._limit * (1.0 - (1.0 - _DECREASE) * share)))

    def _change(self, limit: float) -> None:
        self._limit = limit
        self.current = min(int(limit), self._allowed)


class Breaker:
    """Opens after failures in a row; then one probe at a time, with growing pauses, until one goes well."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = _FIRST_PAUSE_S
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether events should wait in the queue."""
        return self._open_until is not None

    def next_probe_at(self) -> float | None:
        """When one attempt may be made while open; None while closed."""
        return self._open_until

    def may_probe(self, now: float) -> bool:
        """Whether the pause is over and nobody probes yet."""
        return self._open_until is not None and not self._probing and now >= self._open_until

    def allows(self, now: float) -> bool:
        """Whether an attempt may be made now. While open, saying yes once is the probe."""
        if self._open_until is None:
            return True
        if not self.may_probe(now):
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The sink is well."""
        self._failures = 0
        self._pause_s = _FIRST_PAUSE_S
        self._open_until = None
        self._probing = False

    def failed(self, now: float, *, at_once: bool = False) -> None:
        """One more failure in a row; ``at_once`` says that more of them are not worth waiting for."""
        self._failures += 1
        if self._open_until is not None:
            if self._probing:
                self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
                self._open_until = now + self._pause_s
            self._probing = False
        elif at_once or self._failures >= _OPEN_AFTER:
            self._open_until = now + self._pause_s
