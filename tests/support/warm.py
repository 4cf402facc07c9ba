"""Processes that are there at once: forked off one that has loaded a home before, and waits.

Each is a process of its own all the same, with its own environment, files, signals and exit status; what it does
without is the half second of loading, on which the tests would spend a good part of their time. That a home loads and
starts as ``python -m scaup.HOME`` is shown by the tests that start it so.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
_lock = threading.Lock()


@dataclass
class Process:
    """What ``subprocess.Popen`` is of a process that it has started itself."""

    pid: int
    returncode: int | None = None
    _told: socket.socket = field(default_factory=socket.socket)

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        with suppress(TimeoutError, subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, when it has ended. Raises TimeoutExpired."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                told = self._told.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0) from None
            self.returncode = int(told)
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(home: str, *arguments: str, out: Any, error: Any, env: Mapping[str, str], cwd: Path | None = None) -> Process:
    """``python -m scaup.HOME`` without the loading. ``out`` and ``error`` are files, or their numbers."""
    with _lock:
        address = _starter(home)
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        asked.connect(address)
        wanted = {"arguments": arguments, "env": dict(env), "cwd": str(cwd or Path.cwd())}
        with Path(os.devnull).open("rb") as nothing:
            files = [file if isinstance(file, int) else file.fileno() for file in (nothing, out, error)]
            socket.send_fds(asked, [b"."], files)
            asked.sendall(json.dumps(wanted).encode())
            asked.shutdown(socket.SHUT_WR)
            return Process(int(asked.recv(16)), None, asked)
    except BaseException:
        asked.close()
        raise


class Command:
    """A command that runs; what it says goes to files. ``stderr`` is where its errors go instead."""

    def __init__(
        self, home: str, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, stderr: int | None = None
    ) -> None:
        self._files = ExitStack()
        self._said = [self._files.enter_context(tempfile.TemporaryFile()) for _ in range(2)]  # noqa: SIM115
        error = self._said[1] if stderr is None else stderr
        try:
            self.process = start(home, *arguments, out=self._said[0], error=error, env=env, cwd=cwd)
        except BaseException:
            self._files.close()
            raise

    @property
    def returncode(self) -> int | None:
        return self.process.returncode

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()

    def communicate(self, timeout: float = 60.0) -> tuple[str, str]:
        """What it said, when it has ended. One that has not by then is ended, and that is an error."""
        with self._files:
            try:
                self.process.wait(timeout)
            finally:
                self.process.kill()
                self.process.wait()
            for file in self._said:
                file.seek(0)
            return self._said[0].read().decode(), self._said[1].read().decode()


def run(home: str, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end, as ``subprocess.run`` does."""
    command = Command(home, arguments, env=env, cwd=cwd)
    out, error = command.communicate()
    return subprocess.CompletedProcess(list(arguments), command.returncode or 0, out, error)


@cache
def _starter(home: str) -> str:
    """Where the process listens from which those of ``home`` are forked; it ends with us."""
    address = str(Path(tempfile.mkdtemp(prefix="warm-")) / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(address)
        listening.listen(128)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", home, str(listening.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=(listening.fileno(),),
            cwd=ROOT,
        )

    def end() -> None:
        process.communicate()
        Path(address).unlink()
        Path(address).parent.rmdir()

    atexit.register(end)
    return address


# From here on: in the process that has loaded the home.


def _load(home: str) -> None:
    package = importlib.import_module(f"scaup.{home}")
    names = [f"{package.__name__}.__main__"]
    if home == "cli":  # whose commands load what they need when they are called
        names += [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    for name in names:
        importlib.import_module(name)
    if home == "cli":
        with redirect_stdout(io.StringIO()):  # what reads a command line is loaded when there is one to be read
            sys.modules["scaup.cli.__main__"].run(["version"])


def _serve(home: str, listening: socket.socket) -> None:
    _load(home)
    gc.freeze()
    ended, wakes = socket.socketpair()
    for end in (ended, wakes):
        end.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    ready = selectors.DefaultSelector()
    for source in (listening, ended, sys.stdin):
        ready.register(source, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listening:
                asked, _ = listening.accept()
                pid = _fork(home, asked)
                running[pid] = asked
                asked.sendall(str(pid).encode())
            else:
                ended.recv(4096)
        _bury(running)


def _bury(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        asked = running.pop(pid)
        with suppress(OSError):  # nobody asks any more
            asked.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        asked.close()


def _fork(home: str, asked: socket.socket) -> int:
    _, files, _, _ = socket.recv_fds(asked, 1, 3)
    parts = []
    while part := asked.recv(1 << 16):
        parts.append(part)
    pid = os.fork()
    if not pid:
        _become(home, json.loads(b"".join(parts)), files)
    for file in files:
        os.close(file)
    return pid


def _become(home: str, wanted: dict[str, Any], files: list[int]) -> NoReturn:
    status: Any = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 256)
        os.chdir(wanted["cwd"])
        os.environ.clear()
        os.environ.update(wanted["env"])
        sys.argv = [f"scaup.{home}", *wanted["arguments"]]
        sys.path[0] = wanted["cwd"]  # as -m has it
        sys.modules[f"scaup.{home}.__main__"].main()
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
    with suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
