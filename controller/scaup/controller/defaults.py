"""What Brokers get that do not say it themselves: their class and their delivery, per namespace and for all. Pure.

The ConfigMap is Knative's (``config-br-defaults``, key ``default-br-config``), read as it is: the class of a Broker
without one, and the delivery of a Broker without one, all fields of it (the reference system drops ``timeout``,
``retryAfterMax`` and ``format``). References to a class's own configuration are passed over. What was good last stays
while what is there now is not understood: a slip of the pen must not change what runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml

from scaup.controller.api import CLASS_ANNOTATION, OUR_CLASS, DeliveryShape, Reference, annotations_of, read, shown
from scaup.controller.delivery import check_delivery
from scaup.controller.resolve import check_destination
from scaup.core.model.errors import DefinitionError

KEY: Final = "default-br-config"
PINNED: Final = CLASS_ANNOTATION
"""In ``status.annotations`` of a Broker of ours: without an annotation it stays ours, whatever the default is."""


class _ClassEntry(Reference):
    """A class's configuration (a reference, not ours to follow), and the delivery of Brokers of that class."""

    group: str | None = None
    delivery: Any = None


class _Entry(_ClassEntry):
    """The defaults of a namespace, or of the cluster."""

    broker_class: str | None = None
    broker_classes: dict[str, Any] | None = None
    disallow_different_namespace_config: bool | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One namespace's defaults, or the cluster's: each delivery still as it was written, and where."""

    broker_class: str = ""
    delivery: Any = None
    of_our_class: Any = None


NOTHING: Final = Entry()


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults that hold. ``problem`` says what is wrong with those that are written now, and so do not.

    ``is_known`` is False while none were ever understood: then it is not known what a Broker gets.
    """

    cluster: Entry = NOTHING
    namespaces: Mapping[str, Entry] = field(default_factory=dict)
    problem: str = ""
    is_known: bool = True

    def class_of(self, namespace: str) -> str:
        """The class of a Broker there that names none; empty where there is no default."""
        return self.namespaces.get(namespace, NOTHING).broker_class or self.cluster.broker_class

    def delivery_of(self, namespace: str) -> Any:
        """The delivery of a Broker of ours there that has none, as it was written; None where there is no default.

        In the reference's order: the namespace's own, where its class is ours; its entry for our class; the cluster's.
        """
        there, cluster = self.namespaces.get(namespace, NOTHING), self.cluster
        found = (
            there.delivery if self.class_of(namespace) == OUR_CLASS else None,
            there.of_our_class,
            cluster.delivery if cluster.broker_class == OUR_CLASS else None,
            cluster.of_our_class,
            cluster.delivery,
        )
        return next((delivery for delivery in found if delivery is not None), None)

    def bad(self, problem: str) -> Defaults:
        """These, while what is written now cannot be used."""
        return replace(self, problem=problem)


NO_DEFAULTS: Final = Defaults()
NOT_KNOWN: Final = Defaults(is_known=False)


def is_ours(broker: dict[str, Any], defaults: Defaults = NO_DEFAULTS) -> bool:
    """Whether a Broker is of our class (CP-6): it says so, or says nothing and has it by default (CP-7).

    Once it was ours it stays so until it says another class (CP-8): to lose its class is to lose its events.
    """
    said = annotations_of(broker).get(CLASS_ANNOTATION)
    if said is not None:
        return bool(said == OUR_CLASS)
    if is_pinned(broker):
        return True
    metadata = broker.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return defaults.class_of(str(namespace)) == OUR_CLASS


def is_pinned(broker: dict[str, Any]) -> bool:
    """Whether a Broker's status says that it is of our class."""
    status = broker.get("status")
    noted = status.get("annotations") if isinstance(status, dict) else None
    return isinstance(noted, dict) and noted.get(PINNED) == OUR_CLASS


def read_defaults(data: Any, before: Defaults) -> Defaults:
    """The defaults in a ConfigMap's ``data``; those of ``before``, with the problem, where they are not understood."""
    text = data.get(KEY) if isinstance(data, dict) else None
    if text is None:
        return before.bad(f"it has no {KEY}")
    try:
        value = yaml.safe_load(text) if isinstance(text, str) else text
    except yaml.YAMLError as error:
        return before.bad(f"{KEY} is no YAML: {' '.join(str(error).split())}")
    try:
        return _read(value)
    except DefinitionError as error:
        return before.bad(str(error))


def _read(value: Any) -> Defaults:
    if value is not None and not isinstance(value, dict):
        raise DefinitionError(KEY, f"expected an object, found {shown(value)}")
    parts = value or {}
    for name in parts:
        if name not in {"clusterDefault", "namespaceDefaults"}:
            raise DefinitionError(f"{KEY}.{name}", "unknown field; known are clusterDefault, namespaceDefaults")
    listed = parts.get("namespaceDefaults") or {}
    if not isinstance(listed, dict):
        raise DefinitionError(f"{KEY}.namespaceDefaults", f"expected an object, found {shown(listed)}")
    namespaces = {str(name): _entry(one, f"{KEY}.namespaceDefaults.{name}") for name, one in listed.items()}
    return Defaults(_entry(parts.get("clusterDefault"), f"{KEY}.clusterDefault"), namespaces)


def _entry(value: Any, path: str) -> Entry:
    shape = read(_Entry, value, path)
    classes = shape.broker_classes or {}
    where = f"{path}.brokerClasses.{OUR_CLASS}"
    ours = read(_ClassEntry, classes.get(OUR_CLASS), where)
    return Entry(
        shape.broker_class or "",
        _delivery(shape.delivery, f"{path}.delivery"),
        _delivery(ours.delivery, f"{where}.delivery"),
    )


def _delivery(value: Any, path: str) -> Any:
    """``value``, once it is known that any Broker can use it; a reference without namespace is of the Broker's own."""
    if value is None:
        return None
    shape = read(DeliveryShape, value, path)
    check_delivery(shape, path)
    if shape.dead_letter_sink is not None:
        check_destination(shape.dead_letter_sink, f"{path}.deadLetterSink", "any")
    return value
