"""SinkBindings on a genuine API server, kept with no more rights than ``deploy/components/sinkbinding`` gives."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scaup.controller.kube import connect
from scaup.controller.sinkbindings import SinkBindings
from tests.support.controlplane import pond_kind
from tests.support.natsserver import NatsServer
from tests.support.realkube import Kube, kube
from tests.support.scaupup import scaup
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

COMPONENT = Path(__file__).parents[2] / "deploy" / "components" / "sinkbinding"
MARK = "scaup.dev/sinkbinding"
SOURCES = "sources.knative.dev/v1"
SA = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "scaup-controller", "namespace": "scaup-system"},
}
SINKS_ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-sinks}
rules: [{apiGroups: [pond.test], resources: [ducks], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-sinks}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-sinks}
subjects: [{kind: ServiceAccount, name: scaup-controller, namespace: scaup-system}]
"""
NO_FINALIZERS = '{"metadata": {"finalizers": null}}'
CONTAINERS: list[dict[str, Any]] = [
    {"name": "app", "image": "registry.test/app", "env": [{"name": "OWN", "value": "1"}]},
    {"name": "side", "image": "registry.test/side"},
]
INIT = [{"name": "first", "image": "registry.test/first"}]
SINK = "http://sink.test/in"
APPS = ("deployment", "statefulset", "daemonset", "replicaset")
PATHS = {
    **{kind: f"/apis/apps/v1/namespaces/{{}}/{kind}s" for kind in APPS},
    "cronjob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "services.serving.knative.dev": "/apis/serving.knative.dev/v1/namespaces/{}/services",
    "sinkbinding": f"/apis/{SOURCES}/namespaces/{{}}/sinkbindings",
}


async def soon(condition: Callable[[], object], what: str, within_s: float = 40) -> None:
    """As ``eventually``, with patience for a machine that has an API server and kubectl to run beside this."""
    await eventually(condition, what, within_s=within_s)


@functools.cache
def _trusting(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


@dataclass
class Bench:
    """A namespace of one test's own, and words to look at it."""

    cluster: Kube
    kubeconfig: str
    namespace: str

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args, stdin=stdin)

    def make(self, *values: dict[str, Any]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(values)})
        self.kubectl("create", "-f", "-", stdin=text)

    def get(self, what: str) -> dict[str, Any]:
        """An object, asked for over HTTP: much faster than kubectl, which is started anew for each."""
        plural, _, name = what.partition("/")
        request = urllib.request.Request(f"{self.cluster.server}{PATHS[plural].format(self.namespace)}/{name}")
        request.add_header("Authorization", f"Bearer {self.cluster.token}")
        with urllib.request.urlopen(request, timeout=30, context=_trusting(self.cluster.ca)) as answer:
            value: dict[str, Any] = json.load(answer)
        return value

    def env(self, what: str, name: str = "containers") -> list[dict[str, str]]:
        """What stands in the environment of each container."""
        spec = self.get(what)["spec"]
        spec = spec.get("jobTemplate", {}).get("spec") or spec
        listed = spec["template"]["spec"].get(name, [])
        return [{e["name"]: e.get("value", "") for e in container.get("env", [])} for container in listed]

    def bind(self, name: str, subject: dict[str, Any], sink: dict[str, Any] | None = None, **more: Any) -> None:
        spec = {"subject": subject, "sink": sink or {"uri": SINK}, **more}
        self.make({"apiVersion": SOURCES, "kind": "SinkBinding", "metadata": {"name": name}, "spec": spec})

    async def delete(self, *names: str) -> None:
        """Delete bindings, all of them where none is named, and wait until they are gone."""
        self.kubectl("delete", "sinkbinding", *(names or ("--all",)), "--wait=false")

        def left() -> set[str]:
            return {item["metadata"]["name"] for item in self.get("sinkbinding/")["items"]}

        await soon(lambda: not (left() & set(names) if names else left()), "the bindings are gone")

    def ready(self, name: str) -> tuple[str, str, str]:
        """Status, reason and message of a binding's Ready."""
        value = self.get(f"sinkbinding/{name}")
        status = value.get("status", {})
        if status.get("observedGeneration") != value["metadata"]["generation"]:
            return "", "", ""
        found: dict[str, str] = next((c for c in status["conditions"] if c["type"] == "Ready"), {})
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    async def until(self, name: str, status: str, reason: str = "", within_s: float = 40) -> str:
        """Wait until a binding is that; gives back the message."""
        what = f"{name} is Ready {status} {reason}"
        await soon(lambda: self.ready(name)[:2] == (status, reason), what, within_s)
        return self.ready(name)[2]


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Kube]:
    """A server of this module's own: what it changes in roles and definitions is nobody else's."""
    with kube() as running:
        yield running


@pytest.fixture(scope="module")
def component(own_cluster: Kube) -> str:
    """The component applied, and a kubeconfig of the account it is for."""
    own_cluster.kubectl(
        "apply", "-f", "-", stdin='{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"scaup-system"}}'
    )
    own_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(SA))
    own_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pond_kind("Duck")))
    own_cluster.kubectl("apply", "-f", "-", stdin=SINKS_ROLE)
    own_cluster.kubectl("apply", "-f", str(COMPONENT / "crd.yaml"), "-f", str(COMPONENT / "rbac.yaml"))
    crds = ("crd/sinkbindings.sources.knative.dev", "crd/ducks.pond.test")
    own_cluster.kubectl("wait", "--for=condition=Established", *crds)
    token = own_cluster.kubectl("create", "token", "-n", "scaup-system", "scaup-controller").strip()
    return str(own_cluster.kubeconfig_of(token))


_NUMBERS = iter(range(10_000))


@pytest.fixture
def bench(own_cluster: Kube, component: str) -> Iterator[Bench]:
    namespace = f"binding-{next(_NUMBERS)}"
    own_cluster.kubectl("create", "namespace", namespace)
    found = Bench(own_cluster, component, namespace)
    yield found
    for left in found.get("sinkbinding/")["items"]:  # nobody keeps them any more
        found.kubectl("patch", "sinkbinding", left["metadata"]["name"], "--type=merge", "-p", NO_FINALIZERS)
    own_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@asynccontextmanager
async def keeping(kubeconfig: str, leads: Callable[[], bool] = lambda: True) -> AsyncIterator[None]:
    """SinkBindings are kept meanwhile."""
    open_before = _open_files()
    async with connect(kubeconfig) as api:
        task = asyncio.create_task(SinkBindings(api, leads).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
    # A TLS connection says good-bye before its socket is closed.
    await soon(lambda: _open_files() <= open_before, "its connections are closed")


def start(log: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "scaup.controller"], env=environ, stdout=file, stderr=file)


def workload(kind: str, name: str = "w", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """An object of apps/v1 with two containers and one that runs before them."""
    pod = {"containers": CONTAINERS, "initContainers": INIT}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    base = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels or {}},
        "spec": base | spec,
    }


def named(kind: str = "Deployment", name: str = "w", api_version: str = "apps/v1") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": name}


def selected(kind: str = "Deployment", api_version: str = "apps/v1", **labels: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "selector": {"matchLabels": labels}}


async def test_a_deployment_has_the_sink_in_every_container_until_its_binding_goes(bench: Bench) -> None:
    bench.make(workload("Deployment"))
    before = bench.get("deployment/w")
    async with keeping(bench.kubeconfig):
        bench.bind("b", named(), ceOverrides={"extensions": {"zone": "b", "area": "a"}})
        await bench.until("b", "True")
        given = {"K_SINK": SINK, "K_CE_OVERRIDES": '{"extensions":{"area":"a","zone":"b"}}'}
        assert bench.env("deployment/w") == [{"OWN": "1"} | given, given]
        assert bench.env("deployment/w", "initContainers") == [given]
        assert bench.get("deployment/w")["metadata"]["generation"] == before["metadata"]["generation"] + 1
        status = bench.get("sinkbinding/b")["status"]
        assert status["sinkUri"] == SINK
        conditions = {c["type"]: c["status"] for c in status["conditions"]}
        assert conditions == {"Ready": "True", "SinkProvided": "True", "SinkBindingAvailable": "True"}
        await bench.delete("b")
        after = bench.get("deployment/w")
        assert after["spec"] == before["spec"]
        assert after["metadata"].get("annotations", {}) == {}


async def test_a_changed_address_and_changed_overrides_reach_the_containers(bench: Bench) -> None:
    duck = {"apiVersion": "pond.test/v1", "kind": "Duck", "metadata": {"name": "donald"}, "spec": {}}
    ref = {"ref": {"apiVersion": "pond.test/v1", "kind": "Duck", "name": "donald"}, "uri": "/in"}
    bench.make(workload("Deployment"))

    def say(address: dict[str, Any] | None) -> None:
        patch = json.dumps({"status": {"address": address}})
        bench.kubectl("patch", "duck/donald", "--subresource=status", "--type=merge", "-p", patch)

    async with keeping(bench.kubeconfig):
        bench.bind("b", named(), ref)
        await bench.until("b", "False", "SinkNotFound")
        bench.make(duck)
        await bench.until("b", "False", "SinkHasNoAddress")
        assert bench.env("deployment/w") == [{"OWN": "1"}, {}]
        say({"url": "http://one.test/", "CACerts": "-----BEGIN CERTIFICATE-----"})
        await bench.until("b", "True")
        one = {"K_SINK": "http://one.test/in", "K_CA_CERTS": "-----BEGIN CERTIFICATE-----", "K_CE_OVERRIDES": ""}
        assert bench.env("deployment/w")[1] == one
        say({"url": "http://two.test/", "CACerts": None})
        two = {"K_SINK": "http://two.test/in", "K_CE_OVERRIDES": ""}
        await soon(lambda: bench.env("deployment/w")[1] == two, "the new address is there")
        overrides = {"spec": {"ceOverrides": {"extensions": {"a": "b"}}}}
        bench.kubectl("patch", "sinkbinding/b", "--type=merge", "-p", json.dumps(overrides))
        await soon(lambda: "extensions" in bench.env("deployment/w")[1]["K_CE_OVERRIDES"], "the overrides too")
        bench.kubectl("delete", "duck/donald")
        await bench.until("b", "False", "SinkNotFound")
        assert bench.env("deployment/w")[1]["K_SINK"] == "http://two.test/in", "without address the last one stays"
        assert bench.get("sinkbinding/b")["status"]["sinkUri"] == "http://two.test/in"


KNATIVE_SERVICE = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "services.serving.knative.dev"},
    "spec": {
        "group": "serving.knative.dev",
        "scope": "Namespaced",
        "names": {"kind": "Service", "plural": "services", "singular": "service"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


async def test_whatever_has_a_pod_template_can_be_bound(bench: Bench) -> None:
    bench.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(KNATIVE_SERVICE))
    bench.cluster.kubectl("wait", "--for=condition=Established", "crd/services.serving.knative.dev")
    job = {"template": {"spec": {"containers": CONTAINERS, "restartPolicy": "Never"}}}
    own = {"image": "y", "env": [{"name": "OWN", "value": "1"}]}
    bench.make(
        workload("StatefulSet", serviceName="w"),
        workload("DaemonSet"),
        workload("ReplicaSet"),
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "w"},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}},
        },
        {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "w", "annotations": {"its": "own"}},
            "spec": {"template": {"spec": {"containers": [{"image": "x"}, own]}}},
        },
    )
    kinds = {
        "statefulset": named("StatefulSet"),
        "daemonset": named("DaemonSet"),
        "replicaset": named("ReplicaSet"),
        "cronjob": named("CronJob", api_version="batch/v1"),
        "services.serving.knative.dev": named("Service", api_version="serving.knative.dev/v1"),
    }
    before = {kind: bench.get(f"{kind}/w") for kind in kinds}
    async with keeping(bench.kubeconfig):
        for number, subject in enumerate(kinds.values()):
            bench.bind(f"b{number}", subject)
        for number, kind in enumerate(kinds):
            await bench.until(f"b{number}", "True")
            assert [env.get("K_SINK") for env in bench.env(f"{kind}/w")] == [SINK, SINK]
        await bench.delete()
    for kind in kinds:
        after = bench.get(f"{kind}/w")
        assert after["spec"] == before[kind]["spec"]
        assert MARK not in after["metadata"].get("annotations", {})


async def test_a_selector_binds_what_it_selects_and_lets_go_what_it_no_longer_does(bench: Bench) -> None:
    bench.make(workload("Deployment", "one", {"tier": "x"}), workload("Deployment", "two", {"tier": "y"}))
    async with keeping(bench.kubeconfig):
        bench.bind("b", selected(tier="x"))
        await bench.until("b", "True")
        assert bench.env("deployment/one")[1]["K_SINK"] == SINK
        assert bench.env("deployment/two")[1] == {}
        bench.kubectl("label", "deployment/two", "tier=x", "--overwrite")
        await soon(lambda: bench.env("deployment/two")[1].get("K_SINK") == SINK, "two is selected now", within_s=40)
        bench.kubectl("label", "deployment/one", "tier-")
        await soon(lambda: bench.env("deployment/one") == [{"OWN": "1"}, {}], "one is as it was")
        bench.make(workload("Deployment", "three", {"tier": "x"}))
        await soon(lambda: bench.env("deployment/three")[1].get("K_SINK") == SINK, "three came later", within_s=40)
        bench.make(workload("StatefulSet", "four", {"tier": "x"}, serviceName="four"))
        other = json.dumps({"spec": {"subject": selected("StatefulSet", tier="x")}})
        bench.kubectl("patch", "sinkbinding/b", "--type=merge", "-p", other)
        await soon(lambda: bench.env("statefulset/four")[1].get("K_SINK") == SINK, "it binds another kind", within_s=40)
        await soon(lambda: bench.env("deployment/two")[1] == {}, "two is let go")
        await soon(lambda: bench.env("deployment/three")[1] == {}, "three is let go")


async def test_a_selector_of_jobs_binds_the_cronjobs_that_make_them(bench: Bench) -> None:
    job = {"template": {"spec": {"containers": CONTAINERS, "restartPolicy": "Never"}}}
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "beat"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"metadata": {"labels": {"app": "beat"}}, "spec": job}},
    }
    bench.make(cron)
    async with keeping(bench.kubeconfig):
        bench.bind("b", selected("Job", "batch/v1", app="beat"))
        await bench.until("b", "True")
        assert bench.env("cronjob/beat")[1]["K_SINK"] == SINK
        meta = {"name": "by-hand", "labels": {"app": "beat"}}
        bench.make({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job})
        message = await bench.until("b", "False", "SubjectImmutable")
        assert "by-hand" in message
        given = [{"name": "K_SINK", "value": SINK}, {"name": "K_CE_OVERRIDES", "value": ""}]
        made = [{"name": "app", "image": "registry.test/app", "env": given}]
        job = {"template": {"spec": {"containers": made, "restartPolicy": "Never"}}}
        bench.make({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bound"}, "spec": job})
        bench.bind("c", named("Job", "bound", "batch/v1"))
        await bench.until("c", "True")


async def test_what_its_author_has_set_is_left_alone_and_said(bench: Bench) -> None:
    deployment = workload("Deployment")
    own = {"name": "K_SINK", "value": "http://own.test"}
    deployment["spec"]["template"]["spec"] = {"containers": [CONTAINERS[0], CONTAINERS[1] | {"env": [own]}]}
    bench.make(deployment)
    async with keeping(bench.kubeconfig):
        bench.bind("b", named())
        message = await bench.until("b", "False", "EnvironmentTaken")
        assert "K_SINK in container 'side'" in message
        assert [env["K_SINK"] for env in bench.env("deployment/w")] == [SINK, "http://own.test"]
        bench.kubectl("set", "env", "deployment/w", "-c", "side", "K_SINK-")
        await bench.until("b", "True")
        assert [env["K_SINK"] for env in bench.env("deployment/w")] == [SINK, SINK]
        bench.kubectl("set", "env", "deployment/w", "-c", "side", "K_SINK=http://other.test")
        await bench.until("b", "False", "EnvironmentTaken")
        await bench.delete("b")
        assert bench.env("deployment/w")[1] == {"K_SINK": "http://other.test"}


@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["client-side", "server-side"])
async def test_an_author_goes_on_applying_and_can_take_a_container_away(bench: Bench, how: tuple[str, ...]) -> None:
    deployment = workload("Deployment")
    bench.kubectl("apply", *how, "-f", "-", stdin=json.dumps(deployment))
    async with keeping(bench.kubeconfig):
        bench.bind("b", named())
        await bench.until("b", "True")
        bound = bench.get("deployment/w")["metadata"]
        bench.kubectl("apply", *how, "-f", "-", stdin=json.dumps(deployment))
        assert bench.get("deployment/w")["metadata"]["generation"] == bound["generation"], "the same again is no change"
        deployment["spec"]["template"]["spec"] = {"containers": [CONTAINERS[0] | {"image": "registry.test/new"}]}
        bench.kubectl("apply", *how, "-f", "-", stdin=json.dumps(deployment))
        assert bench.env("deployment/w") == [{"OWN": "1", "K_SINK": SINK, "K_CE_OVERRIDES": ""}]
        await bench.until("b", "True")
        await bench.delete("b")
        assert bench.env("deployment/w") == [{"OWN": "1"}]


async def test_of_two_bindings_a_name_goes_before_a_selector_and_the_other_takes_over(bench: Bench) -> None:
    bench.make(workload("Deployment", "w", {"tier": "x"}))
    async with keeping(bench.kubeconfig):
        bench.bind("many", selected(tier="x"), {"uri": "http://many.test"})
        await bench.until("many", "True")
        bench.bind("one", named(), {"uri": "http://one.test"})
        await bench.until("one", "True")
        assert bench.env("deployment/w")[1]["K_SINK"] == "http://one.test"
        await bench.until("many", "True", "")
        created = bench.get("sinkbinding/many")["metadata"]["creationTimestamp"]
        await soon(lambda: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" > created, "another second")
        bench.bind("late", selected(tier="x"), {"uri": "http://late.test"})
        bench.bind("second", named(), {"uri": "http://second.test"})
        assert "one" in await bench.until("second", "False", "SubjectBoundByAnother")
        await bench.delete("one", "second")
        await soon(
            lambda: bench.env("deployment/w")[1]["K_SINK"] == "http://many.test", "the older takes over", within_s=40
        )
        await bench.until("late", "False", "SubjectBoundByAnother")


async def test_a_namespace_or_a_workload_can_say_that_it_is_not_to_be_bound(bench: Bench) -> None:
    exclude = "bindings.knative.dev/exclude=true"
    bench.make(workload("Deployment"))
    async with keeping(bench.kubeconfig):
        bench.bind("b", named())
        await bench.until("b", "True")
        bench.cluster.kubectl("label", "namespace", bench.namespace, exclude)
        await bench.until("b", "False", "SubjectExcluded")
        await soon(lambda: bench.env("deployment/w")[1] == {}, "it is let go")
        bench.cluster.kubectl("label", "namespace", bench.namespace, "bindings.knative.dev/exclude-")
        await bench.until("b", "True")
        bench.kubectl("label", "deployment/w", exclude)
        await bench.until("b", "False", "SubjectExcluded")


async def test_what_cannot_be_bound_is_said_with_its_reason(bench: Bench) -> None:
    async with keeping(bench.kubeconfig):
        bench.bind("missing", named(name="nobody"))
        bench.bind("kind", named("Nonsense", api_version="pond.test/v1"))
        bench.bind("right", named("ReplicationController", api_version="v1"))
        bench.bind("sink", named(), {"ref": {"apiVersion": "v1", "kind": "Secret", "name": "s"}})
        bench.bind("elsewhere", named() | {"namespace": "default"})
        bench.bind("none", selected(no="one"))
        assert "no Deployment" in await bench.until("missing", "False", "SubjectMissing")
        assert "no kind Nonsense" in await bench.until("kind", "False", "SubjectUnavailable")
        assert "replicationcontrollers" in await bench.until("right", "False", "SubjectForbidden")
        assert "secrets" in await bench.until("sink", "False", "SinkForbidden")
        assert "own namespace" in await bench.until("elsewhere", "False", "SpecInvalid")
        await bench.until("none", "True")
        bench.make(workload("Deployment", "nobody"))
        await bench.until("missing", "True")


async def test_a_missing_right_to_change_a_workload_is_named_and_tried_again(bench: Bench) -> None:
    def may_patch(says: bool) -> None:
        verbs = ["get", "list", "watch", *(["patch"] if says else [])]
        rules = json.loads(bench.cluster.kubectl("get", "clusterrole", "scaup-sinkbinding", "-o", "json"))["rules"]
        for rule in rules:
            rule["verbs"] = verbs if rule["apiGroups"] == ["apps"] else rule["verbs"]
        bench.cluster.kubectl(
            "patch", "clusterrole", "scaup-sinkbinding", "--type=merge", "-p", json.dumps({"rules": rules})
        )

    bench.make(workload("Deployment"))
    may_patch(False)
    try:
        async with keeping(bench.kubeconfig):
            bench.bind("b", named())
            assert "may not patch Deployment w" in await bench.until("b", "False", "SubjectForbidden")
            may_patch(True)
            await bench.until("b", "True")
    finally:
        may_patch(True)


async def test_the_next_process_goes_on_from_what_there_is(bench: Bench) -> None:
    bench.make(workload("Deployment"), workload("Deployment", "other"))
    async with keeping(bench.kubeconfig):
        bench.bind("b", named())
        bench.bind("c", named(name="other"))
        await bench.until("b", "True")
        await bench.until("c", "True")
    bench.kubectl("delete", "sinkbinding/b", "--wait=false")
    versions = [bench.get(what)["metadata"]["resourceVersion"] for what in ("deployment/other", "sinkbinding/c")]
    async with keeping(bench.kubeconfig):
        await soon(
            lambda: bench.env("deployment/w") == [{"OWN": "1"}, {}], "it is undone by the next process", within_s=40
        )
        await soon(
            lambda: bench.kubectl("get", "sinkbinding", "-o", "name")[-2:] == "c\n", "only c is left", within_s=40
        )
    again = [bench.get(what)["metadata"]["resourceVersion"] for what in ("deployment/other", "sinkbinding/c")]
    assert again == versions, "what was well was not written"


async def test_a_process_writes_only_while_it_leads(bench: Bench) -> None:
    is_leader, asked = False, 0

    def leads() -> bool:
        nonlocal asked
        asked += 1
        return is_leader

    bench.make(workload("Deployment"))
    async with keeping(bench.kubeconfig, leads):
        bench.bind("b", named())
        before = asked
        await soon(lambda: asked >= before + 2, "it has looked twice since")
        assert bench.env("deployment/w") == [{"OWN": "1"}, {}]
        assert "finalizers" not in bench.get("sinkbinding/b")["metadata"]
        is_leader = True
        await bench.until("b", "True")
        assert bench.env("deployment/w")[1]["K_SINK"] == SINK


async def test_the_controllers_process_keeps_bindings_where_it_is_told_to(
    bench: Bench, nats: NatsServer, tmp_path: Path
) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SCAUP_")}
    environ |= {"SCAUP_KUBECONFIG": bench.kubeconfig, "SCAUP_NATS_URL": nats.url, "SCAUP_METRICS_LISTEN": "127.0.0.1:0"}
    environ |= {"SCAUP_CONTROLLER_SINKBINDING": "true"}
    bench.make(workload("Deployment"))
    process = start(tmp_path / "log", environ)
    try:
        bench.bind("b", named())
        await bench.until("b", "True", within_s=90)
        assert bench.env("deployment/w")[1]["K_SINK"] == SINK
    finally:
        process.kill()
        process.wait()


async def test_a_binding_that_knatives_own_controller_keeps_is_left_to_it(bench: Bench) -> None:
    bench.make(workload("Deployment"), workload("Deployment", "other"))
    metadata = {"name": "theirs", "finalizers": ["sinkbindings.sources.knative.dev"]}
    spec = {"subject": named(), "sink": {"uri": SINK}}
    bench.make({"apiVersion": SOURCES, "kind": "SinkBinding", "metadata": metadata, "spec": spec})
    async with keeping(bench.kubeconfig):
        bench.bind("ours", named(name="other"))
        await bench.until("ours", "True")
        assert bench.env("deployment/w") == [{"OWN": "1"}, {}]
        assert "status" not in bench.get("sinkbinding/theirs")


def test_the_component_turns_it_on_and_is_accepted_twice(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(COMPONENT, tmp_path / "components" / "sinkbinding")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    deployment = workload("Deployment", "scaup-controller", {"app": "scaup"})
    deployment["metadata"]["namespace"] = "scaup-system"
    (overlay / "controller.yaml").write_text(json.dumps(deployment))
    (overlay / "kustomization.yaml").write_text(
        "resources: [controller.yaml]\ncomponents: [../components/sinkbinding]\n"
    )
    done = [bench.cluster.kubectl("apply", "-k", str(overlay)).splitlines() for _ in range(2)]
    assert len(done[0]) == 6
    assert all(line.endswith("unchanged") for line in done[1]), done[1]
    shown = bench.cluster.kubectl("-n", "scaup-system", "get", "deployment/scaup-controller", "-o", "json")
    containers = json.loads(shown)["spec"]["template"]["spec"]["containers"]
    assert {"name": "SCAUP_CONTROLLER_SINKBINDING", "value": "true"} in containers[0]["env"]
    bench.cluster.kubectl("-n", "scaup-system", "delete", "deployment/scaup-controller")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"subject": {"apiVersion": "apps/v1", "kind": "Deployment"}, "sink": {"uri": SINK}}, "exactly one of"),
        ({"subject": named() | {"selector": {}}, "sink": {"uri": SINK}}, "exactly one of"),
        ({"subject": named(), "sink": {}}, "at least one of ref and uri"),
        ({"subject": named()}, "spec.sink"),
    ],
    ids=["neither", "both", "no sink", "no sink at all"],
)
def test_the_schema_refuses_what_can_never_be_bound(bench: Bench, spec: dict[str, Any], said: str) -> None:
    value = {"apiVersion": SOURCES, "kind": "SinkBinding", "metadata": {"name": "x"}, "spec": spec}
    refused = bench.cluster.kubectl_run("-n", bench.namespace, "create", "-f", "-", stdin=json.dumps(value))
    assert said in refused.stderr


def test_scaup_sources_shows_what_points_at_a_broker_as_far_as_who_asks_may_see(bench: Bench, tmp_path: Path) -> None:
    for kind, group in (("Broker", "eventing.knative.dev"), ("Spout", "pond.test")):
        crd = pond_kind(kind)
        labels = {"duck.knative.dev/source": "true"} if kind == "Spout" else {}
        crd["metadata"] = {"name": f"{kind.lower()}s.{group}", "labels": labels}
        crd["spec"]["group"] = group
        bench.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(crd))
        bench.cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}")
    ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "b", "namespace": bench.namespace}
    url = f"http://ingress.test/{bench.namespace}/b"
    broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b"}, "spec": {}}
    spout = {"apiVersion": "pond.test/v1", "kind": "Spout", "metadata": {"name": "s"}, "spec": {"sink": {"uri": url}}}
    far = spout | {
        "metadata": {"name": f"far-{bench.namespace}", "namespace": "default"},
        "spec": {"sink": {"ref": ref}},
    }
    bench.make(broker, spout)
    bench.cluster.kubectl("create", "-f", "-", stdin=json.dumps(far))
    bench.bind("mine", named(), {"ref": ref})
    address = json.dumps({"status": {"address": {"url": url}}})
    bench.kubectl("patch", "broker/b", "--subresource=status", "--type=merge", "-p", address)
    done = scaup("sources", "b", "-n", bench.namespace, cwd=tmp_path, kubeconfig=Path(bench.cluster.kubeconfig))
    assert sorted(line.split()[:3] for line in done.stdout.splitlines()[1:]) == [
        ["SinkBinding", bench.namespace, "mine"],
        ["Spout", bench.namespace, "s"],
        ["Spout", "default", f"far-{bench.namespace}"],
    ]
    bench.kubectl("create", "serviceaccount", "viewer")
    verbs = ("--verb=get,list", "--resource=brokers.eventing.knative.dev,sinkbindings.sources.knative.dev")
    bench.kubectl("create", "role", "viewer", *verbs)
    bench.kubectl("create", "rolebinding", "viewer", "--role=viewer", f"--serviceaccount={bench.namespace}:viewer")
    token = bench.kubectl("create", "token", "viewer").strip()
    done = scaup("sources", "b", "-n", bench.namespace, cwd=tmp_path, kubeconfig=bench.cluster.kubeconfig_of(token))
    assert [line.split()[2] for line in done.stdout.splitlines()[1:]] == ["mine"]
    assert "customresourcedefinitions, which name others, may not be listed" in done.stderr
    assert "sinkbindings.sources.knative.dev are looked at in namespace" in done.stderr
