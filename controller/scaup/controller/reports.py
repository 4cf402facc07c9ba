"""What an object's status shall say, and how that differs from what it says. Pure.

The fields and conditions are those of knative.dev/eventing: ``broker_lifecycle.go``, ``trigger_lifecycle.go``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from scaup.controller.api import OUR_CLASS
from scaup.controller.conditions import Condition, by_type, differ, false, ready, true, written
from scaup.controller.defaults import PINNED
from scaup.controller.plan import BrokerPlan, SinkPlan, TriggerPlan
from scaup.core.model.annotations import START

_OIDC: Final = ("OIDCIdentityCreated", "OIDCDisabled")


@dataclass(frozen=True, slots=True)
class Report:
    """A status: ``fields`` beside the conditions, None for what shall not be there."""

    generation: int
    fields: tuple[tuple[str, Any], ...]
    conditions: tuple[Condition, ...]

    @property
    def is_ready(self) -> bool:
        """Whether ``Ready`` is True."""
        return self.ready.is_true

    @property
    def ready(self) -> Condition:
        """The condition that sums up the others."""
        return self.conditions[-1]

    def differs(self, status: Any) -> bool:
        """Whether a status as it stands says something else, times of transitions aside."""
        status = status if isinstance(status, dict) else {}
        return (
            status.get("observedGeneration") != self.generation
            or any(status.get(name) != value for name, value in self.fields)
            or differ(self.conditions, status.get("conditions"))
        )

    def merge_patch(self, status: Any, now: str) -> dict[str, Any]:
        """The status as a JSON merge patch of the whole; None removes. CP-38: generation and conditions together."""
        status = status if isinstance(status, dict) else {}
        conditions = written(self.conditions, status.get("conditions"), now)
        # An object is merged into the one that is there, so what shall be gone of it has to be said.
        fields = {name: _replacing(value, status.get(name)) for name, value in self.fields}
        return fields | {"observedGeneration": self.generation, "conditions": conditions}


def broker_report(plan: BrokerPlan, channel: Condition, live: tuple[Condition, Condition], url: str) -> Report:
    """A Broker's status. ``channel`` is its storage, ``live`` the ingress and the filter; ``url`` where it listens.

    CP-1: the address stands there once the Broker can receive.
    """
    if channel.is_true:
        addressable = true("Addressable")
    else:
        addressable = Condition("Addressable", channel.status, channel.reason, channel.message)
    conditions = (
        live[0],
        channel,
        live[1],
        addressable,
        plan.dead_letter.condition,
        true("EventPoliciesReady", "OIDCDisabled", "the ingress has no authentication: every producer is admitted"),
        *plan.notes,
    )
    fields = {"address": {"url": url} if channel.is_true else None} | _sink_fields("deadLetterSink", plan.dead_letter)
    fields["annotations"] = {PINNED: OUR_CLASS}  # CP-8: neither another default nor a lost annotation takes it away
    return _report(plan.identity.generation, fields, conditions)


def trigger_report(plan: TriggerPlan, subscription: Condition, broker: Report | None, history: str = "") -> Report:
    """A Trigger's status; ``broker`` is the report of its Broker, ``history`` how far the history is it starts with."""
    conditions = (
        _broker_ready(plan, broker),
        plan.subscriber.condition,
        plan.dead_letter.condition,
        plan.dependency,
        subscription,
        true(*_OIDC, "events are delivered without an identity"),
        *plan.notes,
    )
    fields = _sink_fields("subscriber", plan.subscriber) | _sink_fields("deadLetterSink", plan.dead_letter)
    fields["subscriberUri"] = fields["subscriberUri"] or ""  # CP-12: empty, not absent
    if plan.definition is not None and plan.definition.start is not None:
        fields["annotations"] = {START.name: history or "the history is not begun yet"}
    return _report(plan.identity.generation, fields, conditions)


def is_said_by_another(report: Report, status: Any) -> bool:
    """Whether another class's controller says already that the Trigger's Broker does not exist.

    Every class reports such Triggers, for none of them knows whose they would be; two that did so in their own words
    would overwrite each other for ever.
    """
    if report.ready.reason != "BrokerDoesNotExist" or not isinstance(status, dict):
        return False
    found = {name: c.get("reason") for name, c in by_type(status.get("conditions")).items()}
    is_current = status.get("observedGeneration") == report.generation
    return bool(is_current and found.get("Ready") == report.ready.reason and found.get(_OIDC[0]) != _OIDC[1])


def _broker_ready(plan: TriggerPlan, broker: Report | None) -> Condition:
    if plan.broker_problem is not None:
        return plan.broker_problem
    if broker is None or broker.is_ready:
        return true("BrokerReady")
    # CP-10: a Trigger is not Ready, and never merely Unknown, while its Broker is not.
    why = broker.ready
    return false("BrokerReady", why.reason, f"Broker {plan.broker} is not Ready: {why.message}")


def _sink_fields(prefix: str, sink: SinkPlan) -> dict[str, Any]:
    address = sink.address
    return {
        f"{prefix}Uri": address.url if address else None,
        f"{prefix}CACerts": address.ca_certs if address else None,
        f"{prefix}Audience": address.audience if address else None,
    }


def _report(generation: int, fields: dict[str, Any], conditions: tuple[Condition, ...]) -> Report:
    return Report(generation, tuple(fields.items()), (*conditions, ready(conditions)))


def _replacing(value: Any, present: Any) -> Any:
    if isinstance(value, dict) and isinstance(present, dict):
        return dict.fromkeys(present) | value
    return value
