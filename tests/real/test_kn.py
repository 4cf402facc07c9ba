"""One contract, two servers: kn, Knative's own command line tool, unmodified, says the same of both."""

from __future__ import annotations

import json

import pytest

from tests.support.contract import Server
from tests.support.kn import kn, run_kn

pytestmark = pytest.mark.real

EVENTING = "/apis/eventing.knative.dev/v1"


def refused(server: Server, *args: str) -> str:
    """The words with which ``kn ARGS`` fails."""
    done = run_kn(server.kubeconfig, server.home, *args)
    assert done.returncode == 1, done.stdout
    return done.stderr.splitlines()[0]


def make_ready(server: Server, namespace: str, kind: str, name: str, **status: object) -> None:
    """What the controller would write."""
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    path = f"{EVENTING}/namespaces/{namespace}/{kind}/{name}/status"
    form = {"Content-Type": "application/merge-patch+json"}
    done = server.request("PATCH", path, {"status": {"conditions": conditions, **status}}, form)
    assert done.status == 200, done.body


def row(table: str, name: str) -> list[str]:
    """The words of the row of an object."""
    return next(line.split() for line in table.splitlines() if line.startswith(f"{name} "))


def test_a_broker_is_made_listed_described_and_deleted(server: Server, namespace: str) -> None:
    n = ("-n", namespace)
    assert kn(server, "broker", "create", "one", *n) == (
        f"Broker 'one' successfully created in namespace '{namespace}'.\n"
    )
    assert kn(server, "broker", "list", *n, "-o", "name") == "broker.eventing.knative.dev/one\n"
    url = f"http://127.0.0.1:8080/{namespace}/one"
    make_ready(server, namespace, "brokers", "one", address={"url": url})
    listed = kn(server, "broker", "list", *n)
    assert listed.splitlines()[0].split() == ["NAME", "URL", "AGE", "CONDITIONS", "READY", "REASON"]
    found = row(listed, "one")
    assert [found[0], found[1], *found[3:]] == ["one", url, "1", "OK", "/", "1", "True"]
    assert kn(server, "broker", "describe", "one", *n, "-o", "url") == f"{url}\n"
    described = kn(server, "broker", "describe", "one", *n)
    assert f"  URL:    {url}\n" in described
    assert "++ Ready" in described
    assert kn(server, "broker", "delete", "one", *n) == (
        f"Broker 'one' successfully deleted in namespace '{namespace}'.\n"
    )
    assert kn(server, "broker", "list", *n) == "No brokers found.\n"


def test_a_broker_has_the_class_and_the_delivery_that_kn_gives_it(server: Server, namespace: str) -> None:
    delivery = ("--retry", "3", "--timeout", "PT5S", "--backoff-policy", "linear", "--backoff-delay", "PT1S")
    dead = ("--dl-sink", "http://127.0.0.1:9/dead")
    kn(server, "broker", "create", "two", "-n", namespace, "--class", "Scaup", *delivery, *dead)
    made = json.loads(kn(server, "broker", "describe", "two", "-n", namespace, "-o", "json"))
    assert made["metadata"]["annotations"]["eventing.knative.dev/broker.class"] == "Scaup"
    assert made["spec"]["delivery"] == {
        "retry": 3,
        "timeout": "PT5S",
        "backoffPolicy": "linear",
        "backoffDelay": "PT1S",
        "deadLetterSink": {"uri": "http://127.0.0.1:9/dead"},
    }
    kn(server, "broker", "update", "two", "-n", namespace, "--retry", "5")
    made = json.loads(kn(server, "broker", "describe", "two", "-n", namespace, "-o", "json"))
    assert made["spec"]["delivery"]["retry"] == 5
    assert made["metadata"]["generation"] == 2


def test_what_kn_says_of_brokers_that_are_there_and_are_not(server: Server, namespace: str) -> None:
    n = ("-n", namespace)
    kn(server, "broker", "create", "one", *n)
    assert refused(server, "broker", "create", "one", *n) == (
        f"Error: cannot create broker 'one' in namespace '{namespace}' because: "
        'brokers.eventing.knative.dev "one" already exists'
    )
    missing = 'brokers.eventing.knative.dev "none" not found'
    assert refused(server, "broker", "describe", "none", *n) == f"Error: {missing}"
    assert refused(server, "broker", "delete", "none", *n) == (
        f"Error: cannot delete broker 'none' in namespace '{namespace}' because: {missing}"
    )


def test_kn_waits_until_a_broker_is_deleted(server: Server, namespace: str) -> None:
    kn(server, "broker", "create", "one", "-n", namespace)
    kn(server, "broker", "delete", "one", "-n", namespace, "--wait", "--wait-timeout", "20")
    path = f"{EVENTING}/namespaces/{namespace}/brokers/one"
    assert server.request("GET", path).status == 404


def test_brokers_of_all_namespaces_are_listed_as_yaml_and_as_a_table(server: Server, namespace: str) -> None:
    other = server.namespace()
    kn(server, "broker", "create", "here", "-n", namespace)
    kn(server, "broker", "create", "there", "-n", other)
    rows = {tuple(line.split()[:2]) for line in kn(server, "broker", "list", "-A").splitlines()}
    assert {(namespace, "here"), (other, "there")} <= rows
    text = kn(server, "broker", "list", "-n", other, "-o", "yaml")
    assert "kind: BrokerList\n" in text
    assert "    name: there\n" in text
    assert "    name: here\n" not in text


def test_a_trigger_is_made_listed_described_changed_and_deleted(server: Server, namespace: str) -> None:
    n = ("-n", namespace)
    to = ("--sink", "http://127.0.0.1:9/")
    made = kn(server, "trigger", "create", "t", *n, "--broker", "one", "--filter", "type=a", "--filter", "x=y", *to)
    assert made == f"Trigger 't' successfully created in namespace '{namespace}'.\n"
    make_ready(server, namespace, "triggers", "t", subscriberUri="http://127.0.0.1:9/")
    listed = kn(server, "trigger", "list", *n)
    assert listed.splitlines()[0].split() == ["NAME", "BROKER", "SINK", "AGE", "CONDITIONS", "READY", "REASON"]
    found = row(listed, "t")
    assert [*found[:3], *found[4:]] == ["t", "one", "http://127.0.0.1:9/", "1", "OK", "/", "1", "True"]
    described = kn(server, "trigger", "describe", "t", *n)
    assert "Broker:" in described
    assert "  URI:  http://127.0.0.1:9/\n" in described
    new = ("--sink", "http://127.0.0.1:9/new")
    changed = kn(server, "trigger", "update", "t", *n, "--filter", "type=b", "--filter", "x-", *new)
    assert changed == f"Trigger 't' updated in namespace '{namespace}'.\n"
    spec = json.loads(kn(server, "trigger", "describe", "t", *n, "-o", "json"))["spec"]
    assert spec["filter"] == {"attributes": {"type": "b"}}
    assert spec["subscriber"] == {"uri": "http://127.0.0.1:9/new"}
    assert kn(server, "trigger", "list", *n, "-o", "name") == "trigger.eventing.knative.dev/t\n"
    assert kn(server, "trigger", "delete", "t", *n) == f"Trigger 't' deleted in namespace '{namespace}'.\n"
    assert refused(server, "trigger", "delete", "t", *n) == ('Error: triggers.eventing.knative.dev "t" not found')


def test_a_trigger_s_sink_can_be_a_broker(server: Server, namespace: str) -> None:
    n = ("-n", namespace)
    kn(server, "broker", "create", "two", *n)
    kn(server, "trigger", "create", "t", *n, "--broker", "one", "--sink", "broker:two")
    spec = json.loads(kn(server, "trigger", "describe", "t", *n, "-o", "json"))["spec"]
    ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "two", "namespace": namespace}
    assert spec["subscriber"] == {"ref": ref}
    assert row(kn(server, "trigger", "list", *n), "t")[2] == "broker:two"


@pytest.mark.parametrize("sink", ["ksvc:hello", "hello", "channel:pipe"])
def test_a_sink_of_a_kind_that_nobody_installed_is_refused_in_the_same_words(
    server: Server, namespace: str, sink: str
) -> None:
    said = refused(server, "trigger", "create", "t", "-n", namespace, "--broker", "one", "--sink", sink)
    why = "the server could not find the requested resource"
    assert said == f"Error: cannot create trigger 't' in namespace '{namespace}' because: {why}"


def test_what_is_not_installed_is_said_to_be_not_installed(server: Server, namespace: str) -> None:
    assert refused(server, "eventtype", "list", "-n", namespace) == (
        "Error: no or newer Knative Eventing API found on the backend, "
        "please verify the installation or update the 'kn' client"
    )
    assert refused(server, "source", "list-types") == (
        "Error: no or newer Knative Sources API found on the backend, "
        "please verify the installation or update the 'kn' client"
    )


@pytest.mark.parametrize(
    ("method", "path", "is_page"),
    [
        ("GET", "/nowhere", True),
        ("GET", "/apis/nowhere.test/v1", True),
        ("GET", "/apis/pond.test/v9", True),
        ("GET", "/apis/pond.test/v1/namespaces/default/frogs", True),
        ("POST", "/apis/nowhere.test/v1/namespaces/default/frogs", True),
        ("GET", "/apis/pond.test/v1/ponds/a", True),
        ("GET", "/api/v1/namespaces/default/frogs", False),
        ("GET", "/api/v1/namespaces/default/configmaps/a/status", False),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/default/frogs", False),
    ],
)
def test_a_path_that_is_not_there_is_a_page_or_a_status(server: Server, method: str, path: str, is_page: bool) -> None:
    answer = server.request(method, path)
    assert answer.status == 404
    if is_page:
        assert answer.body == "404 page not found\n"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    else:
        assert answer.body["message"] == "the server could not find the requested resource"
