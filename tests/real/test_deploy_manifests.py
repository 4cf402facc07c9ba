"""What the manifests say fits the code: settings, ports, versions, times and rights, without a cluster."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from scaup.controller.settings import ControllerSettings
from scaup.core.http.networks import Networks
from scaup.core.runtime.settings import SHARED, load
from scaup.dispatcher.settings import DispatcherSettings
from scaup.filter.settings import FilterSettings
from scaup.ingress.settings import IngressSettings
from tests.support.deployed import (
    OVERLAYS,
    ROOT,
    Object,
    container,
    environment,
    kustomization,
    named,
    rendered,
    workloads,
)

pytestmark = pytest.mark.real  # for kubectl renders them

SETTINGS: Final[dict[str, type[Any]]] = {
    "scaup-ingress": IngressSettings,
    "scaup-filter": FilterSettings,
    "scaup-dispatcher": DispatcherSettings,
    "scaup-controller": ControllerSettings,
}


@pytest.fixture(scope="module", params=["laptop", "production", "production with TLS"])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Each installation that is offered."""
    overlay, _, more = request.param.partition(" ")
    return rendered(kustomization(tmp_path_factory.mktemp("own"), overlay, "nats-tls") if more else OVERLAYS / overlay)


def services(objects: list[Object]) -> list[Object]:
    return [one for one in objects if one["kind"] == "Deployment"]


def test_every_service_takes_the_settings_that_it_is_given(objects: list[Object]) -> None:
    assert {one["metadata"]["name"] for one in services(objects)} == SETTINGS.keys()
    for one in services(objects):
        settings = load(SETTINGS[one["metadata"]["name"]], environment(one, objects))
        assert settings.service.drain_s == 20.0


def test_no_variable_is_made_from_a_service_for_it_would_be_taken_for_a_misspelt_setting(
    objects: list[Object],
) -> None:
    """``SCAUP_INGRESS_PORT=tcp://…`` is what Kubernetes would make of the Service ``scaup-ingress``."""
    assert not any(name.endswith("_PORT") for name in SHARED)
    assert [one["spec"]["template"]["spec"]["enableServiceLinks"] for one in workloads(objects)] == [False] * 5


def test_what_is_listened_on_is_what_is_probed_scraped_and_served(objects: list[Object]) -> None:
    for one in services(objects):
        env, main = environment(one, objects), container(one)
        ports = {port["name"]: port["containerPort"] for port in main["ports"]}
        assert env["SCAUP_METRICS_LISTEN"] == f":{ports['metrics']}"
        assert (main["livenessProbe"]["httpGet"], main["readinessProbe"]["httpGet"]) == (
            {"path": "/healthz", "port": "metrics"},
            {"path": "/readyz", "port": "metrics"},
        )
        assert env.get("SCAUP_LISTEN", ":8080") == f":{ports.get('http', 8080)}"
        (module,) = main["args"]
        assert importlib.util.find_spec(f"{module}.__main__")
    (port,) = named(objects, "Service", "scaup-ingress")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "http")
    settings = load(ControllerSettings, environment(named(objects, "Deployment", "scaup-controller"), objects))
    assert settings.public_url == "http://scaup-ingress.scaup-system.svc.cluster.local"


def test_a_pod_that_stops_has_the_time_that_it_takes(objects: list[Object]) -> None:
    for one in services(objects):
        drain = float(environment(one, objects)["SCAUP_DRAIN_SECONDS"])
        before = (container(one).get("lifecycle") or {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])
        assert one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= drain + float(before[1]) + 5


def test_only_the_controller_has_a_token_for_kubernetes(objects: list[Object]) -> None:
    with_token = [
        one["metadata"]["name"]
        for one in workloads(objects)
        if one["spec"]["template"]["spec"]["automountServiceAccountToken"]
    ]
    assert with_token == ["scaup-controller"]
    accounts = [one for one in objects if one["kind"] == "ServiceAccount"]
    assert {one["metadata"]["name"] for one in accounts} == SETTINGS.keys() | {"scaup-nats"}
    assert not any(one["automountServiceAccountToken"] for one in accounts)
    bound = {subject["name"] for one in objects if one["kind"].endswith("RoleBinding") for subject in one["subjects"]}
    assert bound == {"scaup-controller"}


def test_what_has_to_be_made_or_waited_for_by_hand_is_told(objects: list[Object]) -> None:
    readme = (ROOT / "deploy" / "README.md").read_text()
    for one in workloads(objects):
        assert f"rollout status {one['kind'].lower()}/{one['metadata']['name']}\n" in readme
        for variable in container(one).get("env", []):
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert f"create secret generic {secret['name']} --from-literal={secret['key']}=" in readme
        for volume in one["spec"]["template"]["spec"].get("volumes", []):
            if "secret" in volume:
                assert f"A Secret `{volume['secret']['secretName']}`" in readme
    domain = load(ControllerSettings, environment(named(objects, "Deployment", "scaup-controller"), objects)).public_url
    assert f"`{domain}/NAMESPACE/BROKER`" in readme


def test_no_secret_is_among_the_manifests(objects: list[Object]) -> None:
    assert [one for one in objects if one["kind"] == "Secret"] == []


def test_the_image_is_of_this_version_and_nats_of_the_one_that_is_tested_with(objects: list[Object]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {container(one)["image"] for one in services(objects)} == {f"scaup:{project['version']}"}
    assert f"ARG VERSION={project['version']}\n" in (ROOT / "deploy" / "Containerfile").read_text()
    command = [str(Path(sys.executable).with_name("nats-server")), "--version"]
    version = re.findall(r"v([0-9.]+)", subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]
    nats = container(named(objects, "StatefulSet", "scaup-nats"))
    assert nats["image"] == f"nats:{version}-alpine"


def test_no_sink_is_the_pod_itself_or_a_clouds_metadata_service(objects: list[Object]) -> None:
    denied = load(DispatcherSettings, environment(named(objects, "Deployment", "scaup-dispatcher"), objects)).sink_deny
    assert isinstance(denied, Networks)
    for address in ("169.254.169.254", "::ffff:169.254.169.254", "127.0.0.1", "0.0.0.0", "fe80::1"):
        assert denied.holding(address), address
    assert not denied.holding("10.96.0.10")


def test_in_production_nothing_is_alone() -> None:
    objects = rendered(OVERLAYS / "production")
    settings = environment(named(objects, "Deployment", "scaup-controller"), objects)
    assert load(ControllerSettings, settings).default_replicas == 3
    servers = named(objects, "StatefulSet", "scaup-nats")
    names = [f"nats://scaup-nats-{n}.{servers['spec']['serviceName']}:4222" for n in range(3)]
    assert (servers["spec"]["replicas"], settings["SCAUP_NATS_URL"].split(",")) == (3, names)
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one for one in objects if one["kind"] == "HorizontalPodAutoscaler"}
    for one in services(objects):
        name = one["metadata"]["name"]
        # Who is scaled has no number of its own, or each apply would take the autoscaler's back.
        assert (name in scaled) != ("replicas" in one["spec"])
        assert (scaled[name]["spec"]["minReplicas"] if name in scaled else one["spec"]["replicas"]) >= 2
    for one in workloads(objects):
        labels = one["spec"]["template"]["metadata"]["labels"].items()
        assert one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        budgets = [b for b in objects if b["kind"] == "PodDisruptionBudget"]
        assert [b for b in budgets if b["spec"]["selector"]["matchLabels"].items() <= labels]
        assert container(one)["resources"]["requests"].keys() == {"cpu", "memory"}


def test_every_selector_finds_who_it_is_meant_for(objects: list[Object]) -> None:
    pods = [one["spec"]["template"]["metadata"]["labels"].items() for one in workloads(objects)]
    selectors = [one["spec"]["selector"] for one in objects if one["kind"] == "Service"]
    for policy in (one for one in objects if one["kind"] == "NetworkPolicy"):
        selectors.append(policy["spec"]["podSelector"].get("matchLabels", {}))
        rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        peers = [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]
        selectors += [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
    assert [selector for selector in selectors if not any(selector.items() <= labels for labels in pods)] == []
