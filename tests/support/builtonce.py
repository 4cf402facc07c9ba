"""What is built from sources of the repository once, and then kept under a name that holds their digest."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.support.realtools import need

_BUILD_S: Final = 1500


def built(kind: str, name: str, sources: Path, build: Callable[[Path], None], *, version: str = "") -> Path:
    """The file or directory that ``build`` makes of a directory of sources, unless it is there already.

    Kept in ``$XDG_CACHE_HOME/scaup-KIND`` (else ``~/.cache/scaup-KIND``).
    """
    digest = hashlib.sha256(version.encode())
    for file in sorted(sources.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"scaup-{kind}"
    target = cache / "-".join(part for part in (name, version, digest.hexdigest()[:16]) if part)
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # one build at a time, also with several test workers
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = target.with_suffix(".tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            build(unfinished)
            unfinished.rename(target)
    return target


def go_build(sources: Path, package: str, target: Path, ldflags: str = "") -> None:
    """``go build`` of a package of the module in ``sources``; raises RuntimeError with its words when it fails."""
    command = [str(need("go")), "build", "-trimpath", f"-ldflags={ldflags}", "-o", str(target), package]
    run_build(command, sources, {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"})


def run_build(command: list[str], directory: Path, env: Mapping[str, str]) -> None:
    """A command that builds something; raises RuntimeError with its words when it fails."""
    done = subprocess.run(
        command, cwd=directory, env=env, capture_output=True, text=True, timeout=_BUILD_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
