"""The definitions of the kinds Broker and Trigger, for a cluster that has not got Knative's. Pure.

Names, printer columns and the fields of ``status`` are those of knative.dev/eventing, so that ``kubectl``, ``kn`` and
people's habits work unchanged. What ``spec`` may be is in ``schemas``.
"""

from __future__ import annotations

from typing import Any, Final

from scaup.controller.api import BROKER_KIND, CLASS_ANNOTATION, GROUP_VERSION, TRIGGER_KIND
from scaup.controller.schemas import KEEP, RULES, Schema, broker_spec, trigger_spec

_GROUP: Final = GROUP_VERSION.partition("/")[0]
_VERSION: Final = GROUP_VERSION.partition("/")[2]
_TEXT: Final[Schema] = {"type": "string"}
_AGE: Final[Schema] = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_READY: Final[tuple[Schema, ...]] = tuple(
    {"name": name, "type": "string", "jsonPath": f'.status.conditions[?(@.type=="Ready")].{field}'}
    for name, field in (("Ready", "status"), ("Reason", "reason"))
)
_BROKER_COLUMNS: Final[tuple[Schema, ...]] = (
    {"name": "URL", "type": "string", "jsonPath": ".status.address.url"},
    _AGE,
    *_READY,
    {
        "name": "Class",
        "type": "string",
        "priority": 1,  # with -o wide only
        "jsonPath": ".metadata.annotations." + CLASS_ANNOTATION.replace(".", r"\."),
    },
)
_TRIGGER_COLUMNS: Final[tuple[Schema, ...]] = (
    {"name": "Broker", "type": "string", "jsonPath": ".spec.broker"},
    {"name": "Subscriber_URI", "type": "string", "jsonPath": ".status.subscriberUri"},
    _AGE,
    *_READY,
)


def broker_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of Broker."""
    stays = {
        "rule": "!has(oldSelf.spec) || !has(oldSelf.spec.config) || "
        "(has(self.spec) && has(self.spec.config) && self.spec.config == oldSelf.spec.config)",
        "message": "a Broker's config cannot be changed: delete the Broker and make another one",
        "fieldPath": ".spec.config",
    }
    schema = {
        "description": "A Broker takes events in and keeps them; Triggers say who gets which.",
        "type": "object",
        "properties": {"spec": broker_spec(), "status": _broker_status()},
        RULES: [stays],
    }
    # The label is how Knative's tools find the kinds that have an address.
    return _crd(BROKER_KIND[1], schema, _BROKER_COLUMNS, {"duck.knative.dev/addressable": "true"})


def trigger_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of Trigger."""
    schema = {
        "description": "A Trigger sends those events of a Broker that match its filters to a subscriber.",
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": trigger_spec(), "status": _trigger_status()},
    }
    return _crd(TRIGGER_KIND[1], schema, _TRIGGER_COLUMNS, {})


def _crd(kind: str, schema: Schema, columns: tuple[Schema, ...], labels: dict[str, str]) -> dict[str, Any]:
    singular = kind.lower()
    plural = f"{singular}s"
    version = {
        "name": _VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(columns),
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{_GROUP}",
            "labels": {"app.kubernetes.io/name": "scaup", "app.kubernetes.io/part-of": "scaup"} | labels,
        },
        "spec": {
            "group": _GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "categories": ["all", "knative", "eventing"],
            },
            "versions": [version],
        },
    }


def _broker_status() -> Schema:
    address = {
        "type": "object",
        "properties": dict.fromkeys(("name", "url", "CACerts", "audience"), _TEXT),
    }
    policies = {"type": "object", "properties": {"apiVersion": _TEXT, "name": _TEXT}}
    return _status(
        address={"description": "Where to send events."} | address,
        addresses={"description": "All the addresses there are.", "type": "array", "items": address},
        policies={"description": "The EventPolicies that hold for it.", "type": "array", "items": policies},
        **_resolved("deadLetterSink", "dead letter sink of Triggers that have no delivery of their own"),
    )


def _trigger_status() -> Schema:
    accounts = {"serviceAccountName": _TEXT, "serviceAccountNames": {"type": "array", "items": _TEXT}}
    return _status(
        auth={"description": "Who delivers.", "type": "object", "properties": accounts},
        **_resolved("subscriber", "subscriber"),
        **_resolved("deadLetterSink", "dead letter sink, its own or the Broker's"),
    )


def _resolved(name: str, what: str) -> dict[str, Schema]:
    return {
        f"{name}Uri": {"description": f"Address of the {what}."} | _TEXT,
        f"{name}CACerts": {"description": f"Certificates (PEM) for the {what}."} | _TEXT,
        f"{name}Audience": {"description": f"OIDC audience of the {what}."} | _TEXT,
    }


def _status(**fields: Schema) -> Schema:
    """A status with the fields that every kind of Knative's has. Kept as it is written: only controllers do."""
    condition = {
        "type": "object",
        "required": ["type", "status"],
        "properties": {
            "type": {"description": "What it is about."} | _TEXT,
            "status": {"description": "True, False or Unknown."} | _TEXT,
            "reason": {"description": "Why, as a word for programs."} | _TEXT,
            "message": {"description": "Why, as a sentence for people."} | _TEXT,
            "severity": {"description": "Empty where Ready follows from it; else Warning or Info."} | _TEXT,
            "lastTransitionTime": {"description": "When the status became what it is."} | _TEXT,
        },
    }
    return {
        "description": "What is true of it. Written by the controller.",
        "type": "object",
        KEEP: True,
        "properties": {
            "observedGeneration": {
                "description": "The generation that the status speaks of.",
                "type": "integer",
                "format": "int64",
            },
            "conditions": {
                "description": "Ready, and what it follows from.",
                "type": "array",
                "items": condition,
            },
            "annotations": {
                "description": "Further notes.",
                "type": "object",
                "additionalProperties": _TEXT,
            },
            **fields,
        },
    }
