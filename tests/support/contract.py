"""Two servers of one contract: the local API, and a genuine kube-apiserver with our kinds, asked in the same way.

What both have to answer is said once, in ``tests/real/test_contract_*.py``; where they may differ the test says so by
``server.is_local``, and ``apiserver/README.md`` says so to the user.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.support.natsserver import nats_server
from tests.support.realkube import find_kubectl, kube

ROOT: Final = Path(__file__).parents[2]
DEPLOYED: Final = ROOT / "deploy/base/crds"
KINDS: Final = ROOT / "tests/support/contractkinds.yaml"
OUR_SINK: Final = ROOT / "apiserver/scaup/apiserver/definitions/localsinks.json"
JSON: Final = "application/json"
T = TypeVar("T")
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
        done = self.kubectl_run(*args, stdin=stdin)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr}")
        return done.stdout

    def kubectl_run(
        self, *args: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A finished ``kubectl ARGS``, whatever its exit code."""
        command = [str(find_kubectl()), "--kubeconfig", self.kubeconfig, *args]
        whole = {**os.environ, "HOME": str(self.home), **(env or {})}  # its caches are this server's
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, env=whole, check=False)

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
        with (home / "api.log").open("wb") as log:
            port = _free_port()
            env = {**os.environ, "SCAUP_NATS_URL": nats.url, "SCAUP_LISTEN": f"127.0.0.1:{port}"}
            process = subprocess.Popen([sys.executable, "-m", "scaup.apiserver"], env=env, stderr=log, stdout=log)
            try:
                kubeconfig = home / "kubeconfig"
                url = f"http://127.0.0.1:{port}"
                kubeconfig.write_text(_KUBECONFIG.format(url=url))
                server = Server(url, True, home, str(kubeconfig))
                wait_for(lambda: _is_ready(server), "the local API is ready")
                _add_kinds(server, DEPLOYED / "brokers.yaml", DEPLOYED / "triggers.yaml")
                yield server
            finally:
                process.terminate()
                process.wait(20)


@contextlib.contextmanager
def genuine_server() -> Iterator[Server]:
    """A kube-apiserver with the kinds of the contract, ours among them."""
    with kube() as running:
        ca = Path(running.ca).read_text() if not running.ca.startswith("-----") else running.ca
        server = Server(running.server, False, running.home, running.kubeconfig, running.token, ca)
        _add_kinds(server, *sorted(DEPLOYED.glob("[bpt]*s.yaml")), OUR_SINK)
        yield server


def wait_for(condition: Callable[[], T], what: str, within_s: float = 20.0) -> T:
    """Ask again and again until ``condition`` gives something true, and give that back."""
    end = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:g} s: {what} (last: {found!r})")
        time.sleep(0.02)
    return found


def _add_kinds(server: Server, *more: Path) -> None:
    for path in (*more, KINDS):
        server.kubectl("apply", "-f", str(path), "--validate=false")
    server.kubectl("wait", "--for=condition=Established", "crd", "--all")


def _is_ready(server: Server) -> bool:
    try:
        return server.request("GET", "/readyz").status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


_KUBECONFIG: Final = """\
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: {url}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: ""}}}}]
current-context: c
"""
