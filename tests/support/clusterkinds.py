"""The kinds Broker and Trigger, given to a genuine API server."""

from __future__ import annotations

import json
from typing import Any

from tests.support.controlplane import pond_kind
from tests.support.realkube import Kube


def install(kube: Kube) -> None:
    """Make them known, and wait until they can be used."""
    kinds = [_kind("Broker"), _kind("Trigger"), pond_kind("Duck")]
    apply(kube, *kinds)
    names = [f"crd/{kind['metadata']['name']}" for kind in kinds]
    kube.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    # Within two seconds of that the server holds up the first one made of each kind.
    namespace, name = "scaup-kinds", "first"
    apply(kube, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for kind in ("Broker", "Trigger"):
        apply(kube, {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": namespace}})
        kube.kubectl("delete", kind, name, "-n", namespace)


API = "eventing.knative.dev/v1"


def apply(kube: Kube, *objects: dict[str, Any]) -> None:
    """``kubectl apply`` all of them at once."""
    kube.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def broker(namespace: str, name: str = "default") -> dict[str, Any]:
    """A Broker of ours."""
    annotations = {"eventing.knative.dev/broker.class": "Scaup"}
    return {
        "apiVersion": API,
        "kind": "Broker",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {},
    }


def trigger(namespace: str, name: str, uri: str, broker: str = "default", **spec: Any) -> dict[str, Any]:
    """A Trigger whose subscriber is a URL."""
    return {
        "apiVersion": API,
        "kind": "Trigger",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"broker": broker, "subscriber": {"uri": uri}} | spec,
    }


def _kind(kind: str) -> dict[str, Any]:
    made = pond_kind(kind)
    made["metadata"]["name"] = f"{kind.lower()}s.eventing.knative.dev"
    made["spec"]["group"] = "eventing.knative.dev"
    return made
