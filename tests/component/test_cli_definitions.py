"""``scaup apply``, ``delete``, ``get`` and ``describe`` against the real local API, as processes."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from scaup.cli.up.datadir import DataDirectory
from tests.support import warm
from tests.support.natsserver import NatsServer
from tests.support.scaupup import free_offset, scaup

BROKER = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: default}\n"
TRIGGER = (
    "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n"
    "spec: {broker: default, filter: {attributes: {type: a}}, subscriber: {uri: 'http://127.0.0.1:9/'}}\n"
)


@pytest.fixture
def kubeconfig(nats: NatsServer, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of a local API of this test's own."""
    server = f"127.0.0.1:{8081 + free_offset()}"
    environ = {**os.environ, "SCAUP_NATS_URL": nats.url, "SCAUP_LISTEN": server}
    log = (tmp_path / "api.log").open("wb")
    process = warm.start("apiserver", out=log, error=log, env=environ)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(f"http://{server}/readyz", timeout=1):
                break
            time.sleep(0.05)
        data = DataDirectory(tmp_path / "data")
        data.open()
        data.note(api=f"http://{server}", nats=nats.url, embedded=False)
        data.close()
        yield data.kubeconfig
    finally:
        process.kill()
        process.wait()
        log.close()


def test_objects_are_created_changed_left_and_deleted(tmp_path: Path, kubeconfig: Path) -> None:
    def run(*arguments: str) -> tuple[str, str, int]:
        done = scaup(*arguments, cwd=tmp_path, kubeconfig=kubeconfig)
        return done.stdout, done.stderr, done.returncode

    path = tmp_path / "a.yaml"
    path.write_text(f"{TRIGGER}---\n{BROKER}")
    assert run("apply", "-f", "a.yaml") == ("Trigger default/t created\nBroker default/default created\n", "", 0)
    assert run("apply", "-f", "a.yaml") == ("Trigger default/t unchanged\nBroker default/default unchanged\n", "", 0)
    path.write_text(TRIGGER.replace("filter: {attributes: {type: a}}, ", ""))
    assert run("apply", "-f", "a.yaml") == ("Trigger default/t changed\n", "", 0)
    shown = json.loads(run("get", "trigger", "t", "-o", "json")[0])
    assert shown["spec"].get("filter", {}) == {}
    listed = json.loads(run("get", "triggers", "-o", "json")[0])
    assert (listed["kind"], listed["apiVersion"]) == ("List", "v1")
    assert listed["items"][0]["kind"] == "Trigger"
    assert yaml.safe_load(run("get", "brokers", "-A", "-o", "yaml")[0])["items"][0]["metadata"]["name"] == "default"
    assert run("get", "brokers", "-A")[0].startswith("NAMESPACE   NAME      URL")
    assert "Spec:" in run("describe", "trigger", "t")[0]
    assert "Triggers:\n  NAME" in run("describe", "brokers")[0]
    assert run("delete", "-f", "a.yaml") == ("Trigger default/t deleted\n", "", 0)
    assert run("delete", "-f", "a.yaml") == ("Trigger default/t not there\n", "", 0)
    out, err, status = run("get", "trigger", "t")
    assert (out, status) == ("", 1)
    assert err == "scaup get: there is no Trigger default/t; `scaup get triggers -A` lists those there are\n"
    assert run("get", "triggers") == ("No triggers in namespace default.\n", "", 0)
    assert run("get", "nonsenses")[2] == 1
    out, err, status = run("send", "other", "--type", "t")
    assert (status, err.startswith("scaup send: there is no Broker default/other")) == (1, True)
    out, err, status = run("send", "default", "--type", "t")
    assert (status, err.startswith("scaup send: the Broker default/default has no address yet")) == (1, True)
    assert run("deadletters", "list") == ("No dead letters in namespace default.\n", "", 0)


def test_an_unknown_kind_is_registered_and_its_status_kept(tmp_path: Path, kubeconfig: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: example.com/v1\nkind: Policy\nmetadata: {name: p, namespace: n}\n"
        "status: {address: {url: 'http://127.0.0.1:9/'}}\n"
    )
    done = scaup("apply", "-f", "a.yaml", cwd=tmp_path, kubeconfig=kubeconfig)
    assert (done.stdout, done.stderr, done.returncode) == ("Policy n/p created\n", "", 0)
    shown = scaup("get", "policies", "-n", "n", cwd=tmp_path, kubeconfig=kubeconfig)
    assert "http://127.0.0.1:9/" in shown.stdout
    (tmp_path / "a.yaml").write_text("apiVersion: example.com/v2\nkind: Policy\nmetadata: {name: p, namespace: n}\n")
    done = scaup("apply", "-f", "a.yaml", cwd=tmp_path, kubeconfig=kubeconfig)
    assert done.returncode == 0, done.stderr


def test_what_the_api_refuses_is_said_with_file_and_line_and_the_rest_is_done(tmp_path: Path, kubeconfig: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        f"{BROKER}---\napiVersion: v1\nkind: Nonsense\nmetadata: {{name: n}}\n---\n"
        + TRIGGER.replace("broker: default, ", "")
    )
    done = scaup("apply", "-f", "a.yaml", cwd=tmp_path, kubeconfig=kubeconfig)
    assert done.returncode == 1
    assert done.stdout == "Broker default/default created\n"
    assert "a.yaml:5: Nonsense default/n: Nonsense of v1 cannot be made known" in done.stderr
    assert "a.yaml:9: Trigger default/t: " in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_that_is_away_is_not_reachable(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / ".scaup")
    data.open()
    data.note(api=f"http://127.0.0.1:{8081 + free_offset()}", nats="nats://127.0.0.1:1", embedded=False)
    data.close()
    for command in (["get", "brokers"], ["send", "default", "--type", "t"], ["deadletters", "list"]):
        done = scaup(*command, cwd=tmp_path, anew=True)
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert "connection refused; is `scaup up` running" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "No such command"),
        (["get"], "Missing argument 'KIND'"),
        (["get", "brokers", "--foo"], "No such option"),
        (["get", "brokers", "x", "-A"], "-A lists all"),
        (["apply", "-f", "none.yaml"], "none.yaml does not exist"),
        (["sink", "--port", "x"], "valid integer"),
        (["up", "-f", "none.yaml"], "none.yaml does not exist"),
        (["up", "--port-offset", "60000"], "ports go from 1 to 65535"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "config").write_text("")
    done = scaup(*arguments, cwd=tmp_path, kubeconfig=tmp_path / "config")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert done.stderr.startswith("scaup")


def test_the_version_is_printed_fast(tmp_path: Path) -> None:
    begun = os.times()
    done = scaup("version", cwd=tmp_path, anew=True)
    assert done.stdout.startswith("scaup ")
    ended = os.times()
    used = ended.children_user + ended.children_system - begun.children_user - begun.children_system
    assert used < 1.5  # 0.2 s alone on a machine; what others do on it says nothing of the command
    assert "Commands" in scaup(cwd=tmp_path, anew=True).stdout


def test_a_cluster_with_credentials_is_reached_through_the_official_client(tmp_path: Path, kubeconfig: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "t"}
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(yaml.safe_dump(config))
    (tmp_path / "a.yaml").write_text(BROKER)
    server = config["clusters"][0]["cluster"]["server"]
    for verb in ("created", "unchanged"):
        done = scaup("apply", "-f", "a.yaml", cwd=tmp_path, anew=True)
        assert (done.stdout, done.returncode) == (f"Broker default/default {verb}\n", 0)
        assert done.stderr == f"using the API at {server} ({tmp_path}/.kube/config)\n"
    (tmp_path / "a.yaml").write_text(BROKER + "spec: {delivery: {retry: 1}}\n")
    assert scaup("apply", "-f", "a.yaml", cwd=tmp_path).stdout == "Broker default/default changed\n"
    assert "default" in scaup("get", "brokers", cwd=tmp_path).stdout
    missing = scaup("get", "brokers", "--context", "other", cwd=tmp_path)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_an_annotation_that_nobody_reads_is_said_at_once_and_applied_all_the_same(
    tmp_path: Path, kubeconfig: Path
) -> None:
    strange = "{name: t, annotations: {scaup.dev/replicas: '3', example.com/x: ''}}"
    (tmp_path / "a.yaml").write_text(
        BROKER.replace("{name: default}", "{name: default, annotations: {scaup.dev/log-maxbytes: 1Gi}}")
        + "---\n"
        + TRIGGER.replace("{name: t}", strange)
    )
    done = scaup("apply", "-f", "a.yaml", cwd=tmp_path, kubeconfig=kubeconfig)
    assert done.returncode == 0
    assert done.stdout == "Broker default/default created\nTrigger default/t created\n"
    first, second = done.stderr.splitlines()
    assert first.startswith("a.yaml:1: warning: Broker default/default: annotation scaup.dev/log-maxbytes is not known")
    assert first.endswith("did you mean scaup.dev/log-max-bytes?")
    assert second.startswith("a.yaml:5: warning: Trigger default/t: annotation scaup.dev/replicas is for a Broker")
