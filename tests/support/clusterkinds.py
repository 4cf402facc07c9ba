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
    for first in (broker(name, namespace), trigger(name, namespace, {"uri": "http://sink.test/"})):
        apply(kube, first)
        kube.kubectl("delete", first["kind"], name, "-n", namespace)


def apply(kube: Kube, *objects: dict[str, Any]) -> None:
    """``kubectl apply`` all of them at once."""
    kube.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def broker(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """A Broker of our class, as people write it."""
    metadata = {"name": name, "namespace": namespace, "annotations": {f"{GROUP}/broker.class": "Scaup"}}
    return {"apiVersion": API, "kind": "Broker", "metadata": metadata, "spec": spec}


def trigger(name: str, namespace: str, subscriber: Any, broker: str = "default", **spec: Any) -> dict[str, Any]:
    """A Trigger, as people write it."""
    annotations = spec.pop("annotations", {})
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    whole = {"broker": broker, "subscriber": subscriber} | spec
    return {"apiVersion": API, "kind": "Trigger", "metadata": metadata, "spec": whole}
