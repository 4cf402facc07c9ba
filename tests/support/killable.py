"""API servers of a test's own, killed as ``kill -9`` does and started again at their address with what they had."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.contract import KINDS, kubeconfig_text, until_ready
from tests.support.natsserver import nats_server
from tests.support.ports import Port
from tests.support.realkube import kube, run_kubectl, said
from tests.support.services import Service, service

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
        return said(run_kubectl(self.kubeconfig, self.kubeconfig.parent, *args))


@contextlib.contextmanager
def killable(which: str) -> Iterator[Killable]:
    """The ``local`` one or the ``genuine`` one, with the kinds of the contract that only tests have."""
    with _local() if which == "local" else _genuine() as one:
        one.apply()
        yield one


@contextlib.contextmanager
def _local() -> Iterator[Killable]:
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="killable")))
        nats = stack.enter_context(nats_server(home / "nats"))
        port = Port()
        address = f"127.0.0.1:{port}"
        running: list[Service] = []

        def start() -> None:
            running.append(stack.enter_context(service("apiserver", home, nats.url, SCAUP_LISTEN=address)))
            until_ready(f"http://{address}")

        def kill() -> None:
            running[-1].process.kill()
            running[-1].process.wait(20)

        kubeconfig = home / "kubeconfig"
        kubeconfig.write_text(kubeconfig_text(f"http://{address}"))
        start()
        yield Killable(True, kubeconfig, kill, start)


@contextlib.contextmanager
def _genuine() -> Iterator[Killable]:
    with kube(tokens=f'{_TOKEN},tester,tester,"system:masters"\n') as running:
        kubeconfig = running.home / "kubeconfig-kept"
        kubeconfig.write_text(kubeconfig_text(running.server, running.ca, _TOKEN))
        yield Killable(False, kubeconfig, running.kill, running.restart)
