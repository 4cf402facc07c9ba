"""Who leads: the arithmetic of a ``coordination.k8s.io/v1`` Lease. Pure; times are handed in.

As client-go does it: the Lease names who holds it and for how long, and is renewed by being written. Clocks of several
machines need not agree: for how long a Lease stands is counted from when *we* saw it change, never from the times that
are written in it, which are there for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

API: Final = "coordination.k8s.io/v1"
_LONGEST_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a Lease stands unless it is renewed, how long the holder relies on it, and how often it is renewed (s).

    Between ``renew_s`` and ``duration_s`` nobody leads: what the last holder has sent is done by then.
    """

    duration_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says, and its resourceVersion, by which every change of it is known."""

    version: str
    holder: str
    duration_s: float
    acquired: str = ""
    transitions: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """A record, and since when we know it so, by our own clock."""

    record: Record
    since: float


def read(lease: dict[str, Any], terms: Terms) -> Record:
    """A Lease as the API gives it. What is missing or strange in it was written by somebody else: taken for ours."""
    metadata, spec = _dict(lease.get("metadata")), _dict(lease.get("spec"))
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    is_usable = isinstance(seconds, int) and 0 < seconds <= _LONGEST_S
    return Record(
        version=str(metadata.get("resourceVersion") or ""),
        holder=str(spec.get("holderIdentity") or ""),
        duration_s=float(seconds) if is_usable and seconds is not None else terms.duration_s,
        acquired=str(spec.get("acquireTime") or ""),
        transitions=transitions if isinstance(transitions, int) else 0,
    )


def seen(before: Sight | None, record: Record, now: float) -> Sight:
    """What we know after having read ``record``: it stands since we first read it with this version."""
    return before if before is not None and before.record == record else Sight(record, now)


def is_free(sight: Sight, me: str, now: float) -> bool:
    """Whether the Lease may be taken: nobody's, our own, or not renewed for as long as it stands."""
    return sight.record.holder in {"", me} or now >= sight.since + sight.record.duration_s


def taken(present: Record | None, me: str, terms: Terms, now_text: str) -> dict[str, Any]:
    """The spec with which ``me`` holds it, be it new, taken over or renewed."""
    is_mine = present is not None and present.holder == me
    transitions = 0 if present is None else present.transitions + (0 if is_mine else 1)
    return {
        "holderIdentity": me,
        "leaseDurationSeconds": max(1, round(terms.duration_s)),
        "acquireTime": present.acquired if is_mine and present is not None and present.acquired else now_text,
        "renewTime": now_text,
        "leaseTransitions": transitions,
    }


def released(present: Record, now_text: str) -> dict[str, Any]:
    """The spec with which nobody holds it: who waits takes it at once."""
    return {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": now_text,
        "renewTime": now_text,
        "leaseTransitions": present.transitions,
    }


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
