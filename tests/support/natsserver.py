"""Real nats-servers from their wheel, one or a cluster of three, on free ports, as contexts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.ports import Port


@dataclass
class NatsServer:
    """A running server that can be killed and started again on the same port and data."""

    directory: Path
    port: int = field(default_factory=Port)
    extra: str = ""
    jetstream: str = ""
    """More settings of JetStream, such as ``max_file_store: 1000000``."""
    process: subprocess.Popen[bytes] | None = None
    monitor: str = ""
    """Where its own figures are, for a server whose ``extra`` asks for them (``http``)."""
    websocket: str = ""
    """Its address for WebSockets, where ``extra`` asks for one."""

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self, deadline_s: float = 10.0) -> None:
        """Start and wait until it accepts connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nmax_payload: 2097152\n'
            f'jetstream {{ store_dir: "{self.directory / "js"}"\n{self.jetstream} }}\n{self.extra}\n'
        )
        for old in self.directory.glob("nats-server_*.ports"):
            old.unlink()
        binary = Path(sys.executable).with_name("nats-server")
        command = [binary, "-c", config, "--ports_file_dir", self.directory, "-l", self.directory / "nats.log"]
        self.process = subprocess.Popen([str(part) for part in command])
        ports = self.directory / f"nats-server_{self.process.pid}.ports"
        end = time.monotonic() + deadline_s
        while not (ports.exists() and ports.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.directory / "nats.log").read_text()[-2000:])
            time.sleep(0.005)
        found = json.loads(ports.read_text())
        self.monitor = found.get("monitoring", [""])[0]
        self.websocket = found.get("websocket", [""])[0]

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End as it is told to: what consumers have acknowledged is on disk by then, as it may not be after a kill."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def figures(self, path: str) -> Any:
        """What the server says of itself at ``path`` of its monitoring port."""
        with urllib.request.urlopen(f"{self.monitor}/{path}", timeout=5) as answer:
            return json.load(answer)


@contextmanager
def nats_server(directory: Path, extra: str = "", jetstream: str = "") -> Iterator[NatsServer]:
    """A server for the length of a test."""
    server = NatsServer(directory, extra=extra, jetstream=jetstream)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@dataclass
class Cluster:
    """Three servers that are one JetStream, each by its name."""

    nodes: dict[str, NatsServer]
    routes: list[Port]
    """Where they talk with each other."""

    @property
    def url(self) -> str:
        """All of them, as an operator writes it."""
        return ", ".join(node.url for node in self.nodes.values())

    def start(self, deadline_s: float = 30.0) -> None:
        """Start who does not run, and wait until all are one cluster again."""
        for node in self.nodes.values():
            if node.process is None:
                node.start()
        end = time.monotonic() + deadline_s
        while not self.is_whole:
            if time.monotonic() > end:
                logs = [(node.directory / "nats.log").read_text()[-1000:] for node in self.nodes.values()]
                raise RuntimeError("\n".join(logs))
            time.sleep(0.05)

    @property
    def is_whole(self) -> bool:
        """Whether all know the same leader, and that leader knows all to be up to date."""
        seen = {name: node.figures("jsz").get("meta_cluster") or {} for name, node in self.nodes.items()}
        leaders = {meta.get("leader") for meta in seen.values()}
        if len(leaders) > 1 or (leader := leaders.pop()) not in seen:
            return False
        followers = seen[leader].get("replicas") or []
        return sum(bool(follower["current"]) for follower in followers) == len(self.nodes) - 1


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """A cluster of three for the length of a test."""
    made = _planned(directory)
    try:
        made.start()
        yield made
    finally:
        for node in made.nodes.values():
            node.kill()


def _planned(directory: Path) -> Cluster:
    names = ("n1", "n2", "n3")
    made = Cluster({}, [Port() for _ in names])
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in made.routes)
    for name, port in zip(names, made.routes, strict=True):
        extra = (
            f'server_name: {name}\nhttp: "127.0.0.1:-1"\n'
            f'cluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{routes}] }}'
        )
        made.nodes[name] = NatsServer(directory / name, extra=extra)
    return made
