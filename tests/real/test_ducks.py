"""Sinks by reference on a genuine cluster: any kind, from its first reference to its last, and the rights it needs.

The controller runs under a token that may see Brokers, Triggers, Services, the kinds of the group ``pond.test`` and one
ConfigMap: the one with the defaults of Brokers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import rawhttp
from tests.support.clusterkinds import GROUP, broker, trigger
from tests.support.clusterrun import Installation, installation
from tests.support.openkinds import apply_kinds, custom_kind, install_kinds
from tests.support.realkube import kube
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

NS = "ducks"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
TOKEN = "a-controller-of-few-rights"
POND, GOOSE, OX = (
    custom_kind("pond.test", *names) for names in (("Pond", "ponds"), ("Goose", "geese"), ("Ox", "oxen"))
)
SECRET = custom_kind("hidden.test", "Cave", "caves")


def rule(group: str, *resources: str, verbs: tuple[str, ...] = ("get", "list", "watch")) -> dict[str, list[str]]:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A cluster of one's own, because its token files are read when it starts."""
    with kube(tokens=f'{TOKEN},scaup,scaup,""\n') as cluster:
        install_kinds(cluster)
        apply_kinds(cluster, POND, GOOSE, SECRET)
        cluster.kubectl("create", "namespace", NS)
        rules = [
            rule(GROUP, "brokers", "triggers"),
            rule(GROUP, "brokers/status", "triggers/status", verbs=("patch",)),
            rule("pond.test", "*"),
            rule("", "services"),
        ]
        few = str(cluster.kubeconfig_of(TOKEN))
        defaults = {"SCAUP_CONTROLLER_DEFAULTS": f"{NS}/config-br-defaults"}
        with installation(cluster, tmp_path_factory.mktemp("ducks"), few, **defaults) as running:
            meta = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "scaup"}}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scaup"}
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "scaup"}
            local = {**meta, "metadata": {"name": "scaup", "namespace": NS}}
            one = rule("", "configmaps") | {"resourceNames": ["config-br-defaults"]}
            running.apply(
                {**meta, "kind": "ClusterRole", "rules": rules},
                {**meta, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]},
                {**local, "kind": "Role", "rules": [one]},
                {**local, "kind": "RoleBinding", "roleRef": role | {"kind": "Role"}, "subjects": [subject]},
                broker("default", NS),
            )
            running.until_ready()
            running.wait_ready("broker/default", namespace=NS)
            yield running


def a(kind: str, name: str, group: str = "pond.test") -> dict[str, object]:
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name, "namespace": NS}}


def ref(kind: str, name: str, group: str = "pond.test", **more: str) -> dict[str, object]:
    return {"ref": {"apiVersion": f"{group}/v1", "kind": kind, "name": name, **more}}


async def uri_of(here: Installation, name: str, expected: str) -> dict[str, object]:
    """The Trigger's status, once its subscriber has that address."""
    seen: list[dict[str, object]] = []

    def says() -> dict[str, object]:
        seen.append(here.get("trigger", name, NS).get("status", {}))
        return seen[-1] if seen[-1].get("subscriberUri") == expected else {}

    try:
        return await eventually(says, f"{name}: subscriberUri is {expected!r}", within_s=45)
    except AssertionError as error:
        raise AssertionError(f"{error}; {seen[-1]}") from None


async def test_a_kind_is_found_by_discovery_also_where_its_plural_is_irregular(here: Installation) -> None:
    """control-plane.md CP-18, MUST: any kind; the reference system guesses the plural and finds no geese."""
    here.apply(a("Goose", "martin"), trigger("goose", NS, ref("Goose", "martin")))
    here.address("geese.pond.test", "martin", NS, address={"url": "http://martin.test/"})
    await uri_of(here, "goose", "http://martin.test/")
    here.wait_ready("trigger/goose", namespace=NS)


async def test_a_kind_that_comes_later_goes_and_comes_again_is_followed(here: Installation) -> None:
    """control-plane.md CP-12 and CP-20, MUST: not Ready, and why; the address is empty."""
    here.apply(trigger("ox", NS, ref("Ox", "paul")))
    found = await here.until("trigger", "ox", NS, "SubscriberKindNotFound")
    assert "the API has no kind Ox in pond.test/v1" in found["message"]
    assert here.get("trigger", "ox", NS)["status"]["subscriberUri"] == ""
    apply_kinds(here.cluster, OX)
    await here.until("trigger", "ox", NS, "SubscriberNotFound")
    here.apply(a("Ox", "paul"))
    here.address("oxen.pond.test", "paul", NS, address={"url": "http://paul.test/"})
    await uri_of(here, "ox", "http://paul.test/")
    here.cluster.kubectl("delete", "crd/oxen.pond.test")
    await here.until("trigger", "ox", NS, "SubscriberKindNotFound")
    apply_kinds(here.cluster, OX)
    here.apply(a("Ox", "paul"))
    here.address("oxen.pond.test", "paul", NS, address={"url": "http://again.test/"})
    await uri_of(here, "ox", "http://again.test/")


async def test_a_kind_is_watched_from_its_first_reference_to_its_last(here: Installation) -> None:
    async def watches(count: int, what: str) -> None:
        """Until the API server has so many watches of ponds open, by its own figures."""

        def said() -> bool:
            text = here.cluster.kubectl("get", "--raw", "/metrics")
            lines = (line for line in text.splitlines() if line.startswith("apiserver_longrunning_requests{"))
            return sum(float(line.split()[-1]) for line in lines if 'resource="ponds"' in line) == count

        await eventually(said, what, within_s=45)

    await watches(1, "only the cluster's own garbage collection watches ponds")
    here.apply(a("Pond", "still"), trigger("one", NS, ref("Pond", "still")), trigger("two", NS, ref("Pond", "still")))
    here.address("pond", "still", NS, address={"url": "http://still.test/"})
    await uri_of(here, "one", "http://still.test/")
    await watches(2, "ponds are watched once, however many refer to them")
    here.cluster.kubectl("delete", "-n", NS, "trigger/one")
    here.address("pond", "still", NS, address={"url": "http://moved.test/"})
    await uri_of(here, "two", "http://moved.test/")
    here.cluster.kubectl("delete", "-n", NS, "trigger/two")
    await watches(1, "ponds are not watched any more")


async def test_a_missing_right_is_told_with_verbs_resource_and_what_to_grant(here: Installation) -> None:
    """control-plane.md CP-20 and CP-42, MUST: a reason; of the Triggers concerned and no others."""
    here.apply(a("Cave", "deep", "hidden.test"), trigger("cave", NS, ref("Cave", "deep", "hidden.test")))
    here.apply(trigger("free", NS, {"uri": "http://sink.test/"}))
    found = await here.until("trigger", "cave", NS, "SubscriberForbidden")
    assert found["status"] == "False"
    message = found["message"]
    assert "may not list and watch caves.hidden.test" in message
    assert "grant it get, list and watch of caves in API group hidden.test" in message
    here.wait_ready("trigger/free", namespace=NS)
    grant = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "caves"},
        "rules": [rule("hidden.test", "caves")],
    }
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "caves"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "scaup"}
    binding = {**grant, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]}
    del binding["rules"]
    here.apply(grant, binding)
    here.address("caves.hidden.test", "deep", NS, address={"url": "http://deep.test/"})
    await uri_of(here, "cave", "http://deep.test/")  # asked again within 30 s


async def test_a_service_is_its_name_without_port_as_knative_has_it(here: Installation) -> None:
    """control-plane.md CP-18, MUST: ``http://<service>.<namespace>.svc``; https where the sender brings CACerts."""
    web = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": NS}}
    far = web | {"metadata": {"name": "far", "namespace": NS}}
    here.apply(
        web | {"spec": {"ports": [{"port": 8080, "name": "http"}]}},
        far | {"spec": {"type": "ExternalName", "externalName": "far.test"}},
    )
    service = {"apiVersion": "v1", "kind": "Service"}
    here.apply(
        trigger("web", NS, {"ref": {**service, "name": "web"}, "uri": "/in"}),
        trigger("far", NS, {"ref": {**service, "name": "far"}}),
        trigger("tls", NS, {"ref": {**service, "name": "web"}, "CACerts": PEM}),
    )
    await uri_of(here, "web", f"http://web.{NS}.svc.cluster.local/in")
    await uri_of(here, "far", f"http://far.{NS}.svc.cluster.local")
    status = await uri_of(here, "tls", f"https://web.{NS}.svc.cluster.local")
    assert status["subscriberCACerts"] == PEM


async def test_an_address_is_taken_by_name_with_its_certificates_and_audience(here: Installation) -> None:
    """knative.dev/pkg: ``addresses`` before ``address``, ``ref.address`` by name; the Destination's own words win."""
    names = [
        {"name": "https", "url": "https://pool.test/", "CACerts": PEM, "audience": "pool"},
        {"name": "http", "url": "http://pool.test/"},
    ]
    here.apply(
        a("Pond", "pool"),
        trigger("first", NS, ref("Pond", "pool")),
        trigger("named", NS, ref("Pond", "pool", address="http")),
        trigger("none", NS, ref("Pond", "pool", address="grpc")),
        trigger("own", NS, ref("Pond", "pool") | {"audience": "mine"}),
    )
    here.address("pond", "pool", NS, address={"url": "http://old.test/"}, addresses=names)
    status = await uri_of(here, "first", "https://pool.test/")
    assert (status["subscriberCACerts"], status["subscriberAudience"]) == (PEM, "pool")
    status = await uri_of(here, "named", "http://pool.test/")
    assert "subscriberCACerts" not in status
    assert "subscriberAudience" not in status
    found = await here.until("trigger", "none", NS, "SubscriberHasNoSuchAddress")
    assert "grpc" in found["message"]
    assert (await uri_of(here, "own", "https://pool.test/"))["subscriberAudience"] == "mine"


@pytest.mark.parametrize(
    ("name", "subscriber", "path"),
    [
        ("nothing", {}, "spec.subscriber: expected at least one of ref and uri"),
        ("relative", {"uri": "/in"}, "spec.subscriber.uri: expected an absolute"),
        ("both", ref("Pond", "x") | {"uri": "http://x.test/"}, "spec.subscriber.uri: beside ref only a relative"),
        ("nameless", {"ref": {"apiVersion": "pond.test/v1", "kind": "Pond"}}, "spec.subscriber.ref.name: missing"),
        ("certs", {"uri": "https://x.test/", "CACerts": "text"}, "spec.subscriber.CACerts: expected certificates"),
    ],
)
async def test_what_knative_refuses_is_not_ready_here(
    here: Installation, name: str, subscriber: dict[str, object], path: str
) -> None:
    """control-plane.md CP-12 and CP-20, MUST."""
    here.apply(trigger(name, NS, subscriber))
    found = await here.until("trigger", name, NS, "SubscriberInvalid")
    assert found["message"].startswith(path)
    assert here.get("trigger", name, NS)["status"]["subscriberUri"] == ""
    here.cluster.kubectl("delete", "-n", NS, f"trigger/{name}")


async def test_the_controller_is_ready_although_some_kinds_are_refused(here: Installation) -> None:
    assert (await rawhttp.send(here.controller.metrics_port, "GET", "/readyz")).status == 200


async def test_a_broker_without_class_gets_it_from_the_one_config_map_that_may_be_read_and_keeps_it(
    here: Installation,
) -> None:
    """control-plane.md CP-6, SHOULD, and CP-7, RECOMMENDED; for its life, and without any right to write Brokers."""
    text = (
        f"namespaceDefaults: {{{NS}: {{brokerClass: Scaup, delivery: {{deadLetterSink: {{uri: 'http://d.test/'}}}}}}}}"
    )
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config-br-defaults", "namespace": NS}}
    nameless = broker("nameless", NS)
    del nameless["metadata"]["annotations"]
    here.apply(nameless, config | {"data": {"default-br-config": text}})
    here.wait_ready("broker/nameless", namespace=NS)
    status = here.get("broker", "nameless", NS)["status"]
    assert status["annotations"] == {"eventing.knative.dev/broker.class": "Scaup"}
    assert status["deadLetterSinkUri"] == "http://d.test/"

    here.cluster.kubectl("delete", "-n", NS, "configmap/config-br-defaults")
    await eventually(
        lambda: "deadLetterSinkUri" not in here.get("broker", "nameless", NS)["status"], "no defaults any more"
    )
    assert here.condition("broker", "nameless", NS)["status"] == "True"
    url = here.get("broker", "nameless", NS)["status"]["address"]["url"]
    assert (await here.post(url.partition(str(here.ingress.port))[2], "kept")).status == 202
