"""A real ``scaup up`` in a process group of its own, on ports that are free, as a context."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import warm

PORTS = (8080, 8081, 8088, 8089, 9091, 9092, 9093, 9094, 4222)
"""Below those that Linux gives away by itself. At offsets that are multiples of 20 no two ups meet."""
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
HOMES = ("apiserver", "controller", "dispatcher", "filter", "ingress")


def free_offset() -> int:
    """An offset at which every port of ``scaup up`` is free, and which no other worker of this test run takes."""
    for _ in range(200):
        offset = 20 * random.randrange(100 + _WORKER, 1_100, 8)
        if not any(_taken(port + offset) for port in PORTS):
            return offset
    raise AssertionError("no free ports")


def _taken(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Up:
    """One run of ``scaup up``; everything it printed is in ``output``."""

    process: subprocess.Popen[bytes]
    output: Path
    data: Path
    offset: int

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def url(self, port: int, path: str = "") -> str:
        return f"http://127.0.0.1:{port + self.offset}{path}"

    def wait_until_up(self, within_s: float = 40.0) -> None:
        self.wait_for("  Stop     Ctrl-C", within_s)

    def wait_for(self, text: str, within_s: float = 15.0) -> None:
        """Until ``text`` was printed."""
        end = time.monotonic() + within_s
        while text not in self.text:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(
                    f"{text!r} was not printed (exit {self.process.poll()}):\n{self.text}{self.logs()}"
                )
            time.sleep(0.02)

    def logs(self) -> str:
        return "".join(
            f"\n== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in self.data.glob("logs/*.log")
        )

    def children(self) -> dict[str, int]:
        """Process id by name of the home, and ``nats-server``."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        ).stdout
        found = {}
        for line in listed.splitlines():
            pid, parent, command = line.split(None, 2)
            if int(parent) == self.process.pid:
                name = next((home for home in HOMES if f"scaup.{home}" in command), "nats-server")
                found[name] = int(pid)
        return found

    def get(self, port: int, path: str) -> Any:
        """GET, JSON; None where nobody answers (yet)."""
        try:
            with urllib.request.urlopen(self.url(port, path), timeout=5) as answer:
                return json.loads(answer.read() or b"null")
        except (urllib.error.URLError, OSError):
            return None

    def stop(self, number: int = signal.SIGINT) -> float:
        """Signal the whole group, wait, and give back the seconds it took."""
        begun = time.monotonic()
        os.killpg(self.process.pid, number)
        self.process.wait(30)
        return time.monotonic() - begun


@contextmanager
def scaup_up(data: Path, offset: int, *arguments: str, environ: dict[str, str] | None = None) -> Iterator[Up]:
    """Start it and do not wait. At the end nothing of it is left, however the test went."""
    output = data.with_name(f"{data.name}-{time.monotonic_ns()}.txt")
    command = [sys.executable, "-m", "scaup.cli", "up", "--data", str(data), "--port-offset", str(offset), *arguments]
    with output.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=data.parent,
            start_new_session=True,
            env={**os.environ, **(environ or {})},
        )
    up = Up(process, output, data, offset)
    try:
        yield up
    finally:
        if process.poll() is None:
            left = up.children()
            process.kill()
            process.wait()
            for pid in left.values():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def scaup(
    *arguments: str, cwd: Path, kubeconfig: Path | None = None, anew: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``anew`` as a person starts it, else in a process that has loaded it already."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("SCAUP_", "KUBECONFIG"))} | {"HOME": str(cwd)}
    if kubeconfig is not None:
        environ["SCAUP_KUBECONFIG"] = str(kubeconfig)
    if not anew:
        return warm.run("cli", arguments, env=environ, cwd=cwd)
    command: Sequence[str] = [sys.executable, "-m", "scaup.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environ, timeout=60, check=False)


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended (one that has ended may wait for its parent)."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.strip().startswith("Z")
