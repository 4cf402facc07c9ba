"""Two servers of one contract: the local API, and a genuine kube-apiserver with our kinds, asked in the same way.

What both have to answer is said once, in ``tests/real/test_contract_*.py``; where they may differ the test says so by
``server.is_local``, and ``apiserver/README.md`` says so to the user.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.natsserver import nats_server
from tests.support.realkube import kube, run_kubectl, said
from tests.support.services import service
from tests.support.waiting import wait_for

ROOT: Final = Path(__file__).parents[2]
DEPLOYED: Final = ROOT / "deploy/base/crds"
KINDS: Final = ROOT / "tests/support/contractkinds.yaml"
OUR_SINK: Final = ROOT / "apiserver/scaup/apiserver/definitions/localsinks.json"
JSON: Final = "application/json"
MERGE: Final = {"Content-Type": "application/merge-patch+json"}
_numbers = itertools.count()


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower case) and body of an answer; the body is parsed where it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Server:
    """One of the two servers. Each test makes a namespace of its own."""

    url: str
    is_local: bool
    home: Path = field(repr=False)
    kubeconfig: str = field(repr=False)
    token: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """One request; a body that is neither bytes nor None is sent as JSON."""
        with self.open(method, path, body, headers, **query) as answer:
            data = answer.read()
            found = {name.lower(): value for name, value in answer.headers.items()}
            is_json = JSON in found.get("content-type", "") and data
            return Answer(answer.status, found, json.loads(data) if is_json else data.decode(errors="replace"))

    def open(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: str
    ) -> Any:
        """The answer as it begins, to be closed; refusals too."""
        asked = self.url + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = ({"Content-Type": JSON} if data is not None else {}) | dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        context = ssl.create_default_context(cadata=self.ca) if self.ca else None
        request = urllib.request.Request(asked, data, sent, method=method)
        try:
            return urllib.request.urlopen(request, timeout=30, context=context)
        except urllib.error.HTTPError as refusal:
            return refusal

    @contextlib.contextmanager
    def watch(self, path: str, headers: Mapping[str, str] | None = None, **query: str) -> Iterator[Iterator[Any]]:
        """A watch: an iterator of ``{"type", "object"}``, for ten seconds unless ``timeoutSeconds`` is given."""
        asked = {"watch": "1", "timeoutSeconds": "10"} | query
        with self.open("GET", path, None, headers, **asked) as answer:
            assert answer.status == 200, answer.read()
            yield (json.loads(line) for line in answer)

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """What an unmodified ``kubectl ARGS`` prints. Raises AssertionError with its words when it fails."""
        return said(self.kubectl_run(*args, stdin=stdin), check=check)

    def kubectl_run(
        self, *args: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A finished ``kubectl ARGS``, whatever its exit code."""
        return run_kubectl(self.kubeconfig, self.home, *args, stdin=stdin, env=env)

    def namespace(self) -> str:
        """A fresh one."""
        name = f"n{os.getpid()}-{next(_numbers)}"
        made = self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert made.status == 201, made.body
        return name


@contextlib.contextmanager
def local_server() -> Iterator[Server]:
    """The local API as a process of its own over a NATS of its own, with the kinds of the contract."""
    with tempfile.TemporaryDirectory(prefix="contract") as name, nats_server(Path(name) / "nats") as nats:
        home = Path(name)
        with service("apiserver", home, nats.url) as api:
            server = Server(f"http://127.0.0.1:{api.port}", True, home, str(home / "kubeconfig"))
            Path(server.kubeconfig).write_text(kubeconfig_text(server.url))
            until_ready(server.url)
            _add_kinds(server, DEPLOYED / "brokers.yaml", DEPLOYED / "triggers.yaml")
            yield server


@contextlib.contextmanager
def genuine_server() -> Iterator[Server]:
    """A kube-apiserver with the kinds of the contract, ours among them."""
    with kube() as running:
        ca = Path(running.ca).read_text() if not running.ca.startswith("-----") else running.ca
        server = Server(running.server, False, running.home, running.kubeconfig, running.token, ca)
        _add_kinds(server, *sorted(DEPLOYED.glob("[bpt]*s.yaml")), OUR_SINK)
        yield server


def _add_kinds(server: Server, *more: Path) -> None:
    for path in (*more, KINDS):
        server.kubectl("apply", "-f", str(path))
    server.kubectl("wait", "--for=condition=Established", "crd", "--all")


def until_ready(url: str) -> None:
    """Wait until the local API at an address says that it is ready."""

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for(is_ready, "the local API is ready")


def kubeconfig_text(url: str, ca: str = "", token: str = "") -> str:
    """A kubeconfig for one server; ``ca`` is the path of its certificate."""
    trust = f", certificate-authority: {ca}" if ca else ""
    return f"""apiVersion: v1
kind: Config
clusters: [{{name: one, cluster: {{server: "{url}"{trust}}}}}]
users: [{{name: me, user: {{token: "{token}"}}}}]
contexts: [{{name: one, context: {{cluster: one, user: me}}}}]
current-context: one
"""
