"""A real nats-server from its wheel, on a free port, as a context."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class NatsServer:
    """A running server that can be killed and started again on the same port and data."""

    directory: Path
    port: int = -1
    extra: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self, deadline_s: float = 10.0) -> None:
        """Start and wait until it accepts connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nmax_payload: 2097152\n'
            f'jetstream {{ store_dir: "{self.directory / "js"}" }}\n{self.extra}\n'
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
        self.port = int(json.loads(ports.read_text())["nats"][0].rsplit(":", 1)[1])

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def nats_server(directory: Path, extra: str = "") -> Iterator[NatsServer]:
    """A server for the length of a test."""
    server = NatsServer(directory, extra=extra)
    server.start()
    try:
        yield server
    finally:
        server.kill()
