"""Reads one Broker or Trigger, by itself, into what it asks for and what is wrong with it. Pure.

Nothing is looked up here: whether a Broker or a sink exists is the plan's business. Every part is checked, so that all
mistakes are told at once, and no mistake raises: one author's object cannot stop another's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from scaup.controller.annotations import check_names, check_start, check_storage
from scaup.controller.api import (
    BROKER_KIND,
    CLASS_ANNOTATION,
    BrokerSpec,
    DeliveryShape,
    Identity,
    Reference,
    TriggerSpec,
    annotations_of,
    identity,
    read,
    sections,
    shown,
)
from scaup.controller.conditions import Condition, false, note
from scaup.controller.defaults import NO_DEFAULTS, Defaults
from scaup.controller.delivery import check_delivery
from scaup.controller.filters import check_cel, check_filters
from scaup.controller.holding import Holding, check_holding
from scaup.controller.resolve import Ref, check_destination, check_reference
from scaup.core.filters.cel import CelUnavailableError
from scaup.core.model.definitions import BrokerDefinition, Delivery, Destination
from scaup.core.model.errors import DefinitionError
from scaup.core.model.names import BrokerUid

DEPENDENCY_ANNOTATION: Final = "knative.dev/dependency"
NOWHERE: Final = Destination()
DEFAULT_DELIVERY: Final = Delivery()
NOT_HELD: Final = Holding()


@dataclass(frozen=True, slots=True)
class Sink:
    """A Destination as it was written: what it means and the object it refers to, or what is wrong with it."""

    destination: Destination = NOWHERE
    ref: Ref | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CheckedDelivery:
    """A delivery with its defaults, and its dead letter sink. ``problem`` is empty where it can be used.

    ``unknown`` says why it is not known what it is; who inherits it goes on as it was.
    """

    delivery: Delivery = DEFAULT_DELIVERY
    dead_letter: Sink | None = None
    problem: str = ""
    unknown: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with it, dead letter sink included."""
        return not (self.problem or self.unknown) and not (self.dead_letter and self.dead_letter.problem)


@dataclass(frozen=True, slots=True)
class CheckedBroker:
    """A Broker of ours. ``definition`` is None where its storage is not understood; then nothing is changed."""

    identity: Identity
    definition: BrokerDefinition | None
    delivery: CheckedDelivery
    problem: Condition | None = None
    note: Condition | None = None
    defaults_note: Condition | None = None


@dataclass(frozen=True, slots=True)
class CheckedTrigger:
    """A Trigger. ``delivery`` is None where it has none of its own.

    What runs stays as it is where it is ``broken`` (it could not even be read), or where ``holding`` is None: it is not
    understood what history it is to get, or how much now.
    """

    identity: Identity
    broker: str
    subscriber: Sink
    filters: tuple[dict[str, Any], ...] = ()
    delivery: CheckedDelivery | None = None
    problem: Condition | None = None
    broker_problem: str = ""
    dependency: Ref | None = None
    dependency_problem: str = ""
    holding: Holding | None = NOT_HELD
    broken: bool = False
    start: str | None = None
    note: Condition | None = None


def check_broker(value: dict[str, Any], defaults: Defaults = NO_DEFAULTS, replicas: int = 1) -> CheckedBroker:
    """What a Broker asks for, on ``replicas`` servers where it does not say on how many.

    Raises DefinitionError only where the object cannot be told from others.
    """
    who = identity(value)
    parts, error = sections(BrokerSpec, value.get("spec"), "spec")
    problems = [("SpecInvalid", str(error))] if error else []
    delivery = _brokers_delivery(parts.get("delivery"), who.namespace, defaults)
    if delivery.problem:
        problems.append(("DeliveryInvalid", delivery.problem))
    definition = None
    try:
        storage = check_storage(annotations_of(value), replicas)
        definition = BrokerDefinition(
            uid=BrokerUid(who.uid),
            namespace=who.namespace,
            name=who.name,
            generation=who.generation,
            log_max_bytes=storage.log_max_bytes,
            history_max_age_s=storage.history_max_age_s,
            replicas=storage.replicas,
            dedupe_window_s=storage.dedupe_window_s,
        )
    except DefinitionError as wrong:
        problems.append(("AnnotationInvalid", str(wrong)))
    is_concerned = CLASS_ANNOTATION not in annotations_of(value) or parts.get("delivery") is None
    return CheckedBroker(
        who,
        definition,
        delivery,
        _condition("TriggerChannelReady", problems),
        check_names("Broker", annotations_of(value)),
        note("DefaultsKnown", "DefaultsInvalid", _stays(defaults)) if defaults.problem and is_concerned else None,
    )


def check_trigger(value: dict[str, Any]) -> CheckedTrigger:
    """What a Trigger asks for. Raises DefinitionError only where the object cannot be told from others."""
    who = identity(value)
    parts, error = sections(TriggerSpec, value.get("spec"), "spec")
    problems = [("SpecInvalid", str(error))] if error else []
    filters: tuple[dict[str, Any], ...] = ()
    try:
        filters = check_filters(parts.get("filter"), parts.get("filters"), check_cel(annotations_of(value)))
    except CelUnavailableError as wrong:
        problems.append(("CELUnavailable", str(wrong)))
    except DefinitionError as wrong:
        problems.append(("FilterInvalid", str(wrong)))
    delivery = _delivery(parts.get("delivery"), "spec.delivery", who.namespace)
    if delivery and delivery.problem:
        problems.append(("DeliveryInvalid", delivery.problem))
    holding = start = None
    try:
        start = check_start(annotations_of(value))
        holding = check_holding(annotations_of(value))
    except DefinitionError as wrong:
        problems.append(("AnnotationInvalid", str(wrong)))
    broker, broker_problem = _broker_name(parts, who.namespace)
    dependency, dependency_problem = _dependency(annotations_of(value).get(DEPENDENCY_ANNOTATION), who.namespace)
    return CheckedTrigger(
        identity=who,
        broker=broker,
        subscriber=_sink(parts.get("subscriber"), "spec.subscriber", who.namespace),
        filters=filters,
        delivery=delivery,
        problem=_condition("SubscriptionReady", problems),
        broker_problem=broker_problem,
        dependency=dependency,
        dependency_problem=dependency_problem,
        holding=holding,
        note=check_names("Trigger", annotations_of(value)),
        start=start,
    )


def _brokers_delivery(written: Any, namespace: str, defaults: Defaults) -> CheckedDelivery:
    """The delivery of a Broker: what it says, else what the defaults say, else what is built in."""
    if written is not None:
        return _delivery(written, "spec.delivery", namespace) or CheckedDelivery()
    if not defaults.is_known:
        return CheckedDelivery(unknown=_stays(defaults))
    return _delivery(defaults.delivery_of(namespace), "the default delivery", namespace) or CheckedDelivery()


def _stays(defaults: Defaults) -> str:
    what = "the last that were understood hold" if defaults.is_known else "what runs stays as it is"
    return f"the defaults of Brokers cannot be used, {what}: {defaults.problem or 'they are not read yet'}"


def broken_broker(who: Identity, error: Exception) -> CheckedBroker:
    """A Broker over which our own code stumbled: it stays as it is, and says so."""
    return CheckedBroker(who, None, CheckedDelivery(), _stumbled("TriggerChannelReady", error))


def broken_trigger(who: Identity, error: Exception) -> CheckedTrigger:
    """A Trigger over which our own code stumbled: what runs stays as it is, and says so."""
    stumbled = _stumbled("SubscriptionReady", error)
    return CheckedTrigger(who, "", Sink(problem=stumbled.message), problem=stumbled, broken=True)


def _stumbled(name: str, error: Exception) -> Condition:
    return false(name, "InternalError", f"the controller cannot read this object: {shown(error)}")


def _condition(name: str, problems: list[tuple[str, str]]) -> Condition | None:
    """All problems in one condition, the first one's reason before all."""
    return false(name, problems[0][0], "; ".join(text for _, text in problems)) if problems else None


def _sink(value: Any, path: str, namespace: str) -> Sink:
    try:
        return Sink(*check_destination(value, path, namespace))
    except DefinitionError as error:
        return Sink(problem=str(error))


def _delivery(value: Any, path: str, namespace: str) -> CheckedDelivery | None:
    """The delivery written here; None where not one field of it is set."""
    try:
        shape = read(DeliveryShape, value, path)
    except DefinitionError as error:
        return CheckedDelivery(problem=str(error))
    if shape.is_empty:
        return None
    written = shape.dead_letter_sink
    dead = None if written is None else _sink(written, f"{path}.deadLetterSink", namespace)
    try:
        delivery = check_delivery(shape, path)
    except DefinitionError as error:
        return CheckedDelivery(dead_letter=dead, problem=str(error))
    sound = dead if dead and not dead.problem else None
    return CheckedDelivery(replace(delivery, dead_letter_sink=sound.destination if sound else None), dead)


def _broker_name(parts: dict[str, Any], namespace: str) -> tuple[str, str]:
    """The Broker's name in the Trigger's own namespace (CP-2), or what is wrong with it."""
    name, ref = parts.get("broker"), parts.get("brokerRef")
    if (not name) == (ref is None):
        return "", "spec.broker: expected exactly one of broker and brokerRef"
    if ref is None:
        return (name, "") if isinstance(name, str) else ("", f"spec.broker: expected a string, found {shown(name)}")
    try:
        found = check_reference(read(Reference, ref, "spec.brokerRef"), "spec.brokerRef", namespace)
    except DefinitionError as error:
        return "", str(error)
    if found.collection != BROKER_KIND or found.namespace != namespace:
        return "", f"spec.brokerRef: expected a Broker of {BROKER_KIND[0]} in namespace {namespace}, found {found}"
    return found.name, ""


def _dependency(text: Any, namespace: str) -> tuple[Ref | None, str]:
    """The object in ``knative.dev/dependency`` that has to be Ready first (TV12 and TV13 of the reference)."""
    if text is None:
        return None, ""
    path = f"metadata.annotations[{DEPENDENCY_ANNOTATION}]"
    try:
        ref = check_reference(read(Reference, orjson.loads(text), path), path, namespace)
    except orjson.JSONDecodeError:
        return None, f"{path}: expected an object reference in JSON, found {shown(text)}"
    except DefinitionError as error:
        return None, str(error)
    if ref.namespace != namespace:
        return None, f"{path}.namespace: expected the Trigger's own, {namespace}, found {ref.namespace}"
    return ref, ""
