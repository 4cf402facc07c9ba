"""What goes wrong, and when: a schedule made from a seed alone. Pure; ``fleet`` does it.

Faults come in rounds: each round has every fault once, shuffled, with lengths and pauses by chance, all bounded.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

NATS: Final = "nats"
SERVICES: Final = ("ingress", "filter-1", "filter-2", "dispatcher-1", "dispatcher-2")

# Longest pause of each; a dispatcher's stays below the ack wait of the log (15 s), beyond which entries are repeated.
_LONGEST_PAUSE_S: Final = {"ingress": 3.0, "filter": 6.0, "dispatcher": 10.0}
_LONGEST_DOWN_S: Final = 3.0
_REST_S: Final = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """``kill`` (-9), ``pause`` (SIGSTOP, SIGCONT), ``restart`` (SIGTERM), for ``seconds``; then ``rest_s`` of peace."""

    kind: str
    victim: str
    seconds: float = 0.0
    rest_s: float = 0.0

    def __str__(self) -> str:
        how_long = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind} {self.victim}{how_long}"

    @property
    def repeats(self) -> bool:
        """Whether entries of the log that were delivered but not yet acknowledged are delivered again after it."""
        return self.kind == "kill" and (self.victim == NATS or self.victim.startswith("dispatcher"))


def schedule(seed: int) -> Iterator[Fault]:
    """Faults without end."""
    chance = random.Random(seed)
    everything = [("kill", NATS), *((kind, name) for kind in ("kill", "pause", "restart") for name in SERVICES)]
    while True:
        chance.shuffle(everything)
        for kind, victim in everything:
            if kind == "pause":
                longest = _LONGEST_PAUSE_S[victim.partition("-")[0]]
                seconds = chance.uniform(longest / 4, longest)
            else:
                seconds = chance.choice((0.0, chance.uniform(0.0, _LONGEST_DOWN_S)))
            yield Fault(kind, victim, seconds, chance.uniform(*_REST_S))
