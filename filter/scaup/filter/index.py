"""The matching index of one Broker: from an event to the Triggers that want it.

Triggers with the same filter are one group, evaluated once an event. Groups are found by what must hold of an event
(their guard): a value looked up, a prefix, or that an attribute or a member of the data is there; only groups without a
guard are looked at for every event. So the cost of an event grows with the groups that could match, not with the
Triggers that exist. Triggers come and go one at a time; the rest of the index stays as it is and nothing waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from scaup.core.filters.compiled import compile_tree
from scaup.core.filters.guards import Atom
from scaup.core.filters.parse import parse_filters
from scaup.core.filters.subject import ABSENT, EvaluationError, Subject
from scaup.core.filters.tree import Tree
from scaup.core.model.definitions import TriggerDefinition
from scaup.core.model.errors import DefinitionError
from scaup.core.model.names import TriggerUid
from scaup.filter.pools import Group, Pool

Match = tuple[TriggerUid, int]
Failed = Callable[[TriggerUid, EvaluationError], None]


class _Prefixes:
    """Groups by a prefix of one attribute: looked up by every length in use."""

    __slots__ = ("groups", "lengths")

    def __init__(self) -> None:
        self.groups: dict[str, dict[Tree, Group]] = {}
        self.lengths: Counter[int] = Counter()

    def find(self, value: str) -> Iterator[Group]:
        for length in self.lengths:
            if length <= len(value) and (groups := self.groups.get(value[:length])):
                yield from groups.values()


class BrokerIndex:
    """All Triggers of a Broker, ready to be matched."""

    def __init__(self) -> None:
        self._groups: dict[Tree, Group] = {}
        self._homes: dict[TriggerUid, Group] = {}
        self._values: dict[str, dict[str, dict[Tree, Group]]] = {}
        self._prefixes: dict[str, _Prefixes] = {}
        self._present: dict[str, Pool] = {}
        self._data: dict[str, Pool] = {}
        self._unguarded: dict[str, Pool] = {}
        self._with_data = 0

    def __len__(self) -> int:
        return len(self._homes)

    @property
    def uses_data(self) -> bool:
        """Whether a filter looks at the data of events."""
        return self._with_data > 0

    def put(self, trigger: TriggerDefinition) -> str | None:
        """Take a Trigger in, in place of an earlier version of it. One that must not match is only taken out.

        Gives back why a filter cannot be compiled here (the controller should have refused it): it matches nothing.
        """
        self.remove(trigger.uid)
        if not trigger.matching:
            return None
        try:
            tree = parse_filters(trigger.filters)
            group = self._groups.get(tree)
            if group is None:
                group = Group(tree, compile_tree(tree))
                self._link(group)
        except (DefinitionError, RecursionError, Exception) as error:  # noqa: BLE001 - one author's filter is nobody else's trouble
            return str(error) or type(error).__name__
        group.members[trigger.uid] = (trigger.uid, trigger.generation)
        self._homes[trigger.uid] = group
        return None

    def remove(self, uid: TriggerUid) -> None:
        """Forget a Trigger, if it is known."""
        if (group := self._homes.pop(uid, None)) is not None:
            del group.members[uid]
            if not group.members:
                self._unlink(group)

    def match(self, subject: Subject, failed: Failed | None = None) -> list[Match]:
        """The ``(uid, generation)`` of every Trigger that wants the event; ``failed`` hears of errors on the way."""
        found: list[Match] = []
        seen: set[Tree] = set()
        for group in self._candidates(subject):
            guard = group.compiled.guard
            if guard is not None and len(guard) > 1:
                if group.key in seen:
                    continue
                seen.add(group.key)
            result = True if group.left is None else group.left(subject)
            if result is True:
                found.extend(group.members.values())
            elif result is not False:
                group.set_apart()
                if failed is not None:
                    for uid in group.members:
                        failed(uid, result)
        return found

    def _candidates(self, subject: Subject) -> Iterator[Group]:
        attributes = subject.attributes
        for name, values in self._values.items():
            value = attributes.get(name)
            if value is not None and (groups := values.get(value)):
                yield from groups.values()
        for name, prefixes in self._prefixes.items():
            if (value := attributes.get(name)) is not None:
                yield from prefixes.find(value)
        for pool in self._pools(subject):
            yield from pool.find(subject)

    def _pools(self, subject: Subject) -> Iterator[Pool]:
        for name, pool in self._present.items():
            if name in subject.attributes:
                yield pool
        if self._data and (data := subject.json()) is not ABSENT:
            for member, pool in self._data.items():
                if not member or _has(data, member):
                    yield pool
        yield from self._unguarded.values()

    def _link(self, group: Group) -> None:
        self._groups[group.key] = group
        self._with_data += group.compiled.uses_data
        guard = group.compiled.guard
        if guard is None:
            self._unguarded.setdefault("", Pool()).add(group)
            return
        for atom in guard:
            match atom.kind:
                case "eq":
                    self._values.setdefault(atom.attribute, {}).setdefault(atom.text, {})[group.key] = group
                case "prefix":
                    prefixes = self._prefixes.setdefault(atom.attribute, _Prefixes())
                    prefixes.groups.setdefault(atom.text, {})[group.key] = group
                    prefixes.lengths[len(atom.text)] += 1
                case "present":
                    self._present.setdefault(atom.attribute, Pool()).add(group)
                case "data":
                    self._data.setdefault(atom.attribute, Pool()).add(group)

    def _unlink(self, group: Group) -> None:
        del self._groups[group.key]
        self._with_data -= group.compiled.uses_data
        guard = group.compiled.guard
        if guard is None:
            _unlink_pool(self._unguarded, "", group)
            return
        for atom in guard:
            match atom.kind:
                case "eq":
                    self._unlink_value(atom, group)
                case "prefix":
                    self._unlink_prefix(atom, group)
                case "present":
                    _unlink_pool(self._present, atom.attribute, group)
                case "data":
                    _unlink_pool(self._data, atom.attribute, group)

    def _unlink_value(self, atom: Atom, group: Group) -> None:
        values = self._values[atom.attribute]
        del values[atom.text][group.key]
        if not values[atom.text]:
            del values[atom.text]
        if not values:
            del self._values[atom.attribute]

    def _unlink_prefix(self, atom: Atom, group: Group) -> None:
        prefixes = self._prefixes[atom.attribute]
        del prefixes.groups[atom.text][group.key]
        if not prefixes.groups[atom.text]:
            del prefixes.groups[atom.text]
        prefixes.lengths[len(atom.text)] -= 1
        if not prefixes.lengths[len(atom.text)]:
            del prefixes.lengths[len(atom.text)]
        if not prefixes.groups:
            del self._prefixes[atom.attribute]


def _unlink_pool(pools: dict[str, Pool], key: str, group: Group) -> None:
    pools[key].remove(group)
    if not len(pools[key]):
        del pools[key]


def _has(data: Any, member: str) -> bool:
    return isinstance(data, dict) and member in data
