"""From everything observed to everything wanted: the definitions for the data plane, and each object's conditions.

Pure: no clock, no network, no loop. The controller's whole judgement is here, in ``readiness`` and in what they call.
What did not change since the last plan is not worked out again (``Planner`` remembers), so a plan of thousands of
Triggers of which one changed is cheap enough to be made anew for every change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scaup.controller.api import BROKER_KIND, TRIGGER_KIND, Identity, annotations_of, identity
from scaup.controller.checks import (
    CheckedBroker,
    CheckedDelivery,
    CheckedTrigger,
    Sink,
    broken_broker,
    broken_trigger,
    check_broker,
    check_trigger,
)
from scaup.controller.conditions import Condition, false, true, unknown
from scaup.controller.defaults import NO_DEFAULTS, Defaults, is_ours
from scaup.controller.resolve import Absent, Found, Lookup, NotKnownYet, Ref, Resolved, resolve_reference
from scaup.core.model.definitions import (
    Address,
    AddressBookEntry,
    BrokerDefinition,
    Delivery,
    TriggerDefinition,
    UnresolvedError,
    resolve,
)
from scaup.core.model.errors import DefinitionError
from scaup.core.model.names import BrokerUid, TriggerUid, broker_key, trigger_key

Book = dict[Ref, Resolved]
C = TypeVar("C", CheckedBroker, CheckedTrigger)
NO_DELIVERY = CheckedDelivery()
_WORD = re.compile(r"[A-Z][A-Za-z0-9]{0,255}")


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """A destination, resolved: its address where it has one, and the condition that says so."""

    condition: Condition
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """What is wanted for a Broker, under ``key`` in the snapshot.

    Without a definition nothing is changed on the bus: what is there stays.
    """

    identity: Identity
    definition: BrokerDefinition | None
    delivery: CheckedDelivery
    problem: Condition | None
    dead_letter: SinkPlan
    key: str
    notes: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """What is wanted for a Trigger, under ``key`` in the snapshot.

    Without a definition it has none there, or keeps the one it has (``keep``).
    """

    identity: Identity
    broker: str
    broker_uid: str | None
    definition: TriggerDefinition | None
    keep: bool
    problem: Condition | None
    broker_problem: Condition | None
    subscriber: SinkPlan
    dead_letter: SinkPlan
    dependency: Condition
    address_keys: tuple[str, ...]
    key: str
    notes: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is wanted. An address of None is one not known yet: what the snapshot says of it stays."""

    brokers: dict[tuple[str, str], BrokerPlan] = field(default_factory=dict)
    triggers: dict[str, TriggerPlan] = field(default_factory=dict)
    addresses: dict[str, AddressBookEntry | None] = field(default_factory=dict)
    collections: frozenset[tuple[str, str]] = frozenset({BROKER_KIND, TRIGGER_KIND})
    unusable: tuple[str, ...] = ()


_Remembered = tuple[tuple[Any, ...], Any]
"""What was looked at, and what was made of it."""


class Planner:
    """Makes plans, and remembers what it found about objects that have not changed."""

    def __init__(self, replicas: int = 1) -> None:
        self._replicas = replicas
        self._checked: dict[tuple[str, str, str], tuple[Any, tuple[Any, ...], Any]] = {}
        self._planned: dict[str, _Remembered] = {}
        self._defaults = NO_DEFAULTS

    def plan(
        self,
        brokers: Iterable[dict[str, Any]],
        triggers: Iterable[dict[str, Any]],
        lookup: Lookup,
        defaults: Defaults = NO_DEFAULTS,
    ) -> Plan:
        """The plan for what was observed. Never raises for what an author wrote."""
        unusable: list[str] = []
        if defaults != self._defaults:  # what was found of Brokers was found by others
            self._defaults = defaults
            self._checked = {place: one for place, one in self._checked.items() if place[0] != check_broker.__name__}
        ours, others = [], set()
        for value in brokers:
            if is_ours(value, defaults):
                ours.append(value)
            else:
                others.add(_name(value))
        kept: dict[tuple[str, str, str], tuple[Any, tuple[Any, ...], Any]] = {}
        checked_brokers = self._check(ours, (self._check_broker, broken_broker), kept, unusable)
        checked_triggers = [
            checked
            for checked in self._check(triggers, (check_trigger, broken_trigger), kept, unusable)
            if (checked.identity.namespace, checked.broker) not in others
        ]
        self._checked = kept
        everything: list[CheckedBroker | CheckedTrigger] = [*checked_brokers, *checked_triggers]
        refs = {ref for checked in everything for ref in _refs(checked)}
        book = {ref: resolve_reference(ref, lookup(ref)) for ref in refs}
        plan = Plan(
            addresses={ref.key: resolved.entry for ref, resolved in book.items()},
            collections=_collections(refs, checked_triggers),
            unusable=tuple(unusable),
        )
        planned: dict[str, _Remembered] = {}
        for broker in checked_brokers:
            broker_plan = self._plan_broker(broker, book, planned)
            plan.brokers[broker.identity.namespace, broker.identity.name] = broker_plan
        for trigger in checked_triggers:
            owner = plan.brokers.get((trigger.identity.namespace, trigger.broker))
            plan.triggers[trigger.identity.uid] = self._plan_trigger(trigger, owner, book, lookup, planned)
        self._planned = planned
        return plan

    def _check(
        self,
        values: Iterable[dict[str, Any]],
        how: tuple[Callable[[dict[str, Any]], C], Callable[[Identity, Exception], C]],
        kept: dict[tuple[str, str, str], tuple[Any, tuple[Any, ...], Any]],
        unusable: list[str],
    ) -> list[C]:
        """Check each object by itself; one that cannot be told from others is left out and named."""
        check, broken = how
        result: list[C] = []
        for value in values:
            where: tuple[str, str] = _name(value)
            place = (check.__name__.removeprefix("_"), *where)
            remembered = self._checked.get(place)
            if remembered is None or remembered[0] is not value:  # what did not change is the very same object
                try:
                    who = identity(value)
                except DefinitionError as error:
                    unusable.append(f"{'/'.join(where)}: {error}")
                    continue
                inputs = (who, value.get("spec"), annotations_of(value))
                if remembered is None or remembered[1] != inputs:
                    remembered = (value, inputs, _checked(value, who, check, broken))
                else:
                    remembered = (value, inputs, remembered[2])
            kept[place] = remembered
            result.append(remembered[2])
        return result

    def _check_broker(self, value: dict[str, Any]) -> CheckedBroker:
        return check_broker(value, self._defaults, self._replicas)

    def _plan_broker(self, checked: CheckedBroker, book: Book, planned: dict[str, _Remembered]) -> BrokerPlan:
        dead = checked.delivery.dead_letter
        key, inputs = broker_key(checked.identity.uid), (checked, _looked_up(dead, book))
        plan: BrokerPlan = self._remembered(key, inputs) or BrokerPlan(
            identity=checked.identity,
            definition=checked.definition,
            delivery=checked.delivery,
            problem=checked.problem,
            dead_letter=plan_dead_letter(dead, book),
            key=key,
            notes=_present(checked.note, checked.defaults_note),
        )
        planned[key] = (inputs, plan)
        return plan

    def _plan_trigger(
        self,
        checked: CheckedTrigger,
        broker: BrokerPlan | None,
        book: Book,
        lookup: Lookup,
        planned: dict[str, _Remembered],
    ) -> TriggerPlan:
        delivery = effective_delivery(checked, broker)
        dependency = lookup(checked.dependency) if checked.dependency else None
        found = (_looked_up(checked.subscriber, book), _looked_up(delivery.dead_letter, book), dependency)
        key, inputs = trigger_key(checked.identity.uid), (checked, broker, *found)
        plan: TriggerPlan = self._remembered(key, inputs) or plan_trigger(checked, broker, book, dependency)
        planned[key] = (inputs, plan)
        return plan

    def _remembered(self, key: str, inputs: tuple[Any, ...]) -> Any:
        old = self._planned.get(key)
        return old[1] if old is not None and _same(old[0], inputs) else None


def _checked(
    value: dict[str, Any],
    who: Identity,
    check: Callable[[dict[str, Any]], C],
    broken: Callable[[Identity, Exception], C],
) -> C:
    try:
        return check(value)
    except Exception as error:  # noqa: BLE001 - one author's object must never stop the others'
        return broken(who, error)


def effective_delivery(trigger: CheckedTrigger, broker: BrokerPlan | None) -> CheckedDelivery:
    """A Trigger with any delivery field ignores the Broker's as a whole (CP-35)."""
    if trigger.delivery is not None:
        return trigger.delivery
    return broker.delivery if broker is not None else NO_DELIVERY


def plan_trigger(
    checked: CheckedTrigger,
    broker: BrokerPlan | None,
    book: Book,
    dependency: Found | Absent | NotKnownYet | None,
) -> TriggerPlan:
    """What is wanted for one Trigger."""
    delivery = effective_delivery(checked, broker)
    subscriber = plan_subscriber(checked.subscriber, book)
    dead_letter = plan_dead_letter(delivery.dead_letter, book)
    is_sound = checked.problem is None and not checked.subscriber.problem and delivery.is_sound
    definition = None
    keep = checked.broken or checked.holding is None or bool(delivery.unknown)
    if broker is not None and checked.holding is not None and not keep:
        definition = TriggerDefinition(
            uid=TriggerUid(checked.identity.uid),
            namespace=checked.identity.namespace,
            name=checked.identity.name,
            broker=BrokerUid(broker.identity.uid),
            subscriber=checked.subscriber.destination,
            generation=checked.identity.generation,
            filters=checked.filters if is_sound else (),
            matching=is_sound,
            delivery=delivery.delivery if is_sound else Delivery(),
            paused=checked.holding.paused,
            max_in_flight=checked.holding.max_in_flight,
            rate=checked.holding.rate,
            ordered=checked.holding.ordered,
            start=checked.start,
        )
    refs = [sink.ref for sink in (checked.subscriber, delivery.dead_letter) if sink and sink.ref]
    return TriggerPlan(
        identity=checked.identity,
        broker=checked.broker,
        broker_uid=broker.identity.uid if broker else None,
        definition=definition,
        keep=keep,
        problem=_subscription_problem(checked, broker, delivery),
        broker_problem=_broker_problem(checked, broker),
        subscriber=subscriber,
        dead_letter=dead_letter,
        dependency=_dependency(checked, dependency),
        address_keys=tuple(ref.key for ref in refs),
        key=trigger_key(checked.identity.uid),
        notes=_present(checked.note),
    )


def plan_subscriber(sink: Sink, book: Book) -> SinkPlan:
    """The subscriber's address and ``SubscriberResolved`` (CP-11, CP-12)."""
    return _plan_sink(sink, book, "SubscriberResolved", "Subscriber")


def plan_dead_letter(sink: Sink | None, book: Book) -> SinkPlan:
    """The dead letter sink's address and ``DeadLetterSinkResolved`` (CP-5, CP-13)."""
    if sink is None:
        return SinkPlan(true("DeadLetterSinkResolved", "DeadLetterSinkNotConfigured"))
    return _plan_sink(sink, book, "DeadLetterSinkResolved", "DeadLetterSink")


def _plan_sink(sink: Sink, book: Book, name: str, what: str) -> SinkPlan:
    if sink.problem:
        return SinkPlan(false(name, f"{what}Invalid", sink.problem))
    entries: dict[str, AddressBookEntry] = {}
    if sink.ref is not None:
        resolved = book[sink.ref]
        if resolved.entry is None:
            return SinkPlan(unknown(name, f"{what}NotKnownYet", f"{sink.ref} is being looked for"))
        if resolved.code:
            return SinkPlan(false(name, f"{what}{resolved.code}", f"{sink.ref}: {resolved.entry.reason}"))
        entries[sink.ref.key] = resolved.entry
    try:
        return SinkPlan(true(name), resolve(sink.destination, entries))
    except (UnresolvedError, ValueError) as error:
        return SinkPlan(false(name, f"{what}HasNoSuchAddress", str(error)))


def _present(*notes: Condition | None) -> tuple[Condition, ...]:
    """Those that there are; there is no such condition while there is nothing to say."""
    return tuple(one for one in notes if one is not None)


def _broker_problem(checked: CheckedTrigger, broker: BrokerPlan | None) -> Condition | None:
    if checked.broken:
        return unknown("BrokerReady", "BrokerUnknown", "the Trigger cannot be read")
    if checked.broker_problem:
        return false("BrokerReady", "BrokerInvalid", checked.broker_problem)
    if broker is None:
        where = f"{checked.broker!r} in namespace {checked.identity.namespace!r}"
        return false("BrokerReady", "BrokerDoesNotExist", f"there is no Broker {where}")
    return None


def _subscription_problem(
    checked: CheckedTrigger, broker: BrokerPlan | None, delivery: CheckedDelivery
) -> Condition | None:
    if checked.problem:
        return checked.problem
    if broker is None:
        return false("SubscriptionReady", "NotSubscribed", "there is no Broker to subscribe to")
    if checked.subscriber.problem:
        return false("SubscriptionReady", "NotSubscribed", "no event is matched before the subscriber is mended")
    if delivery.unknown:
        return false("SubscriptionReady", "DefaultsInvalid", delivery.unknown)
    if not delivery.is_sound:
        return false("SubscriptionReady", "NotSubscribed", "no event is matched before the delivery is mended")
    return None


def _dependency(checked: CheckedTrigger, found: Found | Absent | NotKnownYet | None) -> Condition:
    """``DependencyReady``: the annotated object's own ``Ready``, once that speaks of its present generation."""
    name, ref = "DependencyReady", checked.dependency
    if checked.dependency_problem:
        return false(name, "ReferenceError", checked.dependency_problem)
    match found:
        case None:
            return true(name)
        case NotKnownYet():
            return unknown(name, "DependencyNotKnownYet", f"{ref} is being looked for")
        case Absent(_, message):
            return false(name, "DependencyDoesNotExist", f"{ref}: {message}")
        case Found(value):
            return _copied_ready(name, str(ref), value)


def _copied_ready(name: str, ref: str, value: dict[str, Any]) -> Condition:
    status = value.get("status")
    status = status if isinstance(status, dict) else {}
    listed = status.get("conditions")
    listed = listed if isinstance(listed, list) else []
    ready = next((c for c in listed if isinstance(c, dict) and c.get("type") == "Ready"), None)
    if ready is None:
        return unknown(name, "DependencyNotConfigured", f"{ref} has no condition Ready yet")
    generation = value.get("metadata", {}).get("generation")
    if status.get("observedGeneration", generation) != generation:
        return unknown(name, "GenerationNotEqual", f"{ref} has not been observed in its present generation")
    if ready.get("status") == "True":
        return true(name)
    reason, message = str(ready.get("reason") or ""), str(ready.get("message") or "")
    if not _WORD.fullmatch(reason):  # CP-42: ours is a word, whatever theirs is
        reason, message = "DependencyNotReady", f"{reason}: {message}".strip(": ")
    make = false if ready.get("status") == "False" else unknown
    return make(name, reason, f"{ref} is not Ready: {message}".removesuffix(": "))


def _refs(checked: CheckedBroker | CheckedTrigger) -> Iterable[Ref]:
    sinks = [checked.delivery.dead_letter] if checked.delivery else []
    if isinstance(checked, CheckedTrigger):
        sinks.append(checked.subscriber)
    return (sink.ref for sink in sinks if sink and sink.ref)


def _collections(refs: set[Ref], triggers: list[CheckedTrigger]) -> frozenset[tuple[str, str]]:
    dependencies = (t.dependency.collection for t in triggers if t.dependency)
    return frozenset({BROKER_KIND, TRIGGER_KIND, *(ref.collection for ref in refs), *dependencies})


def _looked_up(sink: Sink | None, book: Book) -> Resolved | None:
    return book[sink.ref] if sink and sink.ref else None


def _same(old: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
    """Whether nothing changed: what was checked and planned is remembered, so it is the same one, or another."""
    return len(old) == len(new) and all(a is b or (_is_small(a) and a == b) for a, b in zip(old, new, strict=True))


def _is_small(value: Any) -> bool:
    return isinstance(value, Resolved | Found | Absent | NotKnownYet)


def _name(value: dict[str, Any]) -> tuple[str, str]:
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def dead_letter_uri(plan: BrokerPlan | TriggerPlan) -> str | None:
    """``status.deadLetterSinkUri``; None where there is none, or it is not resolved."""
    return plan.dead_letter.address.url if plan.dead_letter.address else None
