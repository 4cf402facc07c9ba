"""The schemas of Broker and Trigger follow the shapes that the controller reads, and refuse nothing it understands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaup.controller import schemas
from scaup.controller.api import BrokerSpec, DeliveryShape, DestinationShape, FilterShape, Reference, TriggerSpec
from scaup.controller.crds import broker_crd, trigger_crd
from scaup.controller.policies import broker_policy, trigger_policy
from scaup.core.filters.parse import DIALECTS
from scaup.core.model.durations import parse_duration

SPECS = {"Broker": schemas.broker_spec(), "Trigger": schemas.trigger_spec()}


def places(schema: dict[str, Any], path: str = "spec") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from places(part, f"{path}.{name}")
    if "items" in schema:
        yield from places(schema["items"], f"{path}[]")


def part(kind: str, path: str) -> dict[str, Any]:
    return dict(places(SPECS[kind]))[path]


@pytest.mark.parametrize(
    ("kind", "path", "shape"),
    [
        ("Broker", "spec", BrokerSpec),
        ("Broker", "spec.config", Reference),
        ("Broker", "spec.delivery", DeliveryShape),
        ("Broker", "spec.delivery.deadLetterSink", DestinationShape),
        ("Trigger", "spec", TriggerSpec),
        ("Trigger", "spec.brokerRef", Reference),
        ("Trigger", "spec.filter", FilterShape),
        ("Trigger", "spec.subscriber", DestinationShape),
        ("Trigger", "spec.subscriber.ref", Reference),
        ("Trigger", "spec.delivery.deadLetterSink.ref", Reference),
    ],
)
def test_a_schema_has_the_fields_that_the_controller_reads(kind: str, path: str, shape: schemas.Shape) -> None:
    assert set(part(kind, path)["properties"]) == set(schemas.fields_of(shape))


@pytest.mark.parametrize("kind", ["Broker", "Trigger"])
def test_every_field_says_what_it_is_and_no_object_loses_a_field_that_is_not_known(kind: str) -> None:
    for path, schema in places(SPECS[kind]):
        assert schema["description"].endswith("."), path
        if "properties" in schema or (schema["type"] == "object" and "additionalProperties" not in schema):
            assert schema[schemas.KEEP] is True, path


def test_filters_are_described_three_levels_deep_with_all_dialects_and_kept_below() -> None:
    for path in ("spec.filters[]", "spec.filters[].any[]", "spec.filters[].all[].not"):
        assert set(part("Trigger", path)["properties"]) == set(DIALECTS)
    assert "properties" not in part("Trigger", "spec.filters[].any[].not.all[]")


@given(st.from_regex(schemas._DURATION, fullmatch=True) | st.text("PT0123456789.,YMWDHS-+ ", max_size=12))
def test_a_duration_that_the_controller_understands_is_never_refused(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError:
        return
    assert re.search(schemas._DURATION, text)
    assert re.search(schemas._ENDS_IN_A_UNIT, text)


@pytest.mark.parametrize("text", ["", "1s", "P", "PT", "pt1s", "PT1S1H", "P1DT", "-", "PT1", "P1H", " PT1S", "PT1S\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    # CEL's matches is RE2's, whose $ is the very end
    assert not (re.search(schemas._DURATION.replace("$", r"\Z"), text) and re.search(schemas._ENDS_IN_A_UNIT, text))


def test_the_columns_are_knatives() -> None:
    columns = [
        [(one["name"], one.get("priority", 0)) for one in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
        for crd in (broker_crd(), trigger_crd())
    ]
    assert columns[0] == [("URL", 0), ("Age", 0), ("Ready", 0), ("Reason", 0), ("Class", 1)]
    assert columns[1] == [("Broker", 0), ("Subscriber_URI", 0), ("Age", 0), ("Ready", 0), ("Reason", 0)]


def test_every_policy_is_in_force_and_is_about_one_kind_s_own_part_of_the_object() -> None:
    for (policy, binding), plural in ((broker_policy(), "brokers"), (trigger_policy(), "triggers")):
        assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
        rules = policy["spec"]["matchConstraints"]["resourceRules"]
        assert [(rule["apiGroups"], rule["resources"]) for rule in rules] == [(["eventing.knative.dev"], [plural])]
