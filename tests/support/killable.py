"""API servers of a test's own, killed as ``kill -9`` does and started again at their address with what they had."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scaup.core.http.server import bind
from tests.support.contract import KINDS, wait_for
from tests.support.natsserver import nats_server
from tests.support.realkube import find_kubectl, kube

_TOKEN: Final = "kept-over-restarts"


@dataclass(frozen=True)
class Killable:
    """One of the two: its kubeconfig is good for its whole life."""

    is_local: bool
    kubeconfig: Path = field(repr=False)
    kill: Callable[[], None] = field(repr=False)
    start: Callable[[], None] = field(repr=False)

    def apply(self, path: Path = KINDS) -> None:
        """``kubectl apply -f PATH``."""
        self.kubectl("apply", "-f", str(path))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all")

    def kubectl(self, *args: str) -> str:
        """What kubectl prints."""
        command = [str(find_kubectl()), "--kubeconfig", str(self.kubeconfig), *args]
        env = {**os.environ, "HOME": str(self.kubeconfig.parent)}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=True).stdout


@contextlib.contextmanager
def killable(which: str) -> Iterator[Killable]:
    """The ``local`` one or the ``genuine`` one, with the kinds of the contract that only tests have."""
    with _local() if which == "local" else _genuine() as one:
        one.apply()
        yield one


@contextlib.contextmanager
def _local() -> Iterator[Killable]:
    with tempfile.TemporaryDirectory(prefix="killable") as name, nats_server(Path(name) / "nats") as nats:
        home = Path(name)
        with bind("127.0.0.1", 0) as free:
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        env = {**os.environ, "SCAUP_NATS_URL": nats.url, "SCAUP_LISTEN": f"127.0.0.1:{port}"}
        running: list[subprocess.Popen[bytes]] = []

        def is_ready() -> bool:
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        def start() -> None:
            with (home / "api.log").open("ab") as log:
                running.append(
                    subprocess.Popen([sys.executable, "-m", "scaup.apiserver"], env=env, stderr=log, stdout=log)
                )
            wait_for(is_ready, "the local API is ready")

        def kill() -> None:
            running[-1].send_signal(signal.SIGKILL)
            running[-1].wait(20)

        kubeconfig = home / "kubeconfig"
        kubeconfig.write_text(_config(url, "", ""))
        start()
        try:
            yield Killable(True, kubeconfig, kill, start)
        finally:
            kill()


@contextlib.contextmanager
def _genuine() -> Iterator[Killable]:
    with kube(tokens=f'{_TOKEN},tester,tester,"system:masters"\n') as running:
        kubeconfig = running.home / "kubeconfig-kept"
        kubeconfig.write_text(_config(running.server, running.ca, _TOKEN))
        yield Killable(False, kubeconfig, running.kill, running.restart)


def _config(url: str, ca: str, token: str) -> str:
    trust = f", certificate-authority: {ca}" if ca else ""
    return f"""apiVersion: v1
kind: Config
clusters: [{{name: one, cluster: {{server: "{url}"{trust}}}}}]
users: [{{name: me, user: {{token: "{token}"}}}}]
contexts: [{{name: one, context: {{cluster: one, user: me}}}}]
current-context: one
"""
