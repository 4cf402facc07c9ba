"""Kinds that take any members: custom ones, and Broker and Trigger as they come where nobody has checked them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.ponds import definition, version
from tests.support.realkube import Kube

_CATEGORIES = ["all", "knative", "eventing"]


def install_kinds(cluster: Kube) -> None:
    """Define Broker and Trigger on a cluster, and wait until they are served."""
    kinds = [custom_kind("eventing.knative.dev", kind, f"{kind.lower()}s") for kind in ("Broker", "Trigger")]
    apply_kinds(cluster, *kinds)


def apply_kinds(cluster: Kube, *definitions: dict[str, Any]) -> None:
    """Define kinds, and wait until they are served."""
    for value in definitions:
        cluster.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(value))
    names = [f"crd/{value['metadata']['name']}" for value in definitions]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=45s", *names)


def custom_kind(group: str, kind: str, plural: str) -> dict[str, Any]:
    """The definition of a kind that may have any members, with a status of its own."""
    whole = definition(group, kind, plural, version(subresources={"status": {}}))
    whole["spec"]["names"] |= {"singular": kind.lower(), "categories": _CATEGORIES}
    return whole
