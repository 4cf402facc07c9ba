"""``scaup sources`` on the local API, which knows kinds without labels."""

from __future__ import annotations

from pathlib import Path

from tests.support.controlplane import api_server
from tests.support.natsserver import NatsServer
from tests.support.scaupup import scaup

OBJECTS = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: clock}
spec: {schedule: "* * * * *", sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}}
---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: other}
spec: {sink: {uri: "http://elsewhere.test/"}}
"""


def test_the_sources_of_a_broker_are_found_on_the_local_api(nats: NatsServer, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(OBJECTS)
    with api_server(tmp_path / "api", nats.url) as server:
        kubeconfig = Path(server.kubeconfig())
        done = scaup("apply", "-f", "all.yaml", cwd=tmp_path, kubeconfig=kubeconfig)
        assert done.returncode == 0, done.stderr
        done = scaup("sources", "default", cwd=tmp_path, kubeconfig=kubeconfig)
        titles, line = done.stdout.splitlines()
        assert titles.split()[:3] == ["KIND", "NAMESPACE", "NAME"]
        assert line.split()[:3] == ["PingSource", "default", "clock"]
        missing = scaup("sources", "nobody", cwd=tmp_path, kubeconfig=kubeconfig)
        assert missing.returncode == 1
        assert "there is no Broker default/nobody" in missing.stderr
