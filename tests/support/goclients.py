"""Programs on client-go and controller-runtime as people write them: built once with Go from ``goclients``, then kept.

Kept in ``$XDG_CACHE_HOME/scaup-goclients`` (else ``~/.cache/scaup-goclients``) under a name with the digest of what
it is built from. ``GOCLIENTS_BIN`` names a binary that is there already.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from tests.support.builtonce import built, go_build
from tests.support.contract import Server

SOURCES: Final = Path(__file__).parent.parent / "goclients"


def find_go_clients() -> Path:
    """The binary, built if need be."""
    if given := os.environ.get("GOCLIENTS_BIN"):
        return Path(given)
    return built("goclients", "goclients", SOURCES, lambda target: go_build(SOURCES, ".", target, "-s -w"))


def exercise(server: Server, namespace: str, name: str) -> None:
    """Do one exercise of ``tests/goclients``. Raises AssertionError with its words when it fails."""
    command = [str(find_go_clients()), server.kubeconfig, namespace, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":  # so that no test's time pays for the first build
    print(find_go_clients())
