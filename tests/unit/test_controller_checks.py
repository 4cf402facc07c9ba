"""What a Broker or Trigger asks for, read by itself: every mistake is named, and none of them raises."""

from __future__ import annotations

from typing import Any

import pytest

from scaup.controller.annotations import HISTORY_MAX_AGE, LOG_MAX_BYTES, REPLICAS, check_storage, parse_quantity
from scaup.controller.api import DeliveryShape, read
from scaup.controller.checks import CheckedTrigger, check_broker, check_trigger
from scaup.controller.delivery import check_delivery
from scaup.controller.filters import check_filters
from scaup.controller.resolve import Ref
from scaup.core.filters.cel import CelUnavailableError
from scaup.core.model.definitions import Delivery
from scaup.core.model.errors import DefinitionError

METADATA = {"uid": "u1", "namespace": "default", "name": "t", "generation": 3}
SINK = {"uri": "http://sink.test/"}


def trigger(spec: Any, annotations: Any = None) -> CheckedTrigger:
    return check_trigger({"metadata": METADATA | {"annotations": annotations}, "spec": spec})


@pytest.mark.parametrize("legacy", [None, {}, {"attributes": None}, {"attributes": {}}])
@pytest.mark.parametrize("filters", [None, []])
def test_no_filter_lets_every_event_through(legacy: Any, filters: Any) -> None:
    assert check_filters(legacy, filters) == ()


def test_filters_are_kept_as_they_are_written_and_win_over_the_legacy_one() -> None:
    filters = [{"exact": {"type": "a"}}, {"any": [{"cesql": "type = 'a'"}, {"cel": 'ce.type == "a"'}]}]
    assert check_filters({"attributes": {"type": "b"}}, filters) == tuple(filters)


def test_a_cel_filter_is_refused_with_its_own_reason_where_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(text: str) -> None:
        msg = "there is no CEL engine for this platform"
        raise CelUnavailableError(msg)

    monkeypatch.setattr("scaup.core.filters.compiled.compile_cel", missing)

    found = trigger({"broker": "b", "subscriber": SINK, "filters": [{"cel": "true"}]})

    assert found.problem is not None
    assert (found.problem.status, found.problem.reason) == ("False", "CELUnavailable")
    assert found.filters == ()


def test_a_legacy_filter_becomes_one_filter_object() -> None:
    attributes = {"type": "a", "source": "", "myext1": "x"}
    assert check_filters({"attributes": attributes}, []) == ({"attributes": attributes},)


@pytest.mark.parametrize(
    ("filters", "path"),
    [
        ([{"exakt": {"type": "a"}}], "spec.filters[0]"),
        ([{"cesql": "TRUE"}, {}], "spec.filters[1]"),
        ([{"any": [{"exact": {"type": "a"}}, {"cesql": "type ="}]}], "spec.filters[0].any[1].cesql"),
        ([{"cel": "ce.type"}], "spec.filters[0].cel"),
        ([{}], "spec.filters[0]"),
        ([None], "spec.filters[0]"),
        ([{1: 2}], "spec.filters[0]"),
    ],
)
def test_filters_that_are_not_understood_are_refused_with_their_path(filters: Any, path: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        check_filters({"attributes": {"type": "a"}}, filters)
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["SOURCE", "souRce", "s pace", "s_pace", "s-pace", "123", "", "é", "!@#$", "type\n"])
def test_names_that_no_attribute_can_have_are_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="attribute"):
        check_filters({"attributes": {name: "x"}}, None)


@pytest.mark.parametrize(
    ("legacy", "filters", "text"),
    [
        ("type=a", None, "spec.filter: expected an object, found 'type=a'"),
        ({"attributes": {"type": 1}}, None, "spec.filter.attributes.type: expected a string, found 1"),
        ({"attributes": ["type"]}, None, "spec.filter.attributes: expected an object"),
        ({"atributes": {"type": "a"}}, None, "spec.filter.atributes: unknown field; known are attributes"),
        (None, {"exact": {}}, "spec.filters: expected a list"),
    ],
)
def test_a_filter_of_the_wrong_shape_never_becomes_every_event(legacy: Any, filters: Any, text: str) -> None:
    with pytest.raises(DefinitionError, match="^" + text.replace(".", r"\.")):
        check_filters(legacy, filters)


def delivery(value: Any) -> Delivery:
    return check_delivery(read(DeliveryShape, value, "spec.delivery"), "spec.delivery")


def test_what_a_delivery_leaves_out_has_its_default() -> None:
    assert delivery({"timeout": "PT5S"}) == Delivery(
        retry=10, backoff_policy="exponential", backoff_delay_s=0.2, timeout_s=5.0
    )


def test_every_field_of_a_delivery_is_taken_over() -> None:
    written = {
        "retry": 0,
        "timeout": "PT1M",
        "backoffPolicy": "linear",
        "backoffDelay": "PT0.05S",
        "retryAfterMax": "PT0S",
        "format": "binary",
    }
    assert delivery(written) == Delivery(0, "linear", 0.05, 60.0, 0.0, "binary")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"timeout": "10s"}, "spec.delivery.timeout: '10s' is not an ISO 8601 duration such as"),
        ({"timeout": "PT0S"}, "spec.delivery.timeout: 'PT0S' is no time at all"),
        ({"timeout": 30}, "spec.delivery.timeout: expected a string, found 30"),
        ({"timeout": "P2Y"}, "spec.delivery.timeout: 'P2Y' is longer than"),
        ({"timeout": f"P{'9' * 400}D"}, "spec.delivery.timeout: "),
        ({"backoffDelay": "-PT1S"}, "spec.delivery.backoffDelay: '-PT1S' is not"),
        ({"retryAfterMax": ""}, "spec.delivery.retryAfterMax: '' is not"),
        ({"backoffPolicy": "lineal"}, "spec.delivery.backoffPolicy: 'lineal' is not linear or exponential"),
        ({"format": "JSON"}, "spec.delivery.format: 'JSON' is not json or binary"),
        ({"retry": -1}, "spec.delivery.retry: expected a whole number not below 0, found -1"),
        ({"retry": "3"}, "spec.delivery.retry: expected a whole number, found '3'"),
        ({"retry": True}, "spec.delivery.retry: expected a whole number, found True"),
        ({"retry": 2**40}, "spec.delivery.retry: expected a whole number not above"),
        ({"retries": 3}, "spec.delivery.retries: unknown field; known are backoffDelay,"),
        ([], r"spec.delivery: expected an object, found \[\]"),
    ],
)
def test_a_mistake_in_a_delivery_is_told_with_path_text_and_what_is_expected(written: Any, text: str) -> None:
    with pytest.raises(DefinitionError, match="^" + text.replace("(", r"\(")):
        delivery(written)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1Gi", 2**30),
        ("10Mi", 10 * 2**20),
        ("1.5Ki", 1536),
        ("500M", 500_000_000),
        ("1k", 1000),
        ("7", 7),
        ("1Ei", 2**60),
    ],
)
def test_quantities_mean_what_they_mean_in_kubernetes(text: str, number: int) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "Gi", "1gi", "1 Gi", "-1Gi", "1GiB", "1e", "0x1", "1K", "1Gi\n", "9" * 30])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (LOG_MAX_BYTES, "1023Ki", "not below 1Mi"),
        (LOG_MAX_BYTES, "many", "1Gi or 10Mi"),
        (LOG_MAX_BYTES, 5, "1Gi or 10Mi"),
        (LOG_MAX_BYTES, "16Ei", "1Gi or 10Mi"),
        (HISTORY_MAX_AGE, "24h", "ISO 8601"),
        (HISTORY_MAX_AGE, 24, "ISO 8601"),
        (HISTORY_MAX_AGE, "P1000Y", "P100Y"),
        (REPLICAS, "2", "1, 3 or 5"),
        (REPLICAS, 3, "1, 3 or 5"),
    ],
)
def test_a_mistake_in_an_annotation_names_it_and_what_is_expected(name: str, text: Any, expected: str) -> None:
    broker = check_broker({"metadata": METADATA | {"annotations": {name: text}}, "spec": {}})
    assert broker.definition is None
    assert broker.problem is not None
    assert (broker.problem.type, broker.problem.reason) == ("TriggerChannelReady", "AnnotationInvalid")
    assert name in broker.problem.message
    assert expected in broker.problem.message


def test_annotations_set_a_brokers_storage() -> None:
    storage = check_storage({LOG_MAX_BYTES: "10Mi", HISTORY_MAX_AGE: "PT1H", REPLICAS: "3"})
    assert (storage.log_max_bytes, storage.history_max_age_s, storage.replicas) == (10 << 20, 3600.0, 3)


def test_a_delivery_without_one_field_set_is_none() -> None:
    for empty in (None, {}, {"retry": None}):
        assert trigger({"broker": "b", "subscriber": SINK, "delivery": empty}).delivery is None


def test_all_mistakes_of_a_trigger_are_told_at_once() -> None:
    checked = trigger(
        {
            "broker": "b",
            "subscriber": {},
            "filters": [{"exact": {}}],
            "delivery": {"retry": -1, "deadLetterSink": {"uri": "x"}},
            "filterz": {},
        },
        {"knative.dev/dependency": "nonsense"},
    )
    assert checked.problem is not None
    assert checked.problem.reason == "SpecInvalid"
    for part in ("spec.filterz", "spec.filters[0].exact", "spec.delivery.retry"):
        assert part in checked.problem.message
    assert checked.subscriber.problem == "spec.subscriber: expected at least one of ref and uri, found none"
    assert "JSON" in checked.dependency_problem


@pytest.mark.parametrize("spec", [None, "text", [], 7, {"broker": {}, "subscriber": []}, {"delivery": "x"}])
def test_no_shape_of_a_spec_raises(spec: Any) -> None:
    checked = trigger(spec)
    assert checked.subscriber.problem
    assert checked.broker_problem
    assert check_broker({"metadata": METADATA, "spec": spec}).definition is not None


@pytest.mark.parametrize(
    ("spec", "broker", "problem"),
    [
        ({"broker": "b"}, "b", ""),
        ({"brokerRef": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "b"}}, "b", ""),
        ({}, "", "exactly one of"),
        ({"broker": "b", "brokerRef": {}}, "", "exactly one of"),
        ({"broker": 5}, "", "expected a string"),
        ({"brokerRef": {"apiVersion": "v1", "kind": "Broker", "name": "b"}}, "", "expected a Broker"),
        (
            {"brokerRef": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "b", "namespace": "x"}},
            "",
            "in namespace default",
        ),
    ],
)
def test_a_trigger_names_its_broker_in_its_own_namespace(spec: Any, broker: str, problem: str) -> None:
    checked = trigger(spec | {"subscriber": SINK})
    assert checked.broker == broker
    assert problem in checked.broker_problem
    assert bool(problem) == bool(checked.broker_problem)


def test_a_dependency_is_an_object_of_the_triggers_namespace() -> None:
    spec = {"broker": "b", "subscriber": SINK}
    good = '{"apiVersion":"sources.knative.dev/v1","kind":"PingSource","name":"p"}'
    checked = trigger(spec, {"knative.dev/dependency": good})
    assert checked.dependency == Ref("sources.knative.dev/v1", "PingSource", "default", "p")
    other = good[:-1] + ',"namespace":"x"}'
    assert ".namespace" in trigger(spec, {"knative.dev/dependency": other}).dependency_problem
    for wrong in ("[]", '{"kind":"X"}', 5, '"x"'):
        assert trigger(spec, {"knative.dev/dependency": wrong}).dependency_problem
