"""What ``scaup up`` starts and where it listens: options, ports, and the environment of each child. Pure.

One table says everything about the services; its rows stand in the order in which they are stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scaup.cli.problems import UsageError
from scaup.core.runtime.settings import Listen

LOOPBACK: Final = "127.0.0.1"
REPLICA: Final = "local"
BODY_LIMIT: Final = 1 << 20
_ANY: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognized, not listened on


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of ``scaup up``."""

    files: tuple[Path, ...] = ()
    data: Path = Path(".scaup")
    port_offset: int = 0
    listen: str = LOOPBACK
    nats_url: str | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """One service: its ports before the offset, what has to be ready before it starts, and its time to stop."""

    name: str
    port: int | None
    metrics_port: int | None
    needs: tuple[str, ...]
    stop_s: float

    @property
    def ready_port(self) -> int:
        """Where ``/readyz`` answers."""
        port = self.metrics_port or self.port
        assert port is not None  # noqa: S101 - every row has one
        return port


NATS: Final = "nats-server"
NATS_PORT: Final = 4222
NATS_STOP_S: Final = 1.5
HOMES: Final = (
    Home("ingress", 8080, 9091, (NATS,), 2.0),
    Home("dispatcher", None, 9093, (NATS,), 2.6),
    Home("filter", None, 9092, (NATS,), 0.9),
    Home("controller", None, 9094, (NATS, "apiserver"), 0.9),
    Home("apiserver", 8081, None, (NATS,), 0.9),
)
"""In the order of stopping; with NATS at the end the times are 8.8 s, within the 10 s of the promise."""

API_PORT: Final = 8081


def require_offset(options: Options, sinks: Mapping[str, int]) -> None:
    """Raise UsageError where a port would leave the range."""
    highest = max([9094, *sinks.values()])
    if options.port_offset < 0 or highest + options.port_offset > 65535:
        msg = f"--port-offset {options.port_offset}: ports go from 1 to 65535, so at most {65535 - highest} is possible"
        raise UsageError(msg)


def ports(options: Options, sinks: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """(what, host, port) of everything that will be listened on, the offset added."""
    wanted: list[tuple[str, str, int]] = []
    for home in sorted(HOMES, key=lambda home: home.port or home.metrics_port or 0):
        if home.port is not None:
            host = options.listen if home.name == "ingress" else LOOPBACK
            what = "local API" if home.name == "apiserver" else home.name
            wanted.append((what, host, home.port + options.port_offset))
        if home.metrics_port is not None:
            wanted.append((f"metrics of the {home.name}", LOOPBACK, home.metrics_port + options.port_offset))
    if options.nats_url is None:
        wanted.append(("NATS", LOOPBACK, NATS_PORT + options.port_offset))
    wanted += [(f"LocalSink {name}", LOOPBACK, port + options.port_offset) for name, port in sinks.items()]
    return wanted


def public_url(options: Options) -> str:
    """The base of every Broker's address."""
    host = LOOPBACK if options.listen in _ANY else options.listen
    return f"http://{Listen(host, 8080 + options.port_offset)}"


def api_url(options: Options) -> str:
    """The local API."""
    return f"http://{LOOPBACK}:{API_PORT + options.port_offset}"


def nats_url(options: Options) -> str:
    """The NATS in use."""
    return options.nats_url or f"nats://{LOOPBACK}:{NATS_PORT + options.port_offset}"


def metrics_urls(options: Options) -> list[str]:
    """Where the services show what they count."""
    known = [home.metrics_port for home in HOMES if home.metrics_port is not None]
    return [f"http://{Listen(LOOPBACK, port + options.port_offset)}/metrics" for port in known]


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the children need to know beside the options. ``token`` None where NATS is somebody else's."""

    token: str | None
    kubeconfig: Path
    nats_pid: Path | None


def environment(home: Home, options: Options, secrets: Secrets, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service: what we were given, and over it what this start decides."""
    made = dict(inherited)
    if options.nats_url is None:
        for name in ("SCAUP_NATS_CREDS", "SCAUP_NATS_CA", "SCAUP_NATS_TOKEN"):
            made.pop(name, None)
    if secrets.token:
        made["SCAUP_NATS_TOKEN"] = secrets.token
    if secrets.nats_pid is not None:
        # Every service may end an orphaned nats-server: one of them may be away itself when the parent is killed.
        made["SCAUP_UP_ORPHAN_PID_FILE"] = str(secrets.nats_pid)
    for name in ("SCAUP_LISTEN", "SCAUP_METRICS_LISTEN"):
        made.pop(name, None)
    if home.port is not None:
        host = options.listen if home.name == "ingress" else LOOPBACK
        made["SCAUP_LISTEN"] = str(Listen(host, home.port + options.port_offset))
    if home.metrics_port is not None:
        made["SCAUP_METRICS_LISTEN"] = str(Listen(LOOPBACK, home.metrics_port + options.port_offset))
    return made | {
        "SCAUP_NATS_URL": nats_url(options),
        "SCAUP_PUBLIC_URL": public_url(options),
        "SCAUP_KUBECONFIG": str(secrets.kubeconfig),
        "SCAUP_REPLICA": REPLICA,
        "SCAUP_DRAIN_SECONDS": f"{home.stop_s - 0.4:g}",
        "PYTHONUNBUFFERED": "1",
    }
