"""Brokers and Triggers as Knative's own CRDs have them: which fields there are, and where unknown ones are dropped.

Facts about knative.dev/eventing (``config/core/resources``): a Trigger's ``spec`` and both kinds' ``delivery`` keep
what is not known; ``filters[]``, ``filter``, ``subscriber``, references and ``status`` do not, nor does a Broker's
``spec``. Nothing is checked but types: that is the business of Knative's webhook.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _texts(*names: str) -> Schema:
    return dict.fromkeys(names, TEXT)


def _object(fields: Schema, *, is_kept: bool = False) -> Schema:
    return (ANYTHING if is_kept else {"type": "object"}) | {"properties": fields}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_REF = _object(_texts("apiVersion", "kind", "name", "namespace"))
_DESTINATION = _object({"ref": _REF} | _texts("uri", "CACerts", "audience"))
_RETRY = {"retry": {"type": "integer", "format": "int32"}, "deadLetterSink": _DESTINATION}
_DELIVERY = _object(_RETRY | _texts("backoffDelay", "backoffPolicy"), is_kept=True)
_ADDRESS = _object(_texts("name", "url", "CACerts", "audience"))
_CONDITION = _object(_texts("lastTransitionTime", "message", "reason", "severity", "status", "type")) | {
    "required": ["type", "status"]
}


def _status(fields: Schema) -> Schema:
    common = {
        "annotations": ANYTHING,
        "conditions": _list(_CONDITION),
        "observedGeneration": {"type": "integer", "format": "int64"},
    }
    return _object(common | _texts("deadLetterSinkUri", "deadLetterSinkCACerts", "deadLetterSinkAudience") | fields)


def broker_crd() -> Schema:
    """The definition of Broker."""
    status = {
        "address": _ADDRESS,
        "addresses": _list(_ADDRESS),
        "policies": _list(_object(_texts("apiVersion", "name"))),
    }
    spec = _object({"config": _REF, "delivery": _DELIVERY})
    columns = {"URL": ".status.address.url"} | _READY
    return _crd("Broker", spec, _status(status), columns)


def trigger_crd() -> Schema:
    """The definition of Trigger."""
    filters = {"all": _list(ANYTHING), "any": _list(ANYTHING), "cesql": TEXT}
    filters |= dict.fromkeys(("exact", "prefix", "suffix", "not"), ANYTHING)
    spec = {
        "broker": TEXT,
        "brokerRef": _REF,
        "delivery": _object(_DELIVERY["properties"] | _texts("format"), is_kept=True),
        "filter": _object({"attributes": ANYTHING}),
        "filters": _list(_object(filters)),
        "subscriber": _DESTINATION,
    }
    status = {"auth": _object({"serviceAccountName": TEXT, "serviceAccountNames": _list(TEXT)})}
    status |= _texts("subscriberUri", "subscriberCACerts", "subscriberAudience")
    columns = {"Broker": ".spec.broker", "Subscriber_URI": ".status.subscriberUri"} | _READY
    return _crd("Trigger", _object(spec, is_kept=True), _status(status), columns)


_READY = {
    "Ready": '.status.conditions[?(@.type=="Ready")].status',
    "Reason": '.status.conditions[?(@.type=="Ready")].reason',
}


def _crd(kind: str, spec: Schema, status: Schema, columns: dict[str, str]) -> Schema:
    plural = f"{kind.lower()}s"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": k, "type": "string", "jsonPath": v} for k, v in columns.items()],
        "schema": {"openAPIV3Schema": _object({"spec": spec, "status": status})},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.eventing.knative.dev", "labels": {"knative.dev/crd-install": "true"}},
        "spec": {
            "group": "eventing.knative.dev",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "categories": ["knative", "eventing"]},
            "versions": [version],
        },
    }
