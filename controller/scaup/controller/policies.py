"""Admission policies for what a schema cannot refuse: annotations, and unknown fields that it must keep. Pure.

``ValidatingAdmissionPolicy`` (``admissionregistration.k8s.io/v1``): the API server evaluates it itself, so there is no
webhook that could be away. Without them nothing is unsafe: the controller makes a condition of an unknown field. What
was stored before stays changeable: a rule looks only at requests that change what it is about.
"""

from __future__ import annotations

from typing import Any, Final

from scaup.controller.api import (
    BROKER_KIND,
    CLASS_ANNOTATION,
    GROUP_VERSION,
    TRIGGER_KIND,
    BrokerSpec,
    DeliveryShape,
    DestinationShape,
    FilterShape,
    Reference,
    TriggerSpec,
)
from scaup.controller.schemas import Shape, fields_of
from scaup.core.filters.parse import DIALECTS

Object = dict[str, Any]

INJECTION_ANNOTATION: Final = "eventing.knative.dev/injection"
_API: Final = "admissionregistration.k8s.io/v1"
_DESTINATION: Final[tuple[tuple[str, Shape], ...]] = (("", DestinationShape), (".ref", Reference))
_DELIVERY: Final[tuple[tuple[str, Shape], ...]] = (
    (".delivery", DeliveryShape),
    *((f".delivery.deadLetterSink{path}", shape) for path, shape in _DESTINATION),
)
_BROKER: Final[tuple[tuple[str, Shape], ...]] = (("", BrokerSpec), *_DELIVERY)
_TRIGGER: Final[tuple[tuple[str, Shape], ...]] = (
    ("", TriggerSpec),
    (".brokerRef", Reference),
    (".filter", FilterShape),
    *((f".subscriber{path}", shape) for path, shape in _DESTINATION),
    *_DELIVERY,
)


def broker_policy() -> list[Object]:
    """The policy for Brokers, and what puts it in force."""
    stays = _rule(
        "variables.oldClass == '' || variables.newClass == variables.oldClass",
        f"the annotation {CLASS_ANNOTATION} cannot be changed: delete the Broker and make another one",
    )
    variables = {
        "oldClass": _annotation("oldObject", CLASS_ANNOTATION),
        "newClass": _annotation("object", CLASS_ANNOTATION),
    }
    return _policy(BROKER_KIND[1], variables, [stays, *map(_known, *zip(*_BROKER, strict=True))])


def trigger_policy() -> list[Object]:
    """The policy for Triggers, and what puts it in force (TV14 and TV15 of the reference beside unknown fields)."""
    variables = {
        "oldInjection": _annotation("oldObject", INJECTION_ANNOTATION),
        "injection": _annotation("object", INJECTION_ANNOTATION),
    }
    is_old = "variables.injection == variables.oldInjection"
    injection = [
        _rule(
            f"{is_old} || variables.injection in ['', 'enabled', 'disabled']",
            f"the annotation {INJECTION_ANNOTATION} is enabled or disabled",
        ),
        _rule(
            f"{is_old} || variables.injection == '' || variables.spec.?broker.orValue('') == 'default'",
            f"the annotation {INJECTION_ANNOTATION} is only for Triggers of the Broker default",
        ),
    ]
    known = f"[{_listed(DIALECTS)}]"
    dialects = _rule(
        f"!variables.isNew || variables.spec.?filters.orValue([]).all(f, f.all(name, name in {known}))",
        f"spec.filters has an unknown dialect; known are {', '.join(DIALECTS)}",
    )
    return _policy(TRIGGER_KIND[1], variables, [*injection, *map(_known, *zip(*_TRIGGER, strict=True)), dialects])


def _known(path: str, shape: Shape) -> Object:
    """No field but those of the shape."""
    names = fields_of(shape)
    place = f"variables.spec{path.replace('.', '.?')}"
    part = place if not path else f"{place}.orValue({{}})"
    strange = f"{part}.filter(name, !(name in [{_listed(names)}]))"
    rule = _rule(
        f"!variables.isNew || size({strange}) == 0",
        f"spec{path} has an unknown field; known are {', '.join(sorted(names))}",
    )
    said = f"; known are {', '.join(sorted(names))}"
    return rule | {"messageExpression": f"'spec{path}.' + {strange}[0] + ': unknown field{said}'"}


def _policy(kind: str, variables: dict[str, str], validations: list[Object]) -> list[Object]:
    plural = f"{kind.lower()}s"
    name = f"{plural}.scaup.dev"
    group, _, version = GROUP_VERSION.partition("/")
    rule = {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["CREATE", "UPDATE"],
        "resources": [plural],
        "scope": "Namespaced",  # the server would fill it in, and each further apply would change it back
    }
    all_variables = {
        "spec": "has(object.spec) ? object.spec : {}",
        "isNew": "oldObject == null || !has(oldObject.spec) || oldObject.spec != variables.spec",
    } | variables
    labels = {"app.kubernetes.io/name": "scaup", "app.kubernetes.io/part-of": "scaup"}
    metadata = {"name": name, "labels": labels}
    policy = {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "variables": [{"name": key, "expression": value} for key, value in all_variables.items()],
            "validations": validations,
        },
    }
    binding = {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata,
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return [policy, binding]


def _annotation(of: str, name: str) -> str:
    """An annotation's value; empty where it is not there, and of an object that is not there."""
    found = f"{of}.metadata.?annotations[?'{name}'].orValue('')"
    return f"{of} == null ? '' : {found}" if of == "oldObject" else found


def _rule(expression: str, message: str) -> Object:
    return {"expression": expression, "message": message, "reason": "Invalid"}


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
