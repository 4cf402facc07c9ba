"""A genuine kube-apiserver over etcd in one process (``tests/kapi``), and kubectl: built once with Go, then kept.

Kept in ``$XDG_CACHE_HOME/scaup-kapi`` (else ``~/.cache/scaup-kapi``) under a name that holds the digest of the sources.
``KAPI_BIN`` names a binary that is there already.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.builtonce import built, go_build
from tests.support.ports import Port

SOURCES: Final = Path(__file__).parent.parent / "kapi"
VERSION: Final = "v1.36.3"


@dataclass
class Kube:
    """A running API server: ``server`` https URL, ``token`` of an administrator, files ``ca`` and ``kubeconfig``."""

    server: str
    token: str
    ca: str
    kubeconfig: str
    home: Path
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """What an unmodified ``kubectl ARGS`` prints. Raises AssertionError with its words when it fails."""
        return said(self.kubectl_run(*args, stdin=stdin), check=check)

    def kubectl_run(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A finished ``kubectl ARGS``, whatever its exit code."""
        return run_kubectl(self.kubeconfig, self.home, *args, stdin=stdin, timeout_s=180)

    def kubeconfig_of(self, token: str) -> Path:
        """A kubeconfig for who has ``token``."""
        path = self.home / f"kubeconfig-{hashlib.sha256(token.encode()).hexdigest()[:8]}"
        path.write_text(Path(self.kubeconfig).read_text().replace(self.token, token))
        return path

    def kill(self) -> None:
        """As ``kill -9``: what was answered is in its directory."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Run it again over the same directory at the same port, after ``kill``. The administrator's token is new:
        ``kubeconfig`` is written anew; tokens given to ``kube`` stay as they are.
        """
        _close(self.process)
        said, self.process = _start(self.home, self.port)
        self.token = said["token"]


def find_kapi() -> Path:
    """The server's binary, built if need be (three minutes with nothing in Go's caches)."""
    if given := os.environ.get("KAPI_BIN"):
        return Path(given)
    return _built("kapi", ".")


def find_kubectl() -> Path:
    """The kubectl on the PATH, else the one built from the same sources as the server."""
    if found := shutil.which("kubectl"):
        return Path(found)
    return _built("kubectl", "k8s.io/kubernetes/cmd/kubectl")


def _built(name: str, package: str) -> Path:
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={VERSION}"
    return built("kapi", name, SOURCES, lambda target: go_build(SOURCES, package, target, flags), version=VERSION)


def run_kubectl(
    kubeconfig: str | Path,
    home: Path,
    *args: str,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """A finished unmodified ``kubectl ARGS``, whatever its exit code; its caches are in ``home``, one server's."""
    command = [str(find_kubectl()), "--kubeconfig", str(kubeconfig), *args]
    whole = {**os.environ, "HOME": str(home), **(env or {})}
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout_s, env=whole, check=False
    )


def said(done: subprocess.CompletedProcess[str], *, check: bool = True) -> str:
    """What a command printed. Raises AssertionError with its words when it failed."""
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, done.args))}: {done.stderr}")
    return done.stdout


@contextlib.contextmanager
def kube(*extra: str, tokens: str = "") -> Iterator[Kube]:
    """A server of one's own on loopback: ready in two seconds, 300 MiB. ``extra`` goes to it (``--`` first for
    kube-apiserver's own flags); ``tokens`` are further lines ``token,user,uid,"group,group"``.
    """
    home = Path(tempfile.mkdtemp(prefix="kapi"))  # short: etcd listens on a unix socket in it, whose path is limited
    (home / "extra-tokens.csv").write_text(tokens)
    running: Kube | None = None
    try:
        port = Port()
        said, process = _start(home, port, *extra)
        running = Kube(said["server"], said["token"], said["ca"], said["kubeconfig"], home, port, process)
        yield running
    finally:
        if running is not None:
            running.process.kill()  # there is nothing to save
            running.process.wait()
            _close(running.process)
        shutil.rmtree(home, ignore_errors=True)


def _start(home: Path, port: int, *extra: str) -> tuple[dict[str, Any], subprocess.Popen[bytes]]:
    command = [str(find_kapi()), "-dir", str(home), "-port", str(port), "-exit-with-stdin", "-controllers", *extra]
    with (home / "err.log").open("ab") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        _close(process)
        raise RuntimeError((home / "err.log").read_text()[-3000:])
    said: dict[str, Any] = json.loads(line)
    return said, process


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


if __name__ == "__main__":  # so that no test's time pays for the first build
    print(f"{find_kapi()}\n{find_kubectl()}")
