"""Defaults and checks of Brokers and Triggers on every write, as Knative's webhook makes them. Pure.

Schemas, rules and policies come first (``schemas``, ``policies``); this is what they leave, and what stands in for them
on a platform without a CEL engine.

Rows TV1 to TV17 and the tables of Broker and DeliverySpec are Knative's (``pkg/apis/eventing/v1``,
``pkg/apis/duck/v1``). What filters *mean* is checked by the controller, which says it in the Trigger's status; here
only their shape is looked at.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from scaup.apiserver.answers import Problem, forbidden_field, required, unsupported, wrong
from scaup.apiserver.ducks import delivery_problems, destination_problems
from scaup.apiserver.kinds import BROKERS, TRIGGERS, Kind
from scaup.apiserver.objects import Object
from scaup.core.bus.kv import dumps

CLASS: Final = "eventing.knative.dev/broker.class"
OUR_CLASS: Final = "Scaup"
BROKER_LABEL: Final = "eventing.knative.dev/broker"
DEPENDENCY: Final = "knative.dev/dependency"
INJECTION: Final = "eventing.knative.dev/injection"

_ATTRIBUTE: Final = re.compile(r"[a-z][a-z0-9]*")
_DIALECTS: Final = ("all", "any", "not", "exact", "prefix", "suffix", "cesql")
_MAX_FILTER_DEPTH: Final = 50


def with_defaults(kind: Kind, made: Object) -> Object:
    """The object with what was left out filled in. The given one stays as it is; wrong shapes stay for the checks."""
    if kind.resource == BROKERS.resource:
        return _broker_defaults(made)
    return _trigger_defaults(made) if kind.resource == TRIGGERS.resource else made


def problems(kind: Kind, made: Object, present: Object | None) -> list[Problem]:
    """What is wrong with a Broker or Trigger that is to be stored in the place of ``present`` (None: anew)."""
    if kind.resource not in {BROKERS.resource, TRIGGERS.resource}:
        return []
    spec = made.get("spec")
    if not isinstance(spec, dict):
        return [wrong("spec", spec, "must be an object")]
    if kind.resource == BROKERS.resource:
        return [*_broker_problems(made, spec), *(_broker_changes(made, present) if present else ())]
    return [*_trigger_problems(made, spec), *(_trigger_changes(made, present) if present else ())]


# --- defaults ---------------------------------------------------------------------------------------------------


def _broker_defaults(made: Object) -> Object:
    metadata = _with_entry(made["metadata"], "annotations", CLASS, OUR_CLASS, over=False)
    spec = made.get("spec") or {}
    if isinstance(spec, dict):
        namespace = metadata.get("namespace", "")
        spec = _with_namespace(spec, ("config",), namespace)
        spec = _with_namespace(spec, ("delivery", "deadLetterSink", "ref"), namespace)
    return {**made, "metadata": metadata, "spec": spec}


def _trigger_defaults(made: Object) -> Object:
    spec, metadata = made.get("spec"), made["metadata"]
    if not isinstance(spec, dict):
        return made
    if isinstance(broker := spec.get("broker"), str) and broker:
        metadata = _with_entry(metadata, "labels", BROKER_LABEL, broker, over=True)
    namespace = metadata.get("namespace", "")
    spec = _with_namespace(spec, ("subscriber", "ref"), namespace)
    spec = _with_namespace(spec, ("delivery", "deadLetterSink", "ref"), namespace)
    if spec.get("filter") is None:
        spec = {**spec, "filter": {}}
    return {**made, "metadata": metadata, "spec": spec}


def _with_entry(metadata: Object, field: str, key: str, value: str, *, over: bool) -> Object:
    entries = metadata.get(field) or {}
    if not isinstance(entries, dict) or (entries.get(key) and not over):
        return metadata
    return {**metadata, field: {**entries, key: value}}


def _with_namespace(within: Object, path: tuple[str, ...], namespace: str) -> Object:
    if not path:
        return within if within.get("namespace") else {**within, "namespace": namespace}
    below = within.get(path[0])
    return {**within, path[0]: _with_namespace(below, path[1:], namespace)} if isinstance(below, dict) else within


# --- Broker -----------------------------------------------------------------------------------------------------


def _broker_problems(made: Object, spec: Object) -> list[Problem]:
    found = []
    if not _class(made):
        found.append(required(f"metadata.annotations[{CLASS}]"))
    config = spec.get("config")
    if config is not None and not isinstance(config, dict):
        found.append(wrong("spec.config", config, "must be an object"))
    elif config is not None:
        found += [required(f"spec.config.{f}") for f in ("name", "apiVersion", "kind") if not config.get(f)]
    return found + delivery_problems(spec.get("delivery"), "spec.delivery")


def _broker_changes(made: Object, present: Object) -> list[Problem]:
    found = []
    if _class(made) != _class(present):
        found.append(forbidden_field(f"metadata.annotations[{CLASS}]", "immutable annotation updated"))
    if _but_delivery(made) != _but_delivery(present):
        found.append(forbidden_field("spec", "immutable fields changed: only spec.delivery may be updated"))
    return found


def _class(broker: Object) -> Any:
    return (broker["metadata"].get("annotations") or {}).get(CLASS)


def _but_delivery(broker: Object) -> bytes:
    return dumps({k: v for k, v in (broker.get("spec") or {}).items() if k != "delivery"})


# --- Trigger ----------------------------------------------------------------------------------------------------


def _trigger_problems(made: Object, spec: Object) -> list[Problem]:
    return [
        *_broker_field_problems(spec),
        *_subscriber_problems(spec),
        *_legacy_filter_problems(spec.get("filter")),
        *_filters_problems(spec.get("filters"), "spec.filters", 0),
        *delivery_problems(spec.get("delivery"), "spec.delivery"),
        *_annotation_problems(made, spec),
    ]


def _broker_field_problems(spec: Object) -> list[Problem]:
    broker, reference = spec.get("broker"), spec.get("brokerRef")
    if not broker and not reference:
        return [required("spec.broker", "missing field")]  # TV1
    if broker and reference:
        return [wrong("spec", spec, "expected exactly one of spec.broker, spec.brokerRef, got both")]  # TV2
    if broker:
        return [] if isinstance(broker, str) else [wrong("spec.broker", broker, "must be a string")]
    if not isinstance(reference, dict):
        return [wrong("spec.brokerRef", reference, "must be an object")]
    found = [required(f"spec.brokerRef.{field}") for field in ("name",) if not reference.get(field)]
    if reference.get("namespace"):  # TV3
        found.append(forbidden_field("spec.brokerRef.namespace", "must not set the field"))
    return found


def _subscriber_problems(spec: Object) -> list[Problem]:
    if not spec.get("subscriber"):  # TV4
        return [required("spec.subscriber", "expected at least one of ref, uri, got none")]
    return destination_problems(spec["subscriber"], "spec.subscriber")


def _legacy_filter_problems(legacy: Any) -> list[Problem]:
    if legacy is None:
        return []
    if not isinstance(legacy, dict):
        return [wrong("spec.filter", legacy, "must be an object")]
    return _attributes_problems(legacy.get("attributes"), "spec.filter.attributes")  # TV5


def _attributes_problems(attributes: Any, path: str) -> list[Problem]:
    if attributes is None:
        return []
    if not isinstance(attributes, dict):
        return [wrong(path, attributes, "must be an object of strings")]
    found = []
    for name, value in attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            detail = "invalid key name: attribute names start with a-z and contain only a-z and 0-9"
            found.append(wrong(path, name, detail))
        if not isinstance(value, str):
            found.append(wrong(f"{path}[{name}]", value, "must be a string"))
    return found


def _filters_problems(filters: Any, path: str, depth: int) -> list[Problem]:
    if filters is None:
        return []
    if not isinstance(filters, list):
        return [wrong(path, filters, "must be an array")]
    return [p for n, one in enumerate(filters) for p in _filter_problems(one, f"{path}[{n}]", depth)]


def _filter_problems(one: Any, path: str, depth: int) -> list[Problem]:
    if not isinstance(one, dict):
        return [wrong(path, one, "must be an object")]
    if depth > _MAX_FILTER_DEPTH:
        return [wrong(path, one, f"filters are nested deeper than {_MAX_FILTER_DEPTH}")]
    dialects = [dialect for dialect in _DIALECTS if one.get(dialect) not in (None, "", [], {})]
    found = []
    if len(dialects) > 1:  # TV7; none at all is accepted (TV9)
        found.append(wrong(path, one, f"multiple dialects found, filters can have only one dialect set: {dialects}"))
    for dialect in ("exact", "prefix", "suffix"):  # TV6; empty values are accepted (TV10)
        found += _attributes_problems(one.get(dialect), f"{path}.{dialect}")
    for dialect in ("all", "any"):
        found += _filters_problems(one.get(dialect), f"{path}.{dialect}", depth + 1)
    if one.get("not") is not None:
        found += _filter_problems(one["not"], f"{path}.not", depth + 1)
    if not isinstance(one.get("cesql", ""), str | None):  # TV8 and TV11 are the controller's
        found.append(wrong(f"{path}.cesql", one["cesql"], "must be a string"))
    return found


def _annotation_problems(made: Object, spec: Object) -> list[Problem]:
    annotations = made["metadata"].get("annotations") or {}
    found = []
    if isinstance(annotations, dict) and (injection := annotations.get(INJECTION)) is not None:
        path = f"metadata.annotations[{INJECTION}]"
        if injection not in {"enabled", "disabled"}:  # TV14
            found.append(unsupported(path, injection, ("enabled", "disabled")))
        if spec.get("broker") != "default":  # TV15
            found.append(wrong(path, injection, "the annotation may only be used for the default broker"))
    if isinstance(annotations, dict) and (text := annotations.get(DEPENDENCY)) is not None:
        found += _dependency_problems(text, made["metadata"].get("namespace", ""))
    return found


def _dependency_problems(text: Any, namespace: str) -> list[Problem]:
    path = f"metadata.annotations[{DEPENDENCY}]"
    try:
        reference = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        reference = None
    if not isinstance(reference, dict):  # TV12
        return [wrong(path, text, "the dependency must be a JSON object reference")]
    # TV13
    found = [required(f"{path}.{field}") for field in ("kind", "name", "apiVersion") if not reference.get(field)]
    if (other := reference.get("namespace")) and other != namespace:
        found.append(wrong(f"{path}.namespace", other, f"must be the namespace of the Trigger ({namespace})"))
    return found


def _trigger_changes(made: Object, present: Object) -> list[Problem]:
    before = (present.get("spec") or {}).get("broker")
    if made["spec"].get("broker") == before:  # TV17: everything else may change
        return []
    return [forbidden_field("spec.broker", f"immutable fields changed: it was {before!r}")]  # TV16
