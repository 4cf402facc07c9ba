"""Structural schemas of a Broker's and a Trigger's ``spec``, made from the shapes that the controller reads. Pure.

What Knative's webhook refuses is refused here where a schema can say it (``apiextensions.k8s.io/v1``, CEL included);
what it accepts is never refused: the rest becomes a condition. Unknown fields are kept, for a schema that drops a
misspelt ``filter`` would make a Trigger of everything; the controller sees them and says so (decision 0020).
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from scaup.controller.api import BrokerSpec, DeliveryShape, DestinationShape, FilterShape, Reference, TriggerSpec
from scaup.controller.delivery import FORMATS, POLICIES
from scaup.core.filters.parse import DIALECTS, MAX_NODES
from scaup.core.model.durations import EXPECTED as A_DURATION

Schema = dict[str, Any]
Shape = type[BaseModel]

KEEP: Final = "x-kubernetes-preserve-unknown-fields"
RULES: Final = "x-kubernetes-validations"
LEVELS: Final = 3
"""Filters in filters are described so deep, for a structural schema cannot refer to itself. Deeper ones are kept."""
MOST_NAMES: Final = 128
"""Bounds that the API server needs to be sure that a rule is cheap. No event has so many attributes."""
_LONGEST_DURATION: Final = 64
_LONGEST_NAME: Final = 253
_NUMBER: Final = "[0-9]+([.,][0-9]+)?"
_DURATION: Final = (
    f"^[-+]?P(0|({_NUMBER}Y)?({_NUMBER}M)?({_NUMBER}W)?({_NUMBER}D)?(T({_NUMBER}H)?({_NUMBER}M)?({_NUMBER}S)?)?)$"
)
_ENDS_IN_A_UNIT: Final = "([0-9][YMWDHS]|P0)$"  # so "P", "PT" and "P1DT" are none
_ABSOLUTE: Final = "^[A-Za-z][A-Za-z0-9+.-]*:"

SAID: Final[dict[Shape, dict[str, str]]] = {
    Reference: {
        "apiVersion": "API version of the object, such as v1 or eventing.knative.dev/v1.",
        "kind": "Kind of the object.",
        "name": "Name of the object.",
        "namespace": "Namespace of the object; that of whoever refers to it where it is left out.",
        "address": "Which of the addresses in the object's status.addresses, by name; the first where it is left out.",
    },
    DestinationShape: {
        "ref": "An object with an address: any kind with status.address.url, or a Service.",
        "uri": "An absolute URL; beside ref a URI that is resolved against the object's address.",
        "CACerts": "Certificates (PEM) that the destination's own is checked against, instead of the system's.",
        "audience": "OIDC audience of the destination.",
    },
    DeliveryShape: {
        "deadLetterSink": "Where events go that could not be delivered.",
        "retry": "Further attempts after the first.",
        "timeout": f"How long one attempt may take: {A_DURATION}.",
        "backoffPolicy": "How the wait between attempts grows: linear or exponential.",
        "backoffDelay": f"The wait that back-off begins with: {A_DURATION}.",
        "retryAfterMax": f"The longest wait that a sink may ask for with Retry-After: {A_DURATION}.",
        "format": "How events are sent: json (structured mode) or binary; as they came where it is left out.",
    },
    FilterShape: {"attributes": 'Attributes that must be there and equal; "" stands for any value.'},
    BrokerSpec: {
        "config": "An object that configures Brokers of other classes. It cannot be changed.",
        "delivery": "Delivery of the Triggers that have none of their own.",
    },
    TriggerSpec: {
        "broker": "Name of the Broker in the same namespace. It cannot be changed.",
        "brokerRef": "The Broker, as a reference: instead of broker.",
        "filter": "The older form of a filter: equality of attributes. Not looked at where filters has entries.",
        "filters": "Filters of which all have to match. Without any, every event does.",
        "subscriber": "Where matching events are sent.",
        "delivery": "How they are sent, instead of the Broker's delivery as a whole.",
    },
}
_DIALECTS: Final = {
    "exact": "Every attribute is there and equal.",
    "prefix": "Every attribute is there and begins so.",
    "suffix": "Every attribute is there and ends so.",
    "all": "All of these filters match.",
    "any": "One of these filters matches.",
    "not": "The filter does not match.",
    "cesql": "The CloudEvents SQL expression is true.",
    "cel": "The CEL expression over ce (the attributes) and data (JSON) is true.",
}


def broker_spec() -> Schema:
    """``spec`` of a Broker."""
    config = _object(Reference, SAID[BrokerSpec]["config"]) | {RULES: _needs_to_name("self")}
    return _object(BrokerSpec, "What is wanted of the Broker.", config=config, delivery=_delivery(BrokerSpec))


def trigger_spec() -> Schema:
    """``spec`` of a Trigger."""
    said = SAID[TriggerSpec]
    rules = [
        _rule(
            "(has(self.broker) && self.broker != '') != has(self.brokerRef)",
            "expected exactly one of broker and brokerRef",
            field=".broker",
        ),
        _rule("has(self.subscriber)", "expected at least one of ref and uri, found none", field=".subscriber"),
        _rule(
            "(has(self.broker) ? self.broker : '') == (has(oldSelf.broker) ? oldSelf.broker : '')",
            "a Trigger stays with its Broker: delete it and make another one",
            field=".broker",
        ),
    ]
    attributes = _names(SAID[FilterShape]["attributes"])
    spec = _object(
        TriggerSpec,
        "What is wanted of the Trigger.",
        brokerRef=_object(Reference, said["brokerRef"]),
        filter=_object(FilterShape, said["filter"], attributes=attributes),
        filters=_filters(said["filters"], LEVELS) | {"maxItems": MAX_NODES},
        subscriber=_destination(said["subscriber"]),
        delivery=_delivery(TriggerSpec),
    )
    spec["properties"]["broker"]["maxLength"] = _LONGEST_NAME
    return spec | {RULES: rules}


def fields_of(shape: Shape) -> list[str]:
    """The fields of a shape as they are written."""
    return [field.alias or name for name, field in shape.model_fields.items()]


def _object(shape: Shape, description: str, **parts: Schema) -> Schema:
    """An object with a shape's fields; ``parts`` are those whose shape stands elsewhere."""
    said, properties = SAID[shape], {}
    for name, field in shape.model_fields.items():
        key = field.alias or name
        properties[key] = parts.get(key) or {"description": said[key]} | _typed(shape, key, field.annotation)
    return {"description": description, "type": "object", KEEP: True, "properties": properties}


def _typed(shape: Shape, key: str, annotation: Any) -> Schema:
    kind = annotation
    if get_origin(annotation) is UnionType:
        kind = next(one for one in get_args(annotation) if one is not NoneType)
    if kind is str:
        return {"type": "string"}
    if kind is int:
        return {"type": "integer", "format": "int32", "minimum": 0}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _object(kind, SAID[shape][key])
    msg = f"{shape.__name__}.{key}: no schema is made of {annotation}"
    raise TypeError(msg)


def _destination(description: str) -> Schema:
    rules = [
        _rule("has(self.ref) || (has(self.uri) && self.uri != '')", "expected at least one of ref and uri, found none"),
        _rule(
            f"!has(self.ref) || !has(self.uri) || !self.uri.matches('{_ABSOLUTE}')",
            "beside ref only a relative URI is allowed",
            field=".uri",
        ),
        _rule(
            f"has(self.ref) || !has(self.uri) || self.uri == '' || self.uri.matches('{_ABSOLUTE}//[^/?#]')",
            "expected an absolute URL such as http://host/path",
            field=".uri",
        ),
        *_needs_to_name("self.ref", unless="!has(self.ref) || has(self.uri) || ", field=".ref"),
    ]
    return _object(DestinationShape, description) | {RULES: rules}


def _needs_to_name(path: str, unless: str = "", field: str = "") -> list[Schema]:
    parts = [f"has({path}.{name}) && {path}.{name} != ''" for name in ("apiVersion", "kind", "name")]
    return [
        _rule(f"{unless}({' && '.join(parts)})", "missing; a reference needs apiVersion, kind and name", field=field)
    ]


def _delivery(of: Shape) -> Schema:
    said = SAID[DeliveryShape]
    is_time = [
        _rule(f"self.matches('{_DURATION}') && self.matches('{_ENDS_IN_A_UNIT}')", f"expected {A_DURATION}"),
    ]
    is_some = _rule("self.matches('[1-9]')", "it is no time at all; leave it out, or say more")
    is_positive = _rule("!self.startsWith('-')", "expected a time that is not negative")

    def time(key: str, *rules: Schema) -> Schema:
        schema: Schema = {"description": said[key], "type": "string", "maxLength": _LONGEST_DURATION}
        return schema | {RULES: [*is_time, *rules]}

    return _object(
        DeliveryShape,
        SAID[of]["delivery"],
        deadLetterSink=_destination(said["deadLetterSink"]),
        timeout=time("timeout", is_some),
        backoffDelay=time("backoffDelay"),
        retryAfterMax=time("retryAfterMax", is_positive),
        backoffPolicy={"description": said["backoffPolicy"], "type": "string", "enum": list(POLICIES)},
        format={"description": said["format"], "type": "string", "enum": list(FORMATS)},
    )


def _filters(description: str, levels: int) -> Schema:
    return {"description": description, "type": "array", "items": _filter("A filter: one dialect.", levels)}


def _filter(description: str, levels: int) -> Schema:
    """A filter, with those in it down to ``levels``. An empty one is for the controller to refuse."""
    schema: Schema = {"description": description, "type": "object", KEEP: True}
    if not levels:
        return schema
    is_outer = levels == LEVELS
    for name in DIALECTS:
        said = _DIALECTS[name]
        if name in {"all", "any"}:
            part = _filters(said, levels - 1)
        elif name == "not":
            part = _filter(said, levels - 1)
        elif name in {"cesql", "cel"}:
            part = {"description": said, "type": "string"}
        else:
            part = _names(said, is_checked=is_outer)
        schema.setdefault("properties", {})[name] = part
    if not is_outer:  # rules within lists within lists would cost too much, and this costs nothing
        return schema | {"maxProperties": 1}
    written = ", ".join(f"has(self.{name})" for name in DIALECTS)
    return schema | {
        RULES: [_rule(f"[{written}].filter(is, is).size() <= 1", "multiple dialects found; expected exactly one")]
    }


def _names(description: str, *, is_checked: bool = True) -> Schema:
    """Attributes and values. One that is left empty in YAML is null, which would be dropped were it not nullable."""
    value = {"type": "string", "nullable": True}
    schema: Schema = {"description": description, "type": "object", "additionalProperties": value}
    if not is_checked:
        return schema
    is_name = _rule(
        "self.all(name, name.matches('^[a-z][a-z0-9]*$'))",
        "expected names of attributes: lower-case letters and digits, a letter first",
    )
    return schema | {"maxProperties": MOST_NAMES, RULES: [is_name]}


def _rule(rule: str, message: str, field: str = "") -> Schema:
    return {"rule": rule, "message": message} | ({"fieldPath": field} if field else {})
