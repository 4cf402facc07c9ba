"""kn, Knative's own command line tool, unmodified: built once with Go from ``tests/kn``, then kept.

Kept in ``$XDG_CACHE_HOME/scaup-kn`` (else ``~/.cache/scaup-kn``) under a name that holds the digest of what it is built
from. ``KN_BIN`` names a binary that is there already.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from tests.support.builtonce import built, go_build
from tests.support.contract import Server

SOURCES: Final = Path(__file__).parent.parent / "kn"


def find_kn() -> Path:
    """The binary, built if need be."""
    if given := os.environ.get("KN_BIN"):
        return Path(given)
    return built("kn", "kn", SOURCES, lambda target: go_build(SOURCES, "knative.dev/client/cmd/kn", target, "-s -w"))


def run_kn(kubeconfig: str | Path, home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """A finished ``kn ARGS``, whatever its exit code; ``home`` is where its settings and plugins would be."""
    command = [str(find_kn()), "--kubeconfig", str(kubeconfig), *args]
    env = {**os.environ, "HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def kn(server: Server, *args: str) -> str:
    """What ``kn ARGS`` prints. Raises AssertionError with its words when it fails."""
    done = run_kn(server.kubeconfig, server.home, *args)
    if done.returncode:
        raise AssertionError(f"kn {' '.join(args)}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":  # so that no test's time pays for the first build
    print(find_kn())
