"""How each kind of sink takes a request: a table from (kind, event, how often it came) to a reaction. Pure.

What a sink does with an event depends on the event's id alone, by hash, and on the number of tries; so a run with the
same events meets the same hostility. ``takes`` says whether the sink has the event from then on, whatever it answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos import traffic
from tests.support.sinks import HANG, OK, RESET, Reaction, answer, raw

FLOOD_BYTES: Final = 2 << 20
_TAKEN: Final = b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n"
_FLOOD: Final = b"no event, and too much of it. " * (FLOOD_BYTES // 30)


@dataclass(frozen=True, slots=True)
class Turn:
    """What follows on one request."""

    reaction: Reaction
    takes: bool = False


WELL: Final = Turn(OK, takes=True)
NEVER: Final = Turn(HANG)
Mood = Callable[[int, int], Turn]


def share(kind: str, index: int, tries: int = 0) -> float:
    """A number in [0, 1) that belongs to this event (and this try of it) at this kind of sink."""
    return int.from_bytes(hashlib.sha256(f"{kind}:{index}:{tries}".encode()).digest()[:4]) / 2**32


def turn(kind: str, index: int, tries: int, *, is_cured: bool = False) -> Turn:
    """How a sink of this kind reacts to the ``tries``-th coming of an event."""
    if is_cured and kind in CURABLE:
        return WELL
    return _MOODS[kind](index, tries)


def _slow(index: int, _tries: int) -> Turn:
    return Turn(answer(202, delay_s=0.2 + 1.8 * share("slow", index)), takes=True)


def _busy(index: int, tries: int) -> Turn:
    if share("busy", index, tries) < 0.3 and tries <= 4:
        return Turn(answer(503, b"later", {"retry-after": "1"}))
    return WELL


def _poison(index: int, _tries: int) -> Turn:
    return Turn(answer(503, b"poison")) if share("poison", index) < 0.01 else WELL


def _final(index: int, _tries: int) -> Turn:
    return Turn(answer(400, b"not this one")) if share("final", index) < 0.2 else WELL


def _fickle(index: int, _tries: int) -> Turn:
    return Turn(answer(400, b"not even dead")) if share("fickle", index) < 0.5 else WELL


def _dripping(index: int, _tries: int) -> Turn:
    if share("dripping", index) < 0.9:
        drops = [part for at in range(len(_TAKEN)) for part in (_TAKEN[at : at + 1], 0.025)]
        return Turn(raw(*drops), takes=True)
    return Turn(raw(b"HTTP/1.1 202 X\r\n", *(part for _ in range(100) for part in (b"x", 0.1)), end="hang"))


def _flooding(index: int, _tries: int) -> Turn:
    if share("flooding", index) < 0.9:
        return Turn(answer(200, _FLOOD, {"content-type": "text/plain"}), takes=True)
    return Turn(answer(500, _FLOOD))


def _resetting(index: int, tries: int) -> Turn:
    if share("resetting", index, tries) < 0.3 and tries <= 4:
        return Turn(Reaction((b"HTTP/1.1 202 X\r\ncontent-le",), "reset") if tries % 2 else RESET)
    return WELL


def _garbage(index: int, tries: int) -> Turn:
    portion = share("garbage", index)
    if portion < 0.02:  # claims to be an event, and is none
        return Turn(answer(200, b"{", {"content-type": "application/cloudevents+json"}))
    if portion < 0.3 and tries <= 1:
        return Turn(raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n", end="close"))
    return WELL


def _replying(index: int, _tries: int) -> Turn:
    reply = index | 1
    lines = dict(line.split(": ", 1) for line in traffic.binary_headers(reply).split("\r\n") if line)
    return Turn(answer(200, traffic.data_of(reply), lines), takes=True)


def _forgetful(index: int, tries: int) -> Turn:
    if share("forgetful", index) < 0.3 and tries == 1:
        return Turn(Reaction(end="close"), takes=True)
    return WELL


_MOODS: Final[dict[str, Mood]] = {
    "well": lambda _index, _tries: WELL,
    "slow": _slow,
    "hanging": lambda _index, _tries: NEVER,
    "dead": lambda _index, _tries: NEVER,
    "refusing": lambda _index, _tries: Turn(answer(500, b"never")),
    "busy": _busy,
    "poison": _poison,
    "final": _final,
    "fickle": _fickle,
    "dripping": _dripping,
    "flooding": _flooding,
    "resetting": _resetting,
    "garbage": _garbage,
    "replying": _replying,
    "forgetful": _forgetful,
    "flapping": lambda _index, _tries: WELL,
}
KINDS: Final = frozenset(_MOODS)
CURABLE: Final = frozenset({"slow", "dripping", "flapping"})
"""Cured when sending has stopped, so that what waits is worked soon."""
INCURABLE: Final = frozenset({"hanging", "dead", "refusing"})
"""Never take an event: what they should get may wait in their queues for ever."""
CODES: Final = {"refusing": "500", "poison": "503", "final": "400"}
"""The one status with which a kind refuses, as ``knativeerrorcode`` has to have it."""
