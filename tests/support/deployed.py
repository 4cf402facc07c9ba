"""What is in ``deploy/``, as kubectl makes it: rendered, and put together as a person's own kustomization would be."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.realkube import Kube, find_kubectl

ROOT: Final = Path(__file__).resolve().parents[2]
OVERLAYS: Final = ROOT / "deploy" / "overlays"
COMPONENTS: Final = ROOT / "deploy" / "components"
NAMESPACE: Final = "scaup-system"
Object = dict[str, Any]


def kustomization(directory: Path, overlay: str, *components: str, more: Object | None = None) -> Path:
    """A kustomization of a person's own: an overlay of ours, some components, and ``more`` fields."""
    directory.mkdir(parents=True, exist_ok=True)
    whole = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(OVERLAYS / overlay, directory.resolve())],
        "components": [os.path.relpath(COMPONENTS / name, directory.resolve()) for name in components],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(whole | (more or {})))
    return directory


def rendered(directory: Path) -> list[Object]:
    """Every object that ``kubectl apply -k`` would send."""
    command = [str(find_kubectl()), "kustomize", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def workloads(objects: list[Object]) -> list[Object]:
    """The Deployments and StatefulSets."""
    return [one for one in objects if one["kind"] in {"Deployment", "StatefulSet"}]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of that kind and name; a name made by a generator goes on with a dash and a digest."""
    (found,) = [
        one
        for one in objects
        if one["kind"] == kind and (one["metadata"]["name"] == name or one["metadata"]["name"][:-11] == name)
    ]
    return found


def container(workload: Object) -> Object:
    """The one container of a workload."""
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(workload: Object, objects: list[Object]) -> dict[str, str]:
    """The variables that its container gets; one out of a Secret or a field is called by its name."""
    found: dict[str, str] = {}
    for source in container(workload).get("envFrom", []):
        (settings,) = [
            one
            for one in objects
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == source["configMapRef"]["name"]
        ]
        found |= settings["data"]
    return found | {one["name"]: one.get("value", one["name"]) for one in container(workload).get("env", [])}


def versions(kube: Kube, directory: Path) -> dict[str, str]:
    """The resourceVersion of everything in a kustomization, by kind and name."""
    listed = json.loads(kube.kubectl("get", "-k", str(directory), "-o", "json"))["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in listed}


def remaining(kube: Kube) -> list[str]:
    """What there is of Scaup, of every kind that the API has, by resource and name."""
    kinds = kube.kubectl("api-resources", "--verbs=list,delete", "-o", "name").split()
    wanted = ",".join(kind for kind in kinds if not kind.startswith("events"))
    listed = kube.kubectl("get", wanted, "-A", "-l", "app.kubernetes.io/part-of=scaup", "-o", "name")
    return listed.split()
