"""Defaults of Brokers, as Knative's ConfigMap has them: what holds for which namespace, and what is no such text."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.controller.conditions import note, true
from scaup.controller.defaults import NO_DEFAULTS, NOT_KNOWN, Defaults, is_ours, read_defaults
from scaup.controller.plan import Plan, Planner
from scaup.controller.reports import broker_report
from scaup.controller.resolve import NotKnownYet
from tests.unit.test_controller_plan import CLASS, broker, trigger

FULL = """
clusterDefault:
  brokerClass: Scaup
  apiVersion: v1
  kind: ConfigMap
  name: config-br-default-channel
  namespace: knative-eventing
  disallowDifferentNamespaceConfig: true
  delivery: {retry: 10, backoffPolicy: exponential, backoffDelay: PT0.2S}
namespaceDefaults:
  orders:
    brokerClass: Scaup
    delivery:
      retry: 3
      timeout: PT5S
      backoffPolicy: linear
      backoffDelay: PT1S
      retryAfterMax: PT9S
      format: json
      deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: letters}}
  kafka:
    brokerClass: Kafka
    delivery: {retry: 1}
    brokerClasses:
      Scaup: {delivery: {retry: 7}}
      Kafka: {apiVersion: v1, kind: ConfigMap, name: x, delivery: {retry: 8}}
  named: {brokerClass: Other}
"""


def defaults(text: Any = FULL, before: Defaults = NO_DEFAULTS) -> Defaults:
    return read_defaults({"default-br-config": text}, before)


def of(namespace: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
    made = value or broker()
    made["metadata"]["namespace"] = namespace
    return made


def without_class() -> dict[str, Any]:
    made = broker()
    del made["metadata"]["annotations"]
    return made


def planned(found: Defaults, *brokers: dict[str, Any], triggers: tuple[dict[str, Any], ...] = ()) -> Plan:
    return Planner().plan(brokers, triggers, lambda _: NotKnownYet(), found)


@pytest.mark.parametrize(
    ("namespace", "name", "retry"),
    [("any", "Scaup", 10), ("orders", "Scaup", 3), ("kafka", "Kafka", 7), ("named", "Other", 10)],
)
def test_a_namespace_has_its_own_class_and_delivery_else_the_clusters(namespace: str, name: str, retry: int) -> None:
    found = defaults()
    assert found.problem == ""
    assert found.class_of(namespace) == name
    assert found.delivery_of(namespace)["retry"] == retry


def test_cp_7_a_broker_without_class_is_ours_where_the_default_is_and_stays_it() -> None:
    """control-plane.md CP-6 to CP-8: it is ours as long as it lives, whatever the default is later."""
    nameless = without_class()
    assert is_ours(of("orders", nameless), defaults())
    assert not is_ours(of("kafka", nameless), defaults())
    assert not is_ours(nameless, NO_DEFAULTS)
    assert is_ours(nameless | {"status": {"annotations": CLASS}}, NO_DEFAULTS)
    assert not is_ours(broker(annotations={"eventing.knative.dev/broker.class": "Kafka"}), defaults())
    assert is_ours(of("kafka", broker()), defaults())


def test_the_class_stands_in_the_status_so_that_it_is_not_lost_with_an_annotation() -> None:
    well = true("X")
    for value in (without_class(), broker()):
        (plan,) = planned(defaults(), of("orders", value)).brokers.values()
        fields = dict(broker_report(plan, well, (well, well), "http://b.test").fields)
        assert fields["annotations"] == CLASS
        assert is_ours(without_class() | {"status": fields}, NO_DEFAULTS)


def test_every_field_of_a_default_delivery_is_taken_over_and_its_reference_is_of_the_brokers_namespace() -> None:
    (plan,) = planned(defaults(), of("orders")).brokers.values()
    delivery = plan.delivery.delivery
    assert (delivery.retry, delivery.timeout_s, delivery.backoff_policy) == (3, 5.0, "linear")
    assert (delivery.backoff_delay_s, delivery.retry_after_max_s, delivery.format) == (1.0, 9.0, "json")
    assert plan.delivery.dead_letter is not None
    assert str(plan.delivery.dead_letter.ref) == "v1 Service orders/letters"


@pytest.mark.parametrize("written", [{"retry": 0}, {}])
def test_a_broker_with_a_delivery_has_none_by_default(written: dict[str, Any]) -> None:
    (plan,) = planned(defaults(), of("orders", broker(spec={"delivery": written}))).brokers.values()
    assert plan.delivery.dead_letter is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("clusterDefault: [", "default-br-config is no YAML"),
        ("text", "default-br-config: expected an object"),
        ("clusterDefaults: {}", "default-br-config.clusterDefaults: unknown field"),
        ("clusterDefault: {brokerClas: Scaup}", "default-br-config.clusterDefault.brokerClas: unknown field"),
        ("clusterDefault: {delivery: {retry: -1}}", "default-br-config.clusterDefault.delivery.retry: expected"),
        ("clusterDefault: {delivery: {timeout: 5s}}", "default-br-config.clusterDefault.delivery.timeout: '5s' is not"),
        ("namespaceDefaults: {a: {delivery: {deadLetterSink: {}}}}", "default-br-config.namespaceDefaults.a.delivery."),
        ("namespaceDefaults: 7", "default-br-config.namespaceDefaults: expected an object"),
        ("clusterDefault: {brokerClasses: {Scaup: 7}}", "default-br-config.clusterDefault.brokerClasses.Scaup"),
        (None, "it has no default-br-config"),
        (7, "default-br-config: expected an object"),
    ],
)
def test_what_is_not_understood_is_named_and_what_was_good_last_stays(text: Any, where: str) -> None:
    before = defaults()
    found = defaults(text, before)
    assert found.problem.startswith(where)
    assert found == before.bad(found.problem)
    assert defaults(FULL, found) == before


@pytest.mark.parametrize("text", ["", "{}", "clusterDefault:\nnamespaceDefaults:"])
def test_an_empty_text_means_no_defaults(text: str) -> None:
    assert defaults(text) == NO_DEFAULTS


def test_brokers_concerned_say_that_the_defaults_are_wrong_and_work_on_with_the_last_good_ones() -> None:
    bad = defaults().bad("ConfigMap a/b: no good")
    plan = planned(bad, of("orders"), of("orders", broker("own", spec={"delivery": {"retry": 0}})))
    concerned, own = plan.brokers["orders", "b"], plan.brokers["orders", "own"]
    assert concerned.delivery.delivery.retry == 3
    text = "the defaults of Brokers cannot be used, the last that were understood hold: ConfigMap a/b: no good"
    assert concerned.notes == (note("DefaultsKnown", "DefaultsInvalid", text),)
    assert own.notes == ()


def test_while_none_were_ever_understood_what_runs_stays_as_it_is() -> None:
    """After a restart over a spoilt ConfigMap nobody's dead letter sink is forgotten."""
    plan = planned(NOT_KNOWN.bad("no good"), of("default"), triggers=(trigger(),))
    (found,) = plan.triggers.values()
    assert found.keep
    assert found.definition is None
    assert found.problem is not None
    assert found.problem.reason == "DefaultsInvalid"
    assert found.problem.message.endswith("what runs stays as it is: no good")
    own = trigger(spec={"broker": "b", "subscriber": {"uri": "http://s.test/"}, "delivery": {"retry": 1}})
    (found,) = planned(NOT_KNOWN.bad("no good"), of("default"), triggers=(own,)).triggers.values()
    assert found.definition is not None


def test_changed_defaults_change_the_plan_of_those_they_concern_and_no_others() -> None:
    planner = Planner()
    brokers = [of("orders"), of("orders", broker("own", spec={"delivery": {"retry": 1}})), of("else", broker("other"))]
    first = planner.plan(brokers, [], lambda _: NotKnownYet(), defaults())
    second = planner.plan(brokers, [], lambda _: NotKnownYet(), defaults(FULL.replace("retry: 3", "retry: 4")))
    assert second.brokers["orders", "b"].delivery.delivery.retry == 4
    assert second.brokers["orders", "own"].delivery == first.brokers["orders", "own"].delivery
    third = planner.plan(brokers, [], lambda _: NotKnownYet(), defaults(FULL.replace("retry: 3", "retry: 4")))
    assert all(third.brokers[name] is second.brokers[name] for name in third.brokers)
