"""Whether the data plane does what a definition says: judged from what its replicas report. Pure.

Ready is the truth: a condition becomes True when every live replica of a role has applied the revision in question
(CP-16). Once it was True for that revision it does not go back because one replica restarts; it does when nobody of
the role has been alive for longer than the grace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scaup.controller.conditions import Condition, false, true, unknown

WAITING: Final = "WaitingForDataPlane"
PROVISIONING: Final = "Provisioning"
ROLES: Final = ("ingress", "filter", "dispatcher")


@dataclass(frozen=True, slots=True)
class Applied:
    """One live replica: the revision it has applied of the present bucket; 0 where it still speaks of a former one."""

    replica: str
    revision: int


@dataclass(frozen=True, slots=True)
class Role:
    """The live replicas of one role. Where there is none: since when (s), and whether there has been one at all."""

    name: str
    replicas: tuple[Applied, ...] = ()
    is_lost: bool = False
    was_seen: bool = False

    @property
    def slowest(self) -> Applied | None:
        """The live replica that is the furthest behind."""
        return min(self.replicas, key=lambda replica: replica.revision, default=None)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The data plane as it is now. ``roles`` in the order of ROLES."""

    roles: tuple[Role, ...] = tuple(Role(name) for name in ROLES)
    failing: tuple[tuple[str, str], ...] = ()
    """Triggers (uids) whose filter cannot be evaluated for some events, and why."""
    histories: tuple[tuple[str, str], ...] = ()
    """Triggers (uids) that start with history, and how far that is."""

    def role(self, name: str) -> Role:
        """The role of that name."""
        return self.roles[ROLES.index(name)]


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges revisions against a fleet; made once for many definitions."""

    name: str
    roles: tuple[tuple[Role, Applied | None], ...]

    @classmethod
    def of(cls, name: str, fleet: Fleet, roles: Sequence[str]) -> Judge:
        """A judge of condition ``name``, which needs all of ``roles``."""
        found = (fleet.role(role) for role in roles)
        return cls(name, tuple((role, role.slowest) for role in found))

    def judge(self, revision: int | None, *, is_settled: bool) -> Condition:
        """The condition for a definition stored at ``revision`` (None: not stored yet).

        ``is_settled`` says that it was True for this revision before.
        """
        if revision is None:
            return unknown(self.name, WAITING, "its definition is not stored yet")
        for role, slowest in self.roles:
            if slowest is None and role.is_lost:
                return false(self.name, f"No{role.name.capitalize()}", f"no live replica of {role.name}")
            if slowest is None and not (is_settled and role.was_seen):
                return unknown(self.name, WAITING, f"no replica of {role.name} has reported yet")
            if slowest is not None and slowest.revision < revision and not is_settled:
                text = f"{slowest.replica} has applied revision {slowest.revision} of {revision}"
                return unknown(self.name, WAITING, text)
        return true(self.name)


def is_waiting(conditions: Sequence[Condition]) -> bool:
    """Whether only answers are missing that are on their way, so that a report is better made a moment later."""
    open_ones = [condition for condition in conditions if not condition.is_true and not condition.severity]
    return bool(open_ones) and all(_is_passing(condition.reason) for condition in open_ones)


def _is_passing(reason: str) -> bool:
    return reason in {WAITING, PROVISIONING} or reason.endswith("NotKnownYet")
