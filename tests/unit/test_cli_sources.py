"""``scaup sources``, the pure part: which source points at which Broker, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from scaup.cli.sources import _newest, event_types, points_at, table

ADDRESS = "http://scaup-ingress.scaup-system.svc.cluster.local/shop/orders"
BROKER = {"metadata": {"name": "orders", "namespace": "shop"}, "status": {"address": {"url": ADDRESS}}}


def ref(name: str = "orders", namespace: str | None = None, kind: str = "Broker") -> dict[str, Any]:
    return {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": kind, "name": name, "namespace": namespace}}


def source(sink: Any, namespace: str = "shop", **status: Any) -> dict[str, Any]:
    metadata = {"name": "s", "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"kind": "PingSource", "metadata": metadata, "spec": {"sink": sink}, "status": status}


@pytest.mark.parametrize(
    ("given", "points"),
    [
        (source(ref()), True),
        (source(ref("other")), False),
        (source(ref(kind="Channel")), False),
        (source(ref(), "elsewhere"), False),
        (source(ref(namespace="shop"), "elsewhere"), True),
        (source({"uri": ADDRESS}, "elsewhere"), True),
        (source({"uri": ADDRESS + "/"}), True),
        (source({"uri": ADDRESS + "x"}), False),
        (source({"uri": "http://elsewhere.test"}, sinkUri=ADDRESS), True),
        (source(None, sinkUri=ADDRESS), True),
        (source(None), False),
        (source("nonsense"), False),
        ({"metadata": {"name": "s"}, "spec": None, "status": []}, False),
    ],
)
def test_a_source_points_at_a_broker_by_reference_or_by_its_address(given: dict[str, Any], points: bool) -> None:
    assert points_at(given, BROKER) is points


def test_a_broker_without_address_has_only_the_sources_that_name_it() -> None:
    broker = {"metadata": BROKER["metadata"]}
    assert points_at(source(ref()), broker)
    assert not points_at(source(None), broker)


def test_the_table_says_what_a_source_sends_and_since_when_it_is_ready() -> None:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:57:00Z"}
    attributes = [{"type": "b", "source": "/x"}, {"type": "a"}, {"source": "/y"}, "nonsense", {"type": "b"}]
    lines = table(
        [source(ref(), conditions=[condition], ceAttributes=attributes), source(ref(), "x")],
        datetime(2026, 1, 1, 1, 0, tzinfo=UTC),
    ).splitlines()
    assert [line.split() for line in lines] == [
        ["KIND", "NAMESPACE", "NAME", "READY", "REASON", "TYPES", "SINCE"],
        ["PingSource", "shop", "s", "True", "a,b", "3m"],
        ["PingSource", "x", "s", "60m"],
    ]


def test_types_are_said_only_where_a_source_says_them() -> None:
    assert event_types(source(None)) == []
    assert event_types(source(None, ceAttributes={"type": "a"})) == []


def test_the_newest_finished_version_is_asked() -> None:
    assert _newest(["v1alpha1", "v1", "v1beta1"]) == "v1"
    assert _newest(["v1alpha1", "v1beta2", "v1beta1"]) == "v1beta2"
    assert _newest(["v1", "v2"]) == "v2"
