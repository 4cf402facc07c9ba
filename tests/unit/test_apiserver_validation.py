"""Brokers, Triggers and CRDs as Knative's and Kubernetes' own checks see them; TV rows are those of Knative's table."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from scaup.apiserver import crds, shapes, validation
from scaup.apiserver.answers import ApiError
from scaup.apiserver.kinds import BROKERS, BUILT_IN, CRDS, TRIGGERS, Kind

DEFAULTS = {"broker": "default", "subscriber": {"uri": "http://sink.example/"}}
CONFIG_MAP = next(k for k in BUILT_IN if k.kind == "ConfigMap")


def trigger(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    kept = {k: v for k, v in (DEFAULTS | spec).items() if v is not None}
    return {"metadata": {"name": "t", "namespace": "d", "annotations": annotations or {}}, "spec": kept}


def broker(class_name: str = "Scaup", **spec: Any) -> dict[str, Any]:
    annotations = {validation.CLASS: class_name} if class_name else {}
    return {"metadata": {"name": "b", "namespace": "d", "annotations": annotations}, "spec": spec}


def paths(kind: Kind, made: dict[str, Any], present: dict[str, Any] | None = None) -> list[str]:
    return [problem.path for problem in validation.problems(kind, made, present)]


BAD_NAMES = ["SOURCE", "Source", "souRce", "s pace s", "s_pace_s", "s-pace-s", "123", "😀", "!?", "..", ""]
EMPTY: list[dict[str, Any]] = [{}, {"all": []}, {"any": []}, {"not": {}}]
ELSEWHERE = '{"kind":"A","name":"a","apiVersion":"v1","namespace":"x"}'
DEPENDENCY = "metadata.annotations[knative.dev/dependency]"
INJECTION = "metadata.annotations[eventing.knative.dev/injection]"


@pytest.mark.parametrize(
    ("row", "made", "path"),
    [
        ("TV1", trigger(broker=None), "spec.broker"),
        ("TV2", trigger(brokerRef={"name": "x"}), "spec"),
        ("TV3", trigger(broker=None, brokerRef={"name": "x", "namespace": "n"}), "spec.brokerRef.namespace"),
        ("TV4", trigger(subscriber=None), "spec.subscriber"),
        ("TV4", trigger(subscriber={}), "spec.subscriber"),
        *(("TV5", trigger(filter={"attributes": {n: "x"}}), "spec.filter.attributes") for n in BAD_NAMES),
        *(("TV6", trigger(filters=[{d: {"A": "x"}}]), f"spec.filters[0].{d}") for d in ("exact", "prefix", "suffix")),
        ("TV6", trigger(filters=[{"any": [{"not": {"exact": {"A": "x"}}}]}]), "spec.filters[0].any[0].not.exact"),
        ("TV7", trigger(filters=[{"exact": {"a": "x"}, "cesql": "true"}]), "spec.filters[0]"),
        ("TV7", trigger(filters=[{"all": [{"exact": {"a": "x"}, "prefix": {"a": "x"}}]}]), "spec.filters[0].all[0]"),
        ("TV12", trigger({"knative.dev/dependency": "text"}), DEPENDENCY),
        ("TV12", trigger({"knative.dev/dependency": "[]"}), DEPENDENCY),
        ("TV13", trigger({"knative.dev/dependency": '{"kind":"A","name":"a"}'}), f"{DEPENDENCY}.apiVersion"),
        ("TV13", trigger({"knative.dev/dependency": ELSEWHERE}), f"{DEPENDENCY}.namespace"),
        ("TV14", trigger({"eventing.knative.dev/injection": "on"}), INJECTION),
        ("TV15", trigger({"eventing.knative.dev/injection": "enabled"}, broker="other"), INJECTION),
        ("shape", trigger(filters={}), "spec.filters"),
        ("shape", trigger(filters=["x"]), "spec.filters[0]"),
        ("shape", trigger(filters=[{"cesql": 3}]), "spec.filters[0].cesql"),
        ("shape", trigger(filters=[{"exact": {"a": 3}}]), "spec.filters[0].exact[a]"),
        ("shape", trigger(filter=[]), "spec.filter"),
        ("shape", trigger(broker=3), "spec.broker"),
        ("shape", {"metadata": {"name": "t"}, "spec": "x"}, "spec"),
        ("shape", {"metadata": {"name": "t"}}, "spec"),
    ],
)  # fmt: skip
def test_a_trigger_that_knatives_webhook_refuses_is_refused(row: str, made: dict[str, Any], path: str) -> None:
    assert path in paths(TRIGGERS, validation.with_defaults(TRIGGERS, made)), row


@pytest.mark.parametrize(
    "made",
    [
        trigger(),
        trigger(broker=None, brokerRef={"name": "x"}),
        *(trigger(filters=[one]) for one in EMPTY),  # TV9
        trigger(filters=[{"exact": {"type": ""}}]),  # TV10
        trigger(filters=[{"cesql": "1 + 1"}]),  # TV11
        trigger(filters=[{"unknown": {"kept": 1}}]),
        *(
            trigger(filter={"attributes": {name: "x"}})
            for name in ("type", "source", "id", "specversion", "subject", "time", "aaa", "c1d2e3", "a" * 20)
        ),
        trigger({"eventing.knative.dev/injection": "enabled"}),
        trigger({"knative.dev/dependency": '{"kind":"A","name":"a","apiVersion":"v1"}'}),
        trigger(subscriber={"ref": {"kind": "Service", "name": "s", "apiVersion": "v1"}, "uri": "/path"}),
        trigger(delivery={"retry": 0, "backoffPolicy": "linear", "backoffDelay": "PT0S", "timeout": "PT0,5S"}),
        trigger(delivery={"format": "json", "retryAfterMax": "PT0S", "deadLetterSink": {"uri": "https://d/"}}),
    ],
)
def test_a_trigger_that_knative_accepts_is_accepted(made: dict[str, Any]) -> None:
    assert paths(TRIGGERS, validation.with_defaults(TRIGGERS, made)) == []


def test_the_broker_of_a_trigger_is_immutable_and_everything_else_may_change() -> None:
    assert paths(TRIGGERS, trigger(broker="other"), trigger()) == ["spec.broker"]  # TV16
    changed = trigger(
        filter={"attributes": {"type": "x"}}, filters=[{}], subscriber={"uri": "http://b/"}, delivery={"retry": 1}
    )
    assert paths(TRIGGERS, changed, trigger()) == []  # TV17


@pytest.mark.parametrize(
    ("destination", "field"),
    [
        ("http://x", ""),
        ({"uri": "/relative"}, ".uri"),
        ({"uri": "http:///nohost"}, ".uri"),
        ({"uri": 3}, ".uri"),
        ({"uri": "http://[bad"}, ".uri"),
        ({"ref": "x"}, ".ref"),
        ({"ref": {"kind": "A", "name": "a"}}, ".ref.apiVersion"),
        ({"ref": {"kind": "A", "name": "a", "apiVersion": "v1"}, "uri": "http://x/"}, ".uri"),
        ({"uri": "http://x/", "CACerts": "none"}, ".CACerts"),
    ],
)
def test_a_destination_that_leads_nowhere_is_refused(destination: Any, field: str) -> None:
    assert f"spec.subscriber{field}" in paths(TRIGGERS, trigger(subscriber=destination))
    assert f"spec.delivery.deadLetterSink{field}" in paths(BROKERS, broker(delivery={"deadLetterSink": destination}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retry", -1),
        ("retry", True),
        ("retry", "3"),
        ("timeout", "PT0S"),
        ("timeout", "30s"),
        ("timeout", 30),
        ("backoffDelay", "1s"),
        ("backoffDelay", "-PT1S"),
        ("backoffPolicy", "quadratic"),
        ("backoffPolicy", ["linear"]),
        ("format", "JSON"),
        ("retryAfterMax", ""),
    ],
)
def test_a_delivery_that_cannot_be_kept_is_refused(field: str, value: Any) -> None:
    assert paths(BROKERS, broker(delivery={field: value})) == [f"spec.delivery.{field}"]
    assert paths(BROKERS, broker(delivery="fast")) == ["spec.delivery"]


def test_a_broker_gets_our_class_and_its_references_a_namespace() -> None:
    made: dict[str, Any] = {
        "metadata": {"name": "b", "namespace": "d"},
        "spec": {"config": {"name": "c"}, "delivery": {"deadLetterSink": {"ref": {"kind": "A"}}}},
    }
    before = copy.deepcopy(made)
    full = validation.with_defaults(BROKERS, made)
    assert full["metadata"]["annotations"] == {validation.CLASS: "Scaup"}
    assert full["spec"]["config"]["namespace"] == "d"
    assert full["spec"]["delivery"]["deadLetterSink"]["ref"]["namespace"] == "d"
    assert made == before
    assert validation.with_defaults(BROKERS, {"metadata": {"name": "b"}})["spec"] == {}
    assert validation.with_defaults(BROKERS, broker("Kafka"))["metadata"]["annotations"] == {validation.CLASS: "Kafka"}


def test_a_trigger_gets_its_brokers_label_an_empty_filter_and_namespaces() -> None:
    made = trigger(subscriber={"ref": {"kind": "A", "name": "a", "apiVersion": "v1"}})
    full = validation.with_defaults(TRIGGERS, made)
    assert full["metadata"]["labels"] == {"eventing.knative.dev/broker": "default"}
    assert full["spec"]["filter"] == {}
    assert full["spec"]["subscriber"]["ref"]["namespace"] == "d"
    kept = trigger(subscriber={"ref": {"kind": "A", "name": "a", "apiVersion": "v1", "namespace": "e"}})
    assert validation.with_defaults(TRIGGERS, kept)["spec"]["subscriber"]["ref"]["namespace"] == "e"


def test_a_broker_may_change_its_delivery_and_nothing_else() -> None:
    config = {"kind": "ConfigMap", "name": "c", "apiVersion": "v1"}
    assert paths(BROKERS, broker(config=config, delivery={"retry": 1}), broker(config=config)) == []
    assert paths(BROKERS, broker(config=config), broker()) == ["spec"]
    assert paths(BROKERS, broker("Kafka"), broker()) == ["metadata.annotations[eventing.knative.dev/broker.class]"]


def test_a_broker_needs_a_class_and_a_whole_config() -> None:
    assert paths(BROKERS, broker("")) == ["metadata.annotations[eventing.knative.dev/broker.class]"]
    assert paths(BROKERS, broker(config={"name": "c"})) == ["spec.config.apiVersion", "spec.config.kind"]
    assert paths(BROKERS, broker(config="c")) == ["spec.config"]


def test_other_kinds_are_not_looked_at() -> None:
    assert validation.with_defaults(CONFIG_MAP, {"metadata": {}}) == {"metadata": {}}
    assert paths(CONFIG_MAP, {"metadata": {}, "spec": 3}) == []
    assert crds.problems(CONFIG_MAP, {}, None) == []


def crd(**changes: Any) -> dict[str, Any]:
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "ducks", "kind": "Duck", "shortNames": ["dk"]},
        "versions": [{"name": "v1", "served": True, "storage": True}],
    }
    return {"metadata": {"name": "ducks.example.com"}, "spec": spec | changes}


@pytest.mark.parametrize(
    ("made", "path"),
    [
        ({"metadata": {"name": "x"}}, "spec.group"),
        (crd(group=""), "spec.group"),
        (crd(group="nodot"), "spec.group"),
        (crd(scope="World"), "spec.scope"),
        (crd(names=None), "spec.names.plural"),
        (crd(names={"kind": "Duck"}), "spec.names.plural"),
        (crd(names={"plural": "ducks"}), "spec.names.kind"),
        (crd(names={"plural": "Ducks.x", "kind": "Duck"}), "spec.names.plural"),
        (crd(names={"plural": "geese", "kind": "Goose"}), "metadata.name"),
        (crd(versions=[]), "spec.versions"),
        (crd(versions=[{"served": True, "storage": True}]), "spec.versions[0].name"),
        (crd(versions=[{"name": "v 1", "storage": True}]), "spec.versions[0].name"),
        (crd(versions=[{"name": "v1", "served": True}]), "spec.versions"),
    ],
)
def test_a_crd_that_defines_no_kind_is_refused(made: dict[str, Any], path: str) -> None:
    assert path in [problem.path for problem in crds.problems(CRDS, crds.with_defaults(CRDS, made), None)]


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (crd(names={"plural": "ducks", "kind": "Duck", "shortNames": "d"}), "spec.names.shortNames"),
        (crd(names={"plural": "ducks", "kind": "Duck", "singular": 3}), "spec.names.singular"),
        (crd(versions=["v1"]), "spec.versions"),
        (crd(versions=[{"name": "v1", "storage": True, "subresources": []}]), "spec.versions.subresources"),
    ],
)
def test_a_crd_of_the_wrong_types_is_no_crd(made: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError, match=rf"into Go struct field \w+\.{field} of type") as refused:
        shapes.taken(CRDS, made)
    assert refused.value.status == 400


def test_a_crd_gets_names_conditions_and_keeps_when_they_became_true() -> None:
    full = crds.with_defaults(CRDS, crd())
    assert crds.problems(CRDS, full, full) == []
    assert [p.path for p in crds.problems(CRDS, crds.with_defaults(CRDS, crd(scope="Cluster")), full)] == ["spec.scope"]
    assert full["spec"]["names"]["singular"] == "duck"
    assert full["spec"]["names"]["listKind"] == "DuckList"
    first = crds.with_conditions(CRDS, full, "t1")
    assert {c["type"]: c["status"] for c in first["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert first["status"]["storedVersions"] == ["v1"]
    again = crds.with_conditions(CRDS, first, "t2")
    assert [c["lastTransitionTime"] for c in again["status"]["conditions"]] == ["t1", "t1"]
