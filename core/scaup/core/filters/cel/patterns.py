"""How much a regular expression costs RE2, judged from its text. It does not match anything, nor check the syntax.

RE2 never backtracks: matching is linear in the text. What an author can still blow up is the *program* that a pattern
becomes, by counted repetition (``(\\pL{100}){9}``); the engine makes it anew in every evaluation. One unit of weight
is about one instruction of the program, 0.1 µs to make; erring on the heavy side.
"""

from __future__ import annotations

import re
from typing import Final

_SIGNS: Final = re.compile(
    r"(?P<property>\\[pP](?:\{[^}]*\}|.))"
    r"|\\Q(?P<quoted>.*?)(?:\\E|$)"
    r"|(?P<escaped>\\.)"
    r"|(?P<set>\[\^?\]?(?:\[:[^\]]*:\]|\\.|[^\]\\])*\])"
    r"|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}"
    r"|(?P<open>\()|(?P<close>\))|(?P<other>.)",
    re.DOTALL,
)
_PROPERTY: Final = 700
_SET: Final = 20


def weight_of(pattern: str) -> int:
    """The weight of a pattern. A malformed one has some weight, too."""
    enclosing: list[int] = []
    total = last = 0
    for found in _SIGNS.finditer(pattern):
        kind = found.lastgroup
        if kind == "open":
            enclosing.append(total)
            total = last = 0
        elif kind == "close":
            last = total + 2
            total = last + (enclosing.pop() if enclosing else 0)
        elif found.group() in {"*", "+", "?"}:
            total += 1
            last += 1
        elif kind in {"least", "most"}:
            times = max(int(found["least"]), int(found["most"] or 0), 1)
            total += last * (times - 1)
            last *= times
        else:
            last = _weight(kind, found)
            total += last
    total += sum(enclosing)
    return 2 * total if "(?" in pattern and "i" in pattern else total


def _weight(kind: str | None, found: re.Match[str]) -> int:
    text = found.group()
    match kind:
        case "property":
            return _PROPERTY
        case "quoted":
            return 4 * len(text)
        case "set":
            return _SET + 4 * len(text.encode(errors="replace")) + _PROPERTY * (text.count("\\p") + text.count("\\P"))
        case "escaped":
            return _SET
        case _:
            return _SET if text == "." else len(text.encode(errors="replace"))
