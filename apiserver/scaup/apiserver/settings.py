"""The settings of the local API."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from scaup.core.model.errors import SettingsError
from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings, setting


@dataclass(frozen=True, slots=True)
class ApiServerSettings:
    """Everything the local API is told at start."""

    bus: BusSettings = field(default_factory=BusSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    listen: Listen = setting(
        "SCAUP_LISTEN",
        Listen("127.0.0.1", 8081),
        "Where the API is, host:port. Loopback only, for it asks nobody who they are.",
    )
    kept_changes: int = setting(
        "SCAUP_APISERVER_KEPT_CHANGES",
        10_000,
        "Last changes kept of each kind, for watches that go on from an older resourceVersion; older ones get 410.",
    )
    max_watches: int = setting(
        "SCAUP_APISERVER_MAX_WATCHES", 1000, "Watches served at a time; more are answered 429 with Retry-After."
    )

    def require_loopback(self) -> None:
        """Raise SettingsError where others than this machine could reach the API."""
        if not is_loopback(self.listen.host):
            msg = f"SCAUP_LISTEN = {self.listen}: the local API has no credentials and listens on loopback only"
            raise SettingsError(msg, hint="use 127.0.0.1, another address of 127.0.0.0/8, or [::1]")


def is_loopback(host: str) -> bool:
    """Whether a host name or address (without port and brackets) means this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
