"""Our kinds Broker and Trigger, given to a genuine API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.support.controlplane import pond_kind
from tests.support.realkube import Kube

KINDS: Final = Path(__file__).parents[2] / "deploy" / "base" / "crds"
GROUP: Final = "eventing.knative.dev"
API: Final = f"{GROUP}/v1"


def install(kube: Kube) -> None:
    """Make them known, and wait until they can be used."""
    kube.kubectl("apply", "--server-side", "-k", str(KINDS))
    ducks = pond_kind("Duck")
    apply(kube, ducks)
    names = [f"crd/{name}" for name in (f"brokers.{GROUP}", f"triggers.{GROUP}", ducks["metadata"]["name"])]
    kube.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    # Within two seconds of that the server holds up the first one made of each kind.
    namespace, name = "scaup-kinds", "first"
    apply(kube, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for first in (broker(namespace, name), trigger(namespace, name, "http://sink.test/")):
        apply(kube, first)
        kube.kubectl("delete", first["kind"], name, "-n", namespace)


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
