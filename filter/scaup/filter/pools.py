"""Groups of Triggers that are candidates together, and how many CEL filters are asked at once.

An evaluation by the CEL engine costs a few microseconds, nearly all of it for going there and back. So CEL filters of
a pool are joined with ``||``, up to 32 at a time: where that is surely false, none of them matches and none ends in an
error. Anything else says nothing, and each is evaluated by itself. Results never depend on what is joined.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scaup.core.filters.cel import MOST, CelJoint, join_cel
from scaup.core.filters.compiled import Compiled, Predicate
from scaup.core.filters.subject import Subject
from scaup.core.filters.tree import Tree
from scaup.core.model.names import TriggerUid

_FEWEST: Final = 4
_PATIENCE: Final = 16
"""Events after which a changed batch is joined anew: until then evaluating its members has cost about as much."""
_AT_ONCE: Final = 4
"""Batches joined for one event, at a few milliseconds each."""


class Group:
    """All Triggers with one filter."""

    __slots__ = ("compiled", "key", "left", "members", "pools")

    def __init__(self, key: Tree, compiled: Compiled) -> None:
        self.key = key
        self.compiled = compiled
        self.left: Predicate | None = None if compiled.is_guard else compiled.predicate
        """What is left to evaluate once an atom of the guard holds."""
        self.members: dict[TriggerUid, tuple[TriggerUid, int]] = {}
        self.pools: list[Pool] = []

    def set_apart(self) -> None:
        """Its filter ends in errors, which a joint evaluation could not tell from a match: ask it by itself."""
        for pool in self.pools:
            pool.set_apart(self)


class _Batch:
    """Up to 32 CEL filters in one evaluation."""

    __slots__ = ("_asked", "_is_built", "_joint", "members")

    def __init__(self) -> None:
        self.members: dict[Tree, Group] = {}
        self._joint: CelJoint | None = None
        self._is_built = False
        self._asked = 0

    def changed(self) -> None:
        self._joint, self._is_built, self._asked = None, False, 0

    @property
    def is_due(self) -> bool:
        """Whether it is time to join the members."""
        if self._is_built:
            return False
        self._asked += 1
        return self._asked > _PATIENCE and len(self.members) >= _FEWEST

    def join(self) -> None:
        self._joint = join_cel([one.compiled.cel for one in self.members.values() if one.compiled.cel])
        self._is_built = True

    def candidates(self, subject: Subject) -> list[Group]:
        """The members that have to be evaluated: all or none."""
        if self._joint is not None and self._joint.is_surely_false(subject):
            return []
        return list(self.members.values())


class Pool:
    """Groups of which nothing is known but the one condition that they share."""

    __slots__ = ("_alone", "_batches", "_homes")

    def __init__(self) -> None:
        self._alone: dict[Tree, Group] = {}
        self._batches: list[_Batch] = []
        self._homes: dict[Tree, _Batch] = {}

    def __len__(self) -> int:
        return len(self._alone) + len(self._homes)

    def add(self, group: Group) -> None:
        """Take a group in."""
        group.pools.append(self)
        if group.compiled.cel is None:
            self._alone[group.key] = group
            return
        batch = next((batch for batch in reversed(self._batches) if len(batch.members) < MOST), None)
        if batch is None:
            batch = _Batch()
            self._batches.append(batch)
        batch.members[group.key] = group
        batch.changed()
        self._homes[group.key] = batch

    def remove(self, group: Group) -> None:
        """Let a group go."""
        if self._alone.pop(group.key, None) is None:
            self._leave(group)

    def set_apart(self, group: Group) -> None:
        """Evaluate a group by itself from now on."""
        if group.key in self._homes:
            self._leave(group)
            self._alone[group.key] = group

    def find(self, subject: Subject) -> Iterator[Group]:
        """The groups that have to be evaluated for an event."""
        yield from self._alone.values()
        joins = 0
        for batch in tuple(self._batches):
            if joins < _AT_ONCE and batch.is_due:
                joins += 1
                batch.join()
            yield from batch.candidates(subject)

    def _leave(self, group: Group) -> None:
        batch = self._homes.pop(group.key)
        del batch.members[group.key]
        batch.changed()
        if not batch.members:
            self._batches.remove(batch)
