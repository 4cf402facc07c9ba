"""Where the bus is and how to get in: what settings say of it. Apart from the connection, which loads the client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BusAccess:
    """Where the bus is and how to get in. ``token`` is the embedded server's secret."""

    url: str
    creds: str | None = None
    ca: str | None = None
    token: str | None = None

    @property
    def servers(self) -> list[str]:
        """The servers that ``url`` names, one or several with commas between them."""
        return [server.strip() for server in self.url.split(",") if server.strip()]
