"""The controller under its own account's token, as the manifests bind it: it can do its whole job, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support import rawhttp
from tests.support.deployed import NAMESPACE, OVERLAYS, environment, named, rendered
from tests.support.natsserver import NatsServer
from tests.support.realkube import Kube, kube
from tests.support.services import Service, service
from tests.support.sinks import sink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

CONTROLLER = f"system:serviceaccount:{NAMESPACE}:scaup-controller"
PONDS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: ponds.water.test
spec:
  group: water.test
  scope: Namespaced
  names: {kind: Pond, plural: ponds}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
PONDS_ARE_SINKS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: ponds-are-sinks
  labels: {duck.knative.dev/addressable: "true"}
rules:
  - apiGroups: [water.test]
    resources: [ponds]
    verbs: [get, list, watch]
"""
DEFINITIONS = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: one
  annotations: {eventing.knative.dev/broker.class: Scaup}
spec: {}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: to-pond}
spec:
  broker: one
  subscriber:
    ref: {apiVersion: water.test/v1, kind: Pond, name: mine}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: to-service}
spec:
  broker: one
  subscriber:
    ref: {apiVersion: v1, kind: Service, name: mine}
---
apiVersion: v1
kind: Service
metadata: {name: mine}
spec:
  ports: [{port: 80}]
"""
ITS_RIGHTS = {
    ("eventing.knative.dev", "brokers", "get list watch"),
    ("eventing.knative.dev", "triggers", "get list watch"),
    ("eventing.knative.dev", "brokers/status", "patch"),
    ("eventing.knative.dev", "triggers/status", "patch"),
    ("", "services", "get list watch"),
    ("", "namespaces [kube-system]", "get"),
}
AT_HOME = {
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", "leases [scaup-controller]", "get update"),
    ("", "configmaps [config-br-defaults]", "get list watch"),
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A server with Scaup's manifests."""
    with kube() as running:
        running.kubectl("apply", "-k", str(OVERLAYS / "laptop"))
        yield running


def may(cluster: Kube, account: str, namespace: str) -> set[tuple[str, str, str]]:
    """What an account may do in a namespace beyond what everybody may: group, resource [names], verbs."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    everybody = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews", "clustertrustbundles"}
    who = ("--as", account, "--as-group=system:authenticated")
    said = cluster.kubectl("create", "-f", "-", "-o", "json", "--validate=false", *who, stdin=json.dumps(review))
    return {
        (group, f"{resource} [{names}]" if (names := ",".join(rule.get("resourceNames", []))) else resource, verbs)
        for rule in json.loads(said)["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if resource not in everybody and (verbs := " ".join(sorted(rule["verbs"])))
    }


async def test_the_controller_has_exactly_these_rights_and_the_others_none(own: Kube) -> None:
    await eventually(lambda: may(own, CONTROLLER, "default") == ITS_RIGHTS, "its rights are put together")
    assert may(own, CONTROLLER, NAMESPACE) == ITS_RIGHTS | AT_HOME
    for other in ("ingress", "filter", "dispatcher", "nats"):
        assert may(own, f"system:serviceaccount:{NAMESPACE}:scaup-{other}", NAMESPACE) == set()
        assert may(own, f"system:serviceaccount:{NAMESPACE}:scaup-{other}", "default") == set()


@pytest.mark.parametrize("role", ["admin", "edit"])
async def test_who_may_change_a_namespace_may_change_its_brokers_and_who_may_see_it_may_see_them(
    own: Kube, role: str
) -> None:
    own.kubectl("create", "namespace", role)
    own.kubectl("create", "rolebinding", "them", "-n", role, f"--clusterrole={role}", "--user=them")
    own.kubectl("create", "rolebinding", "guest", "-n", role, "--clusterrole=view", "--user=guest")

    def can(user: str, verb: str, what: str, *of: str) -> bool:
        return own.kubectl_run("auth", "can-i", verb, what, *of, "-n", role, "--as", user).stdout.strip() == "yes"

    triggers = "triggers.eventing.knative.dev"
    await eventually(lambda: can("them", "create", triggers) and can("guest", "list", triggers), "the rights are there")
    assert not can("guest", "create", triggers)
    assert not can("them", "patch", triggers, "--subresource=status")
    own.kubectl("delete", "namespace", role, "--wait=false")


@asynccontextmanager
async def installed(cluster: Kube, directory: Path, nats_url: str) -> AsyncIterator[Service]:
    """The controller with its own token and nothing more, and the data plane with nothing at all; gives the ingress."""
    token = cluster.kubectl("create", "token", "scaup-controller", "-n", NAMESPACE).strip()
    objects = rendered(OVERLAYS / "laptop")
    told = environment(named(objects, "Deployment", "scaup-controller"), objects)
    here = {"SCAUP_KUBECONFIG": str(cluster.kubeconfig_of(token)), "SCAUP_PUBLIC_URL": told["SCAUP_PUBLIC_URL"]}
    here["SCAUP_CONTROLLER_LEASE"] = told["SCAUP_CONTROLLER_LEASE"]
    with (
        service("controller", directory, nats_url, **here) as controller,
        service("ingress", directory, nats_url) as ingress,
        service("filter", directory, nats_url) as matching,
        service("dispatcher", directory, nats_url) as dispatcher,
    ):
        for one in (controller, ingress, matching, dispatcher):
            await one.until_ready(60)
        yield ingress
        assert "Traceback" not in controller.log.read_text()


def condition(cluster: Kube, trigger: str, name: str) -> dict[str, str]:
    status = json.loads(cluster.kubectl("get", "trigger", trigger, "-n", "water", "-o", "json")).get("status") or {}
    return next((one for one in status.get("conditions", []) if one["type"] == name), {})


async def test_with_its_own_token_the_controller_does_its_whole_job_and_learns_of_a_kind_by_a_labelled_role(
    own: Kube, nats: NatsServer, tmp_path: Path
) -> None:
    own.kubectl("create", "namespace", "water")
    own.kubectl("apply", "-f", "-", stdin=PONDS)
    own.kubectl("wait", "--for=condition=Established", "crd/ponds.water.test")
    async with sink() as pond, installed(own, tmp_path, nats.url) as ingress:
        address = {"status": {"address": {"url": pond.url}}}
        mine = {"apiVersion": "water.test/v1", "kind": "Pond", "metadata": {"name": "mine"}} | address
        own.kubectl("apply", "-n", "water", "-f", "-", stdin=json.dumps(mine))
        own.kubectl("apply", "-n", "water", "-f", "-", stdin=DEFINITIONS)
        own.kubectl("wait", "-n", "water", "--for=condition=Ready", "broker/one", "--timeout=50s")
        own.kubectl("wait", "-n", "water", "--for=condition=Ready", "trigger/to-service", "--timeout=50s")
        url = own.kubectl("get", "broker", "one", "-n", "water", "-o", "jsonpath={.status.address.url}")
        assert url == "http://scaup-ingress.scaup-system.svc.cluster.local/water/one"
        lease = ("get", "lease", "scaup-controller", "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}")
        assert own.kubectl(*lease), "it leads"

        def refused() -> dict[str, str]:
            found = condition(own, "to-pond", "SubscriberResolved")
            return found if found.get("status") == "False" else {}

        found = await eventually(refused, "the missing right is reported")
        assert "Forbidden" in found["reason"]
        assert "ponds.water.test" in found["message"]

        own.kubectl("apply", "-f", "-", stdin=PONDS_ARE_SINKS)
        own.kubectl("wait", "-n", "water", "--for=condition=Ready", "trigger/to-pond", "--timeout=50s")
        answer = await rawhttp.send(
            ingress.port, "POST", "/water/one", rawhttp.BINARY | {"ce-id": "e-1", "content-type": "text/plain"}, b"hi"
        )
        assert answer.status == 202
        await eventually(lambda: pond.ids == ["e-1"], "the event is delivered")

        own.kubectl("delete", "trigger,broker", "--all", "-n", "water")
        own.kubectl("delete", "clusterrole", "ponds-are-sinks")
    await eventually(lambda: may(own, CONTROLLER, "water") == ITS_RIGHTS, "the right is taken back")
