"""What a SinkBinding's status says. Pure.

The fields and conditions are those of knative.dev/eventing: ``sinkbinding_lifecycle.go``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from scaup.controller.conditions import Condition, false, ready, true, unknown
from scaup.controller.reports import Report
from scaup.controller.sinkbinding import Binding, Sink

AVAILABLE: Final = "SinkBindingAvailable"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a binding does not hold: a reason for programs, a sentence for people."""

    reason: str
    message: str
    is_passing: bool = False
    """It is on its way: nothing has to be done about it."""


def binding_report(binding: Binding, sink: Sink, troubles: Iterable[Trouble], bound: int) -> Report:
    """The status of a binding; ``troubles`` are what its subjects suffer from, ``bound`` is their number."""
    conditions = (_provided(sink), _available(binding, sink, list(troubles), bound))
    # While the sink has no address, subjects keep the last one; so does the status.
    address = sink.address
    fields: tuple[tuple[str, Any], ...] = ()
    if address is not None:
        fields = (("sinkUri", address.url), ("sinkCACerts", address.ca_certs), ("sinkAudience", address.audience))
    return Report(binding.identity.generation, fields, (*conditions, ready(conditions)))


def _provided(sink: Sink) -> Condition:
    if sink.address is not None:
        return true("SinkProvided")
    if sink.code == "NotKnownYet":
        return unknown("SinkProvided", "SinkNotKnownYet", sink.message)
    return false("SinkProvided", f"Sink{sink.code}", sink.message)


def _available(binding: Binding, sink: Sink, troubles: list[Trouble], bound: int) -> Condition:
    if binding.subject_problem:
        return false(AVAILABLE, "SpecInvalid", binding.subject_problem)
    for trouble in sorted(troubles, key=lambda t: t.is_passing):
        make = unknown if trouble.is_passing else false
        return make(AVAILABLE, trouble.reason, trouble.message)
    if sink.address is None:
        return unknown(AVAILABLE, "WaitingForSink", "there is no address yet that subjects could be given")
    if not bound:
        return true(AVAILABLE, "NoSubjects", "the selector selects nothing now")
    return true(AVAILABLE)
