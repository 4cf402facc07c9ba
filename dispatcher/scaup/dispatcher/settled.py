"""Which entries of a log were settled here lately. Pure; sixteen bytes an entry, for there are very many."""

from __future__ import annotations

from array import array
from typing import Final

_FEWEST: Final = 1 << 10
_MOST: Final = 1 << 16


class Settled:
    """The newest places of a log, by sequence and time of storing: a log that is made anew counts from 1 again.

    A table in which a sequence has one place; the newer one of two takes it, once the table may not grow any more.
    """

    def __init__(self, most: int = _MOST) -> None:
        """``most`` is a power of two."""
        self._most = most
        self._sequences = array("q", bytes(8 * min(_FEWEST, most)))
        self._stored_ns = array("q", bytes(8 * min(_FEWEST, most)))

    def __contains__(self, entry: tuple[int, int]) -> bool:
        sequence, stored_ns = entry
        place = sequence & (len(self._sequences) - 1)
        return self._sequences[place] == sequence and self._stored_ns[place] == stored_ns

    def add(self, sequence: int, stored_ns: int) -> None:
        """It is settled."""
        place = sequence & (len(self._sequences) - 1)
        while 0 != self._sequences[place] != sequence and len(self._sequences) < self._most:
            self._grow()
            place = sequence & (len(self._sequences) - 1)
        self._sequences[place] = sequence
        self._stored_ns[place] = stored_ns

    def _grow(self) -> None:
        size = 2 * len(self._sequences)
        sequences, stored_ns = array("q", bytes(8 * size)), array("q", bytes(8 * size))
        for sequence, moment in zip(self._sequences, self._stored_ns, strict=True):
            if sequence:
                sequences[sequence & (size - 1)] = sequence
                stored_ns[sequence & (size - 1)] = moment
        self._sequences, self._stored_ns = sequences, stored_ns
