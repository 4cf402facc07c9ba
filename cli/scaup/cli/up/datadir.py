"""The data directory of ``scaup up``: its format, its lock, its secret, and where each file in it is.

Responsible for refusing a directory that is newer than this program, somebody else's, or in use. Must not start
anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from scaup.cli.problems import FailedError

FORMAT: Final = 1
_ORPHANS_END_WITHIN_S: Final = 8.0
_LOG_LIMIT: Final = 10 << 20


class DataDirectory:
    """An open data directory: locked by this process until it and all its children are gone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock = -1

    @property
    def kubeconfig(self) -> Path:
        """For ``kubectl`` and our own commands."""
        return self.path / "kubeconfig"

    @property
    def nats_pid(self) -> Path:
        """Written by nats-server."""
        return self.path / "nats.pid"

    @property
    def nats_store(self) -> Path:
        """JetStream's files."""
        return self.path / "nats"

    def log(self, name: str) -> Path:
        """A child's output."""
        return self.path / "logs" / f"{name}.log"

    def open(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Make it where it is missing, check it and lock it; FailedError with the reason where that cannot be."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._require_ours()
            self._lock(say)
            if not self._format.exists():
                self._format.write_text(f"{FORMAT}\n", encoding="ascii")
            (self.path / "logs").mkdir(exist_ok=True)
            self.nats_store.mkdir(exist_ok=True)
        except OSError as error:
            msg = f"the data directory {self.path} cannot be used: {error.strerror}"
            raise FailedError(msg, hint="choose another with --data") from error

    def close(self) -> None:
        """Give the lock back."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def token(self) -> str:
        """The embedded server's secret, made at the first start."""
        path = self.path / "nats-token"
        with contextlib.suppress(FileNotFoundError):
            if token := path.read_text(encoding="ascii").strip():
                return token
        token = secrets.token_urlsafe(32)
        write_private(path, token + "\n")
        return token

    def rotate_logs(self) -> None:
        """Put logs away that have grown large; one older of each is kept."""
        for path in (self.path / "logs").glob("*.log"):
            if path.stat().st_size > _LOG_LIMIT:
                path.replace(path.with_suffix(".log.1"))

    def note(self, *, api: str, nats: str, embedded: bool, metrics: Sequence[str] = ()) -> None:
        """Write down where everything is, for the other commands and for kubectl."""
        write_private(self.kubeconfig, _kubeconfig(api))
        endpoints = {"api": api, "nats": nats, "embedded": embedded, "metrics": list(metrics)}
        write_private(self.path / "endpoints.json", orjson.dumps(endpoints).decode() + "\n")

    @property
    def _format(self) -> Path:
        return self.path / "format"

    def _require_ours(self) -> None:
        try:
            text = self._format.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            if any(entry.name != "lock" for entry in self.path.iterdir()):
                msg = f"{self.path} is no data directory of Scaup, and not empty"
                raise FailedError(msg, hint="choose another with --data") from None
            return
        if not text.isdigit():
            msg = f"{self._format} does not hold a format version but {text[:40]!r}"
            raise FailedError(msg, hint="choose another directory with --data")
        if int(text) > FORMAT:
            msg = f"the data in {self.path} has format {text}, written by a newer Scaup; this one knows {FORMAT}"
            raise FailedError(msg, hint="update Scaup, or choose another directory with --data")

    def _lock(self, say: Callable[[str], None]) -> None:
        """Lock, waiting a little for children that outlive a killed parent: they hold the lock too."""
        self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        end = time.monotonic() + _ORPHANS_END_WITHIN_S
        waited = False
        while not self._try_lock():
            holder = os.pread(self.lock, 32, 0).decode("ascii", "replace").strip()
            is_alive = holder.isdigit() and _is_alive(int(holder))
            if is_alive or time.monotonic() > end:
                self.close()
                who = f"process {holder}" if is_alive else "processes of a Scaup that was killed"
                msg = f"{self.path} is in use by another `scaup up` ({who})"
                raise FailedError(msg, hint="stop it, or choose another directory with --data")
            if not waited:
                say("Waiting for the processes of the last run, which was killed, to end.")
                waited = True
            time.sleep(0.1)
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{os.getpid()}\n".encode(), 0)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def _kubeconfig(server: str) -> str:
    import yaml

    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "scaup",
        "clusters": [{"name": "scaup", "cluster": {"server": server}}],
        "contexts": [{"name": "scaup", "context": {"cluster": "scaup", "user": "scaup", "namespace": "default"}}],
        "users": [{"name": "scaup", "user": {}}],
    }
    return str(yaml.safe_dump(config, sort_keys=False))
