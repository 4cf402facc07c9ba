"""What a URL says: where to connect to, whom to find there, what to ask for. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Origin:
    """What a URL says about where to connect and what to ask for."""

    host: str
    port: int
    is_tls: bool
    ca_certs: str | None
    head: bytes
    """Request line and Host (and Authorization) header."""

    @classmethod
    def parse(cls, url: str, ca_certs: str | None = None) -> Origin:
        """Raises ValueError where ``url`` is no absolute http or https URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"{url!r} is no http or https URL with a host"
            raise ValueError(msg)
        host = parts.netloc.rpartition("@")[2]
        if host.startswith("[") and "%" in host:  # RFC 6874; uvloop would connect without it, through any interface
            msg = f"{url!r} has an address with a zone, which means something on one machine only"
            raise ValueError(msg)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not (path.isascii() and host.isascii() and path.isprintable() and host.isprintable()) or " " in path + host:
            msg = f"{url!r} holds characters that have to be percent-encoded"
            raise ValueError(msg)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n"
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            head += f"Authorization: Basic {base64.b64encode(pair).decode()}\r\n"
        is_tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if is_tls else 80), is_tls, ca_certs, head.encode())

    @property
    def tls_name(self) -> str:
        """The name, or address, that the certificate has to be for."""
        return self.host.rstrip(".")
