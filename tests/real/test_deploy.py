"""``kubectl apply -k`` on a genuine API server: everything is accepted, twice, upgraded, and taken away again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.deployed import NAMESPACE, OVERLAYS, ROOT, kustomization, remaining, rendered, versions, workloads
from tests.support.realkube import Kube, kube
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

BROKER = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: kept
  namespace: default
  annotations: {eventing.knative.dev/broker.class: Scaup}
spec: {}
"""
SENT_AGAIN = {"statefulset.apps", "poddisruptionbudget.policy"}
"""Kinds with fields that kubectl compares as a whole: it sends them each time, and nothing changes."""
README = (ROOT / "deploy" / "README.md").read_text()


@pytest.fixture(scope="module")
def server() -> Iterator[Kube]:
    """A server for this module alone, for an installation is one for the whole cluster."""
    with kube() as running:
        yield running


@pytest.fixture
def own(server: Kube) -> Iterator[Kube]:
    """The server, without what a test that failed has left there."""
    yield server
    server.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


def told(beginning: str, directory: Path) -> list[str]:
    """What ``deploy/README.md`` says to do that begins so, with a kustomization instead of the overlay it names."""
    (line,) = {line.strip() for line in README.splitlines() if line.strip().startswith(f"kubectl {beginning}")}
    return [str(directory) if word.startswith("deploy/overlays/") else word for word in shlex.split(line)[1:]]


def install(cluster: Kube, directory: Path) -> str:
    return cluster.kubectl("apply", "-k", str(directory))


async def remove(cluster: Kube, directory: Path) -> None:
    """All of it, and wait until the namespace is gone: Kubernetes takes some seconds for that."""
    command = told("delete -k deploy/overlays/laptop --ignore", directory)
    cluster.kubectl(*command, "--wait=false")
    await until_nothing_is_left(cluster)


async def until_nothing_is_left(cluster: Kube) -> None:
    def is_gone() -> bool:
        return "NotFound" in cluster.kubectl_run("get", "namespace", NAMESPACE).stderr

    await eventually(is_gone, "the namespace is gone", within_s=60)
    await eventually(lambda: remaining(cluster) == [], "nothing is left", within_s=60)


def of_prometheus_operator() -> str:
    """A kind as the Prometheus Operator has it, with the fields that are used here."""
    text = {"type": "string"}
    labels = {"type": "object", "additionalProperties": text}
    relabeling = {"sourceLabels": {"type": "array", "items": text}, "targetLabel": text}
    endpoint = {
        "port": text,
        "interval": text,
        "relabelings": {"type": "array", "items": {"type": "object", "properties": relabeling}},
    }
    spec = {
        "selector": {"type": "object", "properties": {"matchLabels": labels}},
        "endpoints": {"type": "array", "items": {"type": "object", "properties": endpoint}},
    }
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": "ServiceMonitor", "plural": "servicemonitors"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    return yaml.safe_dump(definition)


@pytest.mark.parametrize(
    ("overlay", "components"),
    [("laptop", ()), ("production", ("nats-tls", "servicemonitor"))],
    ids=["laptop", "production with its components"],
)
async def test_everything_is_accepted_and_a_second_time_changes_nothing_and_all_of_it_can_be_removed(
    own: Kube, tmp_path: Path, overlay: str, components: tuple[str, ...]
) -> None:
    own.kubectl("apply", "-f", "-", stdin=of_prometheus_operator())
    own.kubectl("wait", "--for=condition=Established", "crd/servicemonitors.monitoring.coreos.com")
    target = kustomization(tmp_path / "own", overlay, *components) if components else OVERLAYS / overlay
    own.kubectl("create", "namespace", NAMESPACE)  # a dry run makes none for what would be in it
    dry = own.kubectl("apply", "-k", str(target), "--dry-run=server").splitlines()
    assert len(dry) == len(rendered(target))
    install(own, target)
    before = await settled(own, target)
    again = install(own, target)
    sent = {line.partition("/")[0] for line in again.splitlines() if not line.endswith("unchanged")}
    assert sent <= SENT_AGAIN
    assert versions(own, target) == before
    assert own.kubectl_run("diff", "-k", str(target)).stdout == ""
    await remove(own, target)


async def settled(cluster: Kube, target: Path) -> dict[str, str]:
    """The versions of all objects once Kubernetes has put the controller's rights together."""

    def has_rules() -> bool:
        role = json.loads(cluster.kubectl("get", "clusterrole", "scaup-controller-sinks", "-o", "json"))
        return bool(role.get("rules"))

    await eventually(has_rules, "the rules are there")
    return versions(cluster, target)


async def test_an_upgrade_starts_the_services_anew_and_leaves_nats_and_the_definitions_alone(
    own: Kube, tmp_path: Path
) -> None:
    target = kustomization(tmp_path / "own", "laptop")
    install(own, target)
    own.kubectl("apply", "-f", "-", stdin=BROKER)
    before = generations(own)
    newer = {
        "images": [{"name": "scaup", "newName": "registry.test/scaup", "newTag": "9.9.9"}],
        "configMapGenerator": [
            {
                "name": "scaup-settings",
                "namespace": NAMESPACE,
                "behavior": "merge",
                "literals": ["SCAUP_LOG_LEVEL=debug"],
            }
        ],
    }
    kustomization(target, "laptop", more=newer)
    said = own.kubectl_run(*told("diff", target)).stdout
    assert "+        image: registry.test/scaup:9.9.9" in said
    pruned = own.kubectl(*told("apply -k deploy/overlays/laptop --prune", target))
    assert "configmap/scaup-settings-" in "\n".join(line for line in pruned.splitlines() if line.endswith("pruned"))
    after = generations(own)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"scaup-controller", "scaup-dispatcher", "scaup-filter", "scaup-ingress"}
    maps = own.kubectl("get", "configmap", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=scaup", "-o", "name")
    assert len(maps.split()) == 2
    assert own.kubectl("get", "broker", "kept", "-o", "name").strip() == "broker.eventing.knative.dev/kept"
    own.kubectl("delete", "broker", "kept")
    await remove(own, target)


def generations(cluster: Kube) -> dict[str, int]:
    """How often what a workload shall be was changed: each time its pods are made anew."""
    listed = json.loads(cluster.kubectl("get", "deployments,statefulsets", "-n", NAMESPACE, "-o", "json"))["items"]
    return {one["metadata"]["name"]: one["metadata"]["generation"] for one in listed}


async def test_the_software_is_removed_and_what_people_made_and_what_is_stored_stays(own: Kube) -> None:
    target = OVERLAYS / "laptop"
    install(own, target)
    own.kubectl("apply", "-f", "-", stdin=BROKER)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-scaup-nats-0", "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # as a StatefulSet's controller makes it
    own.kubectl("apply", "-f", "-", stdin=json.dumps(volume))
    own.kubectl(*told("delete -k deploy/overlays/laptop -l", target))
    left = {
        "namespace/scaup-system",
        "customresourcedefinition.apiextensions.k8s.io/brokers.eventing.knative.dev",
        "customresourcedefinition.apiextensions.k8s.io/triggers.eventing.knative.dev",
    }
    await eventually(lambda: set(remaining(own)) == left, "only what is kept is left")
    assert own.kubectl("get", "broker", "kept", "-o", "name").strip()
    assert own.kubectl("get", "persistentvolumeclaim", "-n", NAMESPACE, "data-scaup-nats-0", "-o", "name").strip()
    # As Kubernetes does once no pod uses the volume.
    own.kubectl("patch", "pvc", "-n", NAMESPACE, "data-scaup-nats-0", "-p", '{"metadata":{"finalizers":null}}')
    await remove(own, target)
    assert "doesn't have a resource type" in own.kubectl_run("get", "brokers").stderr


async def test_beside_knative_its_own_kinds_are_neither_changed_nor_removed(own: Kube, tmp_path: Path) -> None:
    kinds = [one for one in rendered(OVERLAYS / "laptop") if one["kind"] == "CustomResourceDefinition"]
    for one in kinds:  # as another installation put them there
        one["metadata"] = {"name": one["metadata"]["name"], "labels": {"app.kubernetes.io/part-of": "another"}}
    own.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(kinds))
    before = own.kubectl("get", "crd", "-o", "json")
    target = kustomization(tmp_path / "own", "laptop", "beside-knative")
    install(own, target)
    await remove(own, target)
    assert own.kubectl("get", "crd", "-o", "json") == before
    own.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(kinds))


@pytest.mark.parametrize("overlay", ["laptop", "production"])
def test_every_pod_is_one_that_the_strictest_security_standard_admits(own: Kube, tmp_path: Path, overlay: str) -> None:
    objects = rendered(OVERLAYS / overlay)
    own.kubectl(
        "apply", "-f", str(_written(tmp_path / "ns.yaml", [one for one in objects if one["kind"] == "Namespace"]))
    )
    for workload in workloads(objects):
        template = workload["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": template["metadata"] | {"name": "one", "namespace": NAMESPACE},
            "spec": template["spec"],
        }
        if claims := workload["spec"].get("volumeClaimTemplates"):  # as a StatefulSet's controller does
            volumes = [
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "c"}} for claim in claims
            ]
            pod["spec"]["volumes"] = [*pod["spec"].get("volumes", []), *volumes]
        own.kubectl("apply", "-f", "-", "--dry-run=server", stdin=json.dumps(pod))
        pod["spec"]["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
        refused = own.kubectl_run("apply", "-f", "-", "--dry-run=server", stdin=json.dumps(pod))
        assert 'violates PodSecurity "restricted' in refused.stderr


def _written(path: Path, objects: list[dict[str, object]]) -> Path:
    path.write_text(yaml.safe_dump_all(objects))
    return path
